"""`boxless methods`: what there is."""

from boxless.cli import console
from boxless.cli.flags import Switch


def methods(*, json: Switch = False) -> int:
    """List every method: what it needs, and the paper it is from.

    Parameters
    ----------
    json
        Print the list as JSON.

    """
    from boxless.backbones import BACKBONES
    from boxless.discovery import DISCOVERERS
    from boxless.gan import GANS
    from boxless.methods import METHODS, REGRESSORS
    from boxless.runtime.class_source import class_summary

    rows = [(name, "labels, training", class_summary(path)) for name, path in METHODS.items()]
    rows += [(name, "boxes of another method, training", class_summary(path)) for name, path in REGRESSORS.items()]
    rows += [(name, "one category, training", recipe.summary) for name, recipe in GANS.items()]
    rows += [(name, "no labels", class_summary(path)) for name, path in DISCOVERERS.items()]
    if json:
        networks = [{"name": n, "about": one.about, "strides": sorted(one.strides)} for n, one in BACKBONES.items()]
        listed = [{"name": name, "needs": needs, "about": about} for name, needs, about in rows]
        console.result({"methods": listed, "backbones": networks})
        return 0
    from rich.table import Table

    table = Table("method", "needs", "what it is", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.out.print(table)
    console.line("\nBackbones:")
    for name, entry in BACKBONES.items():
        console.line(f"  {name}: {entry.about}; strides {', '.join(map(str, sorted(entry.strides)))}")
    console.line("  timm:NAME: any network of timm, with pip install 'boxless[timm]'")
    return 0
