"""What only a GPU can tell; `BOXLESS_GPU=cpu` runs the same code on a processor, as the dry run does."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from boxless.backbones import build_backbone
from boxless.cli import app
from boxless.data.sampler import make_sampler
from boxless.data.synthetic import make_scenes
from boxless.gan import GANS
from boxless.gan.augmentation import Batches
from boxless.gan.networks import Discriminator, Generator
from boxless.gan.settings import GanTraining
from boxless.gan.training_step import Step
from boxless.methods.i2c import I2c
from boxless.methods.optimizer import make_optimizer
from boxless.methods.settings import Training
from boxless.runtime.devices import bf16_is_fast

DEVICE = torch.device(os.environ.get("BOXLESS_GPU", "cuda"))
ON_CPU = DEVICE.type == "cpu"
SIZE, STEPS = 16, 3 if ON_CPU else 50

pytestmark = pytest.mark.gpu


def pictures() -> torch.Tensor:
    small = torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return (F.interpolate(small, size=SIZE, mode="bilinear") * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def losses(gan: str, *, bf16: bool, graph: bool) -> torch.Tensor:
    """What every step of a small GAN of seed 0 logs (step, term)."""
    recipe = GanTraining(size=SIZE, width=1 / 16, batch_size=4).recipe(gan)
    torch.manual_seed(0)
    generator = Generator(SIZE, width=1 / 16)
    discriminator = Discriminator(SIZE, width=1 / 16, norm=recipe.norm, spectral=recipe.spectral)
    step = Step(recipe, generator, discriminator, Batches(pictures().to(DEVICE), augment=True), bf16=bf16, graph=graph)
    terms = []
    for number in range(STEPS):
        step.iterate(0, number)
        terms.append(step.terms.clone())
    return torch.stack(terms).cpu()


@pytest.mark.parametrize("gan", GANS)
def test_captured_graphs_draw_and_learn_what_eager_steps_do(gan: str) -> None:
    eager, graph = losses(gan, bf16=False, graph=False), losses(gan, bf16=False, graph=True)
    # The first steps are equal to rounding; later a GAN's chaos may enlarge it, but not from the start.
    torch.testing.assert_close(graph[:10], eager[:10], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(graph[:, 0].mean(), eager[:, 0].mean(), rtol=0.1, atol=0.1)


def test_bf16_follows_fp32() -> None:
    fp32, bf16 = losses("sn-dcgan", bf16=False, graph=False), losses("sn-dcgan", bf16=True, graph=False)
    torch.testing.assert_close(bf16[:3, :3], fp32[:3, :3], rtol=0.05, atol=0.05)
    assert not torch.equal(bf16, fp32)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "scenes"
    make_scenes(folder, 64, kinds=("beetle", "star"), size=96, test=0.5, seed=1)
    return folder


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as end:
        app.meta([str(argument) for argument in arguments])
    assert not end.value.code, arguments


def boxes(folder: Path) -> dict[str, Any]:
    with (folder / "boxes.csv").open(newline="") as file:
        return {row["image"]: [float(row[side]) for side in ("x0", "y0", "x1", "y1")] for row in csv.DictReader(file)}


@pytest.mark.parametrize("method", ["ddt", "discriminant", "contrast"])
def test_find_gives_the_boxes_that_a_processor_gives(scenes: Path, tmp_path: Path, method: str) -> None:
    for device in ("cpu", DEVICE):
        run("find", scenes / "train", "--out", tmp_path / str(device), "--method", method, "--format", "csv",
            "--precision", "fp32", "--device", device, "--quiet", "--overwrite")  # fmt: skip
    ours, theirs = boxes(tmp_path / str(DEVICE)), boxes(tmp_path / "cpu")
    assert ours.keys() == theirs.keys()
    apart = np.array([np.abs(np.subtract(ours[name], theirs[name])).max() for name in theirs])
    assert apart.max() <= 1, apart


def test_a_classifier_goes_on_and_predicts_on_the_other_device(scenes: Path, tmp_path: Path) -> None:
    train = ("train", "cam", scenes, "--out", tmp_path / "run", "--backbone", "tiny", "--weights", "none",
             "--size", "32", "--quiet")  # fmt: skip
    run(*train, "--epochs", "1", "--device", DEVICE)
    run(*train, "--epochs", "2", "--device", "cpu", "--resume")
    for device in ("cpu", DEVICE):
        run("predict", tmp_path / "run", scenes / "test", "--out", tmp_path / f"boxes_{device}", "--format",
            "csv", "--precision", "fp32", "--device", device, "--quiet", "--overwrite")  # fmt: skip
    ours, theirs = (boxes(tmp_path / f"boxes_{device}") for device in (DEVICE, "cpu"))
    assert ours.keys() == theirs.keys()
    assert all(np.abs(np.subtract(ours[name], theirs[name])).max() <= 1 for name in theirs)


def test_a_gan_goes_on_on_the_other_device(scenes: Path, tmp_path: Path) -> None:
    train = ("train", "sn-dcgan", scenes, "--classes", "star", "--out", tmp_path / "run", "--width", "0.0625",
             "--size", "16", "--batch-size", "4", "--quiet")  # fmt: skip
    run(*train, "--iterations", "3", "--device", DEVICE)
    run(*train, "--iterations", "6", "--device", "cpu", "--resume")
    assert (tmp_path / "run" / "last.pt").exists()


def test_position_learns_there(scenes: Path, tmp_path: Path) -> None:
    run("train", "position", scenes, "--one-category", "--steps", "3", "--out", tmp_path / "run", "--device", DEVICE,
        "--quiet")  # fmt: skip
    assert (tmp_path / "run" / "best.pt").exists()


def test_a_step_of_i2c_never_waits_for_the_device() -> None:
    torch.manual_seed(0)
    network = I2c(build_backbone("tiny", weights="none"), 8, warm_up=0).to(DEVICE).train()
    optimizer = make_optimizer(network, Training(lr=1e-3))
    labels = [index // 4 for index in range(32)]
    batches = make_sampler(labels, 8, I2c.images_per_class, seed=0).batches(0)
    made = [(torch.rand(8, 3, 64, 64).to(DEVICE), (torch.tensor(batch) // 4).to(DEVICE)) for batch in batches]
    seen = []
    for number, (images, classes) in enumerate(made):
        if number == 1 and not ON_CPU:  # the first step may look for its algorithms
            torch.cuda.set_sync_debug_mode("error")
        try:
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16_is_fast(DEVICE)):
                found = network.loss(images, classes)
            found.total.backward()
            optimizer.step()
            optimizer.zero_grad()
        finally:
            if not ON_CPU:
                torch.cuda.set_sync_debug_mode("default")
        seen.append(found.total.detach())
    assert torch.isfinite(torch.stack(seen)).all()
