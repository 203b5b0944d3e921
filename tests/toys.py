"""A method, a backbone and a format as somebody outside the package writes them, after docs/architecture.md."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor, nn

from boxless.backbones.backbone import Backbone, Stage
from boxless.boxes.from_heatmap import Detections, Readout
from boxless.methods.cam import Cam


class Sharp(Cam):
    """CAM whose map is raised to a power.

    Options:
        power: exponent of the map's positive part.
    """

    readout = Readout(0.1, "fixed: a toy's", "max")

    def __init__(self, backbone: Backbone, classes: int, *, power: float = 2.0) -> None:
        super().__init__(backbone, classes)
        self.power = power

    def class_maps(self, features: Tensor, labels: Tensor) -> Tensor:
        return super().class_maps(features, labels).relu() ** self.power


class Plain(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 5, stride, padding=2)

    def stages(self) -> Iterator[Stage]:
        yield "conv", nn.Sequential(self.conv, nn.ReLU())


def build(stride: int) -> Backbone:
    return Backbone(Plain(stride), name="plain", stride=stride, mean=(0.5,) * 3, std=(0.25,) * 3)


ENTRIES = {"boxes.jsonl"}
NOTE = "boxes.jsonl: one image per line."


def write(
    found: Iterable[Detections], folder: Path, classes: list[str], *, note: str, pictures: Path | None = None
) -> None:
    with (folder / "boxes.jsonl").open("w") as file:
        for one in found:
            file.write(json.dumps({"image": one.name, "boxes": one.boxes.tolist()}) + "\n")
