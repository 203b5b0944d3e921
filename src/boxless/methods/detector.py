"""A one-stage detector that learns from boxes another method found, and then, round by round, from its own.

FCOS (Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019) over a feature pyramid, without
classes; pyramid, head, coder and losses are torchvision's. Found boxes lack objects and hold wrong ones. In the first
round they are learnt as they are, under strong augmentation. Each further round is taught by the network as the round
before left it, on the same views: what is learnt are those of its boxes that a found one confirms, or that it is sure
of; where it is in doubt, and in found boxes that it does not see, nothing is right or wrong (as in Sohn et al., "A
Simple Semi-Supervised Learning Framework for Object Detection", 2020). No label and no true box is read.
"""

import copy
from collections import OrderedDict
from typing import Any, NamedTuple

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import (
    FeaturePyramidNetwork,
    box_convert,
    box_iou,
    generalized_box_iou_loss,
    sigmoid_focal_loss,
)

from boxless.backbones.backbone import Backbone
from boxless.boxes.from_heatmap import Readout
from boxless.boxes.suppression import suppressed
from boxless.data.box_views import seen, seen_boxes
from boxless.data.images import Picture
from boxless.data.training_batches import Draw
from boxless.methods.method import Heatmaps, Images, Labels, Logits, Method
from boxless.methods.psol import SIDE, level_map
from boxless.runtime.distributed import all_gather
from boxless.runtime.errors import UsageError

FINEST = 8
"""Pixels of the image per place of the finest map that is read."""
CANDIDATES, MOST = 400, 100
"""Boxes of an image before and after suppression."""
OBJECT, UNSHAPED = 1.0, 0.5
"""Weights of boxes: an object, and one whose sides are not learnt; with 0 a box is neither that nor background."""
FOLLOWS = 0.05
"""The part of a step's mean score that the usual one takes over."""
GROUPS = 32
"""Of channels, that the head of FCOS normalises together."""
OVERLAP = 0.5
"""The IoU from which on two boxes are of one object."""


class DetectorLosses(NamedTuple):
    """The loss that is minimised, and its parts for the log."""

    total: Tensor
    classification: Tensor
    boxes: Tensor
    centreness: Tensor
    objects: Tensor
    """Boxes learnt per image."""
    score: Tensor
    """Their mean score."""


class Places(NamedTuple):
    """What the head says of every place of all maps."""

    boxes: Float[Tensor, "batch place 4"]
    """x0 y0 x1 y1 in pixels of the network's image."""
    logits: Float[Tensor, "batch place"]
    centreness: Float[Tensor, "batch place"]
    anchors: Float[Tensor, "place 4"]
    """The square of each place."""
    longest: Float[Tensor, "place 2"]
    """From which to which distance of the farthest side an object is a place's own."""

    def scores(self) -> Float[Tensor, "batch place"]:
        """0..1: that there is an object, and that the place is its centre."""
        return (self.logits.sigmoid() * self.centreness.sigmoid()).sqrt()


class Reader(nn.Module):
    """Features of falling fineness -> places: pyramid and head."""

    def __init__(self, channels: list[int], width: int, convs: int) -> None:
        super().__init__()
        self.pyramid = FeaturePyramidNetwork(channels, width)
        self.head = FCOSHead(width, 1, 1, convs)
        sides = self.head.regression_head.bbox_reg
        sides.bias = nn.Parameter(torch.full((4,), 3.0))  # at 0, half of them would be dead units

    def forward(self, features: tuple[Tensor, ...], side: int) -> Places:
        """Features of square images of `side` pixels, finest first."""
        named = OrderedDict((str(level), one) for level, one in enumerate(features))
        levels = list(self.pyramid(named).values())
        outputs = self.head(levels)
        anchors, longest = _anchors([level.shape[-1] for level in levels], side, levels[0].device)
        with torch.autocast(levels[0].device.type, enabled=False):
            boxes = self.head.box_coder.decode(outputs["bbox_regression"].float(), anchors)
            return Places(
                boxes, outputs["cls_logits"][..., 0].float(), outputs["bbox_ctrness"][..., 0].float(), anchors, longest
            )


