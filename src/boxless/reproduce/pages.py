"""The page of a table from its trials' json alone, without the data they were measured on."""

from collections.abc import Mapping
from typing import Any

from boxless.reproduce.gan import figures, readings, stopping, table_3
from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.i2c import ablations, comparisons
from boxless.reproduce.i2c.figure_3 import Figure3
from boxless.reproduce.trial_results import Outcomes
from boxless.reproduce.wsol_table import WsolTable
from boxless.runtime.errors import UsageError

Results = Mapping[str, Mapping[str, Any]]
"""What the json files of a table hold, by the trial's name."""

CLASSIFIER_TABLES = {table.name: table for table in (*comparisons.TABLES, *ablations.TABLES, Figure3())}
"""The tables and figures of I2C by name."""


def page_of(name: str, found: Results) -> str:
    """Markdown of the table whose name `name` begins with; raises UsageError for a name that is no table's."""
    if name.startswith("gan-"):
        return _gan_page(name, found)
    for table in (*CLASSIFIER_TABLES.values(), WsolTable()):
        if name.startswith(table.name):
            outcomes = Outcomes.from_json(found)
            return table.page([result.trial for result in outcomes.measured.values()], outcomes)
    raise UsageError(f"There is no table {name!r}. Expected a name such as i2c-table-4-cub10.")


def _gan_page(name: str, found: Results) -> str:
    results = {trial: dict(result) for trial, result in found.items()}
    if name.startswith(stopping.NAME):
        return stopping.page_of_result(results[stopping.NAME])
    trials = [GanTrial.named(trial) for trial in results]
    for on in readings.WHICH:
        if name.startswith(f"{readings.NAME}-{on}"):
            return readings.readings_page(trials, results, on)
    if name.startswith(table_3.NAME):
        return table_3.page_of_results(trials, results)
    for figure in figures.FIGURES:
        if name.startswith(figure):
            return figures.figure_page(figure, trials, results)
    raise UsageError(f"There is no table {name!r}. Expected a name such as gan-table-3-tiny28.")
