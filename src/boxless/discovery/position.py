"""Position as a free label: a network that sees single patches learns which of them come from the middle of images.

Photographers put the thing in the middle. So "was this patch cut from near the centre or from near the border of its
image?" is a label that costs nothing, and a network that sees one patch and never its place can only answer it by
knowing what the objects of this folder look like, and what their surroundings do. Its answer at every place, times the
root of border contrast (contrast.py), which asks the one image at hand how this place differs from this border, is a
first map. A second network, which sees whole images, learns from the boxes of the first maps (self_training.py). The
heat map is the sum of its answer and the first map, each over its range, and its two sides, as Otsu's threshold parts
them in each image, lie below and above 0.5. All is learnt from the images that are to be searched, for minutes on a
processor, with no label, no box and no other network.

It must not see its place, so all that could tell it is kept out: there is no padding in the network, it learns from
windows wholly inside the images, and both sides of the question weigh the same. Where images are framed alike, as
X-rays are, what a patch shows tells its place even so, and the question is trivial: a warning says so.

Ours; the nearest kin are context prediction (Doersch, Gupta and Efros, ICCV 2015) and the centre bias of photographs
(Tatler, Journal of Vision 2007).
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.boxes.from_heatmap import Readout, normalise
from boxless.boxes.otsu import otsu
from boxless.data.transforms import to_images
from boxless.discovery import Discoverer
from boxless.discovery.centre_or_border import SHARPER, learn_position
from boxless.discovery.contrast import Contrast
from boxless.discovery.discriminant import CUT, with_cut_at_half
from boxless.discovery.pictures import EvenSample, Pictures, settle_statistics
from boxless.discovery.position_settings import STEPS, PositionTraining
from boxless.discovery.self_training import Student, filled_boxes, train_student
from boxless.runtime import checkpoint
from boxless.runtime.devices import bf16_is_fast, device_named
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import folder_lock
from boxless.runtime.run_folder import remove_run

log = logging.getLogger("boxless")

FIELD = 14
"""Side in pixels of the patch that the network sees at once."""
LEAST = 30
"""Images that are learnt from at least."""
ALIKE = 0.6
"""Share of the answers that the place alone may explain; above it images are framed alike."""
FIRST = Readout(0.25, "fixed: chosen on training boxes of Tiny ImageNet's artiodactyla, birds and bottles", "minmax")
"""How first maps become the boxes that the second network learns from."""


class PatchNetwork(nn.Module):
    """Whether a patch comes from the middle: convolutions without padding, one answer for every second pixel."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.contrast = Contrast()
        self.layers = nn.Sequential(
            *_layer(3, width // 2, 3),
            *_layer(width // 2, width, 4, stride=2),  # an even field is centred between the two pixels of a place
            *_layer(width, width, 3),
            *_layer(width, width, 3),
            *_layer(width, width, 1),
            nn.Dropout(0.3),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> the logit of every window that lies wholly inside."""
        logits: Tensor = self.layers(2 * images - 1)[:, 0]
        return logits

    @torch.no_grad()
    def heatmap(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> what the patches say times the root of border contrast, a place every 2 pixels.

        All zeros in an image of one colour, as in border contrast.
        """
        logits = self(F.pad(images, (FIELD // 2 - 1,) * 4, mode="replicate")).float()
        contrast = self.contrast.to(images.device)
        differs = contrast.heatmap(contrast.descriptors(images))[:, None]
        differs = F.interpolate(differs, logits.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        heat: Tensor = (SHARPER * logits).sigmoid() * differs.sqrt()
        return heat


def _layer(inputs: int, outputs: int, side: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, side, stride, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def train_patches(
    pictures: Pictures, *, steps: int, batch_size: int = 32, seed: int = 0, device: torch.device
) -> PatchNetwork:
    """A network of patches that has learnt to tell centre from border, in eval mode."""
    return learn_position(PatchNetwork, pictures, steps=steps, batch_size=batch_size, seed=seed, device=device)


class PositionNetwork(nn.Module):
    """The network of patches, and the one of whole images that has learnt from its boxes."""

    def __init__(self, *, both: bool = True) -> None:
        super().__init__()
        self.patches, self.student, self.both = PatchNetwork(), Student(), both

    needs_images = True
    """The control without training is prepared on images."""

    def heatmap(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> maps from 0 to 1 in two sides about 0.5, a place every 2 pixels.

        Without `both` the student's alone: the probability of being inside an object's box.
        """
        answers = self.student.heatmap(images)
        if not self.both:
            return answers
        pairs = zip(answers.cpu().numpy(), self.patches.heatmap(images).cpu().numpy(), strict=True)
        sums = [normalise(answer) + normalise(first) for answer, first in pairs]
        return torch.from_numpy(np.stack([with_cut_at_half(heat, otsu(heat)) for heat in sums])).to(images.device)

    def heatmap_and_logits(
        self, images: Float[Tensor, "batch 3 height width"], labels: object = None
    ) -> tuple[Float[Tensor, "batch h w"], Float[Tensor, "batch 0"]]:
        """The maps, and the logits of no class: it knows one category."""
        return self.heatmap(images), images.new_zeros(len(images), 0)

    def prepare(self, pictures: Pictures) -> "PositionNetwork":
        """Set the statistics of normalisation to those of pictures, as they were when the network was trained."""
        settle_statistics(self.patches, pictures)
        settle_statistics(self.student, pictures)
        return self


def from_description(content: Mapping[str, Any]) -> PositionNetwork:
    """The networks that a checkpoint of kind "position" describes, with random weights."""
    return PositionNetwork(both=bool(content["options"].get("both", False)))  # earlier versions had one map


def train_both(pictures: Pictures, *, steps: int, seed: int = 0, device: torch.device) -> PositionNetwork:
    """Both networks, one after the other; without steps their weights stay random.

    Raises BoxlessError for pictures that have nothing to learn from.
    """
    check_pictures(pictures)
    network = PositionNetwork().to(device)
    network.patches = train_patches(pictures, steps=steps, seed=seed, device=device)
    if steps:
        warn_if_framed_alike(network.patches, pictures)
    parts = torch.split(pictures, 64)
    heats = [heat for part in parts for heat in network.patches.heatmap(to_images(part, device)).cpu().numpy()]
    targets = filled_boxes(heats, pictures.shape[1], FIRST)
    network.student = train_student(pictures, targets, steps=steps * 5 // 6, seed=seed, device=device)
    return network.eval()


class Position(Discoverer):
    """Centre or border, asked of every patch by a network that the category's own images have taught."""

    size = 64
    """Side of the square that every image is resized to, in pixels."""
    stride = 2
    """Pixels of that square per place of the map."""
    trains = reads_parts = True
    readout = Readout(CUT, "label-free: each map's own, Otsu's", "none")

    def __init__(self, steps: int = STEPS, seed: int = 0) -> None:
        self.steps, self.seed = steps, seed
        self.device = torch.device("cpu")
        self.reset()

    @classmethod
    def build(cls, *, backbone: str | None = None, stride: int | None = None) -> "Position":
        """The method; raises UsageError for a backbone, as it learns its own, and for a stride that is not its own."""
        if backbone is not None:
            raise UsageError(f"position learns its own network, so the backbone {backbone} has no use. Leave it out.")
        if stride not in (None, cls.stride):
            raise UsageError(f"The stride is {stride} pixels; position has a place every {cls.stride}. Leave it out.")
        return cls(STEPS)

    def to(self, device: torch.device) -> "Position":
        """Where the network is trained and run."""
        self.device = device
        return self

    def untrained(self, seed: int) -> "Position":
        """The control: the same networks with random weights, their normalisation fitted to the same images."""
        return Position(steps=0, seed=seed).to(self.device)

    def reset(self) -> None:
        """Start a new category."""
        self.sample = EvenSample()
        self.network: PositionNetwork | None = None

    def descriptors(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """The images themselves: the network that will look at them is not there yet."""
        return images

    def partial_fit(self, descriptors: Float[Tensor, "batch 3 height width"]) -> None:
        """Keep a batch of the category, as small pictures of 8 bits, or its even share of them."""
        self.sample.add((descriptors * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu())

    def fit_done(self) -> None:
        """Train on what was kept; raises BoxlessError for images that have nothing to learn from."""
        pictures = self.sample.stacked()
        self.network = train_both(pictures, steps=self.steps, seed=self.seed, device=self.device)

    @torch.inference_mode()
    def heatmap(self, descriptors: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> maps from 0 to 1 in two sides about 0.5."""
        assert self.network is not None, "fit_done comes before heatmap"
        return self.network.heatmap(descriptors)


def check_pictures(pictures: Pictures) -> None:
    """Raise BoxlessError for fewer than LEAST images, for images of one colour and for very small ones."""
    if len(pictures) < LEAST:
        raise BoxlessError(
            f"There are {len(pictures)} readable images in this category; position learns from {LEAST} or more, and "
            "from hundreds well. Add images, take all folders together with --one-category, or use --method contrast."
        )
    if min(pictures.shape[1:3]) < 2 * FIELD:
        raise UsageError(
            f"Images of {pictures.shape[1]} pixels hold too few patches of {FIELD}; choose a --size of {2 * FIELD} "
            "or more."
        )
    flat = pictures.flatten(1)
    if (flat.amax(1) == flat.amin(1)).all():
        raise BoxlessError(
            f"All {len(pictures)} images are of one colour each: there is nothing to learn. Check the data."
        )


def train_run(
    pictures: Pictures, settings: PositionTraining, out: Path, *, category: str = "object", overwrite: bool = False
) -> Path:
    """Train on pictures and write the networks to best.pt in the folder `out`, as `boxless predict` reads it.

    Raises UsageError for an `out` that holds a run already (unless `overwrite`), BoxlessError for pictures that have
    nothing to learn from and for a full disk.
    """
    device = device_named(settings.device)
    bf16 = bf16_is_fast(device) if settings.precision == "auto" else settings.precision == "bf16"
    with folder_lock(out):
        if (out / "best.pt").exists() and not overwrite:
            raise UsageError(f"{out} already holds a run. Replace it with --overwrite, or choose another --out.")
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            network = train_both(pictures, steps=settings.steps, seed=settings.seed, device=device)
        content = {
            "kind": "position",
            "method": "position",
            "options": {"both": True},
            "backbone": {},
            "classes": [],
            "category": category,
            "size": pictures.shape[1],
            "readout": Position.readout.to_dict(),
            "settings": {**asdict(settings), "images": len(pictures)},
            "model": {name: value.cpu() for name, value in network.state_dict().items()},
        }
        remove_run(out)
        checkpoint.save(out / "best.pt", content)
    return out


@torch.no_grad()
def placed_share(network: PatchNetwork, pictures: Pictures, limit: int = 512) -> float:
    """Share, 0 to 1, of what the logits of at most `limit` pictures vary by that their place alone explains."""
    device = next(network.parameters()).device
    parts = torch.split(pictures[:: -(-len(pictures) // limit)], 64)
    logits = torch.cat([network(to_images(part, device)).float() for part in parts])
    off = logits - logits.mean((1, 2), keepdim=True)
    return float(off.mean(0).square().mean() / off.square().mean().clamp(min=1e-12))


def warn_if_framed_alike(network: PatchNetwork, pictures: Pictures) -> None:
    """Log a warning where a patch's place alone explains most of the answers."""
    share = placed_share(network, pictures)
    if share > ALIKE:
        log.warning(
            "These images are framed alike: where a patch lies explains %.0f %% of what is said of it (in photographs "
            "20 %%), so maps may show the framing and no object. Compare with --method contrast.",
            100 * share,
        )
