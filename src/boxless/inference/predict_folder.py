"""A predictor over a folder -> boxes on disk, a summary of what happened, and a report to look at."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from boxless.boxes import MAX_SIZE, MIN_SIZE, MOST, OVERLAP
from boxless.boxes.from_heatmap import Detections, Heatmap, check_instances, find_boxes
from boxless.data.dataset import NO_CLASS, Dataset, Sample, data_hash
from boxless.data.images import read_shrunk
from boxless.data.inference_batches import prefetch
from boxless.data.marks import DIGITS, changed, marks
from boxless.data.one_range import folder_of
from boxless.discovery.notes import NOTHING, Notes
from boxless.export import STAGING, Format, check_folder, write_boxes
from boxless.inference.choice_charts import choice_charts
from boxless.inference.partial_results import Shards, ShardWriter
from boxless.inference.predictors import DivisiblePredictor, ImageHeatmap, detections_in
from boxless.report.html import THUMBNAIL, Card, Charts, make_card, write_report
from boxless.runtime.distributed import Team
from boxless.runtime.errors import BoxlessError, UsageError, number_of
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress, track
from boxless.runtime.provenance import package_version

CHOICES = 20
"""Categories whose choice stands in the summary in words; the rest are in summary.json."""
REPORT_LIMIT = 5000
"""Images shown in a report; the rest are in the boxes."""


@dataclass(slots=True)
class Summary:
    """What a search did: counts, what was found nowhere, what could not be read, and how the boxes were drawn."""

    method: str
    images: int
    threshold: dict[str, Any]
    boxes: int = 0
    nothing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0
    """Images without a class among others that have one; their boxes are of `category`."""
    category: str = NO_CLASS
    seconds: float = 0.0
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Category -> all that a method without labels noticed about it, as plain values."""
    choices: dict[str, str] = field(default_factory=dict)
    """Category -> the method that was chosen for it and why; empty for a method that chooses nothing."""
    numbers: str = ""
    """What the network computed in: fp32, or bf16, whose boxes differ by a few pixels; and by what, if not by torch."""
    taken_over: int = 0
    """Images that an earlier process had done before it was stopped."""
    changed: list[str] = field(default_factory=list)
    """Images whose files were replaced after an earlier process had done them."""
    depth: str = ""
    """How pictures of more than 8 bits were read, in a sentence."""
    crowded: list[str] = field(default_factory=list)
    """Images with as many boxes as are kept of one."""
    finished_before: bool = False
    """An earlier process had done all of it, and this one nothing."""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Summary":
        """What an earlier process wrote into summary.json."""
        written = {one.name: "nothing_found" if one.name == "nothing" else one.name for one in fields(cls)}
        kept = {name: content[key] for name, key in written.items() if key in content}
        return cls(**kept, finished_before=True)  # earlier versions did not say or count all of it

    def counted(self, found: Iterable[Detections]) -> Iterator[Detections]:
        """Pass `found` on, counted."""
        for one in found:
            self.boxes += len(one.boxes)
            if not len(one.boxes):
                self.nothing.append(one.name)
            if len(one.boxes) == MOST:
                self.crowded.append(one.name)
            yield one

    def to_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {
            "boxless": package_version(),
            "method": self.method,
            "images": self.images,
            "boxes": self.boxes,
            "nothing_found": self.nothing,
            "broken": self.broken,
            "unlabelled": self.unlabelled,
            "category": self.category,
            "threshold": self.threshold,
            "choices": self.choices,
            "notes": self.notes,
            "seconds": round(self.seconds, 2),
            "numbers": self.numbers,
            "taken_over": self.taken_over,
            "changed": self.changed,
            "crowded": self.crowded,
            "depth": self.depth,
        }

    def words(self) -> list[str]:
        """The same, for people: a sentence each."""
        done = self.images - len(self.broken)
        rate = f" ({(self.images - self.taken_over) / self.seconds:.0f} per second)" if self.seconds else ""
        hit = done - len(self.nothing)
        lines = ["Finished before; nothing was done again."] if self.finished_before else []
        boxes, images = number_of(self.boxes, "box", "boxes"), number_of(self.images, "image")
        lines += [f"{boxes} in {hit} of {images}, {self.seconds:.1f} s{rate}."]
        if self.taken_over:
            lines.append(f"{self.taken_over} of the images had been done before the search was stopped and taken up.")
        if self.changed:
            lines.append(f"Replaced since then, and done again: {len(self.changed)}: {_some(self.changed)}.")
        if self.nothing:
            lines.append(f"Nothing found in {len(self.nothing)}: {_some(self.nothing)}.")
        if self.crowded:
            many = f"{len(self.crowded)}: {_some(self.crowded)}"
            lines.append(f"More than {MOST} boxes, of which the best were kept (noise?), in {many}.")
        if self.unlabelled:
            lines.append(f"Without a class of their own: {self.unlabelled}; their boxes are of {self.category}.")
        if self.depth:
            lines.append(self.depth)
        if self.broken:
            lines.append(f"Not readable, skipped: {len(self.broken)}: {_some(list(self.broken))}.")
        method = f"{self.method}, computed in {self.numbers}" if self.numbers else self.method
        lines.append(f"Method {method}; threshold {self.threshold['threshold']:g}, {self.threshold['origin']}.")
        lines += [f"{category}: {choice}." for category, choice in list(self.choices.items())[:CHOICES]]
        for said in ("alike", "mixture", "tiles", "size", "closer"):
            lines += [f"{name}: {one[said]}." for name, one in self.notes.items() if one.get(said)][:CHOICES]
        if len(self.choices) > CHOICES:
            lines.append(f"Choices for {len(self.choices) - CHOICES} more categories are in summary.json.")
        return lines


