"""Made photographs with exactly known boxes: one object, or several, on a cluttered, textured background.

Place, size, rotation, aspect, colours, texture, background, light and noise are drawn at random and alike for all kinds
of object (synthetic_objects.py), so that nothing but its structure tells them apart, and no constant box fits. Pixels
depend on (seed, index) alone.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from boxless.data.synthetic_objects import KINDS, Part, distractor
from boxless.runtime.errors import BoxlessError, UsageError

FINE = 4
"""Shapes are drawn on a grid this many times as fine as the picture and then averaged: smooth edges, known cover."""

SMALLEST, LARGEST = 0.25, 0.65
"""The longer side of the object's box as a fraction of the picture's side; of several objects, of each one's share."""
CLOSE = 0.9
"""How far an object's centre lies from that of one it is put beside, in half sides of both: below 1, boxes overlap."""
HIDDEN, TRIES = 0.3, 40
"""The part of a box that another one may cover, where one of so many places allows it."""

Rgb = Float[np.ndarray, "3"]
Image = Float[np.ndarray, "h w 3"]
Shade = Float[np.ndarray, "h w"]
PixelBox = tuple[int, int, int, int]
Point = Float[np.ndarray, "_number"]


def make_scenes(
    out: Path,
    count: int,
    *,
    kinds: Sequence[str] = ("beetle",),
    size: int = 128,
    test: float = 0.25,
    seed: int = 0,
    objects: int = 1,
) -> None:
    """Write `count` pictures of `size` x `size` pixels as a data folder with boxes_train.csv and boxes_test.csv.

    The kinds take turns; the fraction `test` of the pictures becomes the test split; 1 to `objects` objects are in a
    picture, as `make_group` puts them. Raises UsageError for a kind that is not in KINDS, a size below 32 or no object,
    BoxlessError when `out` is in use.
    """
    if size < 32:
        raise UsageError(f"Made photographs of {size} pixels show nothing. Choose a size of 32 or more.")
    if objects < 1:
        raise UsageError(f"A made photograph of {objects} objects shows nothing. Choose 1 or more.")
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"There is no kind of object called {kind!r}. Choose from {', '.join(KINDS)}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BoxlessError(f"{out} exists and is not an empty folder. Choose another folder for the made photographs.")
    first_test = count - round(count * test)
    for split, indices in (("train", range(first_test)), ("test", range(first_test, count))):
        rows = [
            row
            for index in indices
            for row in _write_scene(
                out, split, kinds[index % len(kinds)], size, np.random.default_rng([seed, index]), index, objects
            )
        ]
        out.mkdir(parents=True, exist_ok=True)
        with (out / f"boxes_{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["image", "class", "width", "height", "x0", "y0", "x1", "y1"])
            writer.writerows(rows)


def make_scene(rng: np.random.Generator, kind: str, size: int) -> tuple[UInt8[np.ndarray, "size size 3"], PixelBox]:
    """One RGB picture (size, size, 3) and the tight half-open box of all pixels that the object covers by half."""
    picture, (box,) = make_group(rng, kind, size, 1)
    return picture, box


def make_group(
    rng: np.random.Generator, kind: str, size: int, count: int, frames: int = 1
) -> tuple[UInt8[np.ndarray, "size size 3"], list[PixelBox]]:
    """The same with `count` objects of one kind, most of them touching or overlapping another; hidden parts count.

    With `frames` the objects, and what lies between them, are that many times smaller: small ones in a large picture.
    """
    picture, grain = _background(rng, size), _noise(rng, size, 4, 5) - 0.5
    body, near_by = _standing_out(rng, picture, 2), size // frames
    for _ in range(rng.integers(4, 8)):
        # As striking as the object or more: what stands out must not tell where the object is.
        near = body if rng.random() < 0.4 else _standing_out(rng, picture, 4)
        length = rng.uniform(0.08, 0.35) / frames
        _paint(rng, picture, grain, distractor(rng), [near, near * 0.5, _colour(rng)], length, near_by)
    tones = [body, body * rng.uniform(0.2, 0.4), 0.25 * body + 0.75 * _colour(rng, 0.95)]
    boxes: list[PixelBox] = []
    for _ in range(count):
        parts, length = KINDS[kind](rng), rng.uniform(SMALLEST, LARGEST) / max(np.sqrt(count), frames)
        (left, top), cover = _paint(rng, picture, grain, parts, tones, length, near_by, boxes)
        columns, rows = (np.flatnonzero((cover >= 0.5).any(axis)) for axis in (0, 1))
        boxes.append((left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1))
    return _develop(rng, picture), boxes


def _write_scene(
    out: Path, split: str, kind: str, size: int, rng: np.random.Generator, index: int, objects: int
) -> list[list[str | int]]:
    picture, boxes = make_group(rng, kind, size, 1 if objects == 1 else int(rng.integers(1, objects + 1)))
    name = f"{split}/{kind}/{index:05d}.jpg"
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    (out / name).write_bytes(data.tobytes())
    return [[name, kind, size, size, *box] for box in boxes]


def _paint(
    rng: np.random.Generator,
    picture: Image,
    grain: Shade,
    parts: list[Part],
    tones: list[Rgb],
    length: float,
    near_by: int,
    others: Sequence[PixelBox] = (),
) -> tuple[tuple[int, int], Float[np.ndarray, "patch_h patch_w"]]:
    """Draw parts into `picture`, turned and placed at random, with a shadow: where, and how they cover it.

    `length` is their longer side as a fraction of the picture's, `near_by` what shadows are a fraction of, in pixels.
    """
    size = len(picture)
    placed = _place(rng, parts, length * size, size, others)
    points = np.concatenate([outline for outlines, _ in placed for outline in outlines])
    margin = near_by // 10  # room for the shadow
    left, top = (max(int(side) - margin, 0) for side in points.min(0))
    window = np.s_[top : int(points[:, 1].max()) + margin, left : int(points[:, 0].max()) + margin]
    patch = picture[window]
    colours, cover = _rasterise(placed, tones, np.array([left, top]), patch.shape[:2])
    shift = np.array([[1, 0, rng.uniform(-0.03, 0.03) * near_by], [0, 1, rng.uniform(0.01, 0.05) * near_by]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(cover, shift, patch.shape[1::-1]), (0, 0), 0.02 * near_by)
    patch *= (1 - cover[..., None]) * (1 - rng.uniform(0.2, 0.5) * shadow)[..., None]
    texture = rng.uniform(0.1, 0.35) * grain[window] + 0.5 * _ramp(rng, patch.shape[:2])
    patch += colours * (0.75 + texture)[..., None]
    return (left, top), cover


def _rasterise(
    parts: list[Part], tones: list[Rgb], origin: Int[np.ndarray, "2"], shape: tuple[int, ...]
) -> tuple[Image, Shade]:
    """The colours (h, w, 3), black where nothing is, and how much of each pixel is covered (h, w), 0..1."""
    height, width = shape
    colours = np.zeros((height * FINE, width * FINE, 3), np.uint8)
    cover = np.zeros((height * FINE, width * FINE), np.uint8)
    for outlines, tone in parts:
        grid = [np.round((points - origin) * FINE).astype(np.int32) for points in outlines]
        cv2.fillPoly(cover, grid, 255)
        cv2.fillPoly(colours, grid, (tones[tone] * 255).tolist())
    small, share = (cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA) for layer in (colours, cover))
    return np.float32(1 / 255) * small, np.float32(1 / 255) * share


def _place(
    rng: np.random.Generator, parts: list[Part], length: float, size: int, others: Sequence[PixelBox] = ()
) -> list[Part]:
    """The parts turned, stretched, and moved to a random place where they fit; `length`: their longer side.

    With `others` it is mostly one where they touch one of these boxes, and hide no more of any than HIDDEN.
    """
    turn, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.0)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([stretch, 1.0])
    turned = [Part([points @ matrix.T for points in outlines], tone) for outlines, tone in parts]
    everything = np.concatenate([points for outlines, _ in turned for points in outlines])
    low, extent = everything.min(0), np.ptp(everything, 0)
    scale = length / extent.max()
    corner = rng.uniform(0, 1, 2) * (size - 1 - extent * scale)
    for _ in range(TRIES if others else 0):
        chosen = others[int(rng.integers(len(others)))]
        if rng.random() < 0.7:
            corner = _beside(rng, chosen, extent * scale, size)
        if _hidden(np.concatenate([corner, corner + extent * scale]), np.array(others, float)) < HIDDEN:
            break
        corner = rng.uniform(0, 1, 2) * (size - 1 - extent * scale)
    return [Part([(points - low) * scale + corner for points in outlines], tone) for outlines, tone in turned]


