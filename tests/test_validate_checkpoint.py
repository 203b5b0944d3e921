import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from squares import make_squares, quick

from boxless.backbones import build_backbone
from boxless.gan.settings import GanTraining
from boxless.gan.training import train_gan
from boxless.inference import localizer
from boxless.methods import METHODS, method_class
from boxless.methods.training import train_classifier
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """What the best.pt of a classifier and of a GAN hold."""
    root = tmp_path_factory.mktemp("runs")
    squares = make_squares(root / "squares", 8)
    train_classifier("cam", {}, squares, None, quick(epochs=1), root / "cam")
    images = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    train_gan("sn-dcgan", images, GanTraining(iterations=1, size=16, width=1 / 16, batch_size=2), root / "gan")
    return {kind: checkpoint.read(root / kind / "best.pt") for kind in ("cam", "gan")}


def written(tmp_path, content):
    content.pop("format", None)
    checkpoint.save(tmp_path / "best.pt", content)
    return tmp_path / "best.pt"


WILD = {
    "an unknown backbone": ("cam", {"backbone": {"name": "gpt", "stride": 4}}, "There is no backbone 'gpt'"),
    "a backbone that is a path": ("cam", {"backbone": {"name": "os:system", "stride": 4}}, "There is no backbone"),
    "a backbone with weights": ("cam", {"backbone": {"name": "tiny", "weights": "/etc/passwd"}}, "cannot be built"),
    "a stride that is none": ("cam", {"backbone": {"name": "tiny", "stride": 5}}, "cannot be built at stride 5"),
    "no backbone": ("cam", {"backbone": None}, "backbone = None; expected a dict"),
    "another backbone": ("cam", {"backbone": {"name": "vgg16", "stride": 8}}, "do not fit the network"),
    "an unknown method": ("cam", {"method": "yolo"}, "has no method 'yolo'"),
    "a method that is a list": ("cam", {"method": ["cam"]}, "method = ['cam']; expected a str"),
    "unknown options": ("cam", {"options": {"depth": 3}}, "cannot be built: TypeError"),
    "too many classes": ("cam", {"classes": [str(n) for n in range(50_000)]}, "do not fit the network"),
    "classes that are no names": ("cam", {"classes": [1, 2]}, "expected names"),
    "no kind": ("cam", {"kind": None}, "kind = None"),
    "an enormous size": ("cam", {"size": 10**9}, "expected 8 to 4096 pixels"),
    "a size that is true": ("cam", {"size": True}, "size = True; expected a int"),
    "weights that are none": ("cam", {"model": {"a": 1}}, "not all tensors"),
    "a threshold of nan": ("cam", {"readout": {"threshold": float("nan"), "origin": ""}}, "expected threshold"),
    "a readout of words": ("cam", {"readout": {"threshold": "low", "origin": ""}}, "expected threshold"),
    "a readout too many": ("cam", {"readout": {"threshold": 0.1, "origin": "", "x": 1}}, "expected threshold"),
    "another normalisation": ("cam", {"readout": {"threshold": 0.1, "origin": "", "normalisation": "z"}}, "expected"),
    "huge channels": (
        "gan",
        {"options": {"discriminator": {"size": 16, "width": 1e6}, "reading": {}}},
        "do not fit the network",
    ),
    "nan channels": ("gan", {"options": {"discriminator": {"width": float("nan")}, "reading": {}}}, "cannot be built"),
    "no discriminator": ("gan", {"options": {}}, "cannot be built: KeyError"),
    "an unknown reading": ("gan", {"options": {"discriminator": {"size": 16}, "reading": {"reading": 1}}}, "has"),
}


@pytest.mark.parametrize("name", WILD)
def test_wild_descriptions_are_one_sentence(best, tmp_path, name):
    kind, change, sentence = WILD[name]
    path = written(tmp_path, best[kind] | change)
    with pytest.raises(BoxlessError) as error:
        localizer.load(path)
    message = str(error.value)
    assert sentence in message or sentence == "has"
    assert len(message) < 500 and "\n" not in message


def test_every_method_and_a_gan_are_what_they_say(best, tmp_path):
    assert localizer.load(written(tmp_path, dict(best["gan"]))).method == "sn-dcgan"
    for method in METHODS:
        network = method_class(method)(build_backbone("tiny", weights="none"), 2)
        content = best["cam"] | {"method": method, "options": {}, "model": network.state_dict()}
        assert localizer.load(written(tmp_path, content)).method == method


class Malice:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("how", ["torch", "pickle", "old torch"])
def test_a_malicious_pickle_creates_nothing(best, tmp_path, how):
    trace, path = tmp_path / "was here", tmp_path / "best.pt"
    content = best["cam"] | {"format": 1, "options": Malice(trace)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(BoxlessError, match="not a whole boxless checkpoint"):
        localizer.load(path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if how != "pickle" else pickle.loads(path.read_bytes())
    assert trace.exists()  # the trap was a real one


def test_a_packed_checkpoint_is_refused(best, tmp_path):
    path = written(tmp_path, dict(best["cam"]))
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for member in plain.namelist():
            packed.writestr(member, plain.read(member))
    assert torch.load(tmp_path / "packed.pt")["method"] == "cam"  # torch itself would unpack it
    with pytest.raises(BoxlessError, match="not a whole boxless checkpoint"):
        localizer.load(tmp_path / "packed.pt")


def test_flipped_bits_are_refused_or_change_nothing_but_weights(best, tmp_path):
    path = written(tmp_path, dict(best["cam"]))
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(len(whole), (60,), generator=generator).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            assert localizer.load(path).method == "cam"
        except BoxlessError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("change", [{"optimizer": 3}, {"sums": "x"}, {"history": 1}, {"step": 1e9}])
def test_a_wild_state_is_not_resumed(tmp_path, change):
    squares = make_squares(tmp_path / "squares", 8)
    train_classifier("cam", {}, squares, None, quick(epochs=1), tmp_path / "run")
    content = checkpoint.read(tmp_path / "run" / "last.pt")
    checkpoint.save(tmp_path / "run" / "last.pt", content | {"trainer": content["trainer"] | change})
    with pytest.raises(BoxlessError, match=r"last\.pt does not hold the state of this run"):
        train_classifier("cam", {}, squares, None, quick(epochs=2), tmp_path / "run", resume=True)
