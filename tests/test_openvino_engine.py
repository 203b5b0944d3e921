"""Networks computed by OpenVINO: by itself where it is installed, by a stand-in for what lies around it everywhere."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from boxless.backbones import build_backbone, int8, openvino_engine
from boxless.backbones.backbone import Backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.backbones.openvino_engine import OpenvinoEngine, cache_folder
from boxless.data.folder import read_data
from boxless.inference import engines
from boxless.inference.engines import with_engine
from boxless.inference.predictors import InferenceOptions
from boxless.runtime.errors import UsageError


class Compiled:
    """What the stand-in compiles to: torch's own features, times a factor that is all that its file holds."""

    def __init__(self, compute: Any, factor: float) -> None:
        self.compute, self.factor = compute, factor

    def create_infer_request(self) -> Any:
        return self

    def infer(self, inputs: list[np.ndarray], share_inputs: bool) -> list[np.ndarray]:
        with torch.no_grad():
            return [self.factor * part.numpy() for part in self.compute(torch.from_numpy(inputs[0]))]

    def export_model(self) -> io.BytesIO:
        return io.BytesIO(str(self.factor).encode())


class Core:
    factor, compilations = 1.0, 0
    compute: Any = None
    options: ClassVar[dict[str, Any]] = {}
    """What the last network was compiled with."""

    def get_property(self, device: str, name: str) -> Any:
        return "a processor" if name == "FULL_DEVICE_NAME" else ["BF16"]

    def compile_model(self, model: Any, device: str, options: dict[str, Any]) -> Compiled:
        Core.compilations, Core.compute, Core.options = Core.compilations + 1, staticmethod(model), options
        return Compiled(model, self.factor)

    def import_model(self, blob: bytes, device: str, options: dict[str, Any]) -> Compiled:
        assert options == Core.options  # OpenVINO's file does not hold the precision: the reader's counts
        return Compiled(Core.compute, float(blob))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Core]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=Core, __version__="1.0-build"))
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: object())
    monkeypatch.setattr(openvino_engine, "convert", lambda steps, _: steps)
    monkeypatch.setattr(Core, "factor", 1.0)
    monkeypatch.setattr(Core, "compilations", 0)
    return Core


def tiny() -> Backbone:
    torch.manual_seed(0)
    return folded(build_backbone("tiny", weights="none"))


def features(backbone: Backbone, *, required: bool = False) -> torch.Tensor:
    """What the backbone computes with an engine of its own, of one picture."""
    backbone.engine = OpenvinoEngine(backbone, bf16=False, lanes=1, required=required)
    with torch.inference_mode():
        return backbone(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)))


def test_a_network_is_compiled_once_and_then_read_from_the_cache(stand_in: type[Core]) -> None:
    first, second = features(tiny()), features(tiny())
    assert torch.equal(first, second)
    assert stand_in.compilations == 1


def test_a_neck_is_computed_with_the_backbone_and_another_one_is_another_network(stand_in: type[Core]) -> None:
    backbone, images = tiny(), torch.rand(1, 3, 32, 32)
    backbone.engine = OpenvinoEngine(backbone, bf16=False, lanes=1, required=True)
    with torch.inference_mode():
        plain = backbone(images)
        for compilations, neck in enumerate((torch.nn.Conv2d(backbone.channels, 5, 3), torch.nn.ReLU()), start=2):
            torch.testing.assert_close(backbone(images, neck=neck), neck(plain))
            assert stand_in.compilations == compilations


def test_places_where_a_neck_leaves_nothing_do_not_speak_against_it(stand_in: type[Core]) -> None:
    backbone = tiny()
    backbone.engine = OpenvinoEngine(backbone, bf16=False, lanes=1, required=True)
    with torch.inference_mode():
        assert not backbone(torch.rand(1, 3, 32, 32), neck=torch.nn.Hardtanh(-1.0, 0.0)).any()


def test_other_weights_are_another_network(stand_in: type[Core]) -> None:
    features(tiny())
    other = tiny()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    features(other)
    assert stand_in.compilations == 2


