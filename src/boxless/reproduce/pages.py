"""The page of a table from its cells' json alone, without the data they were measured on."""

from collections.abc import Mapping
from typing import Any

from boxless.methods.settings import training
from boxless.reproduce import wsol_table
from boxless.reproduce.classifier_runs import Trial
from boxless.reproduce.gan import figures, readings, stopping, table_3
from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.i2c import ablations, comparisons
from boxless.reproduce.tables import Results
from boxless.runtime.errors import UsageError


def page_of(name: str, found: Results) -> str:
    """Markdown of the table whose name `name` begins with; raises UsageError for a name that is no table's."""
    if name.startswith("gan-"):
        return "\n".join(_gan_page(name, found)) + "\n"
    grid = [cell for result in found.values() if (cell := _cell(result)) is not None]
    for table in (*ablations.ABLATIONS, *comparisons.COMPARISONS, wsol_table.NAME):
        if name.startswith(table):
            if table in comparisons.COMPARISONS:
                return comparisons.page(table, grid, found)
            return wsol_table.page(grid, found) if table == wsol_table.NAME else ablations.page(table, grid, found)
    raise UsageError(f"There is no table {name!r}. Expected a name such as i2c-table-4-cub10.")


def _gan_page(name: str, found: Results) -> list[str]:
    results = {cell: dict(result) for cell, result in found.items()}
    if name.startswith(stopping.NAME):
        return stopping.page_of_result(results[stopping.NAME])
    cells = [GanTrial.named(cell) for cell in results]
    for on in readings.WHICH:
        if name.startswith(f"{readings.NAME}-{on}"):
            return readings.readings_page(cells, results, on)
    if name.startswith(table_3.NAME):
        return table_3.page_of_results(cells, results)
    for figure, content in figures.FIGURES.items():
        if name.startswith(figure):
            return figures.figure_page(figure, content, cells, results)
    raise UsageError(f"There is no table {name!r}. Expected a name such as gan-table-3-tiny28.")


def _cell(result: Mapping[str, Any]) -> Trial | None:
    """The cell that a result was measured in; None for one that was refused or failed."""
    if "training" not in result:
        return None
    settings = training(result["training"], "the results of a cell")
    return Trial(result["variant"], result["method"], result["options"], settings)
