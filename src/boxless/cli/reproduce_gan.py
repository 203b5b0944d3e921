"""`boxless reproduce gan-...`: the GAN co-localization paper's table and figures, and what its runs tell further."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from boxless.cli import console
from boxless.cli.reproduce_options import numbers
from boxless.gan import Preset

if TYPE_CHECKING:
    from boxless.reproduce.gan.run import GanTrial

FIGURES = {
    "gan-figure-1": "Samples of each GAN at the same iteration, CIFAR-10 birds (Choe, Park and Shim, Figure 1).",
    "gan-figure-2": "Boxes and heat maps of each GAN on CIFAR-10 (Choe, Park and Shim, Figure 2).",
    "gan-figure-3": "Boxes and heat maps of SN-DCGAN on Tiny ImageNet (Choe, Park and Shim, Figure 3).",
    "gan-figure-4": "Samples of SN-DCGAN without and with augmentation (Choe, Park and Shim, Figure 4).",
}


def register(app: App) -> None:
    """Add the commands to `boxless reproduce`."""
    app.command(gan_table_3, name="gan-table-3")
    for name, about in FIGURES.items():
        app.command(_figure(name, about), name=name)
    app.command(gan_readings, name="gan-readings")
    app.command(gan_stopping, name="gan-stopping")


def gan_table_3(  # noqa: D103  # its help is put together below
    *,
    data: Path,
    minutes: float | None = None,
    iterations: int = 250_000,
    width: float = 1.0,
    preset: Preset = "paper",
    seeds: str = "0",
    gans: str = "sn-dcgan,dcgan,cam",
    groups: str | None = None,
    size: int = 64,
    batch_size: int | None = None,
    device: str = "auto",
    out: Path = Path("runs/gan-table-3"),
) -> int:
    from boxless.gan.settings import GanTraining
    from boxless.reproduce.gan.table_3 import groups_in, run_table_3, table_3_trials
    from boxless.reproduce.grid import TimeBudget

    budget = TimeBudget(minutes)
    training = GanTraining(
        preset=preset, iterations=iterations, width=width, size=size, batch_size=batch_size, device=device, log_every=50
    )
    chosen = _names(groups) if groups else groups_in(data)
    trials = table_3_trials(chosen, _gans(gans, "cam"), numbers(seeds))
    _print(run_table_3(trials, data, training, out, budget, _begun))
    return 0


_RUNS = """minutes
    Stop after this many minutes with everything saved; default: no limit.
iterations
    Generator updates of every run; the paper has 250,000.
width
    Factor on the channels of G and D; 1 is the paper's.
preset
    paper: the paper's settings, literally; reference: those of each GAN's own authors.
"""
_STEPS = """batch_size
    Images per step; default: the method's own (128).
device
    auto, cpu, cuda or cuda:N.
"""
gan_table_3.__doc__ = f"""GAN co-localization on Tiny ImageNet (Choe, Park and Shim, Table 3): the peak and its worth.

The same command again goes on where it stopped. Prints the page and leaves it in gan-table-3.md.

Example: boxless reproduce gan-table-3 --data tiny28 --minutes 10 --iterations 300 --width 0.25

Parameters
----------
data
    Tiny ImageNet with train and val images and boxes, or any folder with --groups.
{_RUNS}seeds
    Seeds, separated by commas; all trials of the first come first.
gans
    Methods, separated by commas, the first first; cam is the reference that is trained with class labels.
groups
    Categories, separated by commas: groups of classes or single classes; default: the paper's six groups.
size
    Side of the images in pixels; the paper has 64.
{_STEPS}out
    Folder for cells/*.json, the runs and gan-table-3.md.

"""


def _figure(name: str, about: str) -> Callable[..., int]:
    def command(
        *,
        data: Path,
        minutes: float | None = None,
        iterations: int = 250_000,
        width: float = 1.0,
        preset: Preset = "paper",
        seed: int = 0,
        gans: str | None = None,
        groups: str | None = None,
        size: int | None = None,
        batch_size: int | None = None,
        device: str = "auto",
        out: Path | None = None,
    ) -> int:
        from boxless.gan.settings import GanTraining
        from boxless.reproduce.gan.figures import FIGURES, run_figure
        from boxless.reproduce.grid import TimeBudget

        budget = TimeBudget(minutes)
        training = GanTraining(
            preset=preset,
            iterations=iterations,
            width=width,
            seed=seed,
            size=size or FIGURES[name].size,
            batch_size=batch_size,
            device=device,
            log_every=50,
        )
        chosen = {"gans": _gans(gans) if gans else (), "groups": _names(groups) if groups else ()}
        folder = out or Path("runs") / f"gan-figures-{data.stem}"
        _print(run_figure(name, data, training, folder, budget, _begun, **chosen))
        return 0

    command.__doc__ = f"{about}\n\n{_FIGURE}".replace("NAME", name)
    return command


_FIGURE = f"""The same command again goes on where it stopped; figures with the same --out share their runs. Leaves
NAME.jpg, NAME.json and NAME.md, which hold the picture and the numbers behind it. No label and no box is used; boxes
are drawn where the data has them.

Parameters
----------
data
    Folder with train and test (or val) images in class folders.
{_RUNS}seed
    Seed of the weights and of every draw.
gans
    Methods, separated by commas; default: the figure's.
groups
    Categories, separated by commas: groups of classes or single classes; default: the figure's.
size
    Side of the images in pixels; default: 32 in figures 1 and 2, 64 in 3 and 4, as in the paper.
{_STEPS}out
    Folder for the results and the runs; default: runs/gan-figures-DATA.

"""


def gan_readings(
    *,
    data: Path,
    on: Literal["test", "train"] = "test",
    minutes: float | None = None,
    device: str = "auto",
    out: Path = Path("runs/gan-table-3"),
) -> int:
    """Every way to read the Ds of a gan-table-3, beside untrained Ds and shuffled maps: what has D learnt?

    The same command again goes on where it stopped. Prints the page and leaves it in gan-readings-ON.md.

    Parameters
    ----------
    data
        The data of the table.
    on
        test: images that D has not seen; train: those it was trained on, without their boxes, which are more.
    minutes
        Stop after this many minutes; default: no limit.
    device
        auto, cpu, cuda or cuda:N.
    out
        The table's folder, whose finished runs are read.

    """
    from boxless.reproduce.gan.readings import run_readings
    from boxless.reproduce.grid import TimeBudget

    _print(run_readings(data, out, TimeBudget(minutes), on=on, device=device, begun=_begun))
    return 0


def gan_stopping(*, data: Path, out: Path = Path("runs/gan-table-3")) -> int:
    """Whether a criterion without labels chooses better checkpoints of a gan-table-3 than the last ones.

    Trains nothing. Prints the page and leaves it in gan-stopping.md, the numbers in gan-stopping.json.

    Parameters
    ----------
    data
        The data of the table.
    out
        The table's folder, whose finished trials are read.

    """
    from boxless.reproduce.gan.stopping import validate

    _print(validate(out, data.name))
    return 0


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",")]


def _gans(listed: str, reference: str = "") -> list[str]:
    """The named methods; raises UsageError for one that is neither a GAN nor the `reference`."""
    from boxless.gan import recipe

    for gan in _names(listed):
        if gan != reference:
            recipe(gan)
    return _names(listed)


def _begun(trial: "GanTrial") -> None:
    console.note(f"trial {trial.name}")


def _print(page: str) -> None:
    console.out.print(page, markup=False, highlight=False, end="")
