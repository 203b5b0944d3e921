import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from squares import SMALL, make_squares, part, quick, read_settings, two_runs

from boxless import load
from boxless.data.dataset import Dataset, Sample
from boxless.data.training_batches import TrainingBatch
from boxless.methods import METHODS, TRAINED
from boxless.methods.optimizer import make_optimizer, set_rates
from boxless.methods.settings import Training
from boxless.methods.training import TrainingRun, train_classifier
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError, UsageError


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_squares(tmp_path_factory.mktemp("squares"), 36)


class StoppedError(Exception):
    pass


def stop_at(step: int, how: Any) -> Any:
    """A progress function that calls `how` after `step` steps."""

    def progress(done: int, steps: int, row: Mapping[str, float]) -> None:
        if done == step:
            how()

    return progress


def killed() -> None:
    raise StoppedError


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same_weights(one: Path, other: Path) -> bool:
    a, b = (checkpoint.read(path / "last.pt") for path in (one, other))
    moments = [[entry["momentum_buffer"] for entry in content["trainer"]["optimizer"].values()] for content in (a, b)]
    return all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"]) and all(
        torch.equal(x, y) for x, y in zip(*moments, strict=True)
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_run_that_was_stopped_in_an_epoch_ends_as_the_one_that_was_not(
    method: str, how: str, squares: Dataset, tmp_path: Path
) -> None:
    train, validation = part(squares, slice(0, 28)), part(squares, slice(28, 36))
    settings = quick(epochs=3, resize=36)
    train_classifier(method, SMALL[method], train, validation, settings, tmp_path / "whole")
    with pytest.raises(StoppedError if how == "kill" else KeyboardInterrupt):
        stop = killed if how == "kill" else lambda: os.kill(os.getpid(), signal.SIGINT)
        train_classifier(
            method, SMALL[method], train, validation, settings, tmp_path / "cut", progress=stop_at(6, stop)
        )
    position = checkpoint.read(tmp_path / "cut" / "last.pt")["trainer"]
    assert (position["epoch"], position["step"]) == ((1, 0) if how == "kill" else (1, 2))
    train_classifier(method, SMALL[method], train, validation, settings, tmp_path / "cut", resume=True)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert same_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_run_folder_holds_what_is_promised(squares: Dataset, tmp_path: Path) -> None:
    out = train_classifier("cam", {"head": "linear"}, squares, None, quick(), tmp_path / "run")
    assert {path.name for path in out.iterdir()} == {"settings.toml", "metrics.csv", "last.pt", "best.pt"}
    settings = read_settings(out / "settings.toml")
    assert (settings.method, settings.options, settings.training) == ("cam", {"head": "linear"}, quick())
    assert [row["epoch"] for row in rows(out)] == ["1", "2"]
    assert set(rows(out)[0]) >= {"total", "accuracy"}
    best = checkpoint.read(out / "best.pt")
    assert "trainer" not in best
    assert best["classes"] == ["red", "green"]
    assert load(out).size == 32


def test_the_best_checkpoint_has_the_highest_validation_accuracy(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.9, 0.7])
    monkeypatch.setattr("boxless.methods.training.classification_accuracy", lambda *args, **more: next(scores))
    seen: dict[int, Any] = {}
    keep = TrainingRun.save

    def save(run: TrainingRun, *, best: bool = False) -> None:
        keep(run, best=best)
        seen[run.epoch] = {key: value.clone() for key, value in run.network.state_dict().items()}

    monkeypatch.setattr(TrainingRun, "save", save)
    out = train_classifier("cam", {}, squares, squares, quick(epochs=3), tmp_path / "run")
    best = checkpoint.read(out / "best.pt")["model"]
    assert all(torch.equal(best[key], seen[2][key]) for key in best)
    assert not all(torch.equal(best[key], seen[3][key]) for key in best)
    assert [row["validation_accuracy"] for row in rows(out)] == ["0.5", "0.9", "0.7"]


