"""DANet: coarser questions at earlier layers, and several maps for each answer that must not look alike.

Xue, Liu, Wan, Jiao, Ji and Ye, "DANet: Divergent Activation for Weakly Supervised Object Localization", ICCV 2019.
Three heads classify: the last features the classes (child), earlier ones their families (parent), still earlier ones
the families' orders (root). What birds have in common is spread wider than what tells one species (hierarchical
divergent activation). Each head gives every group K maps, whose mean over maps and places is the score. Among the 3 K
maps of an image's own class, family and order half are drawn at random, and their likeness is

    L_d   = |mean over pairs k < l of cos(M_k, M_l)|, mean over images       (discrepant divergent activation)
    L     = 0.5 (L_child + L_parent + L_root) + alpha L_d                    alpha = 0.01, K = 8, for InceptionV3 4
    map   = sum over the three heads of mean_k relu(M_k)                     of the class, its family and its order

Heads: two 3x3 convolutions and K 1x1 ones for each group. Constants are those of the released program, which has
37 families and 11 orders for CUB-200-2011; here they come from the option `hierarchy` (class_hierarchy.py).

Published, Top-1 / Top-5 / GT-known localization accuracy on CUB-200-2011: VGG16 52.52 / 61.96 / 67.70, InceptionV3
49.45 / 60.46 / 67.03; ILSVRC 47.53 / 58.28 (the first two of errors 52.47 / 41.72 in I2C's Table 1).

Here all maps are brought to the grid of the last features (the program enlarges to the finest), and the family and
order are those of the class that the map is of (the program takes what each head predicts). The score of a group is
computed as one linear layer of the mean features, which is the same and spares the maps of all other groups.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone
from boxless.boxes.from_heatmap import Readout
from boxless.methods.cam import batch_accuracy
from boxless.methods.class_hierarchy import parsed, resolved
from boxless.methods.method import Features, Heatmaps, Images, Labels, Logits, Method
from boxless.runtime.errors import UsageError


class Tap(NamedTuple):
    """The stage that a head reads, and the channels of the head's own two convolutions."""

    stage: str
    width: int


_RESNET = (Tap("layer2.3", 512), Tap("layer3.5", 1024))
TAPS = {
    "vgg16": (Tap("pool3", 512), Tap("pool4", 1024)),
    "inception_v3": (Tap("pool2", 256), Tap("Mixed_5d", 384)),
    "googlenet": (Tap("maxpool2", 256), Tap("inception3b", 384)),
    "resnet50": _RESNET,
    "resnet50_se": _RESNET,
    "lite0": (Tap("block4", 128), Tap("block10", 256)),
    "tiny": (Tap("conv1", 16), Tap("conv2", 32)),
}
"""The taps of root and parent. VGG16 and InceptionV3: the authors'. GoogLeNet, ours: where InceptionV3's are; the rest,
ours: the last stages of two strides."""


class DanetLosses(NamedTuple):
    """The loss that is minimised, and its terms before their factors."""

    total: Tensor
    child: Tensor
    parent: Tensor
    root: Tensor
    divergence: Tensor
    accuracy: Tensor


