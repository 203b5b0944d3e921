"""`boxless reproduce i2c-...`: I2C's tables and figures, all with the same options."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from boxless.cli import console
from boxless.cli.reproduce_options import ClassifierFlags, print_page, seed_list, words

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
EVERY_SEED = "0,1,2,3,4"


def register(app: App) -> None:
    """Add a command for each of them to `boxless reproduce`."""
    for name, about in TABLES.items():
        app.command(_command(name, about), name=name)
    app.command(wsol_table, name="wsol-table")


def _command(name: str, about: str) -> Callable[..., int]:
    published = name in ("i2c-table-1", "i2c-table-2")
    one_seed = published or name == "i2c-figure-3"

    def command(*, flags: ClassifierFlags) -> int:
        from boxless.reproduce.pages import CLASSIFIER_TABLES

        seeds, recipe = "0" if one_seed else EVERY_SEED, "paper" if published else "quick"
        return _run(CLASSIFIER_TABLES[name], flags, seeds, recipe, Path("runs/i2c"))

    command.__doc__ = f"""{about}

    The same command again goes on where it stopped; tables with the same --out share their trials."""
    return command


def wsol_table(*, flags: ClassifierFlags, methods: str | None = None, backbones: str | None = None) -> int:
    """Every method that learns from labels with the same data and budget, beside controls.

    Thresholds are transferred from boxes of training images, with the oracle's beside them; every method is compared
    with CAM on the same images. The same command again goes on where it stopped.

    Example: boxless reproduce wsol-table --data cub10 --methods cam,i2c --seeds 0,1 --minutes 30

    Parameters
    ----------
    flags
        What all tables of classifiers are asked for.
    methods
        Methods, separated by commas; default: all.
    backbones
        Backbones, separated by commas; default: the recipe's.

    """
    from boxless.methods import METHODS
    from boxless.reproduce.wsol_table import WsolTable

    table = WsolTable(methods=words(methods) or list(METHODS), backbones=words(backbones))
    return _run(table, flags, EVERY_SEED, "quick", Path("runs/wsol"))


def _run(table: "ClassifierTable", flags: ClassifierFlags, seeds: str, recipe: str, out: Path) -> int:
    """Print the page of the `table`; the seeds, recipe and folder are a table's own, where flags say none."""
    from boxless.reproduce.classifier_tables import reproduce
    from boxless.reproduce.grid import TimeBudget

    recipe = flags.recipe or recipe
    out = flags.out or out
    page = reproduce(
        table,
        flags.data,
        out,
        TimeBudget(flags.minutes),
        seeds=seed_list(flags.seeds or seeds),
        recipe=recipe,
        images_per_class=flags.images_per_class,
        begun=lambda trial: console.note(f"trial {trial.name}"),
        **flags.settings(recipe),
    )
    return print_page(page, out, as_json=flags.json)
