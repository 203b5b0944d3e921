"""The one loop that trains everything but GANs, on one device or several (Fabric), and can be killed at any time.

Nothing random is carried along: the order of an epoch is drawn from (seed, epoch), crops from (seed, epoch, step), and
torch's generator (dropout) is seeded anew at every step. A run that was stopped and taken up again is therefore bit
for bit the run that was not. The best checkpoint is chosen by classification accuracy on the validation images, never
by boxes; without validation images it is the last one.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from boxless.backbones import build_backbone
from boxless.data.dataset import Dataset, data_hash
from boxless.data.marks import marks, warn_of_changes
from boxless.data.pseudo_boxes import digest, with_found
from boxless.data.sampler import make_sampler
from boxless.data.splits import check_labels
from boxless.data.training_batches import PictureCache, Request, TrainingBatch, batches
from boxless.data.transforms import Resize, draws, to_images
from boxless.methods import REGRESSORS, build_method, method_class, options_for
from boxless.methods.batch_norm import running_statistics
from boxless.methods.method import Method
from boxless.methods.optimizer import load_state, make_optimizer, set_rates
from boxless.methods.options import resolve_options
from boxless.methods.settings import Training, plain, settings_text
from boxless.methods.validation import classification_accuracy
from boxless.runtime import checkpoint
from boxless.runtime.devices import device_named, launch_fabric
from boxless.runtime.distributed import Team, world_layout
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.interrupt import Interruption, deferred_sigint
from boxless.runtime.progress import Report, progress_to, silent
from boxless.runtime.run_folder import MetricsTable, RunFolder, check_run_folder

log = logging.getLogger("boxless")

_LOOK = 100
"""Steps between two looks at whether the loss is still a number; only then, and after an epoch, the host waits."""
MAY_CHANGE = frozenset({"epochs", "workers", "memory", "save_minutes", "weights", "devices", "nodes"})
"""Settings that a resumed run may have other values for; all others make it another run."""
_STATE = ("epoch", "step", "terms", "sums", "history", "seconds", "best")
"""What of a Run is saved as it is."""


def train_classifier(
    method: str,
    options: Mapping[str, Any],
    train: Dataset,
    validation: Dataset | None,
    settings: Training,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> Path:
    """Train `method` on labelled images -> the run folder `out` (settings.toml, metrics.csv, last.pt, best.pt).

    Raises UsageError for an `out` that already holds a run (unless `resume` or `overwrite`) or that another process
    writes into and for options that do not exist, BoxlessError for labels that cannot be learnt from, for a loss that
    stops being a number and for a full disk (the last good checkpoint is kept each time), KeyboardInterrupt after
    Ctrl-C, with everything saved.
    """
    if method in REGRESSORS:  # it would learn the true boxes that the data may come with
        raise UsageError(f"{method} learns from boxes that another method found, and not from labels.")
    check_labels(method, train, validation)
    return train_network(
        method, options, train, validation, settings, out, resume=resume, overwrite=overwrite, progress=progress
    )


def train_network(
    method: str,
    options: Mapping[str, Any],
    train: Dataset,
    validation: Dataset | None,
    settings: Training,
    out: Path,
    more: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> Path:
    """Train any method on what is known to fit it; `more` is what its checkpoints say beside what a classifier's do."""
    chosen = resolve_options(method, options)
    fabric = make_fabric(settings)
    team = Team(fabric)
    with team.lock(out), torch.random.fork_rng([]):
        team.on_main(lambda: check_run_folder(out, resume=resume, overwrite=overwrite))
        run = TrainingRun(method, chosen, train, validation, settings, out, more, resume=resume, fabric=fabric)
        try:
            with progress_to(f"training {method}", progress if team.first else silent) as step:
                run.train(step)
        except OSError as error:
            raise BoxlessError(f"Could not write to {out}: {error}. Free space or choose another --out.") from error
    return out


