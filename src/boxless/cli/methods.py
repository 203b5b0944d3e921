"""`boxless methods`: what there is."""

from boxless.cli import console


def methods() -> int:
    """List every method: what it needs, and the paper it is from."""
    from rich.table import Table

    from boxless.backbones import BACKBONES
    from boxless.discovery import DISCOVERERS
    from boxless.gan import GANS
    from boxless.methods import METHODS, REGRESSORS
    from boxless.runtime.class_source import class_summary

    table = Table(box=None, pad_edge=False)
    for heading in ("method", "needs", "what it is"):
        table.add_column(heading)
    for name, path in METHODS.items():
        table.add_row(name, "labels, training", class_summary(path))
    for name, path in REGRESSORS.items():
        table.add_row(name, "boxes of another method, training", class_summary(path))
    for name, recipe in GANS.items():
        table.add_row(name, "one category, training", recipe.summary)
    for name, path in DISCOVERERS.items():
        table.add_row(name, "no labels", class_summary(path))
    console.out.print(table)
    console.out.print("\nBackbones:", markup=False)
    for name, entry in BACKBONES.items():
        console.out.print(
            f"  {name}: {entry.about}; strides {', '.join(map(str, sorted(entry.strides)))}", markup=False
        )
    console.out.print("  timm:NAME: any network of timm, with pip install 'boxless[timm]'", markup=False)
    return 0
