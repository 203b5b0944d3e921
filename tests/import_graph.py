"""What the source of a package says about itself: who imports whom, what prints, what stands twice. Nothing is run."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "boxless"
GROUND = ("runtime",)
STUFF = (*GROUND, "data", "boxes", "backbones")
MAKERS = (*STUFF, "discovery", "methods", "export", "report", "gan")
MAY_KNOW: dict[str, tuple[str, ...]] = {
    "runtime": (),
    **dict.fromkeys(("data", "boxes", "backbones"), GROUND),
    **dict.fromkeys(("discovery", "methods", "export", "report"), STUFF),
    "gan": (*STUFF, "discovery"),
    "inference": MAKERS,
    "evaluation": (*MAKERS, "inference"),
    "reproduce": (*MAKERS, "inference", "evaluation"),
    "review": (*STUFF[:3], "export", "report"),
    "cli": (*MAKERS, "inference", "evaluation", "reproduce", "review", PACKAGE),
    PACKAGE: ("boxes", "inference", "runtime"),
    "__main__": ("cli",),
}
"""Folder -> the folders its files may import from, beside their own; the files of the package itself by their names."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file: what it imports, by module, and how."""

    path: Path
    tree: ast.Module
    imports: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Imported module -> where the imports stand: "import" at the top, "function" inside one, "types" for a checker."""

    def when(self, *kinds: str) -> set[str]:
        """The modules that are imported in one of these ways."""
        return {name for name, found in self.imports.items() if found & set(kinds)}


def read_package(root: Path) -> dict[str, Module]:
    """Every module below `root`, which is the folder of the package, by its dotted name."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(root).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = Module(path, ast.parse(path.read_text(encoding="utf-8")))
    for name, module in modules.items():
        package = name if module.path.stem == "__init__" else name.rpartition(".")[0]
        for node, kind in _walk(module.tree, "import"):
            for target in _targets(node, package, modules):
                module.imports[target].add(kind)
    return modules


def _walk(node: ast.AST, kind: str) -> Iterator[tuple[ast.AST, str]]:
    """Every import statement with how it is meant."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, kind
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, "function" if kind == "import" else kind)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), "types")
            for statement in child.orelse:
                yield from _walk(ast.Module([statement], []), kind)
        else:
            yield from _walk(child, kind)


def _targets(node: ast.AST, package: str, modules: Iterable[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package.split(".")[: 1 - node.level or None] if node.level else []
        home = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{home}.{alias.name}"
            yield inner if inner in modules else home


def room(name: str) -> str:
    """The folder of a module of the package; the module's own name for a file that stands in none."""
    return name.split(".")[1] if "." in name else name


def ours(name: str) -> bool:
    """Whether a module is one of the package."""
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def forbidden_arrows(modules: dict[str, Module]) -> list[str]:
    """Imports against the direction, also those inside functions and those for type checkers."""
    found = []
    for name, module in modules.items():
        if (here := room(name)) not in MAY_KNOW:
            found.append(f"{name} stands in a folder that no rule speaks of")
            continue
        known = {here, *MAY_KNOW[here]}
        found += [f"{name} -> {target}" for target in module.imports if ours(target) and room(target) not in known]
    return sorted(found)


def circle(modules: dict[str, Module]) -> list[str]:
    """Modules that import each other in a ring, first and last the same; empty where there is none."""
    graph = {name: {t for t in m.when("import", "function") if ours(t)} for name, m in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def printing(modules: dict[str, Module]) -> list[str]:
    """Modules outside cli that print, write to stdout or import rich."""
    return sorted(name for name, module in modules.items() if room(name) != "cli" and _prints(module))


def _prints(module: Module) -> bool:
    if any(target.partition(".")[0] == "rich" for target in module.imports):
        return True
    calls = (ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    return any(call in ("print", "pprint", "pprint.pprint") or call.startswith("sys.stdout.write") for call in calls)


HEAVY = {"torch", "torchvision", "lightning_fabric", "torchmetrics", "timm"}


def loads_torch(modules: dict[str, Module], name: str) -> list[str]:
    """The way by which importing the module `name` imports torch, last the library; empty where it does not."""
    ways = [[name]]
    seen = {name}
    while ways:
        way = ways.pop()
        if way[-1].partition(".")[0] in HEAVY:
            return way
        if way[-1] in modules:
            parts = way[-1].split(".")
            parents = {".".join(parts[:count]) for count in range(1, len(parts))}  # a package is imported with its file
            for target in sorted((modules[way[-1]].when("import") | parents) - seen):
                seen.add(target)
                ways.append([*way, target])
    return []


def repeated_lines(modules: dict[str, Module], count: int = 6) -> list[str]:
    """Where `count` lines or more stand that stand elsewhere as well.

    Blank lines, imports and signatures do not count: methods of one contract have one signature.
    """
    places: dict[tuple[str, ...], list[tuple[str, int, int]]] = defaultdict(list)
    for name, module in modules.items():
        skipped = {line for node in ast.walk(module.tree) for line in _not_counted(node)}
        text = module.path.read_text(encoding="utf-8").splitlines()
        lines = [(n, line.strip()) for n, line in enumerate(text, 1) if line.strip() and n not in skipped]
        for start in range(len(lines) - count + 1):
            window = lines[start : start + count]
            places[tuple(line for _, line in window)].append((name, start, window[0][0]))
    twice = [found for found in places.values() if len(found) > 1]
    inside = {(name, start + 1) for found in twice for name, start, _ in found}
    begins = [found for found in twice if not all((name, start) in inside for name, start, _ in found)]
    return sorted(" = ".join(f"{name}:{line}" for name, _, line in found) for found in begins)


def _not_counted(node: ast.AST) -> range:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return range(node.lineno, node.body[0].lineno)
    return range(0)


def top_entries(root: Path) -> list[str]:
    """The packages and Python files at the top of the package."""
    return sorted(
        path.name for path in root.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    )