class Detector(Method):
    """A one-stage detector (FCOS, Tian et al. 2019) that learns found boxes, then its own: several boxes per image.

    Options:
        width: channels of the pyramid and the head.
        convs: convolutions before each output of the head.
        round: epochs of each round; from the second on, the network's own boxes are learnt.
        sure: score from which on a box that no found one confirms is learnt, in parts of the learnt boxes' mean score.
        doubt: the same, below which a box is background.
        keep: the same, below which a box is not given, unless it is the best of its image.
    """

    kind = "regressor"
    several = True
    fewest = 5
    readout = Readout(
        0.5, "fixed: the map is drawn from the boxes, and --keep of the training says which are given", "none"
    )
    taught: Tensor
    """The round that the teacher is of."""
    level: Tensor
    """The usual score of a learnt box, followed through the training: how high scores get differs from run to run."""

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 0,
        *,
        width: int = 64,
        convs: int = 2,
        round: int = 3,
        sure: float = 1.5,
        doubt: float = 0.5,
        keep: float = 0.8,
    ) -> None:
        super().__init__()
        if width < GROUPS or width % GROUPS:
            raise UsageError(f"width is {width}; expected a multiple of {GROUPS}, the groups of its normalisation.")
        if round < 1:
            raise UsageError(f"round is {round}; expected a number of epochs, 1 or more.")
        self.backbone = backbone
        self.round, self.sure, self.doubt, self.keep = round, sure, doubt, keep
        coarsest: dict[int, tuple[str, int]] = {}
        for info in backbone.feature_info:
            if info.reduction >= min(FINEST, backbone.stride):
                coarsest[info.reduction] = info.name, info.channels
        self.stages = tuple(name for name, _ in coarsest.values())
        self.reader = Reader([channels for _, channels in coarsest.values()], width, convs)
        self.teacher = copy.deepcopy(self.reader).requires_grad_(False)
        self.register_buffer("taught", torch.zeros((), dtype=torch.long))
        self.register_buffer("level", torch.zeros(()))

    @staticmethod
    def target(*sample: Any) -> Tensor | None:
        """The boxes of the view."""
        return seen_boxes(*sample)

    @staticmethod
    def cut(picture: Picture, size: int, draw: Draw) -> UInt8[np.ndarray, "size size 3"]:
        """A view of the image."""
        return seen(picture, size, draw)

    def forward(self, images: Images) -> Places:
        """Images 0..1 -> what the head says of every place."""
        places: Places = self.reader(self.backbone.intermediates(images, *self.stages), images.shape[-1])
        return places

    def loss(self, images: Images, boxes: Float[Tensor, "batch box 5"]) -> DetectorLosses:
        """The error against half-open `boxes`, x0 y0 x1 y1 in fractions of the image and a weight."""
        targets = boxes * boxes.new_tensor([images.shape[-1]] * 4 + [1])
        features = self.backbone.intermediates(images, *self.stages)
        if (turn := self.epoch // self.round) > 0:
            if int(self.taught) < turn:
                self.teacher.load_state_dict(self.reader.state_dict())
                self.taught.fill_(turn)
            with torch.no_grad():
                own = self.found(self.teacher(features, images.shape[-1]), self.doubt * float(self.level))
            sure = self.sure * float(self.level)
            both = _padded([merged(*pair, sure) for pair in zip(own, targets, strict=True)])
            if bool((both[..., 4] == OBJECT).any()):  # else the teacher sees nothing, and would have nothing learnt
                targets = both
        terms = losses(self.reader(features, images.shape[-1]), targets)
        scores, count = torch.stack(all_gather(torch.stack([terms.score * terms.objects, terms.objects]))).sum(0)
        step = torch.where(self.level > 0, FOLLOWS, 1.0) * (count > 0)
        self.level += step * (scores / count.clamp(min=1e-6) - self.level)
        return terms

    def found(self, places: Places, least: float) -> list[Float[Tensor, "box 5"]]:
        """The boxes of each image in pixels with their scores, the best first, of one object one."""
        side = float(places.anchors.max())
        kept = []
        for boxes, scores in zip(places.boxes.clamp(0, side), places.scores(), strict=True):
            top, best = scores.topk(min(CANDIDATES, len(scores)))
            both = torch.cat([boxes[best], top[:, None]], 1)
            both = both[(top >= least) & (both[:, 2:4] - both[:, :2] >= 1).all(1)]
            numbers = both.cpu().numpy()
            best = torch.from_numpy(suppressed(numbers[:, :4], numbers[:, 4], OVERLAP)[:MOST])
            kept.append(both[best.to(both.device)])
        return kept

    @torch.no_grad()
    def detect(self, images: Images) -> list[Float[Tensor, "box 5"]]:
        """Images 0..1 -> boxes in fractions of each image with their scores, the best first."""
        scale = 1 / torch.tensor([images.shape[-1]] * 4 + [1], device=images.device)
        found = self.found(self(images), 0.0)
        least = self.keep * self.level
        return [one[: max(1, int((one[:, 4] >= least).sum()))] * scale for one in found]

    @torch.no_grad()
    def heatmap_and_logits(self, images: Images, labels: Labels | None = None) -> tuple[Heatmaps, Logits]:
        """The maps of the best boxes, whatever the labels, and the logits of no classes."""
        return self.drawn(self.detect(images)), images.new_zeros(len(images), 0)

    @staticmethod
    def drawn(found: list[Float[Tensor, "_box 5"]]) -> Heatmaps:
        """Boxes as `detect` gives them -> maps: above 0.5 inside the best box alone, below for the others' scores."""
        maps = []
        for boxes in found:
            levels = level_map(box_convert(boxes[:, :4], "xyxy", "cxcywh"))
            levels[1:] *= boxes[1:, 4, None, None] / 2
            maps.append(levels.amax(0) if len(boxes) else boxes.new_zeros(SIDE, SIDE))
        return torch.stack(maps)


def _anchors(sides: list[int], side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The square of every place of maps of `sides` places, and the distances that are its own (FCOS, section 3.2)."""
    squares, ranges = [], []
    for level, count in enumerate(sides):
        stride = side / count
        low = torch.arange(count, device=device) * stride
        corner = torch.stack([low.repeat(count), low.repeat_interleave(count)], 1)
        squares.append(torch.cat([corner, corner + stride], 1))
        span = [4 * stride if level else 0.0, 8 * stride if level + 1 < len(sides) else float("inf")]
        ranges.append(torch.tensor([span], device=device).expand(count**2, 2))
    return torch.cat(squares), torch.cat(ranges)


def losses(places: Places, targets: Float[Tensor, "batch box 5"]) -> DetectorLosses:
    """FCOS's loss against boxes in pixels with weights, by the number of places that learn an object."""
    owner, owned = _owners(places, targets)
    boxes = targets[..., :4].gather(1, owner[..., None].expand(-1, -1, 4))
    weight = targets[..., 4].gather(1, owner)
    right, shaped = owned & (weight > 0), owned & (weight == OBJECT)
    count = torch.stack(all_gather(right.sum())).float().mean().clamp(min=1)  # the same in every process
    focal = sigmoid_focal_loss(places.logits, right.float())
    wanted = boxes[shaped]
    overlap = generalized_box_iou_loss(places.boxes[shaped], wanted)
    centres = _centreness(places.anchors.expand_as(boxes)[shaped], wanted)
    central = F.binary_cross_entropy_with_logits(places.centreness[shaped], centres, reduction="none")
    terms = tuple(term.sum() / count for term in (focal[right | ~owned], overlap, central))
    best = torch.zeros_like(targets[..., 4]).scatter_reduce(1, owner, places.scores().detach() * shaped, "amax")
    learnt = best > 0
    objects = learnt.sum() / len(targets)
    score = best.sum() / learnt.sum().clamp(min=1)
    classification, sides, centreness = (term.detach() for term in terms)
    return DetectorLosses(torch.stack(terms).sum(), classification, sides, centreness, objects, score)


def _centreness(anchors: Float[Tensor, "place 4"], boxes: Float[Tensor, "place 4"]) -> Float[Tensor, "place"]:
    """How central each place is in its box (FCOS, equation 3)."""
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = (centre - boxes[:, :2]).clamp(min=0), (boxes[:, 2:] - centre).clamp(min=0)
    return (torch.minimum(before, after) / torch.maximum(before, after).clamp(min=1e-6)).prod(1).sqrt()


def _owners(places: Places, targets: Float[Tensor, "batch box 5"]) -> tuple[Tensor, Tensor]:
    """The target that each place learns, the smallest in whose middle half it lies, and whether there is one."""
    boxes = targets[:, None, :, :4]
    centre, stride = (places.anchors[:, :2] + places.anchors[:, 2:]) / 2, places.anchors[:, 2:] - places.anchors[:, :2]
    sides = boxes[..., 2:] - boxes[..., :2]
    off = (centre[:, None] - (boxes[..., :2] + boxes[..., 2:]) / 2).abs()
    middle = (off < torch.maximum(sides / 4, 0.75 * stride[:, None])).all(-1)  # of the smallest box, one place too
    farthest = (off + sides / 2).amax(-1)
    own = (farthest >= places.longest[:, None, 0]) & (farthest < places.longest[:, None, 1])
    fits = middle & own & (sides > 0).all(-1)
    area, owner = sides.prod(-1).expand_as(fits).masked_fill(~fits, float("inf")).min(-1)
    return owner, area.isfinite()


def merged(own: Float[Tensor, "own 5"], found: Float[Tensor, "found 5"], sure: float) -> Float[Tensor, "box 5"]:
    """A network's boxes with scores, and found ones with weights -> what is learnt in their place, with weights.

    A found box that an own one overlaps confirms it and is learnt. Own boxes that are `sure` without are objects whose
    sides teach nothing, lest boxes drift. All others, own and found, are neither object nor background.
    """
    found = found[(found[:, 2:4] > found[:, :2]).all(1)]
    found = torch.cat([found, found.new_zeros(1, 5)])  # so that there is one
    overlap = box_iou(own[:, :4], found[:, :4])
    most, which = overlap.max(1)
    confirmed = (most >= OVERLAP) & (found[which, 4] > 0)
    boxes = torch.where(confirmed[:, None], found[which, :4], own[:, :4])
    weights = torch.where(confirmed, OBJECT, UNSHAPED * (own[:, 4] >= sure))
    unseen = found[:-1][(overlap < OVERLAP).all(0)[:-1], :4]
    return torch.cat([torch.cat([boxes, weights[:, None]], 1), F.pad(unseen, (0, 1))])


def _padded(boxes: list[Float[Tensor, "_box 5"]]) -> Float[Tensor, "batch box 5"]:
    most = max(1, *(len(one) for one in boxes))
    return torch.stack([F.pad(one, (0, 0, 0, most - len(one))) for one in boxes])
