"""What a class says of itself and its options, read from its source without importing it: no torch for a help text."""

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword-only argument of a constructor."""

    name: str
    annotation: Any
    """A real type: str, int, float, bool, a Literal, or one of them with `| None`."""
    default: Any
    help: str


def class_summary(path: str) -> str:
    """The first paragraph of the docstring of the class at "module:Class"."""
    return cleandoc(_docstring(_class(path))).partition("\n\n")[0].replace("\n", " ")


@cache
def class_options(path: str) -> tuple[Option, ...]:
    """The keyword-only arguments of a constructor, with the lines `name: sentence` below `Options:` in the docstring.

    A class without a constructor has those of its first base; an option that is not described has that base's line.
    """
    definition, module = _class(path), path.partition(":")[0]
    constructor = next((f for f in definition.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
    if constructor is None:
        return class_options(_imported(module, ast.unparse(definition.bases[0])))
    described, types = _descriptions(_docstring(definition)), _types(module)
    if any(arg.arg not in described for arg in constructor.args.kwonlyargs):
        base = class_options(_imported(module, ast.unparse(definition.bases[0])))
        described = {option.name: option.help for option in base} | described
    return tuple(
        Option(arg.arg, _value(arg.annotation, types), ast.literal_eval(default), described.get(arg.arg, ""))
        for arg, default in zip(constructor.args.kwonlyargs, constructor.args.kw_defaults, strict=True)
        if default is not None
    )


def field_docs(settings: type) -> dict[str, str]:
    """The strings below the fields of a dataclass."""
    return {
        field.target.id: " ".join(ast.literal_eval(text.value).split())
        for field, text in pairwise(_class(f"{settings.__module__}:{settings.__name__}").body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }


@cache
def _tree(module: str) -> ast.Module:
    # The spec of a sub-module imports its parent package only, and boxless's packages import no torch.
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _class(path: str) -> ast.ClassDef:
    module, _, name = path.partition(":")
    return next(node for node in _tree(module).body if isinstance(node, ast.ClassDef) and node.name == name)


def _docstring(definition: ast.ClassDef) -> str:
    return ast.get_docstring(definition) or ""


def _imported(module: str, name: str) -> str:
    """Where a class is defined: where the module imports it from, or in the module itself."""
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and any(name == (alias.asname or alias.name) for alias in node.names):
            module = node.module or ""
    return f"{module}:{name}"


@cache
def _types(module: str) -> dict[str, Any]:
    """What annotations may name: Literal, and types such as `Head = Literal["linear", "conv"]`, also of neighbours."""
    found: dict[str, Any] = {"Literal": Literal}
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{module.rpartition('.')[0]}."):
            theirs = _types(node.module or "")
            found |= {alias.asname or alias.name: theirs[alias.name] for alias in node.names if alias.name in theirs}
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal["):
            found[ast.unparse(node.targets[0])] = _value(node.value, found)
    return found


def _value(annotation: ast.expr | None, types: dict[str, Any]) -> Any:
    return eval(ast.unparse(annotation), dict(types)) if annotation else Any


def _descriptions(docstring: str) -> dict[str, str]:
    """The paragraph below `Options:`; what is indented further continues the line before."""
    section = docstring.partition("Options:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
