"""The settings of one training as the defaults of another: `boxless train ... --config run.toml`.

The file is a run's own settings.toml, or a part of one written by hand. That of a classifier has tables, [options] and
[training]; that of a GAN is flat and also says what the recipe fixes.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

from boxless.discovery.position_settings import PositionTraining
from boxless.gan import GANS
from boxless.gan.settings import GanTraining
from boxless.methods.options import method_options
from boxless.methods.settings import Training
from boxless.runtime.device_options import current_names
from boxless.runtime.errors import UsageError
from boxless.runtime.toml_settings import check_values, read_toml, refuse_unknown


def read_config(path: Path, method: str) -> dict[str, Any]:
    """The values of the flags of `boxless train METHOD` that the file `path` gives, in plain Python.

    Raises BoxlessError for no or broken TOML, UsageError for a file of another method, for unknown keys and for values
    of a wrong type.
    """
    content = current_names(read_toml(path))
    content.pop("data", None)  # which images that run learnt from, and no option
    named = content.pop("method", method)
    if named != method:
        raise UsageError(f"{path} has the settings of {named}, and {method} is to be trained. Give a file of {method}.")
    if method in GANS:
        return _flat(content, method, str(path))
    if method == "position":
        check_values(content, get_type_hints(PositionTraining), str(path))
        return content
    refuse_unknown(content, ["method", "options", "training"], str(path))
    for table in content:
        if not isinstance(content[table], dict):
            raise UsageError(f"{path}: {table} is {content[table]!r}; expected a table [{table}].")
    options, training = content.get("options", {}), current_names(content.get("training", {}))
    check_values(options, {option.name: option.annotation for option in method_options(method)}, f"{path}, [options]")
    check_values(training, get_type_hints(Training), f"{path}, [training]")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in (options | training).items()}


def _flat(content: dict[str, Any], gan: str, origin: str) -> dict[str, Any]:
    types = get_type_hints(GanTraining)
    fixed = {name: value for name, value in asdict(GANS[gan]).items() if name not in types and name != "summary"}
    chosen = {name: value for name, value in content.items() if name not in fixed}
    check_values(chosen, types, origin)
    recipe = GanTraining(**chosen).recipe(gan)
    for name in content.keys() & fixed.keys():
        if content[name] != getattr(recipe, name):
            raise UsageError(
                f"{origin}: {name} is {content[name]!r}, and {gan} has {getattr(recipe, name)!r}. Leave it out."
            )
    return chosen