class TrainingRun:
    """One network in training."""

    def __init__(
        self,
        method: str,
        options: dict[str, Any],
        train: Dataset,
        validation: Dataset | None,
        settings: Training,
        out: Path,
        more: Mapping[str, Any] | None = None,
        *,
        resume: bool,
        fabric: Fabric | None = None,
    ) -> None:
        self.fabric = fabric or make_fabric(settings)
        self.team = Team(self.fabric)
        torch.manual_seed(settings.seed)
        weights = "none" if resume else settings.weights
        backbone = build_backbone(settings.backbone, stride=settings.stride, weights=weights)
        if settings.freeze:
            backbone.freeze(settings.freeze)
        options = options_for(method, options, train.classes)
        self.network: Method = build_method(method, backbone, len(train.classes), options)
        self.network.check_size(method, settings.size)
        self.network.to(memory_format=torch.channels_last)
        devices, nodes = world_layout(settings.devices, settings.nodes)
        self.settings = settings = replace(settings, stride=backbone.stride, devices=devices, nodes=nodes)
        self.optimizer = make_optimizer(self.network, settings)
        self.module, self.stepper = self.fabric.setup(self.network, self.optimizer)
        self.module.mark_forward_method("loss")
        labels = [sample.label or 0 for sample in train.samples]  # None only where a regressor reads none
        together = self.network.images_per_class
        self.sampler = make_sampler(
            labels, settings.batch_size, together, seed=settings.seed, rank=self.team.rank, world=self.team.world
        )
        self.pictures = PictureCache(train, Resize(settings.resize, settings.resizing), settings.memory)
        self.checked = None if validation is None else PictureCache(validation, Resize(settings.size), settings.memory)
        described = self.network.describe(method, options, train.classes, settings)
        # Not the boxes that images may come with: the same run, whether they are known or not.
        seen = [replace(s, boxes=None, label=s.label if train.classes else None) for s in train.samples]
        described["data"] = data_hash(replace(train, samples=seen))
        self.marks = marks(train.source, self.pictures.names)
        self.folder = RunFolder(
            out,
            described | dict(more or {}),
            {**plain(settings), "processes": devices * nodes},  # however they lie on machines, it is the same run
            toml=settings_text(method, options, settings, described["data"]),
            may_change=MAY_CHANGE,
        )
        self.epoch = self.step = 0
        self.terms: list[str] = []
        self.sums: Tensor | None = None
        self.history: list[dict[str, float]] = []
        self.seconds, self.best = 0.0, -1.0
        if resume:
            with checkpoint.resuming(out / "last.pt"):
                self.load(self.folder.load())
            self.folder.refuse_less("epochs", self.epoch + (self.step > 0), settings.epochs)

    def train(self, progress: Report) -> None:
        """Every epoch that is left; always leaves last.pt and best.pt."""
        if self.team.first:
            self.folder.begin()
        began = time.monotonic() - self.seconds
        if not self.epoch and not self.step:
            self.save(best=True)  # a run that is killed in its first epoch can be resumed too
        length = len(self.sampler)
        # Over epochs too: between two of them Ctrl-C would be noted and forgotten.
        with deferred_sigint() as interruption:
            while self.epoch < self.settings.epochs:
                if self.team.any_rank(interruption.requested, self.fabric.device):
                    raise KeyboardInterrupt
                self.network.epoch = self.epoch
                for _ in self.steps(interruption):
                    self.seconds = time.monotonic() - began
                    last = self.history[-1] if self.history else {}
                    progress(self.epoch * length + self.step, self.settings.epochs * length, last)
                self.finish_epoch()

    def steps(self, interruption: Interruption) -> Iterator[None]:
        """What is left of this epoch, step by step; saved now and then and at Ctrl-C."""
        self.network.train()
        saved, device = time.monotonic(), self.fabric.device
        for batch in self.batches():
            self.learn(batch)
            self.step += 1
            yield
            looked = self.step % _LOOK == 0
            if looked:
                self.refuse_broken()
            if looked or self.team.world == 1:  # several processes have to save and to stop at the same step
                overdue = time.monotonic() - saved > 60 * self.settings.save_minutes
                stop, late = (self.team.any_rank(one, device) for one in (interruption.requested, overdue))
                if stop or late:
                    self.save()
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt

    def batches(self) -> Iterator[TrainingBatch]:
        """The batches of this epoch from the current step on."""
        rank, world = self.team.rank, self.team.world

        def requests() -> Iterator[Request]:
            for step, indices in enumerate(self.sampler.batches(self.epoch)):
                # The crops of the whole step are drawn, so that one process cuts what several would.
                cuts = draws(len(indices) * world, self.settings.seed, self.epoch, step)
                yield Request(indices, cuts[rank * len(indices) : (rank + 1) * len(indices)])

        left = islice(requests(), self.step, None)
        size, workers = self.settings.size, self.settings.workers
        return batches(
            self.pictures, left, size, workers, fill=world > 1, target=self.network.target, cut=self.network.cut
        )

    def learn(self, batch: TrainingBatch) -> None:
        """One step of the optimizer; nothing in it waits for the device."""
        if not len(batch.targets):
            if self.team.world > 1:  # the other processes would wait for this one
                raise BoxlessError(f"All images of a batch are broken. {next(iter(self.pictures.broken.values()), '')}")
            return
        key = (self.settings.seed, self.epoch, self.step)  # the same in every process: some draws must agree
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
        set_rates(self.optimizer, self.settings, self.epoch + self.step / len(self.sampler))
        targets = batch.targets.to(self.fabric.device, non_blocking=True)
        # One image whose map has one place has no spread that it could be normalised by.
        single = len(targets) == 1 and self.settings.size <= (self.settings.stride or 1)
        with running_statistics(self.network) if single else nullcontext():
            losses = self.module.loss(to_images(batch.pictures, self.fabric.device), targets)
        self.fabric.backward(losses.total)
        self.stepper.step()
        self.stepper.zero_grad()
        terms = [*(term.detach().float() for term in losses), torch.ones_like(losses.total)]
        values = torch.stack(terms) * len(targets)
        self.sums = values if self.sums is None else self.sums + values
        self.terms = list(losses._fields)

    def finish_epoch(self) -> None:
        """Write a row of metrics.csv and the checkpoints; the best one has the highest validation accuracy."""
        row = {"epoch": self.epoch + 1, **self.means()}
        for reason in self.pictures.newly_broken():
            log.warning("skipped: %s", reason)
        if self.checked is not None:
            how = {"batch_size": self.settings.batch_size, "workers": self.settings.workers}
            row["validation_accuracy"] = classification_accuracy(self.network, self.checked, self.fabric, **how)
        self.history.append({**row, "seconds": round(self.seconds, 2)})
        self.epoch, self.step, self.sums = self.epoch + 1, 0, None
        accuracy = row.get("validation_accuracy")
        better = accuracy is None or accuracy >= self.best
        self.best = accuracy if accuracy is not None and better else self.best
        self.save(best=better)

    def means(self) -> dict[str, float]:
        """The mean of every term of the loss over the images of this epoch, on all processes."""
        self.refuse_broken()
        if self.sums is None:
            raise BoxlessError(f"No training image could be read. {next(iter(self.pictures.broken.values()), '')}")
        sums: Tensor = self.fabric.all_reduce(self.sums, reduce_op="sum")  # type: ignore[assignment]
        return dict(zip(self.terms, (sums[:-1] / sums[-1]).tolist(), strict=True))

    def refuse_broken(self) -> None:
        """Raise BoxlessError when the loss is no longer a number, before anything broken is saved."""
        if self.sums is None:
            return
        if self.team.any_rank(not bool(torch.isfinite(self.sums).all()), self.fabric.device):
            raise BoxlessError(
                f"Training stopped in epoch {self.epoch + 1}: the loss is no longer a number. "
                f"{self.folder.out / 'last.pt'} is from before that and good. What helps: a lower learning rate."
            )

    def save(self, *, best: bool = False) -> None:
        """Write the checkpoints of this moment."""
        self.refuse_broken()
        if self.sums is not None:  # the first process has what all have summed, so that nothing is counted twice
            total: Tensor = self.fabric.all_reduce(self.sums, reduce_op="sum")  # type: ignore[assignment]
            self.sums = total * self.team.first
        if self.team.first:
            trainer = {name: getattr(self, name) for name in (*_STATE, "marks")}
            trainer["optimizer"] = self.optimizer.state_dict()["state"]
            content = {"model": self.network.state_dict()}
            if best:
                self.folder.save_best(content)
            self.folder.save_last(content, trainer)
            if self.history:  # made from what last.pt holds, so that the two never tell different stories
                MetricsTable(self.folder.out / "metrics.csv", list(self.history[-1]), self.history)

    def load(self, content: dict[str, Any]) -> None:
        """Take over the state of a saved run."""
        trainer = content["trainer"]
        self.network.load_state_dict(content["model"])
        load_state(self.optimizer, trainer["optimizer"])
        if self.team.first:
            warn_of_changes(self.pictures.names, trainer.get("marks", ""), self.marks)
        for name in _STATE:
            if name != "sums" and not isinstance(trainer[name], type(getattr(self, name))):
                raise TypeError(f"{name} = {trainer[name]!r}")
            setattr(self, name, trainer[name])
        self.best = self.best if "validation_accuracy" in (self.history or [{}])[-1] else -1.0  # of what was compared
        if self.sums is not None:
            self.sums = self.sums.to(self.fabric.device) * self.team.first


