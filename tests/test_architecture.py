"""The rules of docs/architecture.md, held over the import graph; and their checker on planted mistakes."""

from pathlib import Path

import import_graph as graph
import pytest

import boxless

ROOT = Path(boxless.__file__).parent
LONGEST = 350
LIGHT = (
    "boxless.methods",
    "boxless.methods.options",
    "boxless.methods.settings",
    "boxless.gan",
    "boxless.gan.settings",
    "boxless.discovery",
    "boxless.backbones",
)
"""What the command line reads to write its help; all of cli stands beside it."""


@pytest.fixture(scope="module")
def modules() -> dict[str, graph.Module]:
    return graph.read_package(ROOT)


def test_no_import_goes_against_the_direction(modules):
    assert graph.forbidden_arrows(modules) == []


def test_no_modules_import_each_other_in_a_circle(modules):
    assert graph.circle(modules) == []


def test_only_the_command_line_prints(modules):
    assert graph.printing(modules) == []


def test_help_needs_no_torch(modules):
    light = [*LIGHT, *(name for name in modules if graph.room(name) == "cli")]
    assert [way for name in light if (way := graph.loads_torch(modules, name))] == []


def test_the_list_of_packages_stays_short():
    assert len(graph.top_entries(ROOT)) <= 16


def test_no_file_is_long(modules):
    assert {n: c for n, m in modules.items() if (c := len(m.path.read_text().splitlines())) >= LONGEST} == {}


def test_nothing_stands_twice(modules):
    assert graph.repeated_lines(modules) == []


def plant(root: Path, files: dict[str, str]) -> dict[str, graph.Module]:
    """A package of a few files."""
    for name, text in files.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return graph.read_package(root)


@pytest.mark.parametrize(
    "text",
    [
        "import boxless.gan.data\n",
        "from boxless.gan.data import x\n",
        "from boxless.gan import data\n",
        "from ..gan import data\n",
        "from ..gan.data import x\n",
        "def late():\n    from boxless.gan import data\n",
        "class A:\n    async def late(self):\n        import boxless.gan.data\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from boxless.gan.data import x\n",
        "try:\n    import boxless.gan.data\nexcept ImportError:\n    pass\n",
    ],
)
def test_an_arrow_against_the_direction_is_found(text, tmp_path):
    modules = plant(tmp_path, {"gan/data": "x = 1\n", "methods/cam": text})
    assert graph.forbidden_arrows(modules) == ["boxless.methods.cam -> boxless.gan.data"]


def test_arrows_with_the_direction_are_allowed_and_new_folders_need_a_rule(tmp_path):
    allowed = "import torch\nfrom boxless.methods import cam\nfrom boxless.runtime.files import x\n"
    modules = plant(tmp_path, {"runtime/files": "x = 1\n", "methods/cam": "", "inference/load": allowed})
    assert graph.forbidden_arrows(modules) == []
    assert graph.forbidden_arrows(plant(tmp_path, {"utils/all": ""})) == [
        "boxless.utils.all stands in a folder that no rule speaks of"
    ]


def test_the_package_itself_is_not_for_its_rooms(tmp_path):
    modules = plant(tmp_path, {"__init__": "__version__ = 1\n", "inference/load": "from boxless import __version__\n"})
    assert graph.forbidden_arrows(modules) == ["boxless.inference.load -> boxless"]


def test_a_circle_is_found_also_through_functions_but_not_through_types(tmp_path):
    there = "from boxless.data.b import x\n"
    late = "def f():\n    from boxless.data import a\n"
    ring = graph.circle(plant(tmp_path / "1", {"data/a": there, "data/b": late}))
    assert set(ring) == {"boxless.data.a", "boxless.data.b"} and len(ring) == 3
    assert graph.circle(plant(tmp_path / "2", {"data/a": "from boxless.data import a\n"})) == ["boxless.data.a"] * 2
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from boxless.data import a\n"
    assert graph.circle(plant(tmp_path / "3", {"data/a": there, "data/b": types})) == []
    other = types.replace("    from", "    pass\nelse:\n    from")
    assert graph.circle(plant(tmp_path / "4", {"data/a": there, "data/b": other}))


@pytest.mark.parametrize(
    "text",
    [
        "print(1)\n",
        "import sys\nsys.stdout.write('a')\n",
        "from rich.table import Table\n",
        "def f():\n    import rich\n",
    ],
)
def test_printing_outside_the_command_line_is_found(text, tmp_path):
    modules = plant(tmp_path, {"data/a": text, "cli/a": text, "data/b": "def blueprint(): ...\nblueprint()\n"})
    assert graph.printing(modules) == ["boxless.data.a"]


def test_the_way_to_torch_is_found(tmp_path):
    files = {"cli/a": "from boxless.data import b\n", "data/b": "def f():\n    import torch\n"}
    assert graph.loads_torch(plant(tmp_path, files), "boxless.cli.a") == []
    modules = plant(tmp_path, {"data/__init__": "from torch import nn\n", **files})
    assert graph.loads_torch(modules, "boxless.cli.a")[-2:] == ["boxless.data", "torch"]


def test_repeated_lines_are_found(tmp_path):
    block = "".join(f"x{n} = {n}\n\n" for n in range(6))
    imports = "".join(f"import a{n}\n" for n in range(9))
    indented = "def f():\n" + "".join(f"    {line}\n" for line in block.split("\n"))
    modules = plant(tmp_path, {"data/a": imports + block, "data/b": imports + indented})
    assert graph.repeated_lines(modules) == ["boxless.data.a:10 = boxless.data.b:11"]
    assert graph.repeated_lines(modules, 5) == ["boxless.data.a:10 = boxless.data.b:11"]  # one stretch, named once
    assert graph.repeated_lines(modules, 7) == []


def test_entries_at_the_top_are_counted(tmp_path):
    plant(tmp_path, {"__init__": "", "data/a": "", "other": ""})
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "py.typed").touch()
    assert graph.top_entries(tmp_path) == ["__init__.py", "data", "other.py"]
