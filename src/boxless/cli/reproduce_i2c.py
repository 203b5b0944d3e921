"""`boxless reproduce i2c-...`: I2C's ablations, all with the same options."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cyclopts import App

from boxless.cli import console

TABLES = {
    "i2c-table-3": "I2C at 224 and 320 pixels (Zhang et al., Table 3).",
    "i2c-table-4": "I2C's constraints against the plain network (Zhang et al., Table 4), and what they cost.",
    "i2c-figure-4": "Places above delta, from which I2C draws its seeds (Zhang et al., Figure 4).",
    "i2c-figure-5": "I2C's factors, number of seeds, and learnt memory (Zhang et al., Figure 5).",
}


def register(app: App) -> None:
    """Add a command for each of them to `boxless reproduce`."""
    for name, about in TABLES.items():
        app.command(_command(name, about), name=name)


def _command(name: str, about: str) -> Callable[..., int]:
    def command(
        *,
        data: Path,
        minutes: float | None = None,
        seeds: str = "0,1,2,3,4",
        recipe: Literal["quick", "paper"] = "quick",
        epochs: int | None = None,
        freeze: str | None = None,
        size: int | None = None,
        workers: int = 2,
        out: Path = Path("runs/i2c"),
    ) -> int:
        from boxless.errors import UsageError
        from boxless.experiments.cells import Clock
        from boxless.experiments.i2c_tables import RECIPES, reproduce

        clock = Clock(minutes)
        if not all(seed.strip().isdecimal() for seed in seeds.split(",")):
            raise UsageError(f"The seeds are {seeds!r}. Expected whole numbers separated by commas, such as 0,1.")
        base = RECIPES[recipe].training
        changed: dict[str, int | str] = {"workers": workers}
        changed |= {} if epochs is None else {"epochs": epochs}
        changed |= {} if freeze is None else {"freeze": freeze}
        changed |= {} if size is None else {"size": size, "resize": round(size * base.resize / base.size)}
        page = reproduce(
            name,
            data,
            out,
            clock,
            seeds=[int(seed) for seed in seeds.split(",")],
            recipe=recipe,
            begun=lambda cell: console.note(f"cell {cell.name}"),
            **changed,
        )
        console.out.print(page, markup=False, highlight=False)
        return 0

    command.__doc__ = f"{about}\n\n{_HELP}"
    return command


_HELP = """The same command again goes on where it stopped; tables with the same --out share their cells.

Parameters
----------
data
    Folder with train and test (or val) images in class folders, and boxes_train.csv and boxes_test.csv.
minutes
    Stop after this many minutes with everything saved; default: no limit.
seeds
    Seeds, separated by commas; all cells of the first come first.
recipe
    quick: Lite0's last layers, on a processor; paper: InceptionV3 with the published schedule, for a GPU.
epochs
    Passes over the training images; default: the recipe's.
freeze
    Last step of the backbone that does not learn; default: the recipe's.
size
    Side in pixels of what the network sees; default: the recipe's.
workers
    Threads that read images.
out
    Folder for cells/*.json, the runs and the page.

"""
