"""What the paper says of its GANs, asked of the runs of a gan-table-3 and of the controls that stand beside them.

The paper compares peaks over training. Here both sides of a claim are last states, read by class activation maps at
thresholds transferred from boxes of training images, on the same test images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from boxless.evaluation.bootstrap import Comparison, compare, holm
from boxless.reproduce.gan.cam_reference import CAM
from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.gan.run_results import GanRun, ImageHits, over_groups
from boxless.reproduce.markdown import markdown_table, signed

COLUMNS = ("the paper says", "asked of SN-DCGAN", "groups", "images", "points (95 %)", "p", "it is")
GAN, MAPS = "sn-dcgan", ("cam", "transferred")
"""The paper's best GAN, and the reading and threshold of its maps."""
NOT_RUN = "not run"

Runs = Mapping[GanTrial, GanRun]
Side = Callable[[GanRun, Runs], list[ImageHits]]
"""What of a run of SN-DCGAN, or of a partner of it, is compared; nothing where the partner was not run."""


def control(name: str) -> Side:
    """What no learning scores on the images of a run."""
    return lambda run, runs: [run.control(name)]


def partner(**changes: Any) -> Side:
    """The last state of the run that differs in this alone."""

    def last(run: GanRun, runs: Runs) -> list[ImageHits]:
        other = runs.get(replace(run.trial, **changes))
        return [] if other is None else [other.stages(*MAPS)[-1]]

    return last


class ClaimResult(NamedTuple):
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

    def asked(self, runs: Runs) -> ClaimResult | None:
        """SN-DCGAN minus what is to lie below it, over the images of every group that has both, or None."""
        mine = [
            run
            for trial, run in runs.items()
            if trial.gan == GAN and trial.augment in self.augment and self.below(run, runs)
        ]
        if not mine:
            return None
        ours = over_groups(mine, lambda run: [run.stages(*MAPS)[-1]])
        theirs = over_groups(mine, lambda run: self.below(run, runs))
        return ClaimResult(len({run.trial.group for run in mine}), len(ours), compare(ours, theirs))


FINDS = "the discriminator attends to the object"
CLAIMS = (
    Claim(FINDS, "above its maps, shuffled", lambda run, runs: [run.stages(*MAPS, "shuffled")[-1]]),
    Claim(FINDS, "above untrained discriminators", lambda run, runs: run.untrained(*MAPS)),
    Claim(FINDS, "above the whole image as the box", control("whole image")),
    Claim(FINDS, "above the best centred box of training images", control("centred box")),
    Claim(FINDS, "above border contrast, which learns nothing", control("no learning")),
    Claim("spectral normalisation improves localization", "above DCGAN", partner(gan="dcgan")),
    Claim("diversity, here by augmentation, lowers it", "plain above augmented", partner(augment=True), (False,)),
    Claim("it is comparable with a classifier's CAM", "above CAM", partner(gan=CAM, augment=True)),
)  # fmt: skip
PEAK = Claim("", "the peak over the stages", lambda run, runs: [run.peak(*MAPS)])


def claims_section(runs: Runs) -> list[str]:
    """The lines of markdown: every claim with its difference and what the runs say of it; none without a run.

    A claim is about the images of all groups that have both sides; p-values are over images, and the words follow
    from p < 0.05 after Holm's correction for all claims that were run.
    """
    answers = {claim: answer for claim in CLAIMS if (answer := claim.asked(runs))}
    chosen = PEAK.asked(runs)
    if not answers or not chosen:
        return []
    sure = dict(zip(answers, holm([answer.found.p for answer in answers.values()]), strict=True))
    rows = [_row(claim, answers.get(claim), sure.get(claim, False)) for claim in CLAIMS]
    words = (
        "Last states of the runs, class activation maps, thresholds transferred from boxes of training images; seeds "
        "and augmentations are averaged image by image. Brackets: 95 % bootstrap intervals over images. The words: "
        f"p < 0.05 after Holm's correction for {len(answers)} comparisons. The last state minus the peak over the "
        f"checkpoints, which is chosen with the test boxes as the paper's is: {signed(chosen.found, 100)} points."
    )
    return ["", "## What the paper says, beside the controls", "", words, "", *markdown_table(COLUMNS, rows)]


def _row(claim: Claim, answer: ClaimResult | None, sure: bool) -> list[str]:
    if answer is None:
        return [claim.says, claim.compared, *["-"] * 4, NOT_RUN]
    groups, images, found = answer
    word = ("above" if found.difference > 0 else "below") if sure else "not told apart"
    return [claim.says, claim.compared, str(groups), str(images), signed(found, 100), f"{found.p:.2g}", word]
