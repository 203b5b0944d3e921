"""The options of a method, read from its source without importing it: no torch for a help text.

The keyword-only arguments of a method's constructor are its options, and the `Options:` section of the class's
docstring holds one line of help for each. A class without a constructor has the options of its base.
"""

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal

from boxless.methods import TRAINED
from boxless.runtime.errors import UsageError

_TYPES: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "None": None, "Literal": Literal}


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword-only argument of a method's constructor."""

    name: str
    annotation: Any
    """A real type: str, int, float, bool, a Literal, or one of them with `| None`."""
    default: Any
    help: str


def method_options(name: str) -> list[Option]:
    """The options of the method called `name`, in the order of its constructor; raises KeyError for unknown names."""
    module, _, attribute = TRAINED[name].partition(":")
    return list(_options(module, attribute))


def resolve_options(name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a method: the chosen values, and the defaults of the others.

    Raises UsageError for an option that the method does not have, or for a method that does not exist.
    """
    if name not in TRAINED:
        raise UsageError(f"There is no method {name!r}. Choose from: {', '.join(TRAINED)}.")
    known = {option.name: option.default for option in method_options(name)}
    for option in chosen:
        if option not in known:
            raise UsageError(f"{name} has no option {option!r}. It has: {', '.join(known) or 'none'}.")
    return known | dict(chosen)


def method_summary(name: str) -> str:
    """The first sentence of the method's class docstring, for lists of methods."""
    module, _, attribute = TRAINED[name].partition(":")
    return cleandoc(ast.get_docstring(_class(module, attribute)) or "").partition("\n\n")[0].replace("\n", " ")


@cache
def _options(module: str, attribute: str) -> tuple[Option, ...]:
    definition = _class(module, attribute)
    constructor = next((f for f in definition.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
    if constructor is None:
        return _options(*_base(module, definition))
    described = _descriptions(ast.get_docstring(definition) or "")
    pairs = zip(constructor.args.kwonlyargs, constructor.args.kw_defaults, strict=True)
    aliases = _aliases(module)
    return tuple(
        Option(arg.arg, _type(arg.annotation, aliases), ast.literal_eval(default), described.get(arg.arg, ""))
        for arg, default in pairs
        if default is not None
    )


@cache
def _tree(module: str) -> ast.Module:
    # The spec of a sub-module imports its parent package only, and boxless's packages import no torch.
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _class(module: str, attribute: str) -> ast.ClassDef:
    return next(node for node in _tree(module).body if isinstance(node, ast.ClassDef) and node.name == attribute)


def _base(module: str, definition: ast.ClassDef) -> tuple[str, str]:
    """Where the first base of a class is defined: in the same module, or where that module imports it from."""
    base = ast.unparse(definition.bases[0])
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and any(base == (name.asname or name.name) for name in node.names):
            return node.module or "", base
    return module, base


def _aliases(module: str) -> dict[str, ast.expr]:
    """Names for types, such as `Fidelity = Literal["paper", "code"]`: the module's own, and those of other methods."""
    found: dict[str, ast.expr] = {}
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("boxless.methods."):
            theirs = _aliases(node.module or "")
            found |= {name.asname or name.name: theirs[name.name] for name in node.names if name.name in theirs}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


def _type(node: ast.expr | None, aliases: dict[str, ast.expr]) -> Any:
    if isinstance(node, ast.Name) and node.id in aliases:
        node = aliases[node.id]
    if isinstance(node, ast.Name):
        return _TYPES[node.id]
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _type(node.left, aliases) | _type(node.right, aliases)
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        return Literal[ast.literal_eval(node.slice)]
    raise TypeError(f"An option's type must be str, int, float, bool, a Literal or one of them | None, not {node!r}.")


def _descriptions(docstring: str) -> dict[str, str]:
    """The lines `name: sentence` below `Options:`; a line without a name continues the one before."""
    found: dict[str, str] = {}
    name = ""
    for line in docstring.partition("Options:\n")[2].splitlines():
        if not line.startswith(" "):
            break
        head, colon, text = line.strip().partition(": ")
        if colon and head.isidentifier():
            name = head
            found[name] = text
        elif name:
            found[name] += " " + line.strip()
    return found