def predict_folder(
    predictor: DivisiblePredictor,
    dataset: Dataset,
    out: Path,
    progress: Progress,
    *,
    format: Format,
    report: bool = False,
    multiple: bool = False,
    overlap: float = OVERLAP,
    min_size: float = MIN_SIZE,
    max_size: float = MAX_SIZE,
    min_score: float = 0.0,
    overwrite: bool = False,
    resume: bool = False,
    team: Team | None = None,
) -> Summary:
    """Write boxes for every readable image into `out`, with summary.json and, if asked for, report.html.

    What is found is kept in shards until all is done: with `resume` a search that was killed goes on, one that is
    finished stays as it is, and the processes of a `team` share the work. The files are the same either way. Raises
    BoxlessError when there is no image or none could be read, UsageError when another process writes into `out`, and
    what `write_boxes` and `Shards.begin` raise. `multiple` and the three after it are as for `find_boxes`.
    """
    check_instances(overlap, min_size, max_size, min_score)
    several: dict[str, Any] = {"multiple": multiple} | ({"min_score": min_score} if min_score else {})
    if multiple:
        several |= {"overlap": overlap, "min_size": min_size, "max_size": max_size}
    if not dataset.samples:
        raise BoxlessError(f"No image in {dataset.source.root}. Expected jpg, png, webp, bmp, gif or tif files.")
    work = _Search(predictor, dataset, out, format, report=report, several=several)
    team = team or Team()
    with team.lock(out):
        if resume and not overwrite and (finished := team.on_main(work.finished)):
            progress.broken.update(finished.broken)
            return finished
        done = team.on_main(lambda: work.begin(resume=resume, overwrite=overwrite))
        with team.raise_together():
            mine = team.shard([piece for piece in range(len(work.pieces)) if piece not in done])
            progress.expect(sum(len(work.pieces[piece]) for piece in mine))
            with work.shards.writing(team.rank) as writer:
                work.look(mine, writer, progress)
        summary = team.on_main(lambda: work.merge(done, overwrite=overwrite or bool(done or work.changed)))
    progress.broken.update(summary.broken)
    return summary


