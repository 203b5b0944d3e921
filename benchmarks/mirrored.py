"""How far lite0's maps lie beside what they show, told by mirrored images; and what boxes gain when moved back.

    python benchmarks/mirrored.py cub10 domains/cells domains/spines --out mirrored.json

The features of an image and those of its mirror image, mirrored back, lie as far apart as twice a map's displacement,
to each side. For every stride and step of the network: the displacement across and down, in pixels of the image, under
which the two agree best (mean cosine of their places, the outermost left out), and how well. No box is needed for it.
Then the boxes of auto in each set's training half, at most 120 images as one category, as they are found, and moved
back by the displacement of auto's step: sides at the image's border stay there.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from sizes import iou, of_three, some
from torch import Tensor

from boxless.backbones import build_backbone
from boxless.boxes.from_heatmap import boxes_at
from boxless.data.transforms import to_images
from boxless.discovery.discriminant import STAGES
from boxless.evaluation.bootstrap import compare
from boxless.gan.data import read_images
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

MIRRORED = 8
"""Images of a set that are mirrored, evenly taken."""
SIDE = 288
STRIDES = (16, 32, 8)
STEPS = ("block10", *STAGES)
OUTERMOST = 3
"""Places at the border that are left out, where padding is seen."""
SHIFTS = np.arange(-0.75, 0.76, 0.0625)
"""Displacements that are tried, in places."""


def moved(features: Float[Tensor, "batch d h w"], places: float, down: bool) -> Float[Tensor, "batch d h w"]:
    """What lies so many places further down, or to the right, at each place."""
    way = torch.eye(2, 3).repeat(len(features), 1, 1)
    way[:, int(down), 2] = 2 * places / features.shape[2 if down else 3]
    grid = F.affine_grid(way, list(features.shape), align_corners=False)
    return F.grid_sample(features, grid, align_corners=False, padding_mode="border")


def displacement(
    features: Float[Tensor, "batch d h w"], mirrored: Float[Tensor, "batch d h w"], down: bool
) -> tuple[float, float]:
    """By how many places maps lie lower, or further right, than what they show; and how well the two agree then."""
    inside = slice(OUTERMOST, -OUTERMOST)
    alike = []
    for shift in SHIFTS:
        pair = moved(features, shift, down), moved(mirrored, -shift, down)
        alike.append(float(F.cosine_similarity(*pair, dim=1)[:, inside, inside].mean()))
    return float(SHIFTS[np.argmax(alike)]), max(alike)


@torch.inference_mode()
def displacements(images: Float[Tensor, "batch 3 height width"], stride: int) -> dict[str, dict[str, float]]:
    """For every step: pixels across and down, and the cosines."""
    backbone = build_backbone("lite0", stride=stride, weights="imagenet").eval()
    found: dict[str, dict[str, float]] = {step: {} for step in STEPS}
    for down, name in ((False, "across"), (True, "down")):
        axis = 2 if down else 3
        both = [F.normalize(one, dim=1) for one in backbone.compute(images, *STEPS)]
        back = [F.normalize(one.flip(axis), dim=1) for one in backbone.compute(images.flip(axis), *STEPS)]
        for step, one, other in zip(STEPS, both, back, strict=True):
            places, alike = displacement(one, other, down)
            found[step] |= {name: places * SIDE / one.shape[axis], f"cosine {name}": alike}
    return found


def moved_back(
    box: Float32[np.ndarray, "4"], size: tuple[int, int], across: float, down: float
) -> Float32[np.ndarray, "4"]:
    """A box moved by pixels of the square; what lies within a pixel of the border stays there."""
    pixel, whole = np.array([*size, *size]) / SIDE, np.array([*size, *size])
    back = np.clip(box - pixel * (across, down, across, down), 0, whole)
    at_border = np.concatenate([box[:2] < pixel[:2], box[2:] > (whole - pixel)[2:]])
    return np.where(at_border, box, back).astype(np.float32)


def searched(root: Path, across: float, down: float) -> dict[str, Any]:
    """The boxes of auto as they are found, and moved back."""
    predictor = discoverer("auto", precision="fp32", engine="torch")
    mapped = list(predictor.maps(some(root), Progress()))
    found = [boxes_at(predictor.readout, one.heat, one.size)[0][:1] for one in mapped]
    boxes = [one[0] if len(one) else np.zeros(4, np.float32) for one in found]
    back = [moved_back(box, one.size, across, down) for box, one in zip(boxes, mapped, strict=True)]
    ious = [[iou(box, one.sample.boxes) for box, one in zip(each, mapped, strict=True)] for each in (boxes, back)]
    as_found, after = (of_three(np.array(each, np.float32)) for each in ious)
    return {
        "images": len(mapped),
        "chosen": mapped[0].notes.chosen,
        "mean of three": float(as_found.mean()),
        "moved back": float(after.mean()),
        "gain": compare(after, as_found).to_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    pictures = torch.cat([read_images(some(root, MIRRORED), SIDE) for root in asked.sets])
    images = to_images(pictures, torch.device("cpu"))
    aside = {f"stride {stride}": displacements(images, stride) for stride in STRIDES}
    own = aside["stride 16"][STAGES[0]]
    content = {"images": len(images), "pixels by which maps lie too far right and down": aside}
    content["boxes"] = {root.name: searched(root, own["across"], own["down"]) for root in asked.sets}
    write_json(asked.out, content | provenance())


if __name__ == "__main__":
    main()
