"""A predictor over a folder -> boxes on disk, a summary of what happened, and a report to look at."""

import json
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from boxless.boxes import MAX_SIZE, MIN_SIZE, OVERLAP
from boxless.boxes.from_heatmap import Detections, Heatmap, check_instances, find_boxes
from boxless.data.dataset import Dataset, Sample, data_hash
from boxless.data.images import read_shrunk
from boxless.data.inference_batches import prefetch
from boxless.data.marks import DIGITS, changed, marks
from boxless.data.one_range import folder_of
from boxless.discovery.notes import NOTHING, Notes
from boxless.export import STAGING, Format, check_folder, write_boxes, written_entries
from boxless.inference.choice_charts import choice_charts
from boxless.inference.partial_results import Shards, ShardWriter
from boxless.inference.predictors import DivisiblePredictor, ImageHeatmap, detections_in
from boxless.inference.summary import CHOICES, Summary
from boxless.report.html import THUMBNAIL, Card, Charts, make_card, write_report
from boxless.runtime.distributed import Team
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress, track
from boxless.runtime.provenance import package_version

REPORT_LIMIT = 5000
"""Images shown in a report; the rest are in the boxes."""


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
        self.starts = list(accumulate(map(len, self.pieces), initial=0))
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
        """Find the boxes of some pieces, in their order, and close each when it is done.

        Maps are asked for ahead of those that are written; not beyond a piece's end where the next one's first map may
        be long in coming, as a kill in that time would lose both.
        """
        runs = [[piece] for piece in pieces] if self.predictor.piece_by_piece else [pieces]
        with ThreadPoolExecutor(1) as loading:  # compiled code, for half a second, while the network runs
            loading.submit(find_boxes, np.zeros((2, 2)), (4, 4), 0.5)
            for run in runs:
                self._look(run, writer, progress)

    def _look(self, pieces: list[int], writer: ShardWriter, progress: Progress) -> None:
        left = replace(self.dataset, samples=[sample for piece in pieces for sample in self.pieces[piece]])
        read = marks(left.source, [sample.name for sample in left.samples])  # first: none is newer than its boxes

        def box(mapped: ImageHeatmap) -> tuple[Sample, Detections, Heatmap, Notes]:
            label = self.predictor.category if mapped.label is None else self.classes[mapped.label]
            return (
                mapped.sample,
                detections_in(mapped, self.predictor.readout, label, **self.several),
                mapped.heat,
                mapped.notes,
            )

        boxed = prefetch(box, self.predictor.maps(left, progress), workers=2, window=8)
        following, end = next(boxed, None), 0
        for piece in pieces:
            broken, notes = {}, NOTHING
            for position, sample in enumerate(self.pieces[piece], self.starts[piece]):
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
        """What was noticed about each category, by its name; a trained network takes all images for one."""
        classes = [] if self.predictor.classes else self.dataset.classes
        names = [
            self.predictor.category if (label := piece[0].label) is None or not classes else classes[label]
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
        pictures, before = folder_of(dataset.source), written_entries(self.out)
        write_boxes(found, self.out, self.format, self.classes, pictures=pictures, overwrite=overwrite)
        summary.seconds = time.monotonic() - self.started
        made = {"format": self.format, "job": self.shards.job, "marks": self.shards.all_marks()}
        write_json(self.out / "summary.json", summary.to_dict() | made)
        if before:
            (self.out / "report.html").unlink(missing_ok=True)  # an earlier search's, which is replaced
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
