"""Pictures of more than 8 bits (uint16, int16, int32, float) -> 8 bits, all in one way.

What the file could hold says nothing about what it holds: 10 or 12 bits of a sensor lie in 16, heights in metres in a
float. So the range is that of the picture's own values, but for the thousandth at either end, which a few hot pixels
would otherwise decide; or of one sensor's pictures, as one_range.py says.
"""

import math
from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image, TiffImagePlugin

TAIL = 0.1
"""Percent of the values at either end that may lie beyond the range."""

SAMPLED = 1_000_000
"""Values, about, that the range of a large picture is taken from; they lie on a grid over it."""

NO_DATA = (-9999.0, -99999.0, -32767.0, -32768.0)
"""What surveying programs write where they know nothing; as bounds of the data these numbers do not occur."""

BEYOND = 1e30
"""Floats further from 0 mean no data, too: the largest float32 is a usual mark."""

BITS_PER_SAMPLE, GDAL_NO_DATA = 258, 42113
"""Tags of TIFF (TIFF 6.0; GDAL's registered one, a number as text)."""

Range = tuple[float, float]


def value_range(parts: Iterable[Shaped[np.ndarray, "..."]], no_data: Iterable[float] = ()) -> Range:
    """The range of some arrays' values, without TAIL at either end, and without nan, infinities and marks of no data.

    It is the whole range where TAIL is all that differs, and (0, 0) where there is no value at all.
    """
    values = np.concatenate([part.ravel() for part in parts])
    values = values[_known(values, no_data)].astype(np.float64)
    if not values.size:
        return 0.0, 0.0
    low, high = (float(value) for value in np.percentile(values, (TAIL, 100 - TAIL)))
    return (low, high) if high > low else (float(values.min()), float(values.max()))


def _known(values: Shaped[np.ndarray, "*shape"], no_data: Iterable[float]) -> Bool[np.ndarray, "*shape"]:
    """Where a value is none of the marks of no data."""
    marks = [mark for mark in (*NO_DATA, *no_data) if values.dtype.kind != "u" or mark >= 0]
    known = ~np.isin(values, marks) if marks else np.ones(values.shape, bool)
    if values.dtype.kind == "f":
        known &= np.abs(values) < BEYOND  # which nan is not, either
    return np.asarray(known)


def stretched(
    values: Shaped[np.ndarray, "*shape"], bounds: Range, no_data: Iterable[float] = ()
) -> UInt8[np.ndarray, "*shape"]:
    """Values -> 0 at the lower bound or below it and where there is no value, 255 at the upper bound or above it."""
    low, high = bounds
    scale = 255 / (high - low) if high > low else 0.0
    known = np.where(_known(values, no_data), values, low)
    return np.asarray((np.clip(known, low, high) - np.float64(low)) * scale + 0.5, np.uint8)


def no_data_of(image: Image.Image) -> list[float]:
    """The value that a TIFF itself declares to mean no data, if it does."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return []
    try:
        return [float(str(image.tag_v2[GDAL_NO_DATA]).strip("\0 "))]
    except (KeyError, ValueError):
        return []


def grid_step(width: int, height: int, pictures: int = 1) -> int:
    """Every how many rows and columns a value is taken for the range, of so many pictures."""
    return max(1, math.isqrt(width * height * pictures // SAMPLED))


def deep_grey(image: Image.Image) -> bool:
    """Whether the values of a picture without colours have more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def deep_colours(
    image: Image.Image, data: bytes, bounds: Range | None = None, no_data: Iterable[float] = ()
) -> Image.Image | None:
    """A picture whose colours have 16 bits, stretched from `bounds`, or its own; None for every other picture."""
    if (read := read_colours(image, data)) is None:
        return None
    step = grid_step(*image.size)
    colours = stretched(read[..., 2::-1], bounds or value_range([read[::step, ::step, :3]], no_data), no_data)
    opacity = [stretched(read[..., 3], (0, 65535))] if read.shape[2] == 4 else []
    return Image.fromarray(np.dstack([colours, *opacity]))


def read_colours(image: Image.Image, data: bytes) -> Shaped[np.ndarray, "h w channel"] | None:
    """Blue, green, red and perhaps opacity of a picture whose colours have 16 bits; None for every other picture.

    Pillow, which has opened and loaded it as `image`, keeps the upper eight bits of such a picture alone.
    """
    if not has_16_bits(image, data):
        return None
    # OpenCV turns a TIFF upright while it reads, as Pillow does, and leaves a PNG as it is stored, as Pillow does.
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16 or read.ndim != 3 or read.shape[1::-1] != image.size:
        return None
    return read


def has_16_bits(image: Image.Image, data: bytes) -> bool:
    """Whether the colours of a picture that was opened have 16 bits."""
    match image.format if image.mode in ("RGB", "RGBA", "LA") else "":
        case "PNG":
            return data[24:25] == b"\x10"  # the depth in IHDR, which is the first chunk
        case "TIFF":
            assert isinstance(image, TiffImagePlugin.TiffImageFile)
            return 16 in image.tag_v2.get(BITS_PER_SAMPLE, ())
        case "PPM":
            return data[:2] == b"P6" and len(data) >= image.width * image.height * 6
    return False
