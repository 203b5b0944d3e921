"""The training images of a GAN as one uint8 tensor, read once."""

import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from boxless.data.dataset import Dataset
from boxless.data.images import read_resized
from boxless.runtime.errors import BoxlessError, BrokenImageError
from boxless.runtime.progress import track

log = logging.getLogger("boxless")
Images = UInt8[Tensor, "n size size 3"]


def read_images(dataset: Dataset, size: int, workers: int | None = None) -> Images:
    """All images of `dataset`, RGB, resized to `size` x `size` -> (n, size, size, 3), labels and boxes unread.

    Broken images are named in the log and skipped. Raises BoxlessError when none is left.
    """

    def read(name: str) -> UInt8[np.ndarray, "size size 3"] | None:
        try:
            return read_resized(dataset.source.read(name), name, size)[0]
        except BrokenImageError as error:
            log.warning("Skipped: %s", error)
            return None

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        reads = track(pool.map(read, [sample.name for sample in dataset.samples]), "reading images", len(dataset))
        pictures = [picture for picture in reads if picture is not None]
    if not pictures:
        raise BoxlessError(
            f"None of the {len(dataset)} images could be read. A GAN needs images of one kind of object."
        )
    return torch.from_numpy(np.stack(pictures))


def images_hash(images: Images) -> str:
    """Sixteen hex digits of the pixels, in their order: the same for the same images alone."""
    return hashlib.sha256(images.cpu().contiguous().numpy().data).hexdigest()[:16]


def check_images(images: Tensor, size: int, batch: int) -> None:
    """Raise BoxlessError for images that no GAN can learn from; note in the log those that it will learn badly from."""
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1:] != (size, size, 3):
        found = f"{tuple(images.shape)} of {images.dtype}"
        raise BoxlessError(
            f"The images are {found}; expected uint8 of shape (n, {size}, {size}, 3). Resize them first."
        )
    if len(images) < 2:
        raise BoxlessError(f"There are {len(images)} images; a GAN needs at least two, and hundreds to be of use.")
    flat = images.flatten(1)
    constant = int((flat.amax(1) == flat.amin(1)).sum())
    if constant == len(images):
        raise BoxlessError(
            f"All {len(images)} images are one flat colour each: there is nothing to learn. Check the data."
        )
    if constant:
        log.warning("%d of %d images are one flat colour each; they stay in the training set.", constant, len(images))
    if len(images) < batch:
        log.warning(
            "%d images are fewer than a batch of %d: every batch repeats images and D will know them by heart. "
            "Add images, or use augmentation and a smaller batch.",
            len(images),
            batch,
        )


def chunks(images: Images, size: int = 128) -> Iterator[Float[Tensor, "_batch 3 size size"]]:
    """uint8 images (n, h, w, 3) -> batches of D's input (batch, 3, h, w) in -1..1."""
    for part in torch.split(images, size):
        yield part.permute(0, 3, 1, 2).float().div(127.5).sub(1)
