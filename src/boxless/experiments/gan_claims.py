"""What the paper says of its GANs, asked of the runs of a gan-table-3 and of the controls that stand beside them.

The paper compares peaks over training. Here both sides of a claim are last states, read by class activation maps at
thresholds transferred from boxes of training images, on the same test images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from boxless.experiments.cells import Result
from boxless.experiments.gan_cell import GanCell
from boxless.experiments.gan_reference import CAM
from boxless.experiments.gan_scoring import Score, mean_hits
from boxless.experiments.markdown import signed, table
from boxless.statistics import compare, holm

COLUMNS = ("the paper says", "here: SN-DCGAN", "groups", "images", "difference in points", "p", "")
GAN, READING, THRESHOLD = "sn-dcgan", "cam", "transferred"
"""The paper's best GAN and its reading."""
NOT_RUN = "not run"

Runs = Mapping[GanCell, Result]
Side = Callable[[GanCell, Runs], list[Score]]
"""What of a run of SN-DCGAN, or of a partner of it, is compared; nothing where the partner was not run."""
Hits = Float64[np.ndarray, "_images"]


def last(cell: GanCell, runs: Runs, kind: str = "maps") -> list[Score]:
    """The score of the last state of a run, of its maps or of shuffled ones."""
    return [runs[cell]["stages"][-1]["readings"][READING][kind][THRESHOLD]] if cell in runs else []


def shuffled(cell: GanCell, runs: Runs) -> list[Score]:
    """The same maps, each on another image."""
    return last(cell, runs, "shuffled")


def untrained(cell: GanCell, runs: Runs) -> list[Score]:
    """Networks that were never trained."""
    return [score[THRESHOLD] for score in runs[cell]["controls"]["untrained"][READING]]


def control(name: str) -> Side:
    """What no learning scores on the images of a run."""
    return lambda cell, runs: [runs[cell]["controls"][name]]


def partner(**changes: Any) -> Side:
    """The last state of the run that differs in this alone."""
    return lambda cell, runs: last(replace(cell, **changes), runs)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the paper, and what has to lie below SN-DCGAN for it to hold."""

    says: str
    compared: str
    below: Side
    augment: tuple[bool, ...] = (False, True)
    """Which runs of SN-DCGAN it is about."""

    def sides(self, runs: Runs) -> dict[str, tuple[Hits, Hits]]:
        """Of every group that has both sides, what share of its runs hits each image, and of what is compared."""
        mine = [cell for cell in runs if cell.gan == GAN and cell.augment in self.augment and self.below(cell, runs)]
        groups = dict.fromkeys(cell.group for cell in mine)
        return {
            group: (
                mean_hits([score for cell in mine if cell.group == group for score in last(cell, runs)]),
                mean_hits([score for cell in mine if cell.group == group for score in self.below(cell, runs)]),
            )
            for group in groups
        }


FINDS = "the discriminator attends to the object"
CLAIMS = (
    Claim(FINDS, "above its maps, shuffled", shuffled),
    Claim(FINDS, "above untrained discriminators", untrained),
    Claim(FINDS, "above the whole image as the box", control("whole image")),
    Claim(FINDS, "above the best centred box of training images", control("centred box")),
    Claim(FINDS, "above border contrast, which learns nothing", control("no learning")),
    Claim("spectral normalisation improves localization", "above DCGAN", partner(gan="dcgan")),
    Claim("diversity, here by augmentation, lowers it", "plain above augmented", partner(augment=True), (False,)),
    Claim("it is comparable with a classifier's CAM", "above CAM", partner(gan=CAM, augment=True)),
)  # fmt: skip


def claims_section(runs: Runs) -> list[str]:
    """The lines of markdown: every claim with its difference and what the runs say of it; none without a run.

    A claim is about the images of all groups that have both sides; p-values are over images, and the words follow
    from p < 0.05 after Holm's correction for all claims that were run.
    """
    runs = {cell: result for cell, result in runs.items() if "stages" in result}
    sides = [claim.sides(runs) for claim in CLAIMS]
    if not any(sides):
        return []
    found = [_joined(groups) for groups in sides]
    compared = {place: compare(*pair) for place, pair in enumerate(found) if pair}
    sure = dict(zip(compared, holm([one.p for one in compared.values()]), strict=True))
    lines = []
    for place, (claim, groups) in enumerate(zip(CLAIMS, sides, strict=True)):
        if place not in compared:
            lines.append([claim.says, claim.compared, "-", "-", "-", "-", NOT_RUN])
            continue
        one = compared[place]
        word = "not told apart" if not sure[place] else ("above" if one.difference > 0 else "below")
        images = sum(len(ours) for ours, _ in groups.values())
        lines.append([claim.says, claim.compared, str(len(groups)), str(images), signed(one), f"{one.p:.2g}", word])
    return [
        "",
        "## What the paper says, beside the controls",
        "",
        *_words(runs, len(compared)),
        "",
        *table(COLUMNS, lines),
    ]


def _joined(groups: Mapping[str, tuple[Hits, Hits]]) -> tuple[Hits, Hits] | None:
    if not groups:
        return None
    ours, theirs = zip(*groups.values(), strict=True)
    return np.concatenate(ours), np.concatenate(theirs)


def _words(runs: Runs, compared: int) -> list[str]:
    mine = [result["stages"] for cell, result in runs.items() if cell.gan == GAN]
    return [
        "Last states of the runs, class activation maps, thresholds transferred from boxes of training images; seeds "
        "and augmentations are averaged image by image. Brackets: 95 % bootstrap intervals over images. The words: "
        f"p < 0.05 after Holm's correction for {compared} comparisons. Choosing the checkpoint with the test boxes, as "
        f"the paper's peak does, adds {_peak(mine):.1f} points to the last state (mean of {len(mine)} runs).",
    ]


def _peak(runs: Sequence[Sequence[Result]]) -> float:
    """Points by which the best stage of a run exceeds its last one, on average."""
    scores = [[stage["readings"][READING]["maps"][THRESHOLD]["accuracy"]["0.5"] for stage in run] for run in runs]
    return float(np.mean([max(run) - run[-1] for run in scores]))
