"""`boxless reproduce i2c-...`: I2C's tables and figures, all with the same options."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from boxless.cli import console
from boxless.cli.reproduce_options import HELP, changed, numbers

if TYPE_CHECKING:
    from boxless.reproduce.classifier_tables import ClassifierTable

TABLES = {
    "i2c-table-1": "Every method on its backbone on ILSVRC beside the published errors (Zhang et al., Table 1).",
    "i2c-table-2": "Every method on CUB-200-2011 beside the published errors (Zhang et al., Table 2).",
    "i2c-table-3": "I2C at 224 and 320 pixels (Zhang et al., Table 3).",
    "i2c-table-4": "I2C's constraints against the plain network (Zhang et al., Table 4), and what they cost.",
    "i2c-figure-3": "Boxes and heat maps of I2C and ACoL on the same images (Zhang et al., Figure 3).",
    "i2c-figure-4": "Places above delta, from which I2C draws its seeds (Zhang et al., Figure 4).",
    "i2c-figure-5": "I2C's factors, number of seeds, and learnt memory (Zhang et al., Figure 5).",
}


def register(app: App) -> None:
    """Add a command for each of them to `boxless reproduce`."""
    for name, about in TABLES.items():
        app.command(_command(name, about), name=name)
    app.command(wsol_table, name="wsol-table")


def _command(name: str, about: str) -> Callable[..., int]:
    published = name in ("i2c-table-1", "i2c-table-2")
    seeds_by_default = "0" if published or name == "i2c-figure-3" else "0,1,2,3,4"
    recipe_by_default: Literal["quick", "paper"] = "paper" if published else "quick"

    def command(
        *,
        data: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
        minutes: float | None = None,
        seeds: str = seeds_by_default,
        recipe: Literal["quick", "paper"] = recipe_by_default,
        epochs: int | None = None,
        freeze: str | None = None,
        size: int | None = None,
        images_per_class: int | None = None,
        workers: int = 2,
        out: Path = Path("runs/i2c"),
    ) -> int:
        from boxless.reproduce.pages import CLASSIFIER_TABLES

        how = changed(recipe, epochs, freeze, size, workers, images_per_class)
        return _run(CLASSIFIER_TABLES[name], data, out, minutes, seeds, **how)

    command.__doc__ = f"{about}\n\n{_HELP}"
    return command


_HELP = f"""The same command again goes on where it stopped; tables with the same --out share their trials.

Parameters
----------
{HELP}"""


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
) -> int:
    from boxless.methods import METHODS
    from boxless.reproduce.wsol_table import WsolTable

    table = WsolTable(methods=_words(methods) or list(METHODS), backbones=_words(backbones))
    how = changed(recipe, epochs, freeze, size, workers, images_per_class)
    return _run(table, data, out, minutes, seeds, **how)


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


def _run(table: "ClassifierTable", data: list[Path], out: Path, minutes: float | None, seeds: str, **how: Any) -> int:
    from boxless.reproduce.classifier_tables import reproduce
    from boxless.reproduce.grid import TimeBudget

    how["begun"] = lambda trial: console.note(f"trial {trial.name}")
    page = reproduce(table, data, out, TimeBudget(minutes), seeds=numbers(seeds), **how)
    console.out.print(page, markup=False, highlight=False)
    return 0


def _words(given: str | None) -> list[str]:
    return [word.strip() for word in given.split(",")] if given else []
