"""Made pictures of 32 pixels for tests of training: a red or a green square among blue ones, on grey noise."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from boxless.data.dataset import Dataset, Sample
from boxless.data.sources import FolderSource
from boxless.methods import METHODS, training
from boxless.methods.settings import Training
from boxless.methods.settings import training as settings_of
from boxless.methods.training import train_classifier, train_regressor
from boxless.runtime import checkpoint
from boxless.runtime.toml_settings import read_toml

CLASSES = ("red", "green")


class RunSettings(NamedTuple):
    """What settings.toml of a classifier holds."""

    method: str
    options: dict[str, Any]
    training: Training


def read_settings(path: Path) -> RunSettings:
    """As they were written."""
    content = read_toml(path)
    return RunSettings(content["method"], content["options"], settings_of(content["training"], str(path)))


SIDE = 32
SMALL: dict[str, dict[str, Any]] = {name: {} for name in METHODS} | {
    "acol": {"head": "linear"},  # two heads of 1024 channels are too many for a test
    "has": {"patch": 8},
}
"""The options with which a method learns from pictures of 32 pixels in seconds: its defaults, but for what is here."""


def make_squares(root: Path, count: int = 96, *, seed: int = 0) -> Dataset:
    """`count` pictures with their boxes, written to `root`; the classes take turns."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        label = index % 2
        picture = rng.normal(110, 25, (SIDE, SIDE, 3))
        for _ in range(2):
            x, y, side = *rng.integers(0, SIDE - 8, 2), 6
            picture[y : y + side, x : x + side] = (40, 60, 220)
        side = int(rng.integers(9, 16))
        x, y = (int(value) for value in rng.integers(0, SIDE - side + 1, 2))
        picture[y : y + side, x : x + side] = ((220, 40, 40), (40, 200, 40))[label]
        name = f"{CLASSES[label]}/{index:03d}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / name)
        boxes = np.array([[x, y, x + side, y + side]], np.float32)
        samples.append(Sample(name, label, boxes, (SIDE, SIDE)))
    return Dataset(FolderSource(root), samples, list(CLASSES))


def part(dataset: Dataset, indices: Sequence[int] | slice) -> Dataset:
    """Some samples of a data set."""
    kept = dataset.samples[indices] if isinstance(indices, slice) else [dataset.samples[i] for i in indices]
    return replace(dataset, samples=list(kept))


def quick(**settings: Any) -> Training:
    """Settings for the tiny backbone on squares: seconds."""
    made: dict[str, Any] = {
        "backbone": "tiny", "stride": 4, "weights": "none", "epochs": 2, "batch_size": 8, "size": SIDE,
        "resize": SIDE, "lr": 0.05, "head_factor": 1.0, "device": "cpu", "precision": "fp32", "workers": 1,
    }  # fmt: skip
    return Training(**(made | settings))


def write_boxes(path: Path, dataset: Dataset, noise: float = 0.0, seed: int = 0) -> Path:
    """A boxes.csv of the true boxes, each side moved by up to `noise` pixels."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        file.write("image,class,width,height,x0,y0,x1,y1,score\n")
        for sample in dataset.samples:
            if sample.boxes is not None:
                box = np.clip(sample.boxes[0] + rng.uniform(-noise, noise, 4), 0, SIDE)
                file.write(f"{sample.name},object,{SIDE},{SIDE},{','.join(f'{side:.2f}' for side in box)},0.5\n")
    return path


def two_runs(root: Path, *, devices: int) -> list[str]:
    """Train every method on 36 squares with a batch of 8 in all, on `devices` processes; the names of the runs."""
    squares = make_squares(root / f"squares-{devices}-{os.environ.get('LOCAL_RANK', 0)}", 36)
    variants: dict[str, dict[str, Any]] = {
        **SMALL,
        "i2c-constrained": {"warm_up": 0, "gc_weight": 0.01},
        "i2c-learnt": {"warm_up": 1, "gc_weight": 0.01, "centres": "backprop", "fidelity": "code"},
    }
    for name, options in variants.items():
        settings = quick(devices=devices, batch_size=8 // devices, seed=1, lr=0.02)
        validation = part(squares, slice(0, 1)) if name == "adl" else squares  # of which a second process has none
        train_classifier(name.partition("-")[0], options, squares, validation, settings, root / f"{name}-{devices}")
    found = write_boxes(root / f"found-{devices}-{os.environ.get('LOCAL_RANK', 0)}.csv", squares, noise=2.0)
    settings = quick(devices=devices, batch_size=8 // devices, seed=1, lr=0.02)
    train_regressor("psol", {"grid": 4}, squares, found, settings, root / f"psol-{devices}")
    settings = replace(settings, stride=8)
    head = {"width": 32, "convs": 1, "round": 1}
    train_regressor("detector", head, squares, found, settings, root / f"detector-{devices}")
    return [*variants, "psol", "detector"]


def stopped_run(root: Path) -> None:
    """The run cam-2 of `two_runs` once more, stopped by Ctrl-C in the first process after 6 steps, and resumed."""
    squares = make_squares(root / f"squares-2-{os.environ['LOCAL_RANK']}", 36)
    settings, out = quick(devices=2, batch_size=4, seed=1, lr=0.02), root / "stopped"
    training._LOOK = 2

    def press(step: int, steps: int, row: Mapping[str, float]) -> None:
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        if step >= 6:
            (root / "stopped" / "noticed").write_text(f"{step}\n")

    with suppress(KeyboardInterrupt):
        train_classifier("cam", {}, squares, squares, settings, out, progress=press)
    train_classifier("cam", {}, squares, squares, settings, out, resume=True)


class StoppedError(Exception):
    """What ends a training as a kill does: nothing is saved on the way out."""


def whole_and_resumed(
    method: str, head: dict[str, Any], train: Dataset, found: Path, settings: Training, root: Path, how: str, at: int
) -> list[dict[str, Any]]:
    """The checkpoints of a regressor that trained through, and of one that `how` (kill, interrupt) stopped after `at`
    steps and that was resumed."""

    def stop(done: int, steps: int, row: Mapping[str, float]) -> None:
        if done == at:
            if how == "kill":
                raise StoppedError
            os.kill(os.getpid(), signal.SIGINT)

    train_regressor(method, head, train, found, settings, root / "whole")
    with pytest.raises(StoppedError if how == "kill" else KeyboardInterrupt):
        train_regressor(method, head, train, found, settings, root / "cut", progress=stop)
    train_regressor(method, head, train, found, settings, root / "cut", resume=True)
    return [checkpoint.read(root / name / "last.pt") for name in ("whole", "cut")]
