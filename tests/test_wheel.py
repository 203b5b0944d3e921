"""The wheel that users install: built from this tree, with all that the program reads, and nothing else."""

import datetime
import os
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_it_holds_every_file_of_the_package_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    files = {path.relative_to(source).as_posix() for path in (source / "boxless").rglob("*") if path.is_file()}
    assert names == {name for name in files if "__pycache__" not in name}
    assert "boxless/py.typed" in names
    for suffix in (".jinja", ".css", ".js"):
        assert any(name.endswith(suffix) for name in names)


def test_its_metadata_are_those_of_the_project(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        info = {name.partition("/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = message_from_string(archive.read(info["METADATA"]).decode())
        assert archive.read(info["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
        assert "boxless = boxless.cli:main" in archive.read(info["entry_points.txt"]).decode()
    assert metadata["Name"] == "boxless" and metadata["Version"] == project["version"]
    assert metadata["License-Expression"] == "MIT" and metadata["Requires-Python"] == project["requires-python"]
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert len(needed) == len(project["dependencies"])


def test_it_works_where_there_is_no_source(wheel, tmp_path):
    """Unpacked elsewhere, as an installer does, and run on photographs that it draws itself."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = (
        "from pathlib import Path\nimport boxless.cli\nfrom boxless.data.synthetic import make_scenes\n"
        "assert Path(boxless.__file__).is_relative_to(Path('site').resolve()), boxless.__file__\n"
        "make_scenes(Path('scenes'), 4, size=48, test=0)\n"
        "boxless.cli.app.meta(['find', 'scenes', '--method', 'contrast', '--out', 'found', '--report'])\n"
    )
    more = {"PYTHONPATH": "site", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | more, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        "README.txt",
        "boxes.json",
        "report.html",
        "summary.json",
    }


def test_the_citation_has_what_its_format_asks_for():
    """Required keys and types of the Citation File Format 1.2.0."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {"cff-version", "title", "message", "type", "authors", "version", "date-released", "license", "keywords"}
    assert cited.keys() <= known | {"abstract", "repository-code", "url"}
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert all(cited[key] for key in ("message", "title", "authors"))
    assert all(author.keys() & {"name", "family-names"} for author in cited["authors"])
    assert isinstance(cited["date-released"], datetime.date)
    assert cited["version"] == project["version"] and cited["license"] == project["license"]