def _beside(rng: np.random.Generator, box: PixelBox, extent: Point, size: int) -> Point:
    """The upper left corner of something of `extent` that touches `box`, in any direction from it."""
    near, far = np.array(box[:2], float), np.array(box[2:], float)
    away = rng.uniform(-1, 1, 2)
    away *= CLOSE / np.abs(away).max()  # so that they are that close in x or in y, and closer in the other
    centre = (near + far) / 2 + away * (far - near + extent) / 2
    return np.asarray(np.clip(centre - extent / 2, 0, size - 1 - extent))


def _hidden(box: Point, others: Float[np.ndarray, "box 4"]) -> float:
    """The largest part that two boxes share, of the smaller one."""
    shared = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1)
    return float((shared / np.minimum(areas, (box[2:] - box[:2]).prod())).max())


def _background(rng: np.random.Generator, size: int) -> Image:
    """Clouds of three colours, with stripes or blobs over a part of them."""
    ground, second, third = (_colour(rng, rng.uniform(0.3, 0.9), 0.5) for _ in range(3))
    mix = _noise(rng, size, int(rng.integers(2, 5)), 6)[..., None]
    picture = ground * (1 - mix) + second * mix
    if rng.random() < 0.5:
        wave = np.sin(2 * np.pi * (rng.uniform(4, 14) * _ramp(rng, mix.shape[:2]) + 2 * _noise(rng, size, 2, 3)))
        over = 0.5 + 0.5 * np.clip(wave * rng.uniform(1, 4), -1, 1)
    else:
        over = np.clip(8 * (_noise(rng, size, int(rng.integers(6, 16)), 3) - 0.5), 0, 1)
    over = (over * np.clip(4 * (_noise(rng, size, 2, 2) - 0.35), 0, 1) * rng.uniform(0.3, 0.8))[..., None]
    fine = 0.15 * (rng.random((size, size, 3), np.float32) - 0.5) * rng.random()
    return np.asarray(picture * (1 - over) + third * over + fine, np.float32)


