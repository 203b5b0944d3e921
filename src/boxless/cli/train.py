"""`boxless train METHOD DATA --out RUN`: one sub-command per method, its flags made from the method's own options."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from inspect import Parameter as Argument
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import App, Parameter

from boxless.cli import console
from boxless.cli.config import read_config
from boxless.cli.flags import SHORT, STRICT, RunFlags, Switch
from boxless.discovery import DISCOVERERS
from boxless.discovery.position_settings import PositionTraining
from boxless.gan import GANS
from boxless.gan.settings import GanTraining
from boxless.methods import METHODS, REGRESSORS, TRAINED
from boxless.methods.options import method_options
from boxless.methods.settings import STARTS, Training
from boxless.runtime.class_source import Option, class_summary, field_docs
from boxless.runtime.errors import UsageError

if TYPE_CHECKING:
    from boxless.data.dataset import Dataset

app = App(name="train", help="Train a method. Labels are the names of the class folders; no true boxes are ever read.")


def _train_classifier(method: str, data: Path, out: Path, run: RunFlags, values: dict[str, Any]) -> None:
    from boxless.data.folder import splits
    from boxless.data.splits import split_named

    options, settings = _parted(method, values)
    there = splits(data)
    held_out = split_named(there, "val", "valid", "validation")
    train = _chosen(data, split_named(there, "train"), run)
    validation = _chosen(data, held_out, run) if held_out else None
    from boxless.methods.training import train_classifier  # torch, once the data is known to be good

    train_classifier(method, options, train, validation, settings, out, resume=run.resume, overwrite=run.overwrite)


def _train_regressor(method: str, data: Path, out: Path, run: RunFlags, values: dict[str, Any]) -> None:
    from boxless.data.annotation_files import read_truth

    boxes, strict = values.pop("boxes"), values.pop("strict")
    values["resize"] = values["resize"] or values["size"]
    options, settings = _parted(method, values)
    train = _all_or_train(data, run)
    if strict:
        read_truth(boxes, train.source, strict=True)
    from boxless.methods.training import train_regressor  # torch, once the data is known to be good

    train_regressor(method, options, train, boxes, settings, out, resume=run.resume, overwrite=run.overwrite)


def _train_gan(gan: str, data: Path, out: Path, run: RunFlags, values: dict[str, Any]) -> None:
    from boxless.runtime.distributed import require_single_process

    require_single_process("A GAN")
    settings = GanTraining(**values)
    train = _all_or_train(data, replace(run, one_category=True))
    from boxless.gan.data import read_images  # torch, once the data is known to be good
    from boxless.gan.training import train_gan

    images = read_images(train, settings.size, settings.workers)
    train_gan(gan, images, settings, out, category=train.classes[0], resume=run.resume, overwrite=run.overwrite)


def _train_position(method: str, data: Path, out: Path, run: RunFlags, values: dict[str, Any]) -> None:
    from boxless.runtime.distributed import require_single_process

    require_single_process("The method position")
    if run.resume:
        raise UsageError("A training of position takes minutes and cannot be resumed. Train again, without --resume.")
    settings = PositionTraining(**values)
    train = _all_or_train(data, replace(run, one_category=True))
    from boxless.discovery.pictures import evenly  # torch, once the data is known to be good
    from boxless.discovery.position import train_run
    from boxless.gan.data import read_images

    images = read_images(replace(train, samples=evenly(train.samples)), settings.size, settings.workers)
    train_run(images, settings, out, category=train.classes[0], overwrite=run.overwrite)


def _all_or_train(data: Path, run: RunFlags) -> "Dataset":
    from boxless.data.folder import splits
    from boxless.data.splits import split_named

    return _chosen(data, split_named(splits(data), "train") or "all", run)


def _chosen(data: Path, split: str | None, run: RunFlags) -> "Dataset":
    from boxless.data.folder import read_data
    from boxless.data.splits import restricted

    return restricted(read_data(data, split), run.classes, one_category=run.one_category)


def _parted(method: str, values: dict[str, Any]) -> tuple[dict[str, Any], Training]:
    """The method's own options, and how it is trained."""
    names = {option.name for option in method_options(method)}
    options = {name: value for name, value in values.items() if name in names}
    return options, Training(**{name: value for name, value in values.items() if name not in names})


