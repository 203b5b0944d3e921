"""The documentation is true where a machine can tell: links lead somewhere, and commands are commands."""

import json
import re
import shlex
from pathlib import Path

import cyclopts
import pytest

from boxless.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page):
    return FENCE.sub("", page.read_text())


def anchors(page):
    """The names under which a forge lets one link to the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    lost = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            lost.append(target)
    assert not lost


def commands(page):
    """The lines of a page that call boxless, in blocks and between back quotes, without those that leave words out."""
    text = page.read_text()
    blocks = "\n".join(block for kind, block in FENCE.findall(text) if kind in ("bash", "sh", ""))
    lines = blocks.replace("\\\n", " ").splitlines()
    lines += [" ".join(words.split()) for words in re.findall(r"`(boxless [^`]+)`", FENCE.sub("", text))]
    found = []
    for line in (line for line in lines if re.search(r"(^|[\s/])boxless ", line)):
        for part in re.split(r" && | \| |; ", line):
            words = shlex.split(part, comments=True)
            words = words[2:] if words[:1] == ["uv"] else words
            while words and re.fullmatch(r"[A-Z_]+=.*|nohup|srun|time", words[0]):
                words = words[1:]
            if words and Path(words[0]).name == "boxless" and "..." not in words and len(words) > 1:
                found.append(words[1:])
    return found


def parses(words):
    words = [word for word in words if word not in ("--debug", "--quiet", "&")]
    told_of = len(words) == 1 or (words[0] in ("train", "reproduce") and len(words) == 2)
    if told_of or {"--help", "--version", "METHOD", "TABLE"} & {*words[:2], words[-1]}:
        return
    app.parse_args(words, print_error=False, exit_on_error=False)


def test_every_file_that_the_architecture_names_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = {word for word in re.findall(r"`([\w/.]+\.py)`", text) if "NAME" not in word}
    assert len(named) > 40
    assert {
        name for name in named if not any((top / name).is_file() for top in (ROOT, ROOT / "src" / "boxless"))
    } == set()
    packages = {path.parent.name for path in (ROOT / "src" / "boxless").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^   (?:  ├─ )?([a-z]+)  ", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_parses(page):
    wrong = []
    for words in commands(page):
        try:
            parses(words)
        except cyclopts.CycloptsError as error:
            wrong.append((" ".join(words), str(error)))
    assert not wrong


def test_the_page_of_reliability_is_made_from_its_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import make_reliability

    folder = ROOT / "docs" / "results" / "reliability"
    results = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert make_reliability.page(results) == (ROOT / "docs" / "reliability.md").read_text()
    assert results["malformed"]["not handled"] == {} and results["malformed"]["cases"] >= 200
    assert results["disks"]["wrong"] == {}
    assert results["kills"]["kills"] >= 50 and results["soak"]["images"] >= 20_000


def test_the_page_of_position_is_made_from_its_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import make_position

    assert make_position.page() == (ROOT / "docs" / "position.md").read_text()


def test_the_table_of_tools_is_made_from_its_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import make_tools

    assert make_tools.page() == make_tools.PAGE.read_text()
    results = [json.loads(path.read_text()) for path in (ROOT / "docs" / "results" / "tools").glob("*.json")]
    assert all(not any(one["commands"].values()) for tool in results for one in tool["writes"])


def test_the_test_of_commands_finds_and_refuses_them():
    assert sum(len(commands(page)) for page in PAGES) > 60
    with pytest.raises(cyclopts.CycloptsError):
        parses(["find", "photos", "--reprot"])
