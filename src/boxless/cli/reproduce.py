"""`boxless reproduce TABLE`: the tables of papers, rebuilt in as many minutes as there are, resumably."""

from pathlib import Path

from cyclopts import App

from boxless.cli import console, reproduce_i2c, reproduce_wsol
from boxless.cli.reproduce_options import numbers

app = App(name="reproduce", help="Rebuild a paper's table: cell after cell, within given minutes, beside controls.")


@app.command(name="gan-table-3")
def gan_table_3(
    *,
    data: Path,
    minutes: float | None = None,
    iterations: int = 250_000,
    width: float = 1.0,
    seeds: str = "0",
    gans: str = "sn-dcgan,dcgan",
    groups: str | None = None,
    size: int = 64,
    batch_size: int | None = None,
    device: str = "auto",
    out: Path = Path("runs/gan-table-3"),
) -> int:
    """GAN co-localization on Tiny ImageNet (Choe, Park and Shim, Table 3): the peak, and what it is worth.

    The same command again goes on where it stopped. Prints the page and leaves it in gan-table-3.md.

    Example: boxless reproduce gan-table-3 --data tiny28 --minutes 10 --iterations 300 --width 0.25

    Parameters
    ----------
    data
        Tiny ImageNet with train and val images and boxes, or any folder with --groups.
    minutes
        Stop after this many minutes with everything saved; default: no limit.
    iterations
        Generator updates of every run; the paper has 250,000.
    width
        Factor on the channels of G and D; 1 is the paper's.
    seeds
        Seeds, separated by commas; all cells of the first come first.
    gans
        Methods, separated by commas; the first comes first.
    groups
        Categories, separated by commas: groups of classes or single classes; default: the paper's six groups.
    size
        Side of the images in pixels; the paper has 64.
    batch_size
        Images per step; default: the method's own (128).
    device
        auto, cpu, cuda or cuda:N.
    out
        Folder for cells/*.json, the runs and gan-table-3.md.

    """
    from boxless.experiments.cells import Clock
    from boxless.experiments.gan_cell import GanCell
    from boxless.experiments.gan_tables import groups_in, run_table_3, table_3_cells
    from boxless.gan import recipe
    from boxless.gan.settings import GanTraining
    from boxless.gan.training import Progress

    clock = Clock(minutes)
    methods = [gan.strip() for gan in gans.split(",")]
    for gan in methods:
        recipe(gan)
    chosen = [group.strip() for group in groups.split(",")] if groups else groups_in(data)
    training = GanTraining(
        iterations=iterations, width=width, size=size, batch_size=batch_size, device=device, log_every=50
    )
    cells = table_3_cells(chosen, methods, numbers(seeds))

    def told(cell: GanCell) -> Progress:
        console.note(f"cell {cell.name}")
        return lambda step, steps, row: None

    for line in run_table_3(cells, data, training, out, clock, told):
        console.out.print(line, markup=False, highlight=False)
    return 0


reproduce_i2c.register(app)
reproduce_wsol.register(app)
