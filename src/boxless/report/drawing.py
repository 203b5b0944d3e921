"""Pictures of results: heat maps in colour, the found box in green, the true box in blue, as the papers draw them.

All pictures are uint8 RGB, (height, width, 3). Heat maps come raw; they are normalised and resized like those that
become boxes, so that what is seen is what was thresholded.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from boxless.boxes.from_heatmap import Normalisation, normalise, resize
from boxless.data.dataset import Boxes
from boxless.data.images import shrink

Picture = UInt8[np.ndarray, "_height _width 3"]
Colour = tuple[int, int, int]

FOUND: Colour = (0, 230, 70)
TRUTH: Colour = (60, 130, 255)
DARK: Colour = (0, 0, 0)
PAPER = 255
"""Grey value between the pictures of a sheet."""
CAPTION = 22
"""Height of a caption in pixels."""


def colours(
    heat: Float[np.ndarray, "h w"], size: tuple[int, int], normalisation: Normalisation = "minmax"
) -> UInt8[np.ndarray, "height width 3"]:
    """Raw heat map (h, w) -> picture of `size` (width, height) in inferno, whose lightness rises with the heat."""
    warm = resize(normalise(heat, normalisation), size)
    mapped = cv2.applyColorMap(np.rint(warm * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(mapped, cv2.COLOR_BGR2RGB), np.uint8)


def overlay(
    picture: UInt8[np.ndarray, "height width 3"],
    heat: Float[np.ndarray, "h w"],
    normalisation: Normalisation = "minmax",
    opacity: float = 0.6,
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a raw heat map (h, w) over its picture, `opacity` in 0..1."""
    height, width = picture.shape[:2]
    warm = colours(heat, (width, height), normalisation)
    return np.asarray(cv2.addWeighted(picture, 1 - opacity, warm, opacity, 0), np.uint8)


def outline(
    picture: UInt8[np.ndarray, "height width 3"], boxes: Boxes, colour: Colour
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy of the picture with `boxes` (half-open pixels) drawn inside their edges.

    The line is 1/80 of the shorter side wide, at least 2 pixels, between thin dark lines that show on any ground.
    """
    drawn = np.ascontiguousarray(picture).copy()
    line = max(2, round(min(picture.shape[:2]) / 80))
    edge = max(1, line // 3)
    for box in np.rint(boxes).astype(int):
        for inset, width, paint in ((0, line + 2 * edge, DARK), (edge, line, colour)):
            _frame(drawn, box, inset, width, paint)
    return drawn


def _frame(picture: Picture, box: Int[np.ndarray, "4"], inset: int, width: int, colour: Colour) -> None:
    """Paint in place the band between `inset` and `inset + width` pixels inside the box."""
    limits = np.array(picture.shape[1::-1] * 2)
    x0, y0, x1, y1 = np.clip(box + inset * np.array([1, 1, -1, -1]), 0, limits)
    inside = picture[y0:y1, x0:x1]
    inside[:width] = inside[max(0, len(inside) - width) :] = colour
    inside[:, :width] = inside[:, max(0, inside.shape[1] - width) :] = colour


def triptych(
    picture: Picture,
    heat: Float[np.ndarray, "h w"],
    found: Boxes,
    truth: Boxes | None = None,
    *,
    normalisation: Normalisation = "minmax",
    longest: int = 480,
) -> Picture:
    """Picture with boxes | raw heat map (h, w) | both overlaid, each with a longer side of at most `longest` pixels."""
    small = shrink(picture, longest)
    height, width = small.shape[:2]
    scale = np.array([width / picture.shape[1], height / picture.shape[0]] * 2, np.float32)
    panels = [small, colours(heat, (width, height), normalisation), overlay(small, heat, normalisation)]
    for index in (0, 2):
        if truth is not None:
            panels[index] = outline(panels[index], truth * scale, TRUTH)
        panels[index] = outline(panels[index], found * scale, FOUND)
    return sheet(panels, columns=3, gap=max(2, width // 60))


def sheet(pictures: Sequence[Picture], *, columns: int, gap: int = 8) -> Picture:
    """Pictures of any sizes in a grid of `columns` on white, `gap` pixels apart, each in the middle of its cell."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    width = max(picture.shape[1] for picture in pictures)
    page = np.full((sum(heights) + gap * (len(rows) - 1), len(rows[0]) * (width + gap) - gap, 3), PAPER, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            y = top + (height - picture.shape[0]) // 2
            x = column * (width + gap) + (width - picture.shape[1]) // 2
            page[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        top += height + gap
    return page


def captioned(picture: Picture, text: str) -> Picture:
    """The picture below a white strip with `text`, which is shrunk until it fits.

    Letters outside ASCII are drawn in a font of their own by OpenCV 5 and become ? with OpenCV 4.
    """
    width = picture.shape[1]
    strip = np.full((CAPTION, width, 3), PAPER, np.uint8)
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    scale = min(0.5, 0.5 * (width - 4) / max(1, wide))
    cv2.putText(strip, text, (2, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, scale, DARK, 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def save_picture(path: Path, picture: Picture) -> None:
    """Write a picture in the format of the path's suffix (.png, .jpg, .webp), its folder made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=90)
