"""The kinds of object in made photographs: drawings of coloured parts in a unit square, posed anew for every picture.

A drawing lies around (0, 0) with y downwards and reaches about 1 to every side. Its parts are painted in order.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "_point 2"]
Place = tuple[float, float] | Float[np.ndarray, "2"]


class Part(NamedTuple):
    """A closed outline, or an outer and an inner one, and which of the object's three colours fills it."""

    outlines: list[Points]
    tone: int


def _beetle(rng: np.random.Generator) -> list[Part]:
    legs = []
    for root, reach in ((-0.3, -0.45), (0.05, 0.0), (0.3, 0.5)):
        for side in (-1, 1):
            knee = np.array([side * 0.68, root + reach * 0.5 + rng.uniform(-0.1, 0.1)])
            foot = np.array([side * rng.uniform(0.85, 1.0), root + reach + rng.uniform(-0.1, 0.15)])
            legs += [_limb((side * 0.25, root), knee, 0.07, 0.055, 1), _limb(knee, foot, 0.055, 0.035, 1)]
    feelers = [_limb((side * 0.1, -0.6), (side * rng.uniform(0.2, 0.5), -1.0), 0.05, 0.03, 1) for side in (-1, 1)]
    shell = [_disc((0, 0.2), 0.45, 0.66, 0), _disc((0, -0.38), 0.33, 0.2, 0), _disc((0, -0.6), 0.22, 0.17, 1)]
    spots = [
        _disc((side * 0.22, height), 0.09, 0.09, 2)
        for height in np.linspace(-0.1, 0.6, rng.integers(2, 5))
        for side in (-1, 1)
    ]
    return [*legs, *feelers, *shell, _limb((0, -0.3), (0, 0.85), 0.03, 0.03, 1), *spots]


def _star(rng: np.random.Generator) -> list[Part]:
    angles = np.linspace(0, 2 * np.pi, 5, endpoint=False) + rng.uniform(-0.12, 0.12, 5)
    tips = _polar(angles, rng.uniform(0.9, 1.0, 5))
    arms = [_limb((0, 0), tip, rng.uniform(0.26, 0.32), 0.08, 0) for tip in tips]
    ridges = [_limb(tip * 0.15, tip * 0.9, 0.045, 0.03, 1) for tip in tips]
    dots = [_disc(tip * along, 0.055, 0.055, 2) for tip in tips for along in (0.4, 0.6, 0.78)]
    return [*arms, _disc((0, 0), 0.33, 0.33, 0), *ridges, *dots, _disc((0, 0), 0.12, 0.12, 2)]


def _leaf(rng: np.random.Generator) -> list[Part]:
    along = np.linspace(0, 1, 15)
    wide = rng.uniform(0.4, 0.55) * np.sin(np.pi * along**0.8) * np.where(np.arange(15) % 2, 1.0, 0.82)
    right = np.stack([wide, 1.6 * along - 1.0], 1)
    blade = Part([np.concatenate([right, right[::-1] * [-1, 1]])], 0)
    veins = [
        _limb((0, height + 0.25), (side * 0.36 * np.sin(np.pi * (height + 1) / 1.6), height), 0.035, 0.02, 2)
        for height in np.linspace(-0.65, 0.25, rng.integers(4, 7))
        for side in (-1, 1)
    ]
    stalk = _limb((0, 0.5), (rng.uniform(-0.2, 0.2), 1.0), 0.05, 0.07, 1)
    return [stalk, blade, *veins, _limb((0, 0.6), (0, -0.9), 0.05, 0.02, 2)]


def _lamp(rng: np.random.Generator) -> list[Part]:
    centre = np.array([0, -0.35])
    outer, inner = (_disc(centre, radius, radius, 0).outlines[0] for radius in (0.62, rng.uniform(0.34, 0.42)))
    bulbs = centre + _polar(np.linspace(0, 2 * np.pi, rng.integers(8, 12), endpoint=False), np.array(0.5))
    lean = rng.uniform(-0.15, 0.15)
    stand = [_limb((0, 0.2), (lean, 0.9), 0.06, 0.06, 1), _limb((lean - 0.4, 0.92), (lean + 0.4, 0.92), 0.08, 0.08, 1)]
    return [*stand, Part([outer, inner], 0), *(_disc(bulb, 0.07, 0.07, 2) for bulb in bulbs)]


KINDS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "beetle": _beetle,
    "star": _star,
    "leaf": _leaf,
    "lamp": _lamp,
}
"""The kinds of object that can be made."""


def distractor(rng: np.random.Generator) -> list[Part]:
    """A thing that is no object: a pebble, shard, stick or frame, or one as finely drawn as the objects are.

    Twigs, speckled pebbles and grates are there so that detail, all that classical saliency sees, tells little.
    """
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    match rng.integers(7):
        case 0:
            return [_disc((0, 0), 1, rng.uniform(0.4, 1), 0)]
        case 1:
            return [Part([_polar(np.sort(rng.uniform(0, 2 * np.pi, 5)), rng.uniform(0.7, 1, 5))], 0)]
        case 2:
            return [_limb((-1, 0), (1, 0), rng.uniform(0.05, 0.2), rng.uniform(0.05, 0.2), 1)]
        case 3:
            return [Part([square, square * rng.uniform(0.5, 0.8)], 2)]
        case 4:
            ends = rng.uniform(-1, 1, (rng.integers(5, 11), 2, 2))
            return [_limb(start, end, 0.07, 0.03, int(rng.integers(3))) for start, end in ends]
        case 5:
            spots = _polar(rng.uniform(0, 2 * np.pi, 9), np.sqrt(rng.uniform(0, 0.5, 9)))
            return [_disc((0, 0), 1, 0.9, 0), *(_disc(spot, 0.12, 0.12, int(rng.integers(1, 3))) for spot in spots)]
        case _:
            at = np.linspace(-0.9, 0.9, rng.integers(3, 6))
            across, down = ([_limb(a, b, 0.06, 0.06, tone) for a, b in ends] for tone, ends in _grate(at))
            return [*across, *down]


def _grate(at: Float[np.ndarray, "bar"]) -> list[tuple[int, list[tuple[Place, Place]]]]:
    return [(1, [((-1, y), (1, y)) for y in at]), (2, [((x, -1), (x, 1)) for x in at])]


def _polar(angles: Float[np.ndarray, "point"], radii: Float[np.ndarray, "..."]) -> Float[np.ndarray, "point 2"]:
    return np.stack([np.sin(angles) * radii, -np.cos(angles) * radii], 1)


def _disc(centre: Place, across: float, down: float, tone: int) -> Part:
    return Part([np.asarray(centre) + _polar(np.linspace(0, 2 * np.pi, 28), np.array(1.0)) * [across, down]], tone)


def _limb(start: Place, end: Place, wide: float, tip: float, tone: int) -> Part:
    start, end = np.asarray(start, float), np.asarray(end, float)
    side = (end - start)[::-1] * [-1, 1] / max(float(np.hypot(*(end - start))), 1e-6)
    return Part([np.stack([start + side * wide, end + side * tip, end - side * tip, start - side * wide])], tone)
