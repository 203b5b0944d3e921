"""The flags that commands share, each defined once: cyclopts makes flags of the fields and help of the lines below."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from boxless.boxes import MAX_SIZE, MIN_SIZE, OVERLAP
from boxless.runtime.device_options import EngineName, Precision
from boxless.runtime.errors import UsageError
from boxless.runtime.toml_settings import require_positive

Switch = Annotated[bool, Parameter(negative="")]
STRICT = "Refuse boxes of which a single one cannot be, such as an empty one, instead of leaving it out and naming it."
SHORT = {"batch_size": "-b", "workers": "-j"}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How boxes are read that somebody else has drawn or found."""

    strict: Annotated[bool, Parameter(negative="", help=STRICT)] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Device:
    """Where networks run."""

    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    precision: Precision = "auto"
    """Numbers in the network: bf16, fp32, or auto for bf16 where the device is faster with it."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Running(Device):
    """Where networks run, and who reads their images."""

    workers: Annotated[int, Parameter(alias=SHORT["workers"])] = 2
    """Threads that read images."""

    def __post_init__(self) -> None:
        """Raise UsageError for a number that must be 1 or more."""
        require_positive(**{name: getattr(self, name, None) for name in ("batch_size", "workers", "devices", "nodes")})


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Categories:
    """Which images of a data set, and as how many categories."""

    classes: str | None = None
    """Only these classes, separated by commas, or a group: artiodactyla, bottle, bird, cat, dog, vehicle. A name that
    has a comma stands in double quotes: --classes '"lily, white",rose'."""
    one_category: Switch = False
    """Take all classes together as one category, for methods without labels."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Inference(Running, Categories):
    """How a finished method is run."""

    engine: EngineName = "auto"
    """What computes the network: torch, openvino (pip install 'boxless[fast]'), or auto for openvino where it is
    installed, runs on a processor and gives what torch gives."""
    threshold: float | None = None
    """What counts as object, as a fraction of the heat map's range, 0 or more and less than 1; default: the method's
    own, or the one stored in the run."""
    batch_size: Annotated[int | None, Parameter(alias=SHORT["batch_size"])] = None
    """Images per forward pass; default: 16, of images larger than 288 pixels fewer (on a processor)."""

    def options(self, **other: Any) -> dict[str, Any]:
        """What predictors are built with."""
        names = ("threshold", "batch_size", "workers", "device", "precision", "engine")
        return {name: getattr(self, name) for name in names} | other


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Several:
    """How maps are read for several objects in an image."""

    multiple: Switch = False
    """A box for every object that the heat map shows, instead of the largest component alone."""
    overlap: float = OVERLAP
    """With --multiple: of two boxes whose IoU is above this, 0 to 1, the one with the lower score is left out."""
    min_size: float = MIN_SIZE
    """With --multiple: no box below this many per cent of the image, or of a tile."""
    max_size: float = MAX_SIZE
    """With --multiple: no box above this many per cent of the image, or of a tile."""
    tiles: int | Literal["auto", "off"] = "off"
    """With --multiple, for large photographs with small objects: look at them in overlapping tiles of this many pixels
    and join the maps; auto does so for a category whose photographs are large and whose objects fit well into tiles."""

    def check_tiles(self) -> None:
        """Raise UsageError for tiles without several objects."""
        if self.tiles != "off" and not self.multiple:
            raise UsageError("--tiles looks for several objects in an image. Add --multiple, or leave --tiles out.")

    def reading(self) -> dict[str, Any]:
        """What `find_boxes` is asked for."""
        return {name: getattr(self, name) for name in ("overlap", "min_size", "max_size")}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Search(Inference, Several):
    """How a folder is searched, and what is written."""

    format: Literal["coco", "voc", "yolo", "csv"] = "coco"
    """What detectors read: coco (boxes.json), voc (xml files), yolo (text files) or csv (boxes.csv)."""
    report: Switch = False
    """Also write report.html: every image with its box and heat map."""
    min_score: float = 0.0
    """No box whose score is below this, 0 to 1; the report of evaluate shows what scores are worth."""
    devices: int = 1
    """Processes on each machine, each with a processor's share or a GPU of its own; ddt gives each whole categories."""
    nodes: int = 1
    """Machines, with --out on storage that they share. torchrun and srun tell devices and nodes by themselves."""
    resume: Switch = False
    """Go on where a search into the output folder was stopped or killed; without one, begin."""
    overwrite: Switch = False
    """Replace what an earlier export left in the output folder."""
    json: Switch = False
    """Print the summary as JSON."""

    def writing(self) -> dict[str, Any]:
        """What `predict_folder` is asked for."""
        names = ("format", "report", "multiple", "min_score", "overwrite", "resume")
        return {name: getattr(self, name) for name in names} | self.reading()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunFlags(Categories):
    """The folder of a training, and what it learns from."""

    out: Path | None = None
    """Run folder for settings.toml, last.pt, best.pt and metrics.csv; default: runs/NAME."""
    resume: Switch = False
    """Go on where the run in the output folder stopped."""
    overwrite: Switch = False
    """Replace the run in the output folder."""
    config: Path | None = None
    """Settings of another run (its settings.toml, or a part of one); flags that are given win over it."""
    json: Switch = False
    """Print the folder and its files as JSON."""
