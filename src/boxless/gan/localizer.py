"""Heat maps of a discriminator: where in an image D finds what it takes for real.

`cam` is the paper's reading, the last maps weighed by the last layer (Sec. 3.2, without its bias). `ddt` and `border`
read the descriptors of an inner layer instead: their projection on the first principal direction of the data set, and
their whitened distance from those along the image's own border. Each can be made finer than the layer's own grid.
`smoothgrad` asks where D's logit would change most if the image did. `position` has a small head learn from the images
which windows lie in their middle, with D's frozen features to tell.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boxless.boxes.from_heatmap import Readout
from boxless.discovery.descriptors import Moments, away_from_border, whitening_of
from boxless.gan.attribution import smoothgrad
from boxless.gan.data import Images, chunks
from boxless.gan.networks import Discriminator, Layer
from boxless.gan.position_head import LEAST, PositionHead, Windows, middle, trained_head
from boxless.gan.settings import Finer, Reading
from boxless.runtime.errors import UsageError

READOUTS = {
    "cam": Readout(0.2, "fixed: a fifth of the map's range, as in the codes of the paper's first author", "minmax"),
    "ddt": Readout(0.3, "fixed: the reading's default, chosen once on training boxes of Tiny ImageNet birds", "minmax"),
    "border": Readout(
        0.4, "fixed: the reading's default, chosen once on training boxes of Tiny ImageNet birds", "minmax"
    ),
    "smoothgrad": Readout(0.45, "fixed: the reading's default, chosen once on boxes of Tiny ImageNet birds", "minmax"),
    "position": Readout(
        0.32, "fixed: the reading's default, chosen once on training boxes of Tiny ImageNet birds", "minmax"
    ),
}
"""How maps of each reading become boxes."""
Heatmaps = Float[Tensor, "batch h w"]


class GanLocalizer(nn.Module):
    """A discriminator and one way of reading it; takes images in 0..1 and brings them to D's range itself.

    Options:
        reading: What is read: `cam`, `ddt`, `border`, `smoothgrad` or `position`.
        sign: 1 for what makes an image real to D, -1 for what makes it fake; `cam` only.
        finer: How the grid is refined: `none`, `shift` (D runs on shifted images whose maps are interleaved) or
            `stride` (the layer that is read gets stride 1 instead of 2); not for `smoothgrad`.
        shifts: Shifted images per axis under `shift`, which multiply the side of the map.
        layer: Which of D's layers `ddt`, `border` and `position` read; -1 is the last.

    Raises UsageError for a layer that D does not have, for one whose windows are too large to ask for their `position`,
    and for a finer `smoothgrad`.
    """

    needs_images = True
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
        if reading == "position":
            self.windows = Windows.of(self.read_layers, dense=finer == "stride")
            self.head = PositionHead(width)
            size = discriminator.options["size"]
            if self.windows.inside(size) < LEAST:
                raise UsageError(
                    f"Layer {layer} sees windows of {self.windows.side} pixels, of which too few lie inside {size} "
                    "pixels to ask which are in the middle. Choose an earlier --layer, or --finer stride."
                )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("direction", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))
        self.eval()

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch"]:
        """Images in 0..1 -> D's logit (batch,)."""
        logit: Tensor = self.discriminator(2 * images - 1)
        return logit

    @torch.no_grad()
    def heatmap(self, images: Float[Tensor, "batch 3 height width"], labels: object = None) -> Heatmaps:
        """Images in 0..1 -> raw maps (batch, h, w); 4x4 at 64 pixels for `cam`, finer as the options say; 16x16 for
        `smoothgrad`.

        `labels` is ignored: there is one category.
        """
        if self.reading == "smoothgrad":
            return smoothgrad(self.forward, images)
        heat = self._shifted(2 * images - 1) if self.finer == "shift" else self._read(2 * images - 1)
        return middle(heat) if self.reading == "position" else heat

    def _shifted(self, images: Tensor) -> Heatmaps:
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

    def heatmap_and_logits(
        self, images: Float[Tensor, "batch 3 height width"], labels: object = None
    ) -> tuple[Heatmaps, Float[Tensor, "batch 0"]]:
        """The maps, and the logits of no class: D tells none apart."""
        return self.heatmap(images), images.new_zeros(len(images), 0)

    @torch.no_grad()
    def prepare(self, images: Images, limit: int = 2048) -> "GanLocalizer":
        """Fit what a reading needs to at most `limit` training images, evenly taken, without labels.

        Batch normalisation is re-estimated on them first: its running statistics mix real and generated images.
        """
        chosen = images[:: -(-len(images) // limit)]
        estimate_statistics(self.discriminator, chosen)
        if self.reading == "ddt":
            moments = Moments()
            for batch in chunks(chosen):
                moments.add(self._describe(batch))
            mean, direction = moments.principal_direction()
            self.mean.copy_(mean)
            self.direction.copy_(direction)
        elif self.reading == "border":
            self.whitening.copy_(whitening_of(self._describe(batch) for batch in chunks(chosen)))
        elif self.reading == "position":
            width = self.read_layers[-1].width
            self.head = trained_head(lambda batch: self._inside(2 * batch - 1), width, chosen, chosen.device)
        return self

    @classmethod
    def untrained(cls, like: "GanLocalizer", images: Images, seed: int = 0) -> "GanLocalizer":
        """The control: the same reading of a discriminator that was never trained, fitted to the same images."""
        fresh = untrained_d(like.discriminator.options, seed)
        return cls(fresh, **like.options).to(images.device).prepare(images)

    def _read(self, images: Tensor) -> Heatmaps:
        if self.reading == "position":
            logits: Tensor = self.head(self._inside(self.windows.padded(images)))
            return logits
        maps = self._describe(images)
        with torch.autocast(maps.device.type, enabled=False):  # products would round what float() had widened
            if self.reading == "cam":
                return self.sign * torch.einsum("bchw,c->bhw", maps, self.discriminator.linear.weight[0])
            if self.reading == "ddt":
                return torch.einsum("bchw,c->bhw", maps, self.direction) - self.mean @ self.direction
            away = away_from_border(maps)
            return torch.einsum("bchw,cd->bdhw", away, self.whitening).square().sum(1).sqrt()

    def _describe(self, images: Tensor) -> Float[Tensor, "batch channel h w"]:
        for layer in self.read_layers[:-1]:
            images = layer(images)
        last = self.read_layers[-1]
        maps: Tensor = last.dense(images) if self.finer == "stride" else last(images)
        return maps.float()

    def _inside(self, images: Tensor) -> Float[Tensor, "batch channel h w"]:
        for layer in self.read_layers[:-1]:
            images = layer.inside(images)
        return self.read_layers[-1].inside(images, 1 if self.finer == "stride" else None).float()


def from_description(content: dict[str, Any]) -> GanLocalizer:
    """The localizer that a checkpoint of kind "gan" describes, with random weights."""
    options = content["options"]
    return GanLocalizer(Discriminator(**options["discriminator"]), **options["reading"])


def untrained_d(options: dict[str, Any], seed: int) -> Discriminator:
    """A D with these options and the weights that `seed` gives it; draws elsewhere are left alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return Discriminator(**options)


@torch.no_grad()
def estimate_statistics(discriminator: Discriminator, images: Images) -> None:
    """Set the running statistics of D's batch normalisation to the average over `images`; D ends in eval."""
    norms = [module for module in discriminator.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    discriminator.train()
    seen = 0
    for batch in chunks(images) if norms else ():
        seen += len(batch)
        for norm in norms:
            norm.momentum = len(batch) / seen  # the average over images so far: the last batch may be a small one
        discriminator.features(batch)
    discriminator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _stride(layers: list[Layer]) -> int:
    step = 1
    for layer in layers:
        step *= layer.stride
    return step
