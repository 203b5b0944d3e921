"""`boxless reproduce wsol-table`: every method that learns from labels, under one protocol."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from boxless.cli import console
from boxless.cli.reproduce_options import HELP, changed, numbers


def register(app: App) -> None:
    """Add the command to `boxless reproduce`."""
    app.command(wsol_table, name="wsol-table")


def wsol_table(  # noqa: D103  # its help is put together below
    *,
    data: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    methods: str | None = None,
    backbones: str | None = None,
    minutes: float | None = None,
    seeds: str = "0,1,2,3,4",
    recipe: Literal["quick", "paper"] = "quick",
    epochs: int | None = None,
    freeze: str | None = None,
    size: int | None = None,
    images_per_class: int | None = None,
    workers: int = 2,
    out: Path = Path("runs/wsol"),
) -> int:  # its help is put together below
    from boxless.experiments.cells import Clock
    from boxless.experiments.wsol_table import reproduce

    page = reproduce(
        data,
        out,
        Clock(minutes),
        methods=_words(methods),
        backbones=_words(backbones),
        seeds=numbers(seeds),
        recipe=recipe,
        images_per_class=images_per_class,
        begun=lambda cell: console.note(f"cell {cell.name}"),
        **changed(recipe, epochs, freeze, size, workers),
    )
    console.out.print(page, markup=False, highlight=False)
    return 0


wsol_table.__doc__ = f"""Every method that learns from labels with the same data and budget, beside controls.

Thresholds are transferred from boxes of training images, with the oracle's beside them; every method is compared with
CAM on the same images. The same command again goes on where it stopped.

Example: boxless reproduce wsol-table --data cub10 --methods cam,i2c --seeds 0,1 --minutes 30

Parameters
----------
methods
    Methods, separated by commas; default: all.
backbones
    Backbones, separated by commas; default: the recipe's.
{HELP}"""


def _words(given: str | None) -> list[str]:
    return [word.strip() for word in given.split(",")] if given else []
