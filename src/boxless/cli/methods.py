"""`boxless methods`: what there is."""

import ast
from importlib.util import find_spec
from pathlib import Path

from boxless.cli import console


def methods() -> int:
    """List every method: what it needs, and the paper it is from."""
    from rich.table import Table

    from boxless.backbones import BACKBONES
    from boxless.discovery import DISCOVERERS
    from boxless.gan import GANS
    from boxless.methods import METHODS, REGRESSORS

    table = Table(box=None, pad_edge=False)
    for heading in ("method", "needs", "what it is"):
        table.add_column(heading)
    for name, path in METHODS.items():
        table.add_row(name, "labels, training", first_line(path))
    for name, path in REGRESSORS.items():
        table.add_row(name, "boxes of another method, training", first_line(path))
    for name, recipe in GANS.items():
        table.add_row(name, "one category, training", recipe.summary)
    for name, path in DISCOVERERS.items():
        table.add_row(name, "no training", first_line(path))
    console.out.print(table)
    console.out.print("\nBackbones:", markup=False)
    for name, entry in BACKBONES.items():
        console.out.print(
            f"  {name}: {entry.about}; strides {', '.join(map(str, sorted(entry.strides)))}", markup=False
        )
    console.out.print("  timm:NAME: any network of timm, with pip install 'boxless[timm]'", markup=False)
    return 0


def first_line(path: str) -> str:
    """The first line of the docstring of a module, given as "module:Class"; read from its source, without torch."""
    spec = find_spec(path.partition(":")[0])
    assert spec is not None and spec.origin is not None
    return (ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or "").partition("\n")[0]