class _Search:
    """One search: its pieces, and its shards on disk."""

    def __init__(
        self,
        predictor: DivisiblePredictor,
        dataset: Dataset,
        out: Path,
        format: Format,
        *,
        report: bool,
        several: dict[str, Any],
    ) -> None:
        self.predictor, self.dataset, self.out, self.format = predictor, dataset, out, format
        self.report, self.several = report, several
        self.classes = predictor.classes or list(dataset.classes)
        self.unlabelled = 0 if predictor.classes else sum(sample.label is None for sample in dataset.samples)
        if self.unlabelled:
            self.classes = list(dict.fromkeys([*self.classes, predictor.category]))
        self.pieces = predictor.pieces(dataset)
        self.started = time.monotonic()
        self.changed: list[str] = []
        job = {
            "boxless": package_version(),
            **predictor.identity(),
            **predictor.readout.to_dict(),
            "images": data_hash(dataset),
        }
        self.shards = Shards(out, {**job, "classes": self.classes, "report": report, **several})

    def finished(self) -> Summary | None:
        """What this search wrote when it was done, None if it is not, or no longer over the same photographs.

        Raises UsageError where another search was done.
        """
        path = self.out / "summary.json"
        if self.shards.folder.exists() or not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            summary, job, format = Summary.from_dict(content), dict(content["job"]), content["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise BoxlessError(
                f"{path} is no summary of a search ({error!r}). Begin anew with --overwrite, or choose another --out."
            ) from error
        self.shards.refuse_other(job, "finished")
        if format != self.format:
            raise UsageError(
                f"The finished search in {self.out} wrote the format {format}, not {self.format}. Begin anew with "
                "--overwrite, or choose another --out."
            )
        self._note_changes(range(len(self.pieces)), str(content.get("marks", "")))
        return None if self.changed else summary

    def _note_changes(self, pieces: Iterable[int], before: str) -> None:
        """Note which photographs of `pieces` have other marks than `before`."""
        names = [sample.name for piece in pieces for sample in self.pieces[piece]]
        self.changed += changed(names, before, marks(self.dataset.source, names))

    def begin(self, *, resume: bool, overwrite: bool) -> set[int]:
        """The pieces that are done already, of photographs that are still the same.

        What a killed process was about to move into place goes.
        """
        for stale in self.out.glob(f"{STAGING}*"):
            shutil.rmtree(stale)
        done = self.shards.begin(resume=resume, overwrite=overwrite)
        check_folder(self.out, self.format, overwrite=overwrite or bool(done or self.changed))
        for piece in sorted(done):
            before = len(self.changed)
            self._note_changes([piece], self.shards.marks[piece])
            if len(self.changed) > before:
                done.remove(piece)
        return done

    def look(self, pieces: list[int], writer: ShardWriter, progress: Progress) -> None:
        """Find the boxes of some pieces, in their order, and close each when it is done."""
        left = replace(self.dataset, samples=[sample for piece in pieces for sample in self.pieces[piece]])
        read = marks(left.source, [sample.name for sample in left.samples])  # first: none is newer than its boxes
        starts = list(accumulate(map(len, self.pieces), initial=0))

        def box(mapped: ImageHeatmap) -> tuple[Sample, Detections, Heatmap, Notes]:
            label = self.predictor.category if mapped.label is None else self.classes[mapped.label]
            return (
                mapped.sample,
                detections_in(mapped, self.predictor.readout, label, **self.several),
                mapped.heat,
                mapped.notes,
            )

        boxed = prefetch(box, self.predictor.maps(left, progress), workers=2, window=8)
        with ThreadPoolExecutor(1) as loading:  # compiled code, for half a second, while the network runs
            loading.submit(find_boxes, np.zeros((2, 2)), (4, 4), 0.5)
            following, end = next(boxed, None), 0
        for piece in pieces:
            broken, notes = {}, NOTHING
            for position, sample in enumerate(self.pieces[piece], starts[piece]):
                if following is None or following[0] is not sample:
                    broken[sample.name] = progress.broken[sample.name]
                    continue
                _, found, heat, notes = following
                shown = self.report and position < REPORT_LIMIT
                writer.add(found, self._card(found, heat) if shown else None)
                following = next(boxed, None)
            at, end = end, end + DIGITS * len(self.pieces[piece])
            writer.close(piece, broken, read[at:end], notes.to_dict())

    def _notes(self) -> dict[str, dict[str, Any]]:
        """What was noticed about each category, by its name."""
        names = [
            self.predictor.category if (label := piece[0].label) is None else self.classes[label]
            for piece in self.pieces
        ]
        return {name: dict(notes) for name, notes in zip(names, self.shards.notes, strict=False) if notes}

    def _card(self, found: Detections, heat: Heatmap) -> Card:
        picture, _ = read_shrunk(self.dataset.source.read(found.name), found.name, THUMBNAIL)
        return make_card(found, picture, heat, normalisation=self.predictor.readout.normalisation)

    def merge(self, done: set[int], *, overwrite: bool) -> Summary:
        """Everything that was found -> the files that are asked for; `done` is what an earlier process had found."""
        self.shards.scan()
        broken, dataset = self.shards.broken, self.dataset
        summary = Summary(self.predictor.name, len(dataset), self.predictor.readout.to_dict(), broken=broken)
        if "bf16" in self.shards.job:
            summary.numbers = self.shards.job.get("engine") or ("bf16" if self.shards.job["bf16"] else "fp32")
        summary.unlabelled, summary.category = self.unlabelled if dataset.classes else 0, self.predictor.category
        summary.notes, summary.depth = self._notes(), dataset.depth
        summary.choices = {name: notes["choice"] for name, notes in summary.notes.items() if notes["choice"]}
        summary.taken_over, summary.changed = sum(len(self.pieces[piece]) for piece in done), self.changed
        if len(broken) == len(dataset):
            self.shards.remove()
            raise BoxlessError(
                f"None of the {len(dataset)} images could be read: {'; '.join(list(broken.values())[:3])}"
            )
        merged = (one for one, _ in self.shards.found(len(self.pieces)))
        found = summary.counted(track(merged, "writing boxes", len(dataset) - len(broken)))
        pictures = folder_of(dataset.source)
        write_boxes(found, self.out, self.format, self.classes, pictures=pictures, overwrite=overwrite)
        summary.seconds = time.monotonic() - self.started
        made = {"format": self.format, "job": self.shards.job, "marks": self.shards.all_marks()}
        write_json(self.out / "summary.json", summary.to_dict() | made)
        if self.report:
            write_report(
                self.out / "report.html",
                title=f"{self.predictor.name} on {dataset.source.root.name}",
                summary=summary.words(),
                charts=Charts(choices=choice_charts(summary.notes)[:CHOICES]),
                cards=(card for _, card in self.shards.found(len(self.pieces)) if card),
                images=len(dataset) - len(broken),
                limit=REPORT_LIMIT,
            )
        self.shards.remove()
        return summary


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more (all in summary.json)"
