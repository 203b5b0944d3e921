import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from boxless.methods import TRAINED, method_class
from boxless.methods.options import method_options, resolve_options
from boxless.methods.settings import Training, settings_text, training
from boxless.runtime.class_source import class_summary
from boxless.runtime.errors import UsageError
from boxless.runtime.toml_settings import read_toml


@pytest.mark.parametrize("name", TRAINED)
def test_options_are_the_constructors(name: str) -> None:
    constructor = method_class(name).__init__
    hints = get_type_hints(constructor)
    keyword = [p for p in inspect.signature(constructor).parameters.values() if p.kind is p.KEYWORD_ONLY]
    expected = [(p.name, hints[p.name], p.default) for p in keyword]
    assert [(option.name, option.annotation, option.default) for option in method_options(name)] == expected


@pytest.mark.parametrize("name", TRAINED)
def test_every_option_and_method_has_its_line_of_help(name: str) -> None:
    assert class_summary(TRAINED[name]).endswith(".")
    for option in method_options(name):
        assert option.help.endswith("."), option.name


def test_reading_options_and_settings_does_not_import_torch() -> None:
    code = (
        "import sys, boxless.methods.settings, boxless.backbones\n"
        "from boxless.methods.options import method_options, TRAINED\n"
        "[method_options(name) for name in TRAINED]\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_options_are_refused() -> None:
    assert resolve_options("cam", {})["head"] == "linear"
    assert resolve_options("cam", {"head": "conv"})["head"] == "conv"
    with pytest.raises(UsageError, match="no option 'haed'"):
        resolve_options("cam", {"haed": "conv"})
    with pytest.raises(UsageError, match="no method 'kam'"):
        resolve_options("kam", {})


def test_settings_read_back_as_written(tmp_path: Path) -> None:
    written = Training(lr=0.02, decay=(3, 4), stride=8)
    (tmp_path / "settings.toml").write_text(settings_text("cam", {"head": "conv"}, written, "abc"))
    content = read_toml(tmp_path / "settings.toml")
    assert training(content.pop("training"), "here") == written
    assert content == {"method": "cam", "data": "abc", "options": {"head": "conv"}}


def test_unknown_and_ill_typed_settings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no setting 'epoch'\. Did you mean epochs"):
        training({"epoch": 3}, "here")
    with pytest.raises(UsageError, match="epochs is 'three'; expected int"):
        training({"epochs": "three"}, "here")
    with pytest.raises(UsageError, match="squash, short-side"):
        training({"resizing": "crop"}, "here")
    with pytest.raises(UsageError, match="list of whole numbers"):
        training({"decay": [1.5]}, "here")
    assert training({"lr": 1, "decay": [2], "stride": 8}, "here") == Training(lr=1, decay=(2,), stride=8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"size": 64, "resize": 32},
        {"lr": 0.0},
        {"momentum": -0.1},
        {"freeze": "all", "weights": "none"},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"xpected|stay random"):
        Training(**wrong)  # type: ignore[arg-type]
