"""What the paper says of its GANs, asked of the runs of a gan-table-3 and of the controls that stand beside them.

The paper compares peaks over training. Here both sides of a claim are last states, read by class activation maps at
thresholds transferred from boxes of training images, on the same test images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from boxless.evaluation.bootstrap import Comparison, compare, holm
from boxless.reproduce.gan.cam_reference import CAM
from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.gan.scoring import Score, mean_hits
from boxless.reproduce.grid import Result
from boxless.reproduce.markdown import markdown_table, signed

COLUMNS = ("the paper says", "asked of SN-DCGAN", "groups", "images", "points (95 %)", "p", "it is")
GAN, READING, THRESHOLD = "sn-dcgan", "cam", "transferred"
"""The paper's best GAN and its reading."""
NOT_RUN = "not run"

Runs = Mapping[GanTrial, Result]
Side = Callable[[GanTrial, Runs], list[Score]]
"""What of a run of SN-DCGAN, or of a partner of it, is compared; nothing where the partner was not run."""


def last(cell: GanTrial, runs: Runs, kind: str = "maps") -> list[Score]:
    """The score of the last state of a run, of its maps or of shuffled ones."""
    return [runs[cell]["stages"][-1]["readings"][READING][kind][THRESHOLD]] if cell in runs else []


def shuffled(cell: GanTrial, runs: Runs) -> list[Score]:
    """The same maps, each on another image."""
    return last(cell, runs, "shuffled")


def untrained(cell: GanTrial, runs: Runs) -> list[Score]:
    """Networks that were never trained."""
    return [score[THRESHOLD] for score in runs[cell]["controls"]["untrained"][READING]]


def peak(cell: GanTrial, runs: Runs) -> list[Score]:
    """The best of its states, chosen with the test boxes, as the paper reports it."""
    scores = [stage["readings"][READING]["maps"][THRESHOLD] for stage in runs[cell]["stages"]]
    return [max(scores, key=lambda score: float(score["accuracy"]["0.5"]))]


def control(name: str) -> Side:
    """What no learning scores on the images of a run."""
    return lambda cell, runs: [runs[cell]["controls"][name]]


def partner(**changes: Any) -> Side:
    """The last state of the run that differs in this alone."""
    return lambda cell, runs: last(replace(cell, **changes), runs)


class Answer(NamedTuple):
    """What the runs say to a claim: of how many groups and images, and the difference."""

    groups: int
    images: int
    found: Comparison


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the paper, and what has to lie below SN-DCGAN for it to hold."""

    says: str
    compared: str
    below: Side
    augment: tuple[bool, ...] = (False, True)
    """Which runs of SN-DCGAN it is about."""

    def asked(self, runs: Runs) -> Answer | None:
        """What the runs that it is about say to it."""
        return answered([cell for cell in runs if cell.augment in self.augment], self.below, runs)


def answered(cells: Sequence[GanTrial], below: Side, runs: Runs) -> Answer | None:
    """SN-DCGAN among `cells` minus what is to lie below it, over the images of every group that has both, or None."""
    mine = [cell for cell in cells if cell.gan == GAN and below(cell, runs)]
    groups = [[cell for cell in mine if cell.group == group] for group in dict.fromkeys(cell.group for cell in mine)]
    if not groups:
        return None
    ours, theirs = (
        np.concatenate([mean_hits([score for cell in group for score in side(cell, runs)]) for group in groups])
        for side in (last, below)
    )
    return Answer(len(groups), len(ours), compare(ours, theirs))


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
    answers = {claim: answer for claim in CLAIMS if (answer := claim.asked(runs))}
    chosen = answered(list(runs), peak, runs)
    if not answers or not chosen:
        return []
    sure = dict(zip(answers, holm([answer.found.p for answer in answers.values()]), strict=True))
    rows = [_row(claim, answers[claim], sure[claim]) if claim in answers else _missing(claim) for claim in CLAIMS]
    words = (
        "Last states of the runs, class activation maps, thresholds transferred from boxes of training images; seeds "
        "and augmentations are averaged image by image. Brackets: 95 % bootstrap intervals over images. The words: "
        f"p < 0.05 after Holm's correction for {len(answers)} comparisons. The last state minus the peak over the "
        f"checkpoints, which is chosen with the test boxes as the paper's is: {signed(chosen.found, 100)} points."
    )
    return ["", "## What the paper says, beside the controls", "", words, "", *markdown_table(COLUMNS, rows)]


def _row(claim: Claim, answer: Answer, sure: bool) -> list[str]:
    groups, images, found = answer
    word = ("above" if found.difference > 0 else "below") if sure else "not told apart"
    return [claim.says, claim.compared, str(groups), str(images), signed(found, 100), f"{found.p:.2g}", word]


def _missing(claim: Claim) -> list[str]:
    return [claim.says, claim.compared, *["-"] * 4, NOT_RUN]