@pytest.mark.parametrize("content", [b"", b"1.0", b"x" * 100, None])
def test_a_file_that_is_not_ours_is_made_anew(stand_in: type[Core], content: bytes | None) -> None:
    expected = features(tiny())
    (file,) = cache_folder().glob("*.blob")
    if content is None:  # whole, and of a network that computes something else
        other = file.read_bytes()[32 : 32 + 4 * openvino_engine.ANSWERS] + b"-1.0"
        content = openvino_engine.hashlib.sha256(other).digest() + other
    file.write_bytes(content)
    assert torch.equal(features(tiny()), expected)
    assert stand_in.compilations == 2
    assert file.read_bytes() != content


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    stand_in: type[Core], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    backbone = tiny()
    features(backbone)
    assert stand_in.compilations == 1
    assert backbone.engine.used  # type: ignore[union-attr]


def test_the_cache_does_not_grow_without_end(stand_in: type[Core], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "KEPT", 2)
    for value in range(4):
        backbone = tiny()
        with torch.no_grad():
            next(backbone.parameters()).add_(value)
        features(backbone)
    assert len(list(cache_folder().iterdir())) == 2


def test_what_computes_something_else_is_left_to_torch_and_said_once(
    stand_in: type[Core], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stand_in, "factor", -1.0)
    backbone = tiny()
    found = features(backbone)
    with torch.inference_mode():
        backbone(torch.rand(2, 3, 16, 16))
    assert found.min() >= 0
    assert len(caplog.messages) == 1
    assert "torch computes it" in caplog.messages[0]
    with pytest.raises(UsageError, match="something else"):
        features(tiny(), required=True)


def test_a_larger_network_is_tried_on_an_image_as_rough_as_a_smaller_one(stand_in: type[Core]) -> None:
    engine = OpenvinoEngine(tiny(), bf16=False, lanes=1, required=True)
    steps = [next(engine._trials((3, side, side))).probe.diff(dim=-1).abs().mean().item() for side in (288, 576)]
    assert abs(steps[1] / steps[0] - 1) < 0.2


@pytest.mark.parametrize(("factors", "numbers"), [([1.0], "int8"), ([-1.0, 1.0], "bf16"), ([-1.0, -1.0, 1.0], "fp32")])
def test_the_coarsest_numbers_that_are_faithful_are_taken(
    stand_in: type[Core], monkeypatch: pytest.MonkeyPatch, factors: list[float], numbers: str
) -> None:
    monkeypatch.setattr(openvino_engine, "measured_ranges", lambda core, model, images: {})
    monkeypatch.setattr(openvino_engine, "quantise", lambda model, ranges: None)
    monkeypatch.setattr(Core, "factor", property(lambda _: factors.pop(0)))
    backbone, images = tiny(), torch.rand(12, 3, 32, 32)
    engine = backbone.engine = OpenvinoEngine(backbone, bf16=True, lanes=1, required=True, images=images)
    with torch.inference_mode():
        backbone(images)
    assert engine.name == f"{numbers} by openvino 1.0"
    assert not factors


