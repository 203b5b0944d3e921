"""Does a GAN that is trained together with the position question see objects better? D's features, three ways trained.

    python benchmarks/joint_gan.py tiny28 --group bird --trained joint --iterations 4000 --runs RUNS --out OUT

`joint`: D's loss is the GAN's plus that of the question whether a window comes from the middle of its image or from its
border, asked of two of its layers by heads that learn with it. `question`: the same D and as many updates, by the
question alone. `adversarial`: the GAN alone. Whatever D learnt from, it is then read as gan-readings reads every D: a
new head on each frozen layer, on training images, beside untrained Ds, raw pixels and border contrast.

As everywhere the question is asked of windows wholly inside, without padding, which would give the place away. A run
that lies in --runs already, with as many iterations, is read as it is.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from boxless.discovery.centre_or_border import augmented, position_loss
from boxless.gan.data import Images, read_images
from boxless.gan.position_head import PositionHead
from boxless.gan.settings import GanTraining
from boxless.gan.spectral_norm import power_iteration
from boxless.gan.training import GanTrainingRun
from boxless.gan.training_step import Step
from boxless.reproduce.gan.readings import read_run
from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.gan.scoring import category_splits
from boxless.reproduce.grid import TimeBudget
from boxless.runtime import checkpoint
from boxless.runtime.files import write_json
from boxless.runtime.progress import progress_to
from boxless.runtime.provenance import provenance

ASKED = (1, 2)
"""D's layers that are asked while it learns: windows of 10 and 22 pixels, a place every 2 and 4."""
IMAGES = 32
"""Images that are asked about in each iteration."""
HEAD_LR = 2e-3
"""Learning rate of the heads; D keeps its own."""


class AskedStep(Step):
    """A GAN's iteration whose D also answers the question, or (without `adversarial`) does nothing else."""

    def __init__(self, like: Step, *, adversarial: bool) -> None:
        super().__init__(like.recipe, like.generator, like.discriminator, like.batches, bf16=like.bf16)
        self.adversarial = adversarial
        layers = self.discriminator.convolutions()
        self.heads = nn.ModuleList(PositionHead(layers[i].width) for i in ASKED).to(self.device)
        self.d_optimizer.add_param_group({"params": list(self.heads.parameters()), "lr": HEAD_LR})

    def _d_step(self) -> None:
        if self.adversarial:
            super()._d_step()
            return
        power_iteration(self.discriminator)
        with parametrize.cached():
            loss = self.question()
            self.d_optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        self.d_optimizer.step()
        self.terms[1] = loss.detach()

    def _g_step(self) -> None:
        if self.adversarial:
            super()._g_step()

    def _penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.question()

    def question(self) -> Tensor:
        """The loss of the question, the mean over the layers that are asked; log 2 where nothing is known."""
        real = self.batches.draw(IMAGES, self.draws)
        maps, losses = 2 * augmented((real + 1) / 2, self.draws) - 1, []
        with self.autocast():
            for i, layer in enumerate(self.discriminator.convolutions()[: max(ASKED) + 1]):
                dense = layer.inside(maps, 1)
                if i in ASKED:
                    losses.append(position_loss(self.heads[ASKED.index(i)](dense).float()))
                maps = dense[..., :: layer.stride, :: layer.stride]
        return torch.stack(losses).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--gan", default="sn-dcgan")
    parser.add_argument("--group", default="bird")
    parser.add_argument("--trained", choices=("joint", "question", "adversarial"), default="joint")
    parser.add_argument("--weight", type=float, default=1.0, help="of the question's loss beside the GAN's")
    parser.add_argument("--iterations", type=int, default=4000)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/joint"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    trial = GanTrial(gan=given.gan, group=given.group, augment=False, seed=given.seed)
    way = f"joint{given.weight:g}" if given.trained == "joint" else given.trained
    name = f"{way}_{given.group}_{given.seed}"
    run = given.runs / name
    settings = GanTraining(preset="reference", width=given.width, iterations=given.iterations, seed=given.seed,
                           penalty_weight=given.weight, log_every=50)  # fmt: skip
    if not reached(run, given.iterations):
        _, train = category_splits(given.data, given.group)
        train_asked(given.trained, given.gan, read_images(train, settings.size), settings, run)
    result = read_run(trial, given.data, run, TimeBudget(), "train", "position")
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / f"{name}.json", {"trained": given.trained, "weight": given.weight, "trial": asdict(trial),
                                            **provenance(), "result": result})  # fmt: skip


def reached(run: Path, iterations: int) -> bool:
    """Whether the run is there, with so many iterations."""
    last = run / "last.pt"
    return last.exists() and checkpoint.read(last)["step"] == iterations


def train_asked(trained: str, gan: str, images: Images, settings: GanTraining, out: Path) -> None:
    """Train D in one of the three ways -> the run folder `out`."""
    run = GanTrainingRun(gan, images, settings, out)
    if trained != "adversarial":
        with torch.random.fork_rng([]):
            torch.manual_seed(settings.seed)
            run.stepper = AskedStep(run.stepper, adversarial=trained == "joint")
    with progress_to(f"training {trained}", None) as progress:
        run.train(progress)


if __name__ == "__main__":
    main()
