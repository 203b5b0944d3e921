"""Which checkpoint of a GAN run to read boxes with, chosen without boxes or labels.

The paper reports the peak over training, found with boxes, and names a stopping criterion as its open problem. Four
criteria are measured on fixed training images:

    equivariance   a map follows its image when that is mirrored, zoomed, shifted or recoloured
    agreement      maps of two runs say the same of an image
    stability      a map is what it was at the checkpoint before
    deletion       hiding what a map marks changes D's logit more than hiding what another image's map marks

Each subtracts the same thing for a wrong image (a fixed derangement), so that maps which are constant, random or the
same centred blob for all images score 0. What an untrained D scores is no achievement of training either: it is
measured once, and a checkpoint must lie above it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from boxless.gan.data import Images
from boxless.gan.localizer import GanLocalizer
from boxless.runtime.run_folder import MetricsTable

FloatImages = Float[Tensor, "n 3 size size"]
Heatmaps = Float[Tensor, "n h w"]

IMAGES = 512
"""Training images that the criteria are measured on, at most, evenly taken."""
UNTRAINED = 3
"""Networks that were never trained, whose best score is the bar."""
MASKED = 0.5
"""Share of a map's range above which a place counts as marked when it is hidden."""
BURN_IN = 3
"""Checkpoints before the first that can be chosen."""
NEAR = 0.95
"""Share of its best stability that a checkpoint needs."""
PATIENCE = 10
"""Checkpoints without a new choice after which a run that stops by itself ends."""
CHUNK = 128


@dataclass(frozen=True, slots=True)
class CriteriaScores:
    """The criteria of one checkpoint."""

    step: int
    equivariance: float
    stability: float
    deletion: float
    similarity: float = 0.0
    """MS-SSIM of pairs of generated images: no criterion, but what the paper relates localization to."""


