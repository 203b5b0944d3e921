"""boxless finds objects in images without box annotations: heat maps, boxes, and an honest measure of both.

model = boxless.load("runs/birds/best.pt")
heat = model.heatmap(images)                                     # (batch, h, w), images in 0..1
boxes, scores = boxless.find_boxes(heat[0].numpy(), (640, 480), model.readout.threshold)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boxless.boxes.from_heatmap import find_boxes
    from boxless.inference.localizer import load

__version__ = "0.1.0"
__all__ = ["__version__", "find_boxes", "load"]

_HOMES = {"load": "boxless.inference.localizer", "find_boxes": "boxless.boxes.from_heatmap"}


def __getattr__(name: str) -> Any:
    """Public names come from their rooms at first use, so that `import boxless` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'boxless' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
