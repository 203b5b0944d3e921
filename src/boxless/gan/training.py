"""The run of one GAN: step by step, with everything saved that a resumed run needs to end where this one would have.

A run folder holds settings.toml, last.pt (to resume and to find boxes with), best.pt (to find boxes with),
metrics.csv, samples.png and, where the label-free criteria are measured, criteria.csv.
"""

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from boxless.gan import check_combination
from boxless.gan.augmentation import Batches
from boxless.gan.checkpoint_selection import CheckpointCriteria, Selection
from boxless.gan.data import Images, check_images, images_hash
from boxless.gan.localizer import READOUTS, GanLocalizer
from boxless.gan.networks import Discriminator, Generator
from boxless.gan.samples import save_samples, similarity
from boxless.gan.settings import READING, GanTraining
from boxless.gan.training_log import COLUMNS, Meter, d_wins
from boxless.gan.training_step import Step
from boxless.runtime import checkpoint
from boxless.runtime.devices import device_named, uses_bf16
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import folder_lock
from boxless.runtime.interrupt import deferred_sigint
from boxless.runtime.progress import Report, progress_to
from boxless.runtime.run_folder import MetricsTable, RunFolder, check_run_folder
from boxless.runtime.toml_settings import to_toml

log = logging.getLogger("boxless")

MAY_CHANGE = {
    "iterations", "minutes", "device", "precision", "graph", "workers", "log_every", "save_every", "stop",
    "judge_every", *READING,
}  # fmt: skip
"""Options that a resumed run may have other values for; all others make it another run."""


