"""`boxless find`: photographs -> boxes, with no training and no labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from boxless.cli.flags import Search, Switch
from boxless.runtime.toml_settings import read_values, require_positive, require_side

MethodName = Literal[
    "auto",
    "ddt",
    "discriminant",
    "discriminant-ddt",
    "discriminant-contrast",
    "contrast",
    "saliency",
    "position",
    "several",
]

if TYPE_CHECKING:
    from boxless.inference.discovery_predictor import DiscoveryPredictor


def find(
    photos: Path,
    *,
    out: Path = Path("found"),
    method: MethodName | None = None,
    config: Path | None = None,
    size: int | None = None,
    backbone: str | None = None,
    stride: int | None = None,
    closer: Switch = False,
    flags: Search = Search(),
) -> int:
    """Find the object that the photos of a folder have in common. No label is needed.

    Example: boxless find photos --out found --format yolo --report

    Parameters
    ----------
    photos
        Folder (or zip) of images of one category, or with one sub-folder per category.
    out
        Folder for the boxes, summary.json and report.html.
    method
        auto, the default: one of the others or a mean of two, chosen for each category from its images alone. ddt: deep
        descriptor transforming over ImageNet features, for everyday photographs. discriminant: what tells the objects'
        places from all others, learnt from the images themselves, for what ImageNet does not know. discriminant-ddt,
        discriminant-contrast: where both see it, at a threshold that `boxless calibrate` had better choose. contrast:
        difference from the image's own border, with no network at all. saliency: what stands out in each image by
        itself. position: networks that learn in minutes, from these images alone, what their middles show. several, the
        default with --multiple: ddt on images twice as large, whose maps follow the edges; 1.2 to 1.4 times the
        time of auto.
    config
        What `boxless calibrate` has chosen (its found.toml); flags that are given win over it.
    size
        Side of the square that images are resized to, in pixels; default: the method's own (576 for several, 64 for
        contrast, saliency and position, else 288; auto looks again at 448 or 640 where that tells more).
    backbone
        The network whose features ddt uses, by its name in the list of `boxless methods`; default: lite0, whose weights
        come with boxless (others: found on disk or downloaded). auto and discriminant read lite0 alone.
    stride
        Pixels of the resized image per place of the heat map; default: the method's own (16; contrast 4, position 2,
        saliency 1).
    closer
        Look at the part of each photo around its box again, larger: tighter boxes in up to twice the time, for auto,
        ddt and position, where the photos have more pixels than --size.
    flags
        What commands that search have in common.

    """
    from boxless.cli.search import search

    require_side(size=size)
    require_positive(stride=stride)
    chosen = {} if config is None else read_values(config, {"method": MethodName, "threshold": float})
    if method is not None and method != chosen.get("method", method):
        chosen = {}  # a threshold is that of its method
    name = method or chosen.get("method", "several" if flags.multiple else "auto")
    own: dict[str, Any] = {"backbone": backbone, "stride": stride, "size": size}

    def build(**where: Any) -> "DiscoveryPredictor":
        from boxless.inference.factory import discoverer

        threshold = chosen.get("threshold") if flags.threshold is None else flags.threshold
        return discoverer(
            name, **own, **flags.options(threshold=threshold, multiple=flags.multiple, closer=closer, **where)
        )

    return search("finding", photos, out, flags, build)