class CheckpointCriteria:
    """Scores checkpoints of one run on the same images, with the same derangement."""

    def __init__(self, images: Images, like: GanLocalizer, seed: int = 0) -> None:
        chosen = images[:: -(-len(images) // IMAGES)]
        self.images = chosen.permute(0, 3, 1, 2).float() / 255
        self.others = derangement(len(chosen), seed).to(images.device)
        self.before = torch.zeros(0, device=images.device)
        fresh = [GanLocalizer.untrained(like, images, seed + i) for i in range(UNTRAINED)]
        scores = [(self.equivariance(control), self.deletion(control)) for control in fresh]
        self.untrained = CriteriaScores(0, max(e for e, _ in scores), 0.0, max(d for _, d in scores))
        """The best of a few networks that were never trained; they differ much between seeds."""

    def score(self, localizer: GanLocalizer, step: int, similarity: float = 0.0) -> CriteriaScores:
        """The criteria of `localizer`; its stability is against the localizer scored before it, 0 for the first."""
        now = in_chunks(localizer.heatmap, self.images)
        stability = agreement(now, self.before, self.others) if len(self.before) else 0.0
        self.before = now
        found = (self.equivariance(localizer), stability, self.deletion(localizer), similarity)
        # Rounded to what criteria.csv holds, so that a resumed run chooses alike.
        return CriteriaScores(step, *(round(value, 6) for value in found))

    def equivariance(self, localizer: GanLocalizer) -> float:
        """How far the maps of `localizer` follow changes of the judge's images."""
        return equivariance(localizer.heatmap, self.images, self.others)

    def deletion(self, localizer: GanLocalizer) -> float:
        """How much more its own marked places matter to `localizer` than those of another image."""
        heat = in_chunks(localizer.heatmap, self.images)
        return deletion(localizer.forward, self.images, heat, self.others)


def derangement(count: int, seed: int = 0) -> Int[Tensor, "n"]:
    """A random permutation of 0..count-1 that leaves nothing in its place (one cycle)."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    others = torch.empty_like(order)
    others[order] = order.roll(1)
    return others


@torch.no_grad()
def in_chunks(function: Callable[[Tensor], Tensor], images: FloatImages) -> Tensor:
    """function(images) for any number of images, a batch at a time."""
    return torch.cat([function(part) for part in torch.split(images, CHUNK)])


def agreement(a: Heatmaps, b: Heatmaps, others: Int[Tensor, "n"]) -> float:
    """Mean correlation of the maps a[i] and b[i] less that of a[i] and b[others[i]], in -2..2.

    Between two runs it is the inter-run agreement, between two checkpoints of one run its temporal stability.
    """
    return float((correlation(a, b) - correlation(a, b[others])).mean())


def equivariance(heatmap: Callable[[FloatImages], Heatmaps], images: FloatImages, others: Int[Tensor, "n"]) -> float:
    """Mean over four changes T of the agreement of heatmap(T images) with T heatmap(images), in -2..2."""
    size = images.shape[-1]
    straight = _to_size(in_chunks(heatmap, images), size)
    gaps = []
    for change, moves in CHANGES:
        changed = _to_size(in_chunks(heatmap, change(images)), size)
        expected = change(straight[:, None])[:, 0] if moves else straight
        gaps.append(agreement(changed, expected, others))
    return sum(gaps) / len(gaps)


def deletion(
    logit: Callable[[FloatImages], Float[Tensor, "n"]], images: FloatImages, heat: Heatmaps, others: Int[Tensor, "n"]
) -> float:
    """How much further the logit falls when an image's own marked places are hidden than when another's are.

    As an effect size, the mean over images divided by its standard deviation. Hidden places take the image's mean
    colour; the same masks are used on both sides, so their area does not matter.
    """
    upright = _to_size(heat, images.shape[-1])
    low, high = upright.amin((1, 2), keepdim=True), upright.amax((1, 2), keepdim=True)
    marked = (upright > low + MASKED * (high - low))[:, None]
    mean = images.mean((2, 3), keepdim=True)
    own, foreign = (in_chunks(logit, torch.where(mask, mean, images)) for mask in (marked, marked[others]))
    further = (foreign - own).double()
    spread = further.std()
    return float(further.mean() / spread) if spread > 0 else 0.0


def correlation(a: Heatmaps, b: Heatmaps) -> Float[Tensor, "n"]:
    """Pearson correlation of each pair of maps; 0 where one is constant."""
    x, y = (maps.flatten(1) - maps.flatten(1).mean(1, keepdim=True) for maps in (a.double(), b.double()))
    scale = x.norm(dim=1) * y.norm(dim=1)
    return torch.where(scale > 1e-12, (x * y).sum(1) / scale.clamp(min=1e-12), 0.0)


def select_checkpoint(rows: Sequence[CriteriaScores], untrained: CriteriaScores) -> int:
    """The step that the criteria choose, as they would have chosen it while the run went on.

    A checkpoint becomes the choice when, of all so far, it has the best mean rank in equivariance and deletion (each
    the median of its last three values), stability within 5 % of its best, and equivariance above the untrained
    network's. Without any such checkpoint the last one is the choice.
    """
    chosen = None
    for count in range(min(BURN_IN, len(rows)), len(rows) + 1):
        follow, delete, stable = (
            _smooth([getattr(row, name) for row in rows[:count]]) for name in ("equivariance", "deletion", "stability")
        )
        ranks = [_rank(follow, i) + _rank(delete, i) for i in range(count)]
        steady = stable[-1] >= NEAR * max(stable)
        if steady and follow[-1] > untrained.equivariance and ranks[-1] == max(ranks):
            chosen = rows[count - 1].step
    return rows[-1].step if chosen is None else chosen


def _rank(values: list[float], index: int) -> int:
    return sum(value < values[index] for value in values)


def _smooth(values: list[float]) -> list[float]:
    windows = (sorted(values[max(0, i - 2) : i + 1]) for i in range(len(values)))
    return [window[len(window) // 2] for window in windows]


def _to_size(heat: Heatmaps, size: int) -> Float[Tensor, "n size size"]:
    return F.interpolate(heat[:, None].float(), size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def _mirror(images: Tensor) -> Tensor:
    return images.flip(-1)


def _zoom(images: Tensor) -> Tensor:
    size = images.shape[-1]
    edge = size // 10
    return F.interpolate(images[:, :, edge:-edge, edge:-edge], size=(size, size), mode="bilinear", align_corners=False)


def _shift(images: Tensor) -> Tensor:
    # Not a multiple of D's stride of 16: any network, trained or not, follows those.
    size = images.shape[-1]
    down, right = size * 5 // 64, size * 9 // 64
    padded = F.pad(images, (right, right, down, down), mode="reflect")
    return padded[:, :, :size, 2 * right :]


def _recolour(images: Tensor) -> Tensor:
    return 0.8 * images + 0.1


CHANGES: tuple[tuple[Callable[[Tensor], Tensor], bool], ...] = (
    (_mirror, True),
    (_zoom, True),
    (_shift, True),
    (_recolour, False),
)
"""Changes of an image, and whether they move its content."""


class Selection:
    """What has been measured of a run so far, and which of its checkpoints is the choice."""

    def __init__(self, path: Path, judge: CheckpointCriteria, step: int) -> None:
        self.judge = judge
        self.table = MetricsTable.resumed(path, [field.name for field in fields(CriteriaScores)], step)
        self.scores = [CriteriaScores(int(row.pop("step")), **row) for row in map(dict, self.table.rows)]

    def add(self, localizer: GanLocalizer, step: int, similarity: float) -> bool:
        """Measure the checkpoint of `step`, whose images have that MS-SSIM; whether it is now the choice."""
        self.scores.append(self.judge.score(localizer, step, similarity))
        self.table.append(asdict(self.scores[-1]))
        return self.chosen() == step

    def chosen(self) -> int:
        """The step that is the choice so far."""
        return select_checkpoint(self.scores, self.judge.untrained)

    def judged(self, step: int) -> bool:
        """Whether the checkpoint of `step` has been measured."""
        return bool(self.scores) and self.scores[-1].step == step

    def finished(self) -> bool:
        """Whether the choice has stood for so long that going on is not expected to change it."""
        return sum(scores.step > self.chosen() for scores in self.scores) >= PATIENCE if self.scores else False
