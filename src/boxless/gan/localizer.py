"""Heat maps of a discriminator: where in an image D finds what it takes for real.

`cam` is the paper's reading, the last maps weighed by the last layer (Sec. 3.2, without its bias). `ddt` and `border`
read the descriptors of an inner layer instead: their projection on the first principal direction of the data set, and
their whitened distance from those along the image's own border. Each can be made finer than the layer's own grid.
`smoothgrad` asks where D's logit would change most if the image did.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from boxless.boxes import Readout
from boxless.errors import UsageError
from boxless.gan.networks import Discriminator, Layer
from boxless.gan.settings import Finer, Reading
from boxless.gan.smoothgrad import smoothgrad

READOUTS = {
    "cam": Readout(0.2, "fixed: a fifth of the map's range, as in the codes of the paper's first author", "minmax"),
    "ddt": Readout(0.3, "fixed: the reading's default, chosen once on training boxes of Tiny ImageNet birds", "minmax"),
    "border": Readout(
        0.4, "fixed: the reading's default, chosen once on training boxes of Tiny ImageNet birds", "minmax"
    ),
    "smoothgrad": Readout(0.45, "fixed: the reading's default, chosen once on boxes of Tiny ImageNet birds", "minmax"),
}
"""How maps of each reading become boxes."""

Images = UInt8[Tensor, "n size size 3"]
Heat = Float[Tensor, "batch h w"]


class GanLocalizer(nn.Module):
    """A discriminator and one way of reading it; takes images in 0..1 and brings them to D's range itself.

    Options:
        reading: What is read: `cam`, `ddt`, `border` or `smoothgrad`.
        sign: 1 for what makes an image real to D, -1 for what makes it fake; `cam` only.
        finer: How the grid is refined: `none`, `shift` (D runs on shifted images whose maps are interleaved) or
            `stride` (the layer that is read gets stride 1 instead of 2); not for `smoothgrad`.
        shifts: Shifted images per axis under `shift`, which multiply the side of the map.
        layer: Which of D's layers `ddt` and `border` read; -1 is the last.

    Raises UsageError for a layer that D does not have, and for a finer `smoothgrad`.
    """

    mean: Tensor
    direction: Tensor
    whitening: Tensor

    def __init__(
        self,
        discriminator: Discriminator,
        *,
        reading: Reading = "cam",
        sign: Literal[1, -1] = 1,
        finer: Finer = "none",
        shifts: int = 2,
        layer: int = -2,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "reading": reading,
            "sign": sign,
            "finer": finer,
            "shifts": shifts,
            "layer": layer,
        }
        self.discriminator = discriminator
        self.reading, self.sign, self.finer, self.shifts = reading, sign, finer, shifts
        layers = discriminator.convolutions()
        if not -len(layers) <= layer < len(layers):
            raise UsageError(
                f"There is no layer {layer} in a D of {len(layers)} layers. Expected 0 to {len(layers) - 1}."
            )
        if shifts < 1:
            raise UsageError(f"The shifts are {shifts}; expected at least 1.")
        if reading == "smoothgrad" and finer != "none":
            raise UsageError(
                f"finer is {finer!r}; the maps of smoothgrad have a place for every four pixels as they are. Leave it "
                "at none."
            )
        self.read_layers = layers if reading in ("cam", "smoothgrad") else layers[: range(len(layers))[layer] + 1]
        width = self.read_layers[-1].width
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("direction", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))
        self.eval()

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch"]:
        """Images in 0..1 -> D's logit (batch,)."""
        logit: Tensor = self.discriminator(2 * images - 1)
        return logit

    @torch.no_grad()
    def heatmap(self, images: Float[Tensor, "batch 3 height width"], labels: object = None) -> Heat:
        """Images in 0..1 -> raw maps (batch, h, w); 4x4 at 64 pixels for `cam`, finer as the options say; 16x16 for
        `smoothgrad`.

        `labels` is ignored: there is one category.
        """
        if self.reading == "smoothgrad":
            return smoothgrad(self.forward, images)
        images = 2 * images - 1
        if self.finer != "shift":
            return self._read(images)
        step = _stride(self.read_layers)
        offsets = [round((2 * k + 1) * step / (2 * self.shifts) - step / 2) for k in range(self.shifts)]
        height, width = images.shape[-2:]
        padded = nn.functional.pad(images, (step // 2,) * 4, mode="reflect")
        rows = []
        for dy in offsets:
            tops = slice(step // 2 + dy, step // 2 + dy + height)
            lefts = [slice(step // 2 + dx, step // 2 + dx + width) for dx in offsets]
            rows.append(torch.stack([self._read(padded[:, :, tops, left]) for left in lefts], dim=-1))
        shifted = torch.stack(rows, dim=-2)  # (batch, h, w, shift down, shift right)
        return shifted.permute(0, 1, 3, 2, 4).flatten(3, 4).flatten(1, 2)

    @torch.no_grad()
    def prepare(self, images: Images, limit: int = 2048) -> "GanLocalizer":
        """Fit what a reading needs to at most `limit` training images, evenly taken, without labels.

        Batch normalisation is re-estimated on them first: its running statistics mix real and generated images.
        """
        chosen = images[:: -(-len(images) // limit)]
        estimate_statistics(self.discriminator, chosen)
        if self.reading == "ddt":
            mean, direction = _principal_direction(self._describe(batch) for batch in chunks(chosen))
            self.mean.copy_(mean)
            self.direction.copy_(direction)
        elif self.reading == "border":
            self.whitening.copy_(_whitening(self._describe(batch) for batch in chunks(chosen)))
        return self

    @classmethod
    def untrained(cls, like: "GanLocalizer", images: Images, seed: int = 0) -> "GanLocalizer":
        """The control: the same reading of a discriminator that was never trained, fitted to the same images."""
        fresh = untrained_d(like.discriminator.options, seed)
        return cls(fresh, **like.options).to(images.device).prepare(images)

    def _read(self, images: Tensor) -> Heat:
        maps = self._describe(images)
        if self.reading == "cam":
            return self.sign * torch.einsum("bchw,c->bhw", maps, self.discriminator.linear.weight[0])
        if self.reading == "ddt":
            return torch.einsum("bchw,c->bhw", maps, self.direction) - self.mean @ self.direction
        away = _away_from_border(maps)
        return torch.einsum("bchw,cd->bdhw", away, self.whitening).square().sum(1).sqrt()

    def _describe(self, images: Tensor) -> Float[Tensor, "batch channel h w"]:
        for layer in self.read_layers[:-1]:
            images = layer(images)
        last = self.read_layers[-1]
        maps: Tensor = last.dense(images) if self.finer == "stride" else last(images)
        return maps.float()


def from_checkpoint(content: dict[str, Any]) -> GanLocalizer:
    """The localizer that a checkpoint of kind "gan" holds, ready to read heat maps."""
    options = content["options"]
    localizer = GanLocalizer(Discriminator(**options["discriminator"]), **options["reading"])
    localizer.load_state_dict(content["model"])
    return localizer


def untrained_d(options: dict[str, Any], seed: int) -> Discriminator:
    """A D with these options and the weights that `seed` gives it; draws elsewhere are left alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return Discriminator(**options)


@torch.no_grad()
def estimate_statistics(discriminator: Discriminator, images: Images) -> None:
    """Set the running statistics of D's batch normalisation to the average over batches of `images`; D ends in eval."""
    norms = [module for module in discriminator.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
    discriminator.train()
    for batch in chunks(images) if norms else ():
        discriminator.features(batch)
    discriminator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def chunks(images: Images, size: int = 128) -> Iterator[Float[Tensor, "_batch 3 size size"]]:
    """uint8 images (n, h, w, 3) -> batches of D's input (batch, 3, h, w) in -1..1."""
    for part in torch.split(images, size):
        yield part.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _principal_direction(
    maps: Iterable[Float[Tensor, "_batch c h w"]],
) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"]]:
    """Mean and first principal direction of all descriptors, pointing from the borders of images to their inside."""
    count, total, inwards, outer = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for part in maps:
        places = part.double().permute(1, 0, 2, 3).flatten(1)
        count += places.shape[1]
        total = total + places.sum(1)
        outer = outer + places @ places.t()
        inwards = inwards + _away_from_border(part).double().mean((0, 2, 3))
    mean = total / count
    direction = torch.linalg.eigh(outer / count - torch.outer(mean, mean)).eigenvectors[:, -1]
    if direction @ inwards < 0:
        direction = -direction
    return mean.float(), direction.float()


def _ring(maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c place"]:
    """The descriptors of the outermost places."""
    ring = torch.ones(maps.shape[-2:], dtype=torch.bool, device=maps.device)
    ring[1:-1, 1:-1] = False
    return maps[:, :, ring]


def _away_from_border(maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
    return maps - _ring(maps).mean(2)[:, :, None, None]


def _whitening(maps: Iterable[Float[Tensor, "_batch c h w"]]) -> Float[Tensor, "c c"]:
    """W with W Wᵀ the inverse covariance of border descriptors about their image's mean, ridged by a hundredth."""
    rings = [_ring(_away_from_border(part)).double() for part in maps]
    outer = torch.stack([torch.einsum("bcn,bdn->cd", ring, ring) for ring in rings]).sum(0)
    values, vectors = torch.linalg.eigh(outer / sum(ring.numel() // ring.shape[1] for ring in rings))
    whitening: Tensor = (vectors / (values + 0.01 * values.mean().clamp(min=1e-12)).sqrt()).float()
    return whitening


def _stride(layers: list[Layer]) -> int:
    step = 1
    for layer in layers:
        step *= layer.stride
    return step