class LevelHead(nn.Module):
    """The classifier of one level: features -> scores of its groups, and the K maps of one group of each image."""

    def __init__(self, channels: int, width: int | None, groups: int, maps: int) -> None:
        super().__init__()
        self.groups, self.maps = groups, maps
        self.neck = nn.Identity() if width is None else _two_convolutions(channels, width)
        self.fc = nn.Linear(width or channels, groups * maps)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def score(self, hidden: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch group"]:
        """The mean of each group's K maps over maps and places."""
        scores: Tensor = self.fc(hidden.mean((2, 3)))
        return scores.view(-1, self.groups, self.maps).mean(2)

    def compute_heatmaps(self, hidden: Float[Tensor, "batch c h w"], groups: Labels) -> Features:
        """The K maps of one group of each image; the bias belongs to them, because they are rectified one by one."""
        weight = self.fc.weight.view(self.groups, self.maps, -1)[groups]
        bias = self.fc.bias.view(self.groups, self.maps)[groups]
        with torch.autocast(hidden.device.type, enabled=False):  # einsum would round what float() had widened
            maps: Tensor = torch.einsum("bchw,bkc->bkhw", hidden.float(), weight)
        return maps + bias[:, :, None, None]


class Danet(Method):
    """DANet (Xue et al. 2019): classes, families and orders at three depths, with several maps that must differ.

    Options:
        head: of the classes; conv is the paper's, two 3x3 convolutions of 1024 channels; linear has none.
        maps: K, maps for each class, family and order; None is 8, for inception_v3 4.
        alpha: factor of the likeness of the maps.
        hierarchy: derived takes the last word of a class's name for its family, none has no families; or the path of a
            csv with the columns class, parent and (for orders) root.
    """

    readout = Readout(0.2, "fixed: CAM's 20 %, among the authors' 5 to 30 % of the range")
    parents: Tensor
    roots: Tensor

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        head: Literal["linear", "conv"] = "linear",
        maps: int | None = None,
        alpha: float = 0.01,
        hierarchy: str = "derived",
    ) -> None:
        if backbone.name not in TAPS:
            raise UsageError(f"danet has no places for its heads in {backbone.name}. Choose from: {', '.join(TAPS)}.")
        count = (4 if backbone.name == "inception_v3" else 8) if maps is None else maps
        if count < 2:
            raise UsageError(f"maps is {count}; expected 2 or more, so that there are maps to differ.")
        super().__init__()
        self.backbone, self.alpha = backbone, alpha
        groups = parsed(hierarchy, classes)
        root, parent = TAPS[backbone.name]
        self.read = (root.stage, parent.stage, backbone.feature_info[-1].name)
        self.root = LevelHead(backbone.channels_of(root.stage), root.width, max(groups.roots) + 1, count)
        self.parent = LevelHead(backbone.channels_of(parent.stage), parent.width, max(groups.parents) + 1, count)
        self.child = LevelHead(backbone.channels, 1024 if head == "conv" else None, classes, count)
        self.register_buffer("roots", torch.tensor(groups.roots), persistent=False)
        self.register_buffer("parents", torch.tensor(groups.parents), persistent=False)

    @classmethod
    def resolve(cls, options: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
        """The options with the hierarchy of these classes in numbers; raises BoxlessError where it fits them not."""
        return {**options, "hierarchy": resolved(options["hierarchy"], classes)}

    def forward(self, images: Images) -> Logits:
        """Images 0..1 -> logits of the classes; families and orders are not computed."""
        return self.child.score(self.child.neck(self.backbone(images)))

    def loss(self, images: Images, labels: Labels) -> DanetLosses:
        """Half of the three cross entropies, and alpha times the likeness of half of the maps."""
        hidden = self.hidden(images)
        root, parent, child = (head.score(level) for head, level in zip(self.heads, hidden, strict=True))
        likeness = divergence(torch.cat(self.level_maps(hidden, labels), dim=1))
        loss_child = F.cross_entropy(child, labels)
        loss_parent = F.cross_entropy(parent, self.parents[labels])
        loss_root = F.cross_entropy(root, self.roots[labels])
        total = 0.5 * (loss_child + loss_parent + loss_root) + self.alpha * likeness
        return DanetLosses(total, loss_child, loss_parent, loss_root, likeness, batch_accuracy(child, labels))

    @torch.no_grad()
    def heatmap_and_logits(self, images: Images, labels: Labels | None = None) -> tuple[Heatmaps, Logits]:
        """The maps of each label's class (without labels: of the best one), family and order, added up; one pass."""
        hidden = self.hidden(images)
        logits = self.child.score(hidden[2])
        chosen = logits.argmax(1) if labels is None else labels
        return torch.stack([maps.relu().mean(1) for maps in self.level_maps(hidden, chosen)]).sum(0), logits

    @property
    def heads(self) -> tuple[LevelHead, LevelHead, LevelHead]:
        """Root, parent and child, in the order in which the backbone comes to them."""
        return self.root, self.parent, self.child

    def hidden(self, images: Images) -> list[Tensor]:
        """What each head classifies, (batch, c, h, w) each; one pass through the backbone."""
        features = self.backbone.intermediates(images, *self.read)
        return [head.neck(level) for head, level in zip(self.heads, features, strict=True)]

    def level_maps(self, hidden: list[Tensor], labels: Labels) -> list[Features]:
        """The K maps of each label's order, family and class, all on the grid of the last features."""
        height, width = hidden[2].shape[2:]
        groups = (self.roots[labels], self.parents[labels], labels)
        return [
            F.adaptive_avg_pool2d(head.compute_heatmaps(level, group), (height, width))
            for head, level, group in zip(self.heads, hidden, groups, strict=True)
        ]


def divergence(maps: Float[Tensor, "batch map h w"]) -> Float[Tensor, ""]:
    """L_d: the mean cosine of all pairs of half of the maps, drawn for the whole batch; 1 is alike, 0 apart."""
    count = maps.shape[1] // 2
    # Every process draws the same: torch's generators are in the same state before each step.
    drawn = torch.randperm(maps.shape[1], device=maps.device)[:count]
    directions = F.normalize(maps[:, drawn].flatten(2), dim=2)
    cosines = torch.einsum("bkp,blp->bkl", directions, directions).triu(diagonal=1)
    return (cosines.sum((1, 2)).abs() / (count * (count - 1) / 2)).mean()


def _two_convolutions(inputs: int, width: int) -> nn.Sequential:
    first, second = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
