"""What a trained GAN makes and sees, as pictures and as the numbers that pictures do not prove.

The paper's figures assert that one GAN's samples are less diverse than another's, and that heat maps are nearly
identical whatever the image. Both can be measured: by the MS-SSIM of pairs of samples beside that of pairs of real
images, and by the correlation of the maps of different images beside that of an untrained D.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boxless.boxes.from_heatmap import find_boxes
from boxless.data.dataset import Dataset
from boxless.data.images import read_resized
from boxless.evaluation.bootstrap import interval
from boxless.gan.checkpoint_selection import correlation, derangement, in_chunks
from boxless.gan.data import Images, read_images
from boxless.gan.localizer import READOUTS, GanLocalizer
from boxless.gan.sample_metrics import Lite0Features, kid, similarities
from boxless.gan.samples import SIDE, generator_of, grid, samples
from boxless.report.drawing import Picture, captioned, sheet, triptych
from boxless.reproduce.classifier_runs import evenly_spaced
from boxless.reproduce.gan.run import UNTRAINED, GanTrial, trained_d
from boxless.reproduce.grid import Result

COUNT = 512
"""Images at most that a number is the mean over: pairs of images are half as many."""
SHOWN = 6
"""Triptychs of each run, of images evenly taken from those that it was not trained on."""
PIXELS = 128
"""Side of a shown image."""


def measured(content: dict[str, Any], train: Images, test: Dataset, seed: int) -> Result:
    """The numbers of a last.pt: how alike its samples are, how far from real images, and how alike its maps are."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    real = train.cpu()[order[: 2 * COUNT]]
    made, features = samples(*generator_of(content), COUNT), Lite0Features()
    half = len(real) // 2
    seen = read_images(evenly_spaced(test, COUNT), content["size"])
    return {
        "step": content["step"],
        "ms_ssim": {"generated": mean_of(similarities(made)), "real": mean_of(similarities(real[:COUNT]))},
        "kid": {
            "generated": kid(real[:COUNT], made, features)._asdict(),
            "real": kid(real[:half], real[half:], features)._asdict(),
        },
        "map_correlation": {
            "trained": map_correlation(localizer(content, train), seen),
            "untrained": [
                map_correlation(GanLocalizer.untrained(localizer(content, train), train, seed + i), seen)
                for i in range(UNTRAINED)
            ],
        },
        "images": {"train": len(train), "test": len(test)},
        "training": content["settings"],
    }


def localizer(content: dict[str, Any], train: Images) -> GanLocalizer:
    """The live D of a last.pt under the paper's reading."""
    return GanLocalizer(trained_d(content)).to(train.device).prepare(train)


def map_correlation(localizer: GanLocalizer, images: Images) -> Result:
    """Mean correlation of the map of an image with that of another one, in -1..1; 1 where all are the same."""
    maps = heats(localizer, images)
    return mean_of(correlation(maps, maps[derangement(len(maps))]))


def heats(localizer: GanLocalizer, images: Images) -> Float[Tensor, "n h w"]:
    """The maps of images, on the CPU."""
    device = next(localizer.parameters()).device
    return in_chunks(localizer.heatmap, images.to(device).permute(0, 3, 1, 2).float() / 255).cpu()


def mean_of(values: Float[Tensor, "n"]) -> Result:
    """A mean with its 95 % bootstrap interval."""
    low, high = interval(values.double().numpy())
    return {"mean": float(values.double().mean()), "low": low, "high": high, "n": len(values)}


def sample_sheet(runs: Sequence[tuple[GanTrial, dict[str, Any]]]) -> Picture:
    """Samples of every run from the same z, side by side."""
    pictures = []
    for trial, content in runs:
        made = grid(samples(*generator_of(content), SIDE * SIDE))
        large = cv2.resize(made, (SIDE * 64, SIDE * 64), interpolation=cv2.INTER_NEAREST)
        pictures.append(captioned(np.asarray(large, np.uint8), f"{title(trial)}, {content['step']:,} iterations"))
    return sheet(pictures, columns=3)


def triptych_sheet(runs: Sequence[tuple[GanTrial, dict[str, Any], Images, Dataset]]) -> Picture:
    """For every run, images with the found box (green) and the true one where known (blue) | heat maps | both."""
    columns = []
    for trial, content, train, test in runs:
        shown = evenly_spaced(test, SHOWN)
        maps = heats(localizer(content, train), read_images(shown, content["size"])).numpy()
        rows = [_triptych(shown, place, heat) for place, heat in enumerate(maps)]
        columns.append(captioned(sheet(rows, columns=1, gap=2), f"{title(trial)}, {content['step']:,} iterations"))
    return sheet(columns, columns=3, gap=16)


def title(trial: GanTrial) -> str:
    """A run in words."""
    return f"{trial.gan}, {trial.group}" + (", augmented" if trial.augment else "")


def _triptych(dataset: Dataset, place: int, heat: Float[np.ndarray, "h w"]) -> Picture:
    sample = dataset.samples[place]
    small, (width, height) = read_resized(dataset.source.read(sample.name), sample.name, PIXELS)
    scale = np.array([PIXELS / width, PIXELS / height] * 2, np.float32)
    found, _ = find_boxes(heat, (PIXELS, PIXELS), READOUTS["cam"].threshold)
    return triptych(small, heat, found, None if sample.boxes is None else sample.boxes * scale)