def _develop(rng: np.random.Generator, picture: Image) -> UInt8[np.ndarray, "h w 3"]:
    """What a camera adds: uneven light, a little blur, noise, 8 bits."""
    size = len(picture)
    light = (
        rng.uniform(0.8, 1.15) * (0.75 + 0.5 * _ramp(rng, picture.shape[:2])) * (0.85 + 0.3 * _noise(rng, size, 2, 2))
    )
    blurred = cv2.GaussianBlur(picture * light[..., None], (0, 0), rng.uniform(0.3, 0.8))
    noisy = blurred + rng.uniform(0.005, 0.03) * rng.standard_normal(picture.shape, np.float32)
    return np.asarray(np.clip(noisy * 255, 0, 255), dtype=np.uint8)


def _noise(rng: np.random.Generator, size: int, cells: int, octaves: int) -> Shade:
    """Value noise in 0..1: random grids of `cells`, 2 `cells`, 4 `cells` ... a side, each weaker by a third."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        grid = rng.random((cells * 2**octave, cells * 2**octave), np.float32)
        total += 0.65**octave * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray((total - total.min()) / np.ptp(total), np.float32)


def _standing_out(rng: np.random.Generator, picture: Image, among: int) -> Rgb:
    """Of `among` colours the one that differs most from the picture's mean."""
    mean = picture.mean((0, 1))
    return max((_colour(rng) for _ in range(among)), key=lambda colour: float(np.abs(mean - colour).sum()))


def _ramp(rng: np.random.Generator, shape: tuple[int, ...]) -> Shade:
    """A plane (h, w) that rises from 0 to 1 in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    plane = np.add.outer(np.arange(shape[0]) * np.sin(angle), np.arange(shape[1]) * np.cos(angle))
    return np.asarray((plane - plane.min()) / np.ptp(plane), np.float32)


def _colour(rng: np.random.Generator, value: float | None = None, vivid: float = 0.8) -> Rgb:
    """Any hue; saturation up to `vivid`."""
    bright = rng.uniform(0.3, 0.95) if value is None else value
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.1, vivid), bright]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])