@pytest.mark.parametrize(("few", "many", "tried"), [(7, 9, []), (1, 9, [None]), (1, 6, [(4, 3, 32, 32)])])
def test_few_images_are_left_to_torch_and_many_may_take_eight_bits(
    stand_in: type[Core], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, few: int, many: int, tried: Any
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    for name, value in (("FEW", few), ("MANY", many), ("SAMPLE", 4)):
        monkeypatch.setattr(engines, name, value)
    for number in range(6):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(tmp_path / f"{number}.png")
    data, seen = read_data(tmp_path, "all"), []

    def engine(*_: Any, images: Any, **__: Any) -> Any:
        seen.append(None if images is None else images.shape)
        return SimpleNamespace(used=False)

    monkeypatch.setattr(engines, "OpenvinoEngine", engine)
    with_engine("auto", InferenceOptions(), SimpleNamespace(backbone=tiny()), lambda _: None, 32, data)
    assert seen == tried


@pytest.mark.parametrize(("turned", "numbers"), [(False, "int8"), (True, "fp32")])
def test_eight_bits_of_a_trained_network_are_judged_by_its_maps(
    stand_in: type[Core], monkeypatch: pytest.MonkeyPatch, turned: bool, numbers: str
) -> None:
    """Not by its features, which stay the same in one case and not in the other."""
    monkeypatch.setattr(openvino_engine, "measured_ranges", lambda core, model, images: {})
    monkeypatch.setattr(openvino_engine, "quantise", lambda model, ranges: None)
    factors = [1.0 if turned else -1.0, 1.0]
    monkeypatch.setattr(Core, "factor", property(lambda _: factors.pop(0)))
    backbone, images, asked = tiny(), torch.rand(12, 3, 32, 32), []

    def maps(pictures: torch.Tensor) -> torch.Tensor:
        features = backbone(pictures)[:, 0]
        asked.append(len(features))
        return -features if turned and len(asked) <= 2 else features.abs()

    engine = backbone.engine = OpenvinoEngine(backbone, bf16=False, lanes=1, required=False, images=images, maps=maps)
    with torch.inference_mode():
        backbone(images)
    assert engine.numbers == numbers
    assert asked == [4, 4, 4, 4]


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.5, 2.0), (-2.0, -1.0), (0.0, 0.0), (-1e-9, 6.0)])
def test_a_range_of_levels_holds_zero_and_what_was_measured(low: float, high: float) -> None:
    least, greatest = int8.with_zero(low, high)
    step = (greatest - least) / 255
    assert least <= low + step / 2
    assert greatest >= high - step / 2
    assert abs(least / step - round(least / step)) < 1e-6


def test_hooks_and_slopes_are_torchs(stand_in: type[Core]) -> None:
    backbone = tiny()
    backbone.engine = OpenvinoEngine(backbone, bf16=False, lanes=1, required=False)
    (backbone(torch.rand(1, 3, 32, 32)).sum()).backward()
    last = backbone.feature_info[-1].name
    with torch.no_grad():
        assert not backbone(torch.rand(1, 3, 32, 32), hooks={last: torch.zeros_like}).any()
    assert stand_in.compilations == 0


@pytest.mark.parametrize(("name", "taken"), [("auto", True), ("openvino", True), ("torch", False)])
def test_the_engine_that_is_asked_for_computes(stand_in: type[Core], name: Any, taken: bool) -> None:
    network = SimpleNamespace(backbone=tiny())
    look = torch.inference_mode()(network.backbone)
    how = with_engine(name, InferenceOptions(), network, look, 32)
    assert how.engine == ("fp32 by openvino 1.0" if taken else "torch")
    assert (network.backbone.engine is not None) is taken


def test_an_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: None)
    network = SimpleNamespace(backbone=tiny())
    assert with_engine("auto", InferenceOptions(), network, network.backbone, 32).engine == "torch"
    with pytest.raises(UsageError, match=r"pip install 'boxless\[fast\]'"):
        with_engine("openvino", InferenceOptions(), network, network.backbone, 32)
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: object())
    with pytest.raises(UsageError, match="--device cpu"):
        with_engine("openvino", InferenceOptions(device=torch.device("cuda")), network, network.backbone, 32)


def test_openvino_computes_in_eight_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone, images = tiny(), torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = backbone(images)
        engine = backbone.engine = OpenvinoEngine(backbone, bf16=False, lanes=1, required=True, images=images)
        found = backbone(images)
    assert engine.numbers == "int8"
    assert not torch.equal(found, expected)
    assert torch.nn.functional.cosine_similarity(found, expected, dim=1).mean() > openvino_engine.FAITHFUL


def test_openvino_computes_what_torch_computes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = tiny()
    with torch.inference_mode():
        expected = backbone(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    compiled, read = features(backbone), features(backbone)
    torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(read, compiled)
    assert backbone.engine.used  # type: ignore[union-attr]
