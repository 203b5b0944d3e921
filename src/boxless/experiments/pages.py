"""The page of a table from its cells' json alone, without the data they were measured on."""

from collections.abc import Mapping
from typing import Any

from boxless.errors import UsageError
from boxless.experiments import comparisons, i2c_tables, wsol_table
from boxless.experiments.rows import Results
from boxless.experiments.study import Cell
from boxless.settings import training


def page_of(name: str, found: Results) -> str:
    """Markdown of the table whose name `name` begins with; raises UsageError for a name that is no table's."""
    grid = [cell for result in found.values() if (cell := _cell(result)) is not None]
    for table in (*i2c_tables.ABLATIONS, *comparisons.COMPARISONS, wsol_table.NAME):
        if name.startswith(table):
            if table in comparisons.COMPARISONS:
                return comparisons.page(table, grid, found)
            return wsol_table.page(grid, found) if table == wsol_table.NAME else i2c_tables.page(table, grid, found)
    raise UsageError(f"There is no table {name!r}. Expected a name such as i2c-table-4-cub10.")


def _cell(result: Mapping[str, Any]) -> Cell | None:
    """The cell that a result was measured in; None for one that was refused or failed."""
    if "training" not in result:
        return None
    settings = training(result["training"], "the results of a cell")
    return Cell(result["variant"], result["method"], result["options"], settings)
