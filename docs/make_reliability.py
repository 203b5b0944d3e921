"""docs/reliability.md from docs/reliability.template.md and the committed results in docs/results/reliability/.

    python docs/make_reliability.py

Whatever stands in the template as {{ file.key.key }} is looked up in that json, so that no number is typed in by hand.
Each json is what the script of its name in benchmarks/reliability/ wrote.
"""

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def main() -> None:
    results = {path.stem: json.loads(path.read_text()) for path in (HERE / "results" / "reliability").glob("*.json")}
    (HERE / "reliability.md").write_text(page(results), encoding="utf-8")


def page(results: dict[str, Any]) -> str:
    template = (HERE / "reliability.template.md").read_text(encoding="utf-8")
    return re.sub(r"\{\{ (.*?) \}\}", lambda found: shown(found[1], results), template)


def shown(words: str, results: dict[str, Any]) -> str:
    """The value at a path such as `soak.images`, or what one of the functions below makes of it."""
    name, _, path = words.partition(" ")
    if path:
        return MAKERS[name](value(path, results))
    found = value(words, results)
    return f"{found:,}" if isinstance(found, int) else str(found)


def value(path: str, results: dict[str, Any]) -> Any:
    for key in path.split("."):
        results = results[key.replace("_", " ")] if key not in results else results[key]
    return results


def count(entries: Any) -> str:
    return str(len(entries))


def machine(content: dict[str, Any]) -> str:
    hardware, versions = content["hardware"], content["versions"]
    where = f"{hardware['processor']}, {hardware['cores']} cores"
    return f"{where}; torch {versions['torch']}, Python {versions['python']}; {content['time'][:10]}"


def gigabytes(number: int) -> str:
    return f"{number / 1e9:.2f} GB"


WORDS = {"progressive": "progressive JPEG", "no": "no image at all", "odd": "odd images", "Tiny": "Tiny ImageNet lists"}
"""What the first words of some cases stand for."""


def listed(entries: dict[str, Any]) -> str:
    return ", ".join(f"{WORDS.get(name, name)} {number}" for name, number in entries.items())


def kills(jobs: dict[str, Any]) -> str:
    """A row for each job that was killed."""
    rows = []
    for name, job in jobs.items():
        moments = job.get("moments")
        when = f"{min(moments):.2f} to {max(moments):.2f} of its time" if moments else "0.01 to 0.5 s after it began"
        came_to = (
            f"{job['runs']} runs ended, each as in peace" if moments else f"{job['decisions']} decisions, all there"
        )
        terms = job.get("by SIGTERM", 0)
        rows.append(f"| `{name}` | {job['kills']} | {terms} | {when} | {came_to} |")
    return "\n".join(rows)


def nothing_or(entries: dict[str, Any]) -> str:
    return "none" if not entries else "; ".join(f"{name}: {', '.join(words)}" for name, words in entries.items())


MAKERS = {
    "count": count,
    "machine": machine,
    "gigabytes": gigabytes,
    "listed": listed,
    "kills": kills,
    "nothing_or": nothing_or,
}


if __name__ == "__main__":
    main()