def _done(out: Path, *, as_json: bool) -> None:
    from boxless.runtime.distributed import world_and_rank

    if world_and_rank()[1]:  # of several processes, the first one speaks
        return
    files = sorted(path.name for path in out.iterdir())
    if as_json:
        console.result({"out": str(out), "files": files})
        return
    console.line(f"Trained: {out} holds {', '.join(files)}")
    console.line(f"Next: boxless predict {out} PHOTOS --out boxes, or boxless evaluate {out} DATA")


def _command(
    train: Callable[[str, Path, Path, RunFlags, dict[str, Any]], None],
    name: str,
    summary: str,
    options: Sequence[Option],
) -> None:
    """Register `boxless train NAME` with the flags that all trainings have, and one for each of the options."""

    def command(data: Path, *, run: RunFlags = RunFlags(), **given: Any) -> int:
        chosen = {} if run.config is None else read_config(run.config, name)
        defaults = {option.name: option.default for option in options if option.default is not Argument.empty}
        out = run.out or Path("runs") / name
        train(name, data, out, run, defaults | chosen | given)
        _done(out, as_json=run.json)
        return 0

    flags = [Argument("data", Argument.POSITIONAL_OR_KEYWORD, annotation=Annotated[Path, Parameter(help=_DATA)])]
    flags.append(Argument("run", Argument.KEYWORD_ONLY, default=RunFlags(), annotation=RunFlags))
    for option in options:
        parameter = Parameter(help=option.help, alias=SHORT.get(option.name))
        flag = Argument(option.name, Argument.KEYWORD_ONLY, default=option.default)
        flags.append(flag.replace(annotation=Annotated[option.annotation, parameter]))
    command.__signature__ = inspect.Signature(flags, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {flag.name: flag.annotation for flag in flags}
    command.__doc__ = summary
    app.command(command, name=name)


def _options(settings: type) -> list[Option]:
    """The fields of a settings class with the lines below them."""
    types, docs = get_type_hints(settings), field_docs(settings)
    return [Option(field.name, types[field.name], field.default, docs[field.name]) for field in fields(settings)]


_DATA = "Folder or zip of images: CLASS/img or train/CLASS/img (a GAN takes any folder, all as one category)."
_BOXES = Option(
    "boxes",
    Path,
    Argument.empty,
    "Boxes to learn from: the folder that find or predict wrote, in any format, a boxes.csv, or a COCO json.",
)
_STRICT = Option("strict", Switch, False, STRICT)
_UNCUT = Option(
    "resize",
    int | None,
    None,
    "Side in pixels that photographs are resized to before a random square of `size` is cut out; default: size. "
    "Nothing is then cut, and objects are as large as when boxes are predicted.",
)
_TRAINING = _options(Training)
for _name in METHODS:
    _command(_train_classifier, _name, class_summary(TRAINED[_name]), [*method_options(_name), *_TRAINING])
for _name in REGRESSORS:
    _start = STARTS.get(_name, {})
    _uncut = [_UNCUT if option.name == "resize" else option for option in _TRAINING]
    _own = [replace(option, default=_start.get(option.name, option.default)) for option in _uncut]
    _command(_train_regressor, _name, class_summary(TRAINED[_name]), [_BOXES, _STRICT, *method_options(_name), *_own])
for _name, _recipe in GANS.items():
    _command(_train_gan, _name, _recipe.summary, _options(GanTraining))
_command(_train_position, "position", class_summary(DISCOVERERS["position"]), _options(PositionTraining))