def train_gan(
    gan: str,
    images: Images,
    settings: GanTraining,
    out: Path,
    *,
    category: str = "object",
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> Path:
    """Train `gan` on images of one category -> the run folder `out`; boxes of images without a label are of `category`.

    Raises UsageError for an `out` that already holds a run (unless `resume` or `overwrite`) and for options that cannot
    work, BoxlessError for images that cannot, for losses that stop being numbers and for a full disk (the last good
    checkpoint is kept each time), KeyboardInterrupt after Ctrl-C, with everything saved.
    """
    recipe = settings.recipe(gan)
    for doubt in check_combination(recipe):
        log.warning(doubt)
    check_images(images, settings.size, recipe.batch_size)
    with folder_lock(out):
        check_run_folder(out, resume=resume, overwrite=overwrite)
        run = GanTrainingRun(gan, images, settings, out, category)
        if resume:
            with checkpoint.resuming(out / "last.pt"):
                content = run.folder.load()
                run.load(content)
            run.refuse_other_reading(content["options"]["reading"])
            run.folder.refuse_less("iterations", run.step, settings.iterations)
        try:
            with progress_to(f"training {gan}", progress) as step:
                run.train(step)
        except OSError as error:
            raise BoxlessError(f"Could not write to {out}: {error}. Free space or choose another --out.") from error
    return out


class GanTrainingRun:
    """One GAN in training, and its folder."""

    def __init__(self, gan: str, images: Images, settings: GanTraining, out: Path, category: str = "object") -> None:
        self.gan, self.settings, self.out, self.category = gan, settings, out, category
        resolved, described = settings.resolved(gan), {"kind": "gan", "data": images_hash(images)}
        toml = to_toml({**resolved, "data": described["data"]})
        self.folder = RunFolder(out, described, resolved, toml=toml, may_change=MAY_CHANGE)
        recipe = settings.recipe(gan)
        device = device_named(settings.device)
        with torch.random.fork_rng([]):
            torch.manual_seed(settings.seed)
            self.generator = Generator(settings.size, width=settings.width, base=recipe.g_base)
            self.discriminator = Discriminator(
                settings.size,
                width=settings.width,
                norm=recipe.norm,
                norm_first=recipe.norm_first,
                spectral=recipe.spectral,
            )
        GanLocalizer(
            self.discriminator, **settings.map_options
        )  # refuses a layer that D lacks before hours of training
        batches = Batches(images.to(device), augment=settings.augment)
        bf16 = uses_bf16(settings.precision, device)
        self.stepper = Step(recipe, self.generator, self.discriminator, batches, bf16=bf16, graph=settings.graph)
        self.meter = Meter(device)
        self.step = 0
        self.seconds = 0.0
        self.row: dict[str, float] = {}
        self.before = torch.zeros(0)
        self.selection: Selection | None = None
        self.warned = False

    def refuse_other_reading(self, before: dict[str, Any]) -> None:
        """Raise UsageError where a resumed run's checkpoints were judged by maps of another reading."""
        now = GanLocalizer(Discriminator(**self.discriminator.options), **self.settings.map_options).options
        if self.settings.judging and len(self.before) and before != now:
            raise UsageError(
                f"The checkpoints in {self.out} were judged by their maps as {before['reading']} reads them. Maps by "
                f"{now['reading']}, or with other options, cannot be compared with those. Keep the reading, or give "
                "--stop last --judge-every 0."
            )

    def train(self, progress: Report) -> None:
        """Iterate to the end, the time limit or Ctrl-C; always leaves last.pt and best.pt."""
        settings = self.settings
        self.open_folder()
        began = time.monotonic() - self.seconds
        limit = self.seconds + 60 * settings.minutes if settings.minutes else float("inf")
        with deferred_sigint() as interruption:
            while self.step < settings.iterations and self.seconds < limit and not interruption.requested:
                self.stepper.iterate(settings.seed, self.step)
                self.meter.add(self.stepper.terms, self.step)
                self.step += 1
                self.seconds = time.monotonic() - began
                last = self.step == settings.iterations
                if last or self.step % settings.log_every == 0:
                    self.report()
                if self.selection and (last or self.step % settings.judging == 0):
                    self.judge(self.selection)
                if self.step % settings.save_every == 0:
                    self.save()
                progress(self.step, settings.iterations, self.row)
                if self.selection and settings.stop == "label-free" and self.selection.finished():
                    break
            self.save()
            if interruption.requested:
                raise KeyboardInterrupt

    def open_folder(self) -> None:
        """Make the folder with its settings, and go on with the tables it has."""
        self.folder.begin()
        self.metrics = MetricsTable.resumed(self.out / "metrics.csv", COLUMNS, self.step)
        if self.settings.judging:
            judge = CheckpointCriteria(self.stepper.batches.images, self.localizer(), self.settings.seed)
            judge.before = self.before.to(self.stepper.device)
            self.selection = Selection(self.out / "criteria.csv", judge, self.step)

    def report(self) -> None:
        """Write one row of metrics.csv; raises BoxlessError when a term is no longer a number."""
        self.refuse_broken()
        self.row = {"step": self.step, "seconds": self.seconds, **self.meter.means()}
        self.metrics.append(self.row)
        if not self.warned and self.stepper.recipe.loss != "wasserstein" and d_wins(self.metrics.rows):
            self.warned = True
            log.warning(
                "D wins outright at iteration %d: it tells more than 99 %% of real and generated images apart and G "
                "learns next to nothing. What helps: more images, augmentation, sn-dcgan, a lower learning rate.",
                self.step,
            )

    def judge(self, selection: Selection) -> None:
        """Measure the label-free criteria; write best.pt where they choose this state and the run goes by them."""
        if selection.judged(self.step):
            return
        self.refuse_broken()
        localizer, stepper = self.localizer(), self.stepper
        alike = similarity(self.generator, stepper.recipe.latent, bf16=stepper.bf16)
        if selection.add(localizer, self.step, alike) and self.settings.stop == "label-free":
            self.folder.save_best(self.content(localizer))

    def refuse_broken(self) -> None:
        """Raise BoxlessError when a term is no longer a number, before anything broken is saved."""
        if broken := self.meter.broken():
            kept = self.out / "last.pt"
            where = f"{kept} is from before that and good" if kept.exists() else "no checkpoint had been written yet"
            raise BoxlessError(
                f"Training stopped: {broken}; {where}. "
                "What helps: a lower learning rate, spectral normalisation, the precision fp32."
            )

    def save(self) -> None:
        """Write last.pt and samples.png, and best.pt where it is the last state."""
        self.refuse_broken()
        content = self.content(self.localizer())
        self.folder.save_last(content, self.trainer_state())
        if self.settings.stop == "last" or not (self.out / "best.pt").exists():
            self.folder.save_best(content)
        save_samples(self.generator, self.stepper.recipe.latent, self.out / "samples.png", bf16=self.stepper.bf16)

    def localizer(self) -> GanLocalizer:
        """A copy of D as a localizer, prepared on the training images."""
        copy = Discriminator(**self.discriminator.options).to(self.stepper.device)
        copy.load_state_dict(self.discriminator.state_dict())
        localizer = GanLocalizer(copy, **self.settings.map_options).to(self.stepper.device)
        return localizer.prepare(self.stepper.batches.images)

    def content(self, localizer: GanLocalizer) -> dict[str, Any]:
        """What prediction needs, and G."""
        return {
            "method": self.gan,
            "classes": [],
            "category": self.category,
            "options": {"discriminator": self.discriminator.options, "reading": localizer.options},
            "backbone": {},
            "size": self.settings.size,
            "readout": READOUTS[self.settings.reading].to_dict(),
            "model": localizer.state_dict(),
            "generator": self.generator.state_dict(),
            "recipe": asdict(self.stepper.recipe),
            "settings": self.folder.settings,
            "step": self.step,
        }

    def trainer_state(self) -> dict[str, Any]:
        """What a resumed run needs beyond `content`."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "g_optimizer": self.stepper.g_optimizer.state_dict()["state"],
            "d_optimizer": self.stepper.d_optimizer.state_dict()["state"],
            "sums": self.meter.sums,
            "summed": self.meter.steps,
            "seconds": self.seconds,
            "before": self.selection.judge.before if self.selection else self.before,
        }

    def load(self, content: dict[str, Any]) -> None:
        """Take over the state of a saved run."""
        trainer = content["trainer"]
        self.generator.load_state_dict(content["generator"])
        self.discriminator.load_state_dict(trainer["discriminator"])
        for optimizer, name in ((self.stepper.g_optimizer, "g_optimizer"), (self.stepper.d_optimizer, "d_optimizer")):
            # The groups stay ours: flags such as `capturable` belong to the device.
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": trainer[name], "param_groups": groups})
        self.meter.sums.copy_(trainer["sums"])
        self.meter.steps = trainer["summed"]
        self.step, self.seconds, self.before = content["step"], trainer["seconds"], trainer["before"]
