"""The table of other tools in docs/formats.md from docs/results/tools/, which benchmarks/tools/run.py leaves.

python docs/make_tools.py
"""

import json
from pathlib import Path
from typing import Any

from boxless.reproduce.markdown import markdown_table

HERE = Path(__file__).parent
PAGE = HERE / "formats.md"
BEGIN, END = "<!-- made by docs/make_tools.py -->\n\n", "\n<!-- made by hand again -->"
COLUMNS = ("tool", "direction", "format: how", "images", "exact to, in pixels", "lost")


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """formats.md with the table as the committed results have it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    results = [json.loads(path.read_text()) for path in sorted((HERE / "results/tools").glob("*.json"))]
    rows = [row(tool, way, entry) for tool in results for way in ("reads", "writes") for entry in tool[way]]
    table = "\n".join(markdown_table(COLUMNS, rows))
    return f"{before}{BEGIN}{table}\n{END}{after}"


def row(tool: dict[str, Any], way: str, entry: dict[str, Any]) -> list[str]:
    name = f"{tool['package']} {tool['version']}"
    direction = "reads it" if way == "reads" else "writes, boxless reads"
    refusals = [entry.get("refused", ""), *entry.get("commands", {}).values()]
    if refused := "; ".join(one for one in refusals if one):
        return [name, direction, f"{entry['format']}: {entry['call']}", "no", "", brief(refused)]
    images = f"{entry['images']} of {entry['of']}"
    exact = f"{round(entry['pixels'], 5):g}" if entry["images"] else ""
    lost = ", ".join(entry["lost"]) or "nothing" if entry["images"] else "everything, without a word"
    return [name, direction, f"{entry['format']}: {entry['call']}", images, exact, lost]


def brief(words: str) -> str:
    """The first sentence, without the paths of the machine."""
    return words.partition(". ")[0].replace("|", "/")


if __name__ == "__main__":
    main()
