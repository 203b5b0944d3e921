"""Picture files -> RGB arrays as people see them: EXIF-turned, alpha on white, 8 bits, first frame.

More than 8 bits become 8 as deep_pictures.py says.

Pillow decodes (it names truncated files, knows CMYK and EXIF, and lets other threads run), OpenCV resizes. A JPEG
that is much larger than asked for is decoded at a half, a quarter or an eighth of its side, which the format gives
for free.
"""

import io
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from boxless.data.deep_pictures import (
    Range,
    deep_colours,
    deep_grey,
    grid_step,
    no_data_of,
    stretched,
    value_range,
)
from boxless.runtime.errors import BrokenImageError

JPEG_PIXEL_LIMIT = 200_000_000
"""A JPEG with more pixels is refused; telephones make photographs of 199.8 megapixels."""

JPEG_SCANS_LIMIT = 1_000_000_000
"""A JPEG is gone through once for each of its scans: with more pixels times scans than this it is refused."""

PIXEL_LIMITS = {"PNG": 100_000_000, "TIFF": 100_000_000, "BMP": 100_000_000, "PPM": 100_000_000}
"""Formats that Pillow reads straight into place; their pictures cannot be made smaller while they are read."""

OTHER_LIMIT = 64_000_000
"""Pixels of the other formats, whose decoders keep the picture several times over, and of 32-bit values."""

FINE_LIMIT = 150_000_000
"""Pixels that a picture may be enlarged to on its way to a square."""

BAND = 16_000_000
"""Pixels that are converted at a time."""

Picture = UInt8[np.ndarray, "h w 3"]

FOREIGN = {
    b"ftyphei": "HEIC",
    b"ftyphev": "HEIC",
    b"ftypmif1": "HEIF",
    b"FUJIFILM": "raw camera",
    b"ftypcrx": "raw camera",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"\xff\x0a": "JPEG XL",
    b"JXL \r\n": "JPEG XL",
}
"""How pictures of a kind that is not read begin; telephones and web pages name them .jpg."""

START_OF_SCAN = b"\xff\xda"
ORIENTATION_TAG = 0x0112
IMAGE_WIDTH, IMAGE_LENGTH = 256, 257
"""Tags of TIFF: the sides as they are stored."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(data: bytes, name: str, bounds: Range | None = None) -> Picture:
    """The bytes of an image file -> the upright RGB picture (h, w, 3); raises BrokenImageError naming `name`.

    `bounds` is the range that values of more than 8 bits are stretched from, in the place of their own.
    """
    picture, _ = _decode(data, name, None, bounds)
    return picture if picture.flags.writeable else picture.copy()  # Pillow's own memory is read-only


def read_resized(data: bytes, name: str, size: int) -> tuple[UInt8[np.ndarray, "size size 3"], tuple[int, int]]:
    """The bytes of an image file -> RGB squashed to a square of `size` pixels, and the upright (width, height) before.

    Raises BrokenImageError naming `name`.
    """
    picture, original = _decode(data, name, size)
    return squash(picture, size), original


def read_part(data: bytes, name: str, size: int, part: tuple[int, int, int, int]) -> UInt8[np.ndarray, "size size 3"]:
    """The part x0 y0 x1 y1 (half-open pixels of the upright picture) of an image file -> RGB squashed to `size` square.

    Raises BrokenImageError naming `name`.
    """
    x0, y0, x1, y1 = part
    width, height = read_size(data, name)
    enough = -(-size * max(width * (y1 - y0), height * (x1 - x0)) // ((x1 - x0) * (y1 - y0)))
    picture, _ = _decode(data, name, enough)
    down, across = picture.shape[0] / height, picture.shape[1] / width
    top, left = int(y0 * down), int(x0 * across)
    shown = picture[top : max(round(y1 * down), top + 1), left : max(round(x1 * across), left + 1)]
    return squash(shown, size)


def read_shrunk(data: bytes, name: str, longest: int) -> tuple[Picture, tuple[int, int]]:
    """The bytes of an image file -> RGB with a longer side of at most `longest` pixels, and the upright size before.

    Raises BrokenImageError naming `name`.
    """
    picture, original = _decode(data, name, longest)
    return shrink(picture, longest), original


def read_size(data: bytes, name: str) -> tuple[int, int]:
    """The bytes of an image file -> the upright (width, height), its header read alone; raises BrokenImageError."""
    try:
        return _upright_size(open_picture(data))
    except Exception as error:  # Pillow's plug-ins raise whatever their parsers stumble over
        raise BrokenImageError(_reason(data, name, error)) from error


def shrink(picture: Picture, longest: int) -> UInt8[np.ndarray, "height width 3"]:
    """Scale a picture down, area-averaged, so that its longer side has at most `longest` pixels."""
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture.copy()  # Pillow's own memory is read-only
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def squash(picture: Picture, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """(h, w, 3) -> (size, size, 3), antialiased: linear samples at most a pixel apart, averaged.

    Both steps are vectorised in OpenCV, which makes this 2.5 times as fast as its INTER_AREA at fractional scales.
    """
    height, width = picture.shape[:2]
    across, down = max(1, -(-width // size)), max(1, -(-height // size))
    if across * down * size**2 > FINE_LIMIT:  # a thread of a picture, such as 1 x 1,000,000: its long side first
        picture = np.asarray(cv2.resize(picture, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA))
        across = down = 1
    fine = cv2.resize(picture, (across * size, down * size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _decode(data: bytes, name: str, size: int | None, bounds: Range | None = None) -> tuple[Picture, tuple[int, int]]:
    """The upright picture, not smaller than `size` where the original is not, and the original's upright size."""
    try:
        image = open_picture(data)
        upright = _upright_size(image)
        if size is not None:
            image.draft(None, (size, size))  # a JPEG at the smallest of 1, 1/2, 1/4, 1/8 that is not below size
        image.load()
        turn, no_data = _orientation(image), no_data_of(image)  # Pillow turns a TIFF itself, and takes its tag away
        image = deep_colours(image, data, bounds, no_data) or image
        if turn in TURNS:
            image = image.transpose(TURNS[turn])
        return _rgb(image, no_data, bounds), upright
    except Exception as error:  # Pillow's plug-ins raise whatever their parsers stumble over
        raise BrokenImageError(_reason(data, name, error)) from error


