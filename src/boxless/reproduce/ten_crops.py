"""Classes from ten crops of an image, as the tables on ILSVRC print them: corners, centre, and the same mirrored.

Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1: the mean of the ten softmax outputs. I2C and its predecessors
crop from the image whose short side was resized to 256 (for 224 pixels). Heat maps stay those of the whole image.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8

from boxless.data.dataset import Dataset
from boxless.data.images import Picture
from boxless.data.transforms import Resize, to_images
from boxless.inference.localizer import RANKED
from boxless.inference.predictors import ImageHeatmap, TrainedPredictor
from boxless.runtime.progress import Progress


class TenCropped:
    """A trained predictor whose classes come from ten crops of the image with a short side of `resize` pixels."""

    def __init__(self, predictor: TrainedPredictor, resize: int) -> None:
        self.name, self.readout, self.classes = predictor.name, predictor.readout, predictor.classes
        self.predictor, self.resize = predictor, Resize(resize, "short-side")

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        """The predictor's maps; without `labels` they are of the class that the one whole image shows."""
        for mapped in self.predictor.maps(dataset, progress, labels=labels):
            name = mapped.sample.name
            yield replace(mapped, ranked=self.classify(self.resize(dataset.source.read(name), name)[0]))

    @torch.inference_mode()
    def classify(self, picture: Picture) -> tuple[int, ...]:
        """A picture whose sides are not below the network's -> the likeliest classes."""
        localizer, how = self.predictor.localizer, self.predictor.how
        with how.precision():
            logits = localizer.network(to_images(ten_crops(picture, localizer.size), how.device))
        mean = logits.float().softmax(1).mean(0)
        return tuple(mean.topk(min(RANKED, len(mean))).indices.tolist())


def ten_crops(picture: Picture, size: int) -> UInt8[np.ndarray, "10 size size 3"]:
    """(h, w, 3) -> its four corners and its centre of `size` pixels, and their mirror images."""
    height, width = picture.shape[:2]
    down, across = height - size, width - size
    corners = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    crops = np.stack([picture[top : top + size, left : left + size] for top, left in corners])
    return np.concatenate([crops, crops[:, :, ::-1]])