def test_validation_images_that_come_later_choose_from_then_on(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_classifier("cam", {}, squares, None, quick(epochs=1), tmp_path / "run")
    scores = iter([0.5, 0.4])
    monkeypatch.setattr("boxless.methods.training.classification_accuracy", lambda *args, **more: next(scores))
    out = train_classifier("cam", {}, squares, squares, quick(epochs=3), tmp_path / "run", resume=True)
    best, last = (checkpoint.read(out / name) for name in ("best.pt", "last.pt"))
    assert last["trainer"]["best"] == 0.5 and last["trainer"]["epoch"] == 3
    assert not all(torch.equal(best["model"][key], last["model"][key]) for key in best["model"])


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(squares: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BoxlessError, match="no longer a number"):
        train_classifier("cam", {}, squares, None, quick(lr=1e30), tmp_path / "run")
    model = checkpoint.read(tmp_path / "run" / "last.pt")["model"]
    assert all(torch.isfinite(value).all() for value in model.values())


def test_runs_are_neither_overwritten_nor_confused(squares: Dataset, tmp_path: Path) -> None:
    out = train_classifier("cam", {}, squares, None, quick(epochs=1), tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a run"):
        train_classifier("cam", {}, squares, None, quick(epochs=1), out)
    with pytest.raises(UsageError, match=r"lr = 0\.05, not 0\.1"):
        train_classifier("cam", {}, squares, None, quick(epochs=1, lr=0.1), out, resume=True)
    with pytest.raises(UsageError, match="options = "):
        train_classifier("cam", {"head": "conv"}, squares, None, quick(epochs=1), out, resume=True)
    renamed = replace(squares, classes=["red", "green", "blue"], samples=[*squares.samples, Sample("red/000.png", 2)])
    with pytest.raises(UsageError, match=r"classes = \['red', 'green'\], not \['red', 'green', 'blue'\]"):
        train_classifier("cam", {}, renamed, None, quick(epochs=1), out, resume=True)
    with pytest.raises(UsageError, match=r"no last\.pt"):
        train_classifier("cam", {}, squares, None, quick(), tmp_path / "other", resume=True)
    with pytest.raises(UsageError, match=r"has data \(a hash of its images\) = "):
        train_classifier("cam", {}, part(squares, slice(0, 20)), None, quick(epochs=2), out, resume=True)
    unboxed = replace(squares, samples=[replace(sample, boxes=None) for sample in squares.samples])
    train_classifier("cam", {}, unboxed, None, quick(epochs=2), out, resume=True)
    assert len(rows(out)) == 2
    with pytest.raises(UsageError, match="has done 2 epochs, and 1 are asked for"):
        train_classifier("cam", {}, squares, None, quick(epochs=1), out, resume=True)
    assert read_settings(out / "settings.toml").training.epochs == 2


def test_a_run_of_an_older_version_that_did_not_note_its_images_is_resumed(
    squares: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = train_classifier("cam", {}, squares, None, quick(epochs=1), tmp_path / "run")
    content = checkpoint.read(out / "last.pt")
    del content["data"], content["settings"]["processes"], content["trainer"]["marks"]
    checkpoint.save(out / "last.pt", content)
    train_classifier("cam", {}, squares, None, quick(epochs=2), out, resume=True)
    assert len(rows(out)) == 2
    assert "replaced" not in caplog.text
    os.utime(squares.source.root / squares.samples[3].name)
    train_classifier("cam", {}, squares, None, quick(epochs=3), out, resume=True)
    said = f"1 of the {len(squares)} photographs were replaced since this training was stopped, such as "
    assert said + squares.samples[3].name in caplog.text


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_batch_of_one_image_whose_map_has_one_place_is_learnt_from(
    batch_size: int, squares: Dataset, tmp_path: Path
) -> None:
    settings = quick(epochs=1, backbone="timm:resnet10t", stride=32, batch_size=batch_size)
    out = train_classifier("cam", {}, part(squares, slice(0, 5)), None, settings, tmp_path / "run")
    model = checkpoint.read(out / "last.pt")["model"]
    assert all(torch.isfinite(value).all() for value in model.values())
    counted = model["backbone.net.bn1.num_batches_tracked"]
    assert counted == (0 if batch_size == 1 else 1)  # statistics are those of the batch that has some


def test_broken_images_are_named_and_left_out(
    squares: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = [*squares.samples[:10], Sample("red/none.png", 0)]
    out = train_classifier("cam", {}, replace(squares, samples=samples), None, quick(), tmp_path / "run")
    assert [record.getMessage() for record in caplog.records if "red/none.png" in record.getMessage()].__len__() == 1
    assert len(rows(out)) == 2
    lost = replace(squares, samples=[Sample("red/none.png", 0), Sample("green/none.png", 1)])
    with pytest.raises(BoxlessError, match="No training image could be read"):
        train_classifier("cam", {}, lost, None, quick(), tmp_path / "lost")


def test_images_that_do_not_fit_in_memory_train_the_same(squares: Dataset, tmp_path: Path) -> None:
    for name, memory in (("kept", 1.0), ("read", 0.0)):
        train_classifier("cam", {}, squares, None, quick(memory=memory, workers=2), tmp_path / name)
    assert rows(tmp_path / "kept") == rows(tmp_path / "read")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"samples": []}, "There are no images"),
        ({"samples": [Sample("red/000.png"), Sample("green/001.png", 1)]}, "1 of the 2 images .* have none"),
        ({"samples": [Sample("red/000.png", 0)], "classes": ["red"]}, "has one class"),
        ({"samples": [Sample("red/000.png", 2)]}, "label 2, and there are 2 class names"),
        ({"samples": [Sample("red/000.png", 0)]}, "no training images of the class 'green'"),
    ],
)
def test_labels_that_cannot_be_learnt_from(
    change: dict[str, Any], sentence: str, squares: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(BoxlessError, match=sentence):
        train_classifier("cam", {}, replace(squares, **change), None, quick(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_validation_images_of_other_classes_are_refused(squares: Dataset, tmp_path: Path) -> None:
    other = replace(squares, classes=["red", "blue"])
    with pytest.raises(BoxlessError, match="different classes"):
        train_classifier("cam", {}, squares, other, quick(), tmp_path / "run")


def test_a_missing_cuda_device_is_said(squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BoxlessError, match="cuda was asked for, but 0 are here"):
        train_classifier("cam", {}, squares, None, quick(device="cuda"), tmp_path / "run")


def test_the_four_rates_and_their_schedules() -> None:
    network = torch.nn.Module()
    network.backbone, network.fc = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    settings = Training(lr=0.1, epochs=10, decay=(2, 4))
    optimizer = make_optimizer(network, settings)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = [rates[id(p)] for p in (*network.backbone.parameters(), *network.fc.parameters())]
    assert found == pytest.approx([0.1, 0.2, 1.0, 2.0])
    for done, factor in ((0, 1), (1.9, 1), (2, 0.1), (4, 0.01)):
        set_rates(optimizer, settings, done)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)
    for done, factor in ((0, 1), (5, 0.5), (10, 0)):
        set_rates(optimizer, replace(settings, decay=()), done)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)


TWO = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from squares import stopped_run, two_runs
if __name__ == "__main__":
    two_runs(Path(sys.argv[1]), devices=2)
    stopped_run(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does_on_the_same_batches(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO.format(tests=str(Path(__file__).parent)))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, *torchrun, str(script), str(tmp_path)], check=True, timeout=180)
    names = two_runs(tmp_path, devices=1)
    assert {name.partition("-")[0] for name in names} == set(TRAINED)
    for name in names:
        one, two = (checkpoint.read(tmp_path / f"{name}-{world}" / "last.pt") for world in (1, 2))
        for key, value in one["model"].items():
            assert torch.allclose(value, two["model"][key], atol=1e-3), (name, key)
        for first, second in zip(one["trainer"]["history"], two["trainer"]["history"], strict=True):
            assert first["total"] == pytest.approx(second["total"], rel=1e-3), name
            assert first.get("validation_accuracy") == second.get("validation_accuracy"), name
    # Ctrl-C reached one of two processes in the second epoch; both saved, stopped, and were taken up.
    assert same_weights(tmp_path / "cam-2", tmp_path / "stopped")
    for row, other in zip(rows(tmp_path / "cam-2"), rows(tmp_path / "stopped"), strict=True):
        assert {key: float(value) for key, value in row.items()} == pytest.approx(
            {key: float(value) for key, value in other.items()}
        )
    assert (tmp_path / "stopped" / "noticed").read_text() == "7\n"  # the step at which both look


def test_ctrl_c_after_the_last_look_of_an_epoch_is_not_lost(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainingRun.batches

    def interrupted(run: TrainingRun) -> Iterator[TrainingBatch]:
        yield from whole(run)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingRun, "batches", interrupted)
    few = part(squares, slice(0, 8))
    with pytest.raises(KeyboardInterrupt):
        train_classifier("cam", {}, few, None, quick(epochs=3), tmp_path / "run")
    content = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert (content["trainer"]["epoch"], content["trainer"]["step"]) == (1, 0)