def open_picture(data: bytes) -> Image.Image:
    """The bytes of an image file, its header read; raises what Pillow does, also for one with too many pixels."""
    if not data.startswith(b"\xff\xd8\xff"):
        image = Image.open(io.BytesIO(data))
        limit = OTHER_LIMIT if image.mode in ("I", "F") else PIXEL_LIMITS.get(image.format or "", OTHER_LIMIT)
        if image.width * image.height > limit:
            raise Image.DecompressionBombError
        return image
    # Not Image.open: it would search for the format again and hold Pillow's lower limit against a large photograph.
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    pixels = image.width * image.height
    if pixels > JPEG_PIXEL_LIMIT or pixels * data.count(START_OF_SCAN) > JPEG_SCANS_LIMIT:
        raise Image.DecompressionBombError
    return image


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as people see a picture that was opened and not loaded yet."""
    turned = _orientation(image) >= 5
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # its size is the upright one already, or not, by version
        width, height = (int(image.tag_v2[tag]) for tag in (IMAGE_WIDTH, IMAGE_LENGTH))
    else:
        width, height = image.size
    return (height, width) if turned else (width, height)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block is no reason to lose the picture
        return 1


def _rgb(image: Image.Image, no_data: list[float], bounds: Range | None) -> Picture:
    """Any mode -> RGB. Transparent parts become white: what lies hidden under them is arbitrary, often black."""
    bands = list(_bands(image))
    if bounds is None and deep_grey(image):
        step = grid_step(*image.size)
        grids = (np.asarray(image.crop(band))[-band[1] % step :: step, ::step] for band in bands)
        bounds = value_range(grids, no_data)
    if len(bands) == 1:
        return _band(image, bounds, no_data)
    whole = np.empty((image.height, image.width, 3), np.uint8)
    for box in bands:  # each conversion holds its part of the picture up to four times, so it is done in parts
        whole[box[1] : box[3]] = _band(image.crop(box), bounds, no_data)
    return whole


def _bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _band(image: Image.Image, bounds: Range | None, no_data: list[float]) -> Picture:
    if bounds is not None and deep_grey(image):
        return np.repeat(stretched(np.asarray(image), bounds, no_data)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _reason(data: bytes, name: str, error: Exception) -> str:
    if not data:
        return f"{name} is empty (zero bytes)."
    if isinstance(error, UnidentifiedImageError):
        kind = next((kind for start, kind in FOREIGN.items() if start in data[:16]), "")
        is_it = f"a {kind} file whatever its name says" if kind else "not an image that Pillow knows"
        return f"{name} is {is_it}.{' Convert it to JPEG or PNG.' if kind else ''}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"{name} has too many pixels to be read safely; make it smaller first."
    return f"{name} is broken: {str(error).strip('.') or type(error).__name__}."
