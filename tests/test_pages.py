"""A committed table makes the page that its run printed."""

import json
from pathlib import Path

import pytest
from trials import SMALL, small_data

from boxless.reproduce.classifier_tables import reproduce
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.pages import CLASSIFIER_TABLES, page_of
from boxless.reproduce.wsol_table import WsolTable
from boxless.runtime.errors import UsageError


def results_in(out: Path) -> dict[str, dict[str, object]]:
    contents = [json.loads(path.read_text()) for path in sorted((out / "cells").iterdir())]
    return {content["cell"]: content["result"] for content in contents}


def test_the_page_comes_from_the_json_alone(tmp_path: Path) -> None:
    data, small = small_data(tmp_path), SMALL | {"epochs": 1}
    wsol = reproduce(WsolTable(methods=["cam", "i2c"]), [data], tmp_path / "wsol", TimeBudget(), seeds=[0], **small)
    assert page_of("wsol-table-made", results_in(tmp_path / "wsol")) == wsol
    ours = reproduce(CLASSIFIER_TABLES["i2c-table-4"], [data], tmp_path / "i2c", TimeBudget(), seeds=[0], **small)
    assert page_of("i2c-table-4-made", results_in(tmp_path / "i2c")) == ours
    with pytest.raises(UsageError, match="no table 'nothing'"):
        page_of("nothing", {})
