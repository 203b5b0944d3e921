"""`boxless reproduce gan-...`: the GAN co-localization paper's table and figures, and what its runs tell further."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from boxless.cli import console
from boxless.cli.flags import Switch
from boxless.cli.reproduce_options import GanFlags, print_page, seed_list, words

if TYPE_CHECKING:
    from boxless.reproduce.gan.run import GanTrial

FIGURES = {
    "gan-figure-1": "Samples of each GAN at the same iteration, CIFAR-10 birds (Choe, Park and Shim, Figure 1).",
    "gan-figure-2": "Boxes and heat maps of each GAN on CIFAR-10 (Choe, Park and Shim, Figure 2).",
    "gan-figure-3": "Boxes and heat maps of SN-DCGAN on Tiny ImageNet (Choe, Park and Shim, Figure 3).",
    "gan-figure-4": "Samples of SN-DCGAN without and with augmentation (Choe, Park and Shim, Figure 4).",
}
TABLE = Path("runs/gan-table-3")


def register(app: App) -> None:
    """Add the commands to `boxless reproduce`."""
    app.command(gan_table_3, name="gan-table-3")
    for name, about in FIGURES.items():
        app.command(_figure(name, about), name=name)
    app.command(gan_readings, name="gan-readings")
    app.command(gan_stopping, name="gan-stopping")


def gan_table_3(*, flags: GanFlags, seeds: str = "0") -> int:
    """GAN co-localization on Tiny ImageNet (Choe, Park and Shim, Table 3): the peak, and what it is worth.

    The same command again goes on where it stopped. Prints the page and leaves it in gan-table-3.md.

    Example: boxless reproduce gan-table-3 --data tiny28 --minutes 10 --iterations 300 --width 0.25

    Parameters
    ----------
    flags
        What the table and the figures of GANs are asked for.
    seeds
        Seeds, separated by commas; all trials of the first come first.

    """
    from boxless.gan.settings import GanTraining
    from boxless.reproduce.gan.table_3 import groups_in, run_table_3, table_3_trials
    from boxless.reproduce.grid import TimeBudget

    budget = TimeBudget(flags.minutes)
    training = GanTraining(size=flags.size or 64, log_every=50, **flags.settings())
    chosen = words(flags.groups) if flags.groups else groups_in(flags.data)
    trials = table_3_trials(
        chosen, _gans(flags.gans or "sn-dcgan,dcgan,cam,position", "cam", "position"), seed_list(seeds)
    )
    out = flags.out or TABLE
    return print_page(run_table_3(trials, flags.data, training, out, budget, _begun), out, as_json=flags.json)


def _figure(name: str, about: str) -> Callable[..., int]:
    def command(*, flags: GanFlags, seed: int = 0) -> int:
        from boxless.gan.settings import GanTraining
        from boxless.reproduce.gan.figures import FIGURES, run_figure
        from boxless.reproduce.grid import TimeBudget

        budget = TimeBudget(flags.minutes)
        training = GanTraining(seed=seed, size=flags.size or FIGURES[name].size, log_every=50, **flags.settings())
        gans = _gans(flags.gans) if flags.gans else ()
        groups = words(flags.groups) if flags.groups else ()
        out = flags.out or Path("runs") / f"gan-figures-{flags.data.stem}"
        page = run_figure(name, flags.data, training, out, budget, _begun, gans=gans, groups=groups)
        return print_page(page, out, as_json=flags.json)

    command.__doc__ = f"""{about}

    The same command again goes on where it stopped; figures with the same --out share their runs. Leaves {name}.jpg,
    {name}.json and {name}.md, which hold the picture and the numbers behind it. No label and no box is used; boxes are
    drawn where the data has them.

    Parameters
    ----------
    seed
        Seed of the weights and of every draw.
    """
    return command


def gan_readings(
    *,
    data: Path,
    on: Literal["test", "train"] = "test",
    only: str = "",
    minutes: float | None = None,
    device: str = "auto",
    out: Path = TABLE,
    json: Switch = False,
) -> int:
    """Every way to read the Ds of a gan-table-3, beside untrained Ds and shuffled maps: what has D learnt?

    The same command again goes on where it stopped. Prints the page and leaves it in gan-readings-ON.md.

    Parameters
    ----------
    data
        The data of the table.
    on
        test: images that D has not seen; train: those it was trained on, without their boxes, which are more.
    only
        Readings whose names begin so, such as position or ddt; default: all.
    minutes
        Stop after this many minutes; default: no limit.
    device
        auto, cpu, cuda or cuda:N.
    out
        The table's folder, whose finished runs are read.
    json
        Print the page and its folder as JSON.

    """
    from boxless.reproduce.gan.readings import run_readings
    from boxless.reproduce.grid import TimeBudget

    page = run_readings(data, out, TimeBudget(minutes), on=on, only=only, device=device, begun=_begun)
    return print_page(page, out, as_json=json)


def gan_stopping(*, data: Path, out: Path = TABLE, json: Switch = False) -> int:
    """Whether a criterion without labels chooses better checkpoints of a gan-table-3 than the last ones.

    Trains nothing. Prints the page and leaves it in gan-stopping.md, the numbers in gan-stopping.json.

    Parameters
    ----------
    data
        The data of the table.
    out
        The table's folder, whose finished trials are read.
    json
        Print the page and its folder as JSON.

    """
    from boxless.reproduce.gan.stopping import validate

    return print_page(validate(out, data.name), out, as_json=json)


def _gans(listed: str, *references: str) -> list[str]:
    """The named methods; raises UsageError for one that is neither a GAN nor among the `references`."""
    from boxless.gan import recipe

    for gan in words(listed):
        if gan not in references:
            recipe(gan)
    return words(listed)


def _begun(trial: "GanTrial") -> None:
    console.note(f"trial {trial.name}")