def train_regressor(
    method: str,
    options: Mapping[str, Any],
    train: Dataset,
    boxes: Path,
    settings: Training,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> Path:
    """Train `method` of REGRESSORS on images and the boxes that were found in them -> the run folder `out`.

    `boxes` is a file as `with_found` reads it; the boxes and labels that `train` came with are not looked at. Raises
    what `train_classifier` raises, and BoxlessError for boxes that do not belong to the images.
    """
    if method not in REGRESSORS:
        raise UsageError(f"{method!r} does not learn from boxes. Choose from: {', '.join(REGRESSORS)}.")
    kind = method_class(method)
    found = replace(with_found(train, boxes, several=kind.several, fewest=kind.fewest), classes=[])
    if left := len(train) - len(found):
        log.warning("%d of the %d training images have no box in %s and are left out", left, len(train), boxes)
    more = {"boxes": {"images": len(found), "sha256": digest(found)}}
    return train_network(
        method, options, found, None, settings, out, more, resume=resume, overwrite=overwrite, progress=progress
    )


def make_fabric(settings: Training) -> Fabric:
    """Fabric for the settings, launched; raises UsageError for a device that is not here."""
    cuda = device_named(settings.device).type == "cuda"
    bf16 = cuda if settings.precision == "auto" else settings.precision == "bf16"
    precision = "bf16-mixed" if bf16 else "32-true"
    return launch_fabric(settings.device, settings.devices, settings.nodes, strategy="ddp", precision=precision)
