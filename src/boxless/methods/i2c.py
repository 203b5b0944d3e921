"""Inter-image communication: object pixels of one class are pulled together, in a batch and over the whole data set.

Zhang, Wei and Yang, "Inter-Image Communication for Weakly Supervised Localization", ECCV 2020. Of every image K seeds
are drawn where its class map, scaled to 0..1, is above delta; V (K, D) are the backbone's features there. Then

    L_sc = 1/K sum_k |v_i^k - v_j^k|^2           stochastic consistency, mean over all pairs of one class   (Eq. 1)
    a^y  = mean of the seeds of class y          in the batch, over all processes                           (Eq. 2)
    w^y <- (1 - eta) w^y + eta a^y               memory, eta = exp(-alpha t^y), t^y updates of class y so far (Eq. 3, 4)
    L_gc = mean over y of |a^y - w^y|^2          global consistency, over the classes of the batch          (Eq. 5)
    L    = L_cls + lambda_1 L_sc + lambda_2 L_gc                                                            (Eq. 6)

The paper and the code that its authors released differ; `fidelity` chooses. paper: squared distances, random seeds,
memory updated before it is compared, eta < 1 from the first update. code: plain distances, the first seeds in raster
order, memory updated after the comparison, eta = 1 at the first update. Where neither says anything, here: an image
with fewer than K places above delta repeats them; one whose map is constant has no seeds and takes no part.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone
from boxless.methods.cam import Cam, batch_accuracy
from boxless.methods.method import Heatmaps, Images, Labels
from boxless.runtime.distributed import all_gather, rank_slice_rand, world_and_rank
from boxless.runtime.errors import UsageError

SQUARED = 0.01
"""What the published factors are multiplied by for squared distances: they were found with the code's plain ones.

