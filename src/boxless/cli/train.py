"""`boxless train METHOD DATA --out RUN`: one sub-command per method, its flags made from the method's own options."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from importlib.util import find_spec
from inspect import Parameter as Argument
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import App, Parameter

from boxless.cli import console
from boxless.cli.config import read_config
from boxless.gan import GANS
from boxless.gan.settings import GanTraining
from boxless.methods import METHODS, REGRESSORS
from boxless.methods.options import method_options, method_summary
from boxless.methods.settings import Training

app = App(name="train", help="Train a method. Labels are the names of the class folders; no true boxes are ever read.")


def _train_classifier(
    method: str, data: Path, out: Path, resume: bool, classes: str | None, values: dict[str, Any]
) -> int:
    from boxless.data.folder import read_data, splits
    from boxless.data.splits import restricted, split_named

    options, settings = _parted(method, values)
    there = splits(data)
    train = restricted(read_data(data, split_named(there, "train") if there else None), classes)
    held_out = split_named(there, "val", "valid", "validation")
    validation = restricted(read_data(data, held_out), classes) if held_out else None
    from boxless.methods.training import train_classifier  # torch, once the data is known to be good

    train_classifier(method, options, train, validation, settings, out, resume=resume)
    return _done(out)


def _train_regressor(
    method: str, data: Path, out: Path, resume: bool, classes: str | None, values: dict[str, Any]
) -> int:
    from boxless.data.folder import read_data, splits
    from boxless.data.splits import restricted, split_named

    boxes = values.pop("boxes")
    values["resize"] = values["resize"] or values["size"]
    options, settings = _parted(method, values)
    train = restricted(read_data(data, split_named(splits(data), "train") or "all"), classes)
    from boxless.methods.training import train_regressor  # torch, once the data is known to be good

    train_regressor(method, options, train, boxes, settings, out, resume=resume)
    return _done(out)


def _parted(method: str, values: dict[str, Any]) -> tuple[dict[str, Any], Training]:
    """The method's own options, and how it is trained."""
    names = {option.name for option in method_options(method)}
    options = {name: value for name, value in values.items() if name in names}
    return options, Training(**{name: value for name, value in values.items() if name not in names})


def _train_gan(gan: str, data: Path, out: Path, resume: bool, classes: str | None, values: dict[str, Any]) -> int:
    from boxless.data.folder import read_data, splits
    from boxless.data.splits import restricted, split_named

    settings = GanTraining(**values)
    train = restricted(read_data(data, split_named(splits(data), "train") or "all"), classes, one_category=True)
    from boxless.gan.data import read_images  # torch, once the data is known to be good
    from boxless.gan.training import train_gan
    from boxless.runtime.distributed import require_single_process

    require_single_process("A GAN")
    images = read_images(train, settings.size)
    train_gan(gan, images, settings, out, category=train.classes[0], resume=resume)
    return _done(out)


def _done(out: Path) -> int:
    from torch import distributed

    if distributed.is_initialized() and distributed.get_rank():  # of several processes, the first one speaks
        return 0
    console.out.print(f"Trained: {out} holds {', '.join(sorted(path.name for path in out.iterdir()))}", markup=False)
    console.out.print(f"Next: boxless predict {out} PHOTOS --out boxes, or boxless evaluate {out} DATA", markup=False)
    return 0


def _helps(settings: type) -> dict[str, str]:
    """The strings below the fields of a settings class, read from its source."""
    spec = find_spec(settings.__module__)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == settings.__name__).body
    return {
        field.target.id: ast.literal_eval(text.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }


def _command(
    run: Callable[[str, Path, Path, bool, str | None, dict[str, Any]], int],
    name: str,
    summary: str,
    flags: list[tuple[str, Any, Any, str]],
) -> None:
    """Register `boxless train NAME` with a signature made of (name, type, default, help)."""

    def command(data: Path, **given: Any) -> int:
        config = given.pop("config", None)
        chosen = {} if config is None else read_config(config, name)
        every = (flag for flag in [*shared, *flags] if flag[0] != "config" and flag[2] is not Argument.empty)
        values = {key: default for key, _, default, _ in every} | chosen | given
        out, resume, classes = (values.pop(key) for key in ("out", "resume", "classes"))
        return run(name, data, out or Path("runs") / name, resume, classes, values)

    shared = [
        (
            "out",
            Path | None,
            None,
            "Run folder for settings.toml, last.pt, best.pt and metrics.csv; default: runs/NAME.",
        ),
        ("resume", bool, False, "Go on where the run in the output folder stopped."),
        (
            "config",
            Path | None,
            None,
            "Settings of another run (its settings.toml, or a part of one); flags that are given win over it.",
        ),
        ("classes", str | None, None, "Only these classes, separated by commas, or a group: bird, cat, dog, ..."),
    ]
    arguments = [Argument("data", Argument.POSITIONAL_OR_KEYWORD, annotation=_described(Path, _DATA))]
    for key, kind, default, text in [*shared, *flags]:
        arguments.append(Argument(key, Argument.KEYWORD_ONLY, default=default, annotation=_described(kind, text)))
    command.__signature__ = inspect.Signature(arguments, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {argument.name: argument.annotation for argument in arguments}
    command.__doc__ = summary
    app.command(command, name=name)


_DATA = "Folder or zip of images: CLASS/img or train/CLASS/img (a GAN takes any folder, all as one category)."


def _described(kind: Any, text: str) -> Any:
    return Annotated[kind, Parameter(help=text, negative="" if kind is bool and "Go on" in text else None)]


def _flags(settings: type) -> list[tuple[str, Any, Any, str]]:
    types, helps = get_type_hints(settings), _helps(settings)
    return [(field.name, types[field.name], _default(field), helps[field.name]) for field in fields(settings)]


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _own(method: str) -> list[tuple[str, Any, Any, str]]:
    return [(option.name, option.annotation, option.default, option.help) for option in method_options(method)]


_BOXES = (
    "boxes",
    Path,
    Argument.empty,
    "Boxes to learn from: the folder that find or predict wrote, in any format, a boxes.csv, or a COCO json.",
)
_UNCUT = (
    "resize",
    int | None,
    None,
    "Side in pixels that photographs are resized to before a random square of `size` is cut out; default: size. "
    "Nothing is then cut, and objects are as large as when boxes are predicted.",
)
for _name in METHODS:
    _command(_train_classifier, _name, method_summary(_name), [*_own(_name), *_flags(Training)])
for _name in REGRESSORS:
    _rest = [flag for flag in _flags(Training) if flag[0] != "resize"]
    _command(_train_regressor, _name, method_summary(_name), [_BOXES, *_own(_name), _UNCUT, *_rest])
for _name, _recipe in GANS.items():
    _command(_train_gan, _name, _recipe.summary, _flags(GanTraining))
