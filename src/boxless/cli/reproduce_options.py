"""The flags of the commands that rebuild tables and figures, and what is made of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from boxless.cli import console
from boxless.cli.flags import SHORT, Running, Switch
from boxless.runtime.errors import UsageError

BatchSize = Annotated[int | None, Parameter(alias=SHORT["batch_size"])]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClassifierFlags(Running):
    """What every table of classifiers is asked for."""

    data: Annotated[list[Path], Parameter(consume_multiple=True, negative="")]
    """Folder or zip with train and test (or val) images in class folders, and boxes_train.csv and boxes_test.csv;
    several paths are the parts of one data set, such as tiny200_a.zip tiny200_b.zip."""
    minutes: float | None = None
    """Stop after this many minutes with everything saved; default: no limit."""
    seeds: str | None = None
    """Seeds, separated by commas; all trials of the first come first; default: 0,1,2,3,4, and 0 for i2c-table-1,
    i2c-table-2 and i2c-figure-3."""
    recipe: Literal["quick", "paper"] | None = None
    """quick: Lite0's last layers, on a processor, the default; paper: the published schedule (InceptionV3), for a GPU,
    the default for i2c-table-1 and i2c-table-2."""
    epochs: int | None = None
    """Passes over the training images; default: the recipe's."""
    freeze: str | None = None
    """Last step of the backbone that does not learn; default: the recipe's."""
    size: int | None = None
    """Side in pixels of what the network sees; default: the recipe's."""
    batch_size: BatchSize = None
    """Images per step; default: the recipe's."""
    images_per_class: int | None = None
    """Training images of each class at most, the first by name; default: all."""
    out: Path | None = None
    """Folder for the results, the runs and the page; default: runs/i2c, and runs/wsol for wsol-table."""
    json: Switch = False
    """Print the page and its folder as JSON."""

    def settings(self, recipe: str) -> dict[str, Any]:
        """The settings of training that differ from the recipe's; the margin for crops grows with the size."""
        from boxless.reproduce.recipes import RECIPES

        base = RECIPES[recipe].training
        names = ("workers", "device", "precision", "epochs", "freeze", "size", "batch_size")
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        return chosen | ({} if self.size is None else {"resize": round(self.size * base.resize / base.size)})


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GanFlags(Running):
    """What every table and figure of GANs is asked for."""

    data: Path
    """Folder with train and test (or val) images in class folders; the paper's groups need Tiny ImageNet."""
    minutes: float | None = None
    """Stop after this many minutes with everything saved; default: no limit."""
    iterations: int = 250_000
    """Generator updates of every run; the paper has 250,000."""
    width: float = 1.0
    """Factor on the channels of G and D; 1 is the paper's."""
    preset: Literal["paper", "reference"] = "paper"
    """paper: the paper's settings, literally; reference: those of each GAN's own authors."""
    groups: str | None = None
    """Categories, separated by commas: groups of classes or single classes; default: the paper's."""
    gans: str | None = None
    """Methods, separated by commas, the first first; cam, in the table, is the reference that is trained with class
    labels, position the one that is no GAN and has none; default: sn-dcgan,dcgan,cam,position in the table, and in a
    figure the figure's."""
    size: int | None = None
    """Side of the images in pixels; default: the paper's, which is 32 in figures 1 and 2 and 64 elsewhere."""
    batch_size: BatchSize = None
    """Images per step; default: the method's own (128)."""
    out: Path | None = None
    """Folder for the results and the runs; default: runs/gan-table-3, and runs/gan-figures-DATA for figures."""
    json: Switch = False
    """Print the page and its folder as JSON."""

    def settings(self) -> dict[str, Any]:
        """The settings of training that are flags."""
        names = ("iterations", "width", "preset", "batch_size", "workers", "device", "precision")
        return {name: getattr(self, name) for name in names}


def words(listed: str | None) -> list[str]:
    """What stands between the commas; nothing for nothing."""
    return [word.strip() for word in listed.split(",")] if listed else []


def seed_list(seeds: str) -> list[int]:
    """Seeds as they are typed; raises UsageError for anything else."""
    if not all(seed.strip().isdecimal() for seed in seeds.split(",")):
        raise UsageError(f"The seeds are {seeds!r}. Expected whole numbers separated by commas, such as 0,1.")
    return [int(seed) for seed in seeds.split(",")]


def print_page(page: str, out: Path, *, as_json: bool) -> int:
    """Print the markdown of a table or figure that was left in the folder `out`; the exit code."""
    if as_json:
        console.result({"out": str(out), "page": page})
    else:
        console.line(page.removesuffix("\n"))
    return 0