On the features of ImageNet networks the gradient of the squared constraint is about a hundred times that of the plain
one, which at lambda_1 = 0.008 is as large as the classification's.
"""


class I2cLosses(NamedTuple):
    """The loss that is minimised (Eq. 6) and its terms, the constraints before their factors."""

    total: Tensor
    classification: Tensor
    sc: Tensor
    gc: Tensor
    accuracy: Tensor


class SeedPlaces(NamedTuple):
    """The seeds of a batch: K vectors for each image, its class, and whether it has any."""

    vectors: Float[Tensor, "image k d"]
    labels: Int[Tensor, "image"]
    valid: Bool[Tensor, "image"]


class I2c(Cam):
    """I2C (Zhang et al. 2020): CAM whose object features must agree between images of one class.

    Options:
        head: conv is the paper's head, two 3x3 convolutions of 1024 channels before the classifier; linear is CAM's.
        seeds: K, places drawn in each image.
        delta: value of the class map, scaled to 0..1, above which a place is taken for object.
        layer: stage of the backbone whose features the seeds are, such as block15 of lite0; empty: the last one.
        sc_weight: lambda_1, factor of stochastic consistency; None is 0.008 for code and 0.00008 for paper.
        gc_weight: lambda_2, factor of global consistency; None is 0.001 for code and 0.00001 for paper.
        alpha: decay of the memory's rate with every update of a class.
        warm_up: epochs of plain classification before the constraints are switched on.
        fidelity: paper follows the equations, code what the authors' program computes.
        centres: average is the paper's memory; backprop learns the class centres by gradient, the paper's ablation.
    """

    images_per_class = 2
    centres: Tensor
    updates: Tensor

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        head: Literal["linear", "conv"] = "linear",
        seeds: int = 3,
        delta: float = 0.7,
        layer: str = "",
        sc_weight: float | None = None,
        gc_weight: float | None = None,
        alpha: float = 0.002,
        warm_up: int = 2,
        fidelity: Literal["paper", "code"] = "paper",
        centres: Literal["average", "backprop"] = "average",
    ) -> None:
        if not any(parameter.requires_grad for parameter in backbone.parameters()):
            raise UsageError("I2C changes the backbone's features, and all of them are frozen. Freeze fewer stages.")
        super().__init__(backbone, classes, head=head)
        self.seeds, self.delta, self.alpha, self.warm_up = seeds, delta, alpha, warm_up
        self.as_code = fidelity == "code"
        scale = 1.0 if self.as_code else SQUARED
        self.sc_weight = 0.008 * scale if sc_weight is None else sc_weight
        self.gc_weight = 0.001 * scale if gc_weight is None else gc_weight
        self.learnt_centres = centres == "backprop"
        names = [name for name, _ in backbone.stages()]
        if layer and layer not in names:
            raise UsageError(f"The backbone {backbone.name} has no stage {layer!r}. Its stages: {', '.join(names)}.")
        if layer and names.index(layer) < backbone.frozen:
            raise UsageError(f"layer is {layer}, and that stage is frozen: its features cannot change. Freeze less.")
        self.read = (layer or names[-1], names[-1])
        start = torch.randn(classes, backbone.channels_of(self.read[0]))
        if self.learnt_centres:
            self.centres = nn.Parameter(start)
        else:
            self.register_buffer("centres", start)
        self.register_buffer("updates", torch.zeros(classes))

    def loss(self, images: Images, labels: Labels) -> I2cLosses:  # type: ignore[override]
        """Eq. 6; cross entropy alone during the warm-up. Nothing in it waits for the device."""
        seen, features = self.backbone.intermediates(images, *self.read)
        hidden = self.neck(features)
        logits = self.classify(hidden)
        classification = F.cross_entropy(logits, labels)
        if self.epoch < self.warm_up:
            # Added to zero, the sum keeps learnt centres in the graph: several processes demand it of every parameter.
            sc = gc = classification.new_zeros(()) + 0.0 * self.centres.sum()
        else:
            found = gathered(self.find_seeds(seen, self.class_maps(hidden.detach(), labels), labels))
            sc, gc = stochastic_consistency(found, squared=not self.as_code), self.global_consistency(found)
        total = classification + self.sc_weight * sc + self.gc_weight * gc
        return I2cLosses(total, classification, sc, gc, batch_accuracy(logits, labels))

    def find_seeds(self, features: Float[Tensor, "batch d h w"], heat: Heatmaps, labels: Labels) -> SeedPlaces:
        """The features at K places of each image whose map, scaled to 0..1, is above delta (section 3.1)."""
        flat = heat.detach().flatten(1)
        low, high = flat.aminmax(dim=1, keepdim=True)
        valid = (high - low > 1e-12).squeeze(1)  # false for NaN too
        warm = (flat - low) > self.delta * (high - low)
        places = flat.shape[1]
        first = torch.arange(places, 0, -1.0, device=flat.device)
        lots = first if self.as_code else rank_slice_rand(*flat.shape, device=flat.device) + 1
        order = torch.where(warm, lots, 0.0).topk(min(self.seeds, places)).indices
        turns = torch.arange(self.seeds, device=flat.device) % warm.sum(1, keepdim=True).clamp(1, order.shape[1])
        chosen = order.gather(1, turns)
        rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # a view of channels_last features
        return SeedPlaces(rows.gather(1, chosen[..., None].expand(-1, -1, rows.shape[2])).float(), labels, valid)

    def global_consistency(self, found: SeedPlaces) -> Float[Tensor, ""]:
        """L_gc (Eq. 5) of the seeds, and the update of the memory (Eq. 3 and 4)."""
        mean, present = self.class_means(found)
        before = self.centres if self.learnt_centres else self.centres.clone()
        if not self.learnt_centres:
            self.remember(mean.detach(), present)
        centres = before if self.learnt_centres or self.as_code else self.centres.clone()
        apart = (mean - centres).square().sum(1) if not self.as_code else _length(mean - centres)
        return torch.where(present, apart, 0.0).sum() / present.sum().clamp(min=1)

    def class_means(self, found: SeedPlaces) -> tuple[Float[Tensor, "class d"], Bool[Tensor, "class"]]:
        """a^y (Eq. 2) for every class, and which classes the batch has seeds of."""
        weight = found.valid.float()
        sums = torch.zeros_like(self.centres).index_add(0, found.labels, found.vectors.mean(1) * weight[:, None])
        counts = torch.zeros_like(self.updates).index_add(0, found.labels, weight)
        return sums / counts.clamp(min=1)[:, None], counts > 0

    @torch.no_grad()
    def remember(self, mean: Float[Tensor, "class d"], present: Bool[Tensor, "class"]) -> None:
        """Move the centres of the classes of the batch (Eq. 3), each at the rate of its own counter (Eq. 4)."""
        steps = self.updates if self.as_code else self.updates + 1
        rate = (torch.exp(-self.alpha * steps) * present)[:, None]
        self.centres.lerp_(mean, rate)
        self.updates += present


def stochastic_consistency(found: SeedPlaces, *, squared: bool) -> Float[Tensor, ""]:
    """L_sc (Eq. 1): the mean distance of the k-th seeds, over k and over all pairs of images of one class."""
    vectors = found.vectors.transpose(0, 1)
    apart = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = (found.labels[:, None] == found.labels) & found.valid[:, None] & found.valid
    pairs = pairs.triu(diagonal=1)
    apart = torch.where(pairs, apart.square() if squared else apart, 0.0)
    return apart.sum() / (pairs.sum() * len(vectors)).clamp(min=1)


def gathered(found: SeedPlaces) -> SeedPlaces:
    """The seeds of all processes, in the same order in each; gradients flow to the own ones.

    Every process then computes the loss of the whole batch, but the gradient of its own part alone. The processes'
    gradients are averaged afterwards, so that each must count as many times as there are processes.
    """
    world, rank = world_and_rank()
    if world == 1:
        return found
    own = found.vectors * world - found.vectors.detach() * (world - 1)
    vectors, labels, valid = (all_gather(part.detach()) for part in found)
    vectors[rank] = own
    return SeedPlaces(torch.cat(vectors), torch.cat(labels), torch.cat(valid))


def _length(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    return (vectors.square().sum(1) + 1e-12).sqrt()  # finite slope where a class meets its centre
