"""docs/position.md from docs/position.template.md and the committed results of position.

    python docs/make_position.py

Where the template has {{ table FOLDER }}, a table is made of the json in that folder of docs/results/. A file of a
group and a seed keeps the hits of every image, so that what is shown is the mean over seeds, paired image by image.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from make_results import CONTROLS, best_controls, bits, each_seed, macro

from boxless.evaluation.bootstrap import Comparison, compare, holm, interval
from boxless.reproduce.markdown import markdown_table, signed, with_interval

HERE = Path(__file__).parent
OTSU = "heat maps, label-free"
ROWS = {"own threshold": "heat maps", "Otsu": OTSU, "transferred": "heat maps, transferred"}
"""The thresholds at which position is shown, and what the first row of hits at each begins with."""
GANS = "30-gan-table-3-tiny28"
READINGS = ("cam", "ddt", "border")
FORM, BOTH = "the form of 60", "student + first map, each at its own Otsu"
"""How the first form's map is named among those of the search, and the present one's among the forms."""


def main() -> None:
    (HERE / "position.md").write_text(page(), encoding="utf-8")


def page() -> str:
    template = (HERE / "position.template.md").read_text(encoding="utf-8")
    return re.sub(r"\{\{ (\w+) (\S+) \}\}", lambda found: "\n".join(TABLES[found[1]](found[2])), template)


def results(folder: str) -> list[str]:
    """GT-known at 0.5 / mean over the three IoUs of position at each threshold, and of its controls, by group."""
    rows, macro = [], []
    for group, runs in by_group(folder).items():
        hits = [over(runs, words) for words in ROWS.values()] + [contrast(runs)]
        hits += [over(runs, words) for words in CONTROLS]
        spread = each_seed(np.array([bits(run["hits"], OTSU).mean() for run in runs]))
        low_high = with_interval(hits[1].mean(axis=1), 100).partition(" ")[2]
        cells = [both(one) for one in hits]
        cells[1] += f" {low_high}"
        rows.append([group, str(len(hits[0])), *cells, spread])
        macro.append([[100 * one[:, 1].mean(), 100 * one.mean()] for one in hits])
    means = np.mean(macro, axis=0)
    rows.append([f"macro of {len(macro)}", "", *(f"{half:.1f} / {mean:.1f}" for half, mean in means), ""])
    return markdown_table(("group", "n", *ROWS, "contrast", *CONTROLS, "seeds, Otsu"), rows)


def goal(folder: str, row: str = OTSU) -> list[str]:
    """What was to be reached and what was, by the mean of the seeds that every group has and by each of them alone."""
    groups = by_group(folder)
    seeds = sorted(set.intersection(*({run["seed"] for run in runs} for runs in groups.values())))
    rows = [["goal", "75", "71", f"5 of {len(groups)}"]]
    for which in ([seeds] if len(seeds) > 1 else []) + [[seed] for seed in seeds]:
        found = best_controls([run for runs in groups.values() for run in runs if run["seed"] in which], row)
        means = [f"{100 * macro(found, iou).mean():.1f}" for iou in (slice(1, 2), slice(None))]
        sure = holm([one.above.p for one in found], 0.01)
        names = ", ".join(one.group for one, good in zip(found, sure, strict=True) if good)
        rows.append([f"seed {', '.join(map(str, which))}", *means, f"{sum(sure)}: {names}"])
    return markdown_table(("", "macro at 0.5", "macro of the mean", "groups above their best control, p < 0.01"), rows)


def above(folder: str, row: str = OTSU) -> list[str]:
    """Position above border contrast and above the centred box, at a label-free row, corrected together by Holm."""
    found = {}
    for group, runs in by_group(folder).items():
        mine = over(runs, row).mean(axis=1)
        found[group] = [compare(mine, other.mean(axis=1)) for other in (contrast(runs), over(runs, "centred box"))]
    sure = iter(holm([one.p for pair in found.values() for one in pair], 0.05))
    rows = []
    for group, pair in found.items():
        cells = [f"**{signed(one, 100)}**" if next(sure) else signed(one, 100) for one in pair]
        rows.append([group, *(f"{cell}, p {one.p:.2g}" for cell, one in zip(cells, pair, strict=True))])
    return markdown_table(("group", "above contrast", "above the centred box"), rows)


def search(folder: str) -> list[str]:
    """Maps on training boxes, a row each, and how far the students' are above the one of the first form."""
    maps, rows = contents(folder), []
    hits = [{name: bits(content, name) for name in content["rows"]} for content in maps]
    (before,) = (one["Otsu"] for one, content in zip(hits, maps, strict=True) if content["map"].endswith(FORM))
    for content, one in zip(maps, hits, strict=True):
        scores = [f"{both(found)}, {content['thresholds'][name]:.2f}" for name, found in one.items()]
        gain = signed(compare(one["Otsu"].mean(axis=1), before.mean(axis=1)), 100)
        rows.append([content["map"], *scores, "" if one["Otsu"] is before else gain])
    return markdown_table(("map", *hits[0], "Otsu, above the first form"), rows)


def forms(folder: str, base: str = "student", iou: slice = slice(None)) -> list[str]:
    """Forms of the map on training images, a row each, the mean over seeds, and how far each is above one of them."""
    groups = dict[str, list[dict[str, Any]]]()
    for content in contents(folder):
        groups.setdefault(content["group"], []).append(content)
    rows = []
    for form in next(iter(groups.values()))[0]["forms"]:
        found, gains = [], []
        for runs in groups.values():
            found.append(np.mean([bits(run["forms"][form], "") for run in runs], axis=0))
            other = np.mean([bits(run["forms"][base], "") for run in runs], axis=0)
            gains.append(found[-1][:, iou].mean(axis=1) - other[:, iou].mean(axis=1))
        strata = np.repeat(np.arange(len(gains)), [len(one) for one in gains])
        cells = [f"{both(one)}; {signed(compare(gain, 0 * gain), 100)}" for one, gain in zip(found, gains, strict=True)]
        low, high = interval(np.concatenate(gains), strata)
        mean = np.mean([gain.mean() for gain in gains])
        rows.append([form, *cells, f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"])
    heads = []
    for group, runs in groups.items():
        seeds = ", ".join(str(run["seed"]) for run in runs)
        heads.append(f"{group}, n {runs[0]['images']}, seeds {seeds}")
    return markdown_table(("form of the map", *heads, "mean of the groups"), rows)


def other_sets(folder: str) -> list[str]:
    """The two forms beside contrast, ddt and auto on sets that ImageNet does not know, each at its own threshold."""
    rows, names = [], ("student", BOTH, "border contrast", "ddt", "auto")
    for content in contents(folder):
        found = [bits(content["forms"][name], "") for name in names]
        gain = signed(compare(found[1].mean(axis=1), found[0].mean(axis=1)), 100)
        kinds = content["forms"][BOTH]["anatomy"]
        large = 100 * (kinds["large"] + kinds["several"]) / content["images"]
        signs = f"{large:.0f}", f"{100 * content['placed']:.0f}"
        rows.append([content["group"], str(content["images"]), *(both(one) for one in found), gain, *signs])
    heads = ("set", "n", "first form", "present form", "contrast", "ddt", "auto", "present above first", "too large",
             "by place")  # fmt: skip
    return markdown_table(heads, rows)


def nearer(folder: str) -> list[str]:
    """What a closer look adds to the mean of the three IoUs, set by set."""
    rows = []
    for content in contents(folder):
        first, closer = list(content["ways"].values())
        scores = (f"{one['accuracy'][1]:.1f} / {np.mean(one['accuracy']):.1f}" for one in (first, closer))
        gain = signed(Comparison(**closer["above"]))
        rows.append([f"{content['data']}, {content['split']}", str(content["images"]), *scores, gain])
    return markdown_table(("set", "n", "position", "with --closer", "above"), rows)


def cuts(folder: str) -> list[str]:
    """The mean of the three IoUs of the two maps that are summed, at several cuts, and those cuts."""
    rows = []
    for content in contents(folder):
        first, student, summed = (content["forms"][name] for name in ("first map", "student", "student + first map"))
        cells = [(first, "fixed"), (first, "median"), (first, "best"), (student, "median"), (student, "best"),
                 (summed, "best")]  # fmt: skip
        rows.append([content["group"], *(at(form, words) for form, words in cells)])
    return markdown_table(("set", "first map, fixed", "Otsu", "best", "student, Otsu", "best", "sum, best"), rows)


def at(form: dict[str, Any], words: str) -> str:
    """The mean over the three IoUs at the threshold that the words name, and it."""
    threshold = next(value for name, value in form["thresholds"].items() if words in name)
    return f"{100 * bits(form, words).mean():.1f} at {threshold:.2f}"


def agreement(folder: str) -> list[str]:
    """First maps by how much their boxes at two cuts agree, in quarters of the images."""
    (content,) = contents(folder)
    agree, right, box, true = (np.array(value) for value in content.values() if isinstance(value, list))
    rows = []
    for name, part in zip(("most", "", "", "least"), np.array_split(np.argsort(-agree, kind="stable"), 4), strict=True):
        shares = [f"{100 * one[part].mean():.0f}" for one in (agree, right >= 0.5, box, true)]
        rows.append([name, str(len(part)), *shares])
    names = ("agreement", "n", "IoU of the boxes at 0.2 and 0.4", "GT-known at 0.5", "the box covers", "the true one")
    return markdown_table(names, rows)


def second(folder: str) -> list[str]:
    """The second form's runs beside those of the first form, both at Otsu's threshold."""
    return beside_first(folder, "second", OTSU)


def third(folder: str) -> list[str]:
    """The third form's runs, each map cut at its own threshold, beside those of the first form at Otsu's.

    And the same maps at the median of their thresholds, which is one of the form's two changes alone.
    """
    return beside_first(folder, "third", ROWS["own threshold"], {"its maps at the median": "median of Otsu's"})


def beside_first(folder: str, form: str, row: str, also: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """A row of a form's runs, paired with the first form at Otsu's threshold, on the seeds that both have.

    `also`: headings of further rows of the same runs, and what the rows are called in their files.
    """
    before, rows, halves = by_group(str(Path(folder).parent)), [], []
    for group, runs in by_group(folder).items():
        shared = {run["seed"] for run in before[group]} & {run["seed"] for run in runs}
        same, runs = ([run for run in those if run["seed"] in shared] for those in (before[group], runs))
        assert same[0]["hits"]["images"] == runs[0]["hits"]["images"], f"{group}: not the same images"
        shown = [over(same, OTSU), *(over(runs, words) for words in (row, *also.values()))]
        found = compare(shown[1].mean(axis=1), shown[0].mean(axis=1))
        halves.append([[100 * one[:, 1].mean(), 100 * one.mean()] for one in shown])
        rows.append([group, str(len(shown[0])), *map(both, shown), f"{signed(found, 100)}, p {found.p:.2g}"])
    if len(rows) == len(before):
        rows.append(
            [f"macro of {len(rows)}", "", *(f"{half:.1f} / {mean:.1f}" for half, mean in np.mean(halves, axis=0)), ""]
        )
    return markdown_table(("group", "n", "first form", f"{form} form", *also, f"{form} above first (95 %)"), rows)


def errors(folder: str) -> list[str]:
    """What is wrong with the boxes at the method's own threshold, as shares of the images; the mean over seeds."""
    rows = []
    for group, runs in by_group(folder).items():
        found = [run["measurement"]["anatomy"] for run in runs]
        total = sum(found[0].values())
        shares = [f"{100 * np.mean([one[kind] for one in found]) / total:.0f}" for kind in found[0]]
        rows.append([group, str(total), *shares])
    return markdown_table(("group", "n", *found[0]), rows)


def causes(folder: str) -> list[str]:
    """The worst images of a run of each group: what is wrong with their boxes, and why, by eye."""
    runs = {(group, run["seed"]): run for group, seeds in by_group(folder).items() for run in seeds}
    looked = contents(f"{folder}/worst")
    words, rows = dict.fromkeys(cause for one in looked for cause in one["causes"].values()), []
    for one in looked:
        found = runs[one["group"], one["seed"]]["measurement"]["worst"]
        assert {image["image"] for image in found} == set(one["causes"]), f"{one['group']}: not the worst images"
        kinds = Counter(image["kind"] for image in found)
        counts = Counter(one["causes"].values())
        of = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        again = {image["image"] for image in runs[one["group"], 0]["measurement"]["worst"]} & set(one["causes"])
        rows.append([one["group"], str(one["seed"]), of, str(len(again)), *(str(counts[cause]) for cause in words)])
    total = Counter(cause for one in looked for cause in one["causes"].values())
    rows.append(["all", "", "", "", *(str(total[cause]) for cause in words)])
    return markdown_table(("group", "seed", "the 20 worst boxes", "worst with seed 0, too", *words), rows)


def beside_gans(folder: str) -> list[str]:
    """Position beside the last states of SN-DCGAN in gan-table-3, the same images, at IoU 0.5."""
    rows = []
    for group, runs in by_group(folder).items():
        cell = json.loads((HERE / "results" / GANS / f"sn-dcgan_{group}_plain_0.json").read_text(encoding="utf-8"))
        result = cell["result"]
        assert result["data"]["hash"] == runs[0]["data"]["hash"], f"{group}: not the same images"
        mine = over(runs, ROWS["transferred"])[:, 1]
        last = result["stages"][-1]["readings"]
        hits = {reading: digits(last[reading]["maps"]["transferred"]) for reading in READINGS}
        best = max(hits, key=lambda reading: float(hits[reading].mean()))
        scores = [with_interval(one, 100) for one in (mine, *hits.values())]
        gain = f"{signed(compare(mine, hits[best]), 100)}, {best}"
        rows.append([group, str(len(mine)), *scores, gain])
    return markdown_table(("group", "n", "position, no GAN", *READINGS, "above the GAN's best"), rows)


def heads(folder: str) -> list[str]:
    """The position head on D's layers, beside the one on untrained Ds and on raw pixels, at IoU 0.5."""
    result = contents(folder)[0]["result"]
    controls = {name: digits(score) for name, score in result["controls"].items()}
    gains, rows = {}, []
    for name, read in result["readouts"].items():
        before = np.mean([digits(one["transferred"]) for one in read["untrained"]], axis=0)
        trained = digits(read["maps"]["transferred"])
        gains[name] = compare(trained, before)
        pixels = controls[f"position on the pixels of the windows, {name.partition(', ')[2]}"]
        rows.append([name, *(with_interval(one, 100) for one in (trained, before, pixels))])
    for row, gain, sure in zip(rows, gains.values(), holm([one.p for one in gains.values()]), strict=True):
        row.insert(3, f"**{signed(gain, 100)}**" if sure else signed(gain, 100))
    rows += [[name, with_interval(controls[name], 100), "", "", ""] for name in ("no learning", "centred box")]
    return markdown_table(("reading", "GT-known at 0.5", "untrained", "gain by training", "on raw pixels"), rows)


def joint(folder: str) -> list[str]:
    """The position head on D's layers after three ways of training, at IoU 0.5, and how far the joint one is above.

    A row for each layer and each weight of the question in the joint training.
    """
    found = contents(folder)
    alone = {one["trained"]: one["result"]["readouts"] for one in found if one["trained"] != "joint"}
    together = sorted((one for one in found if one["trained"] == "joint"), key=lambda one: one["weight"])
    ways = [alone["adversarial"], alone["question"]]
    rows, gains = [], []
    for name, before in ways[0].items():
        hits = [digits(way[name]["maps"]["transferred"]) for way in ways]
        untrained = np.mean([digits(one["transferred"]) for one in before["untrained"]], axis=0)
        first = [name, *(with_interval(one, 100) for one in (untrained, *hits))]
        for one in together:
            both_asked = digits(one["result"]["readouts"][name]["maps"]["transferred"])
            gains += [compare(both_asked, way) for way in hits]
            rows.append([*first, f"{one['weight']:g}", with_interval(both_asked, 100)])
            first = [""] * len(first)
    sure = holm([one.p for one in gains])
    told = [f"**{signed(gain, 100)}**" if one else signed(gain, 100) for gain, one in zip(gains, sure, strict=True)]
    heads = ("reading", "untrained", "GAN alone", "question alone", "weight", "together", "above GAN", "above question")
    return markdown_table(heads, [row + told[2 * i : 2 * i + 2] for i, row in enumerate(rows)])


def contents(folder: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "results" / folder).glob("*.json"))]


def by_group(folder: str) -> dict[str, list[dict[str, Any]]]:
    """The runs of each group, in the order of their seeds."""
    groups = dict[str, list[dict[str, Any]]]()
    for content in contents(folder):
        groups.setdefault(content["data"]["classes"][0], []).append(content)
    return groups


def over(runs: list[dict[str, Any]], words: str) -> Any:
    """Hits of a row, (image, 3), the mean over the seeds."""
    return np.mean([bits(run["hits"], words) for run in runs], axis=0)


def contrast(runs: list[dict[str, Any]]) -> Any:
    """Hits of border contrast at its own threshold."""
    return np.mean([bits(run["contrast"]["hits"], "fixed") for run in runs], axis=0)


def digits(score: dict[str, Any]) -> Any:
    """Hits at IoU 0.5 of a score of gan-table-3."""
    return np.array([int(digit) for digit in score["hits"]], float)


def both(hits: Any) -> str:
    return f"{100 * hits[:, 1].mean():.1f} / {100 * hits.mean():.1f}"


TABLES = {
    "results": results,
    "goal": goal,
    "above": above,
    "search": search,
    "forms": forms,
    "fields": lambda folder: forms(folder, "field of 14, at 0.25"),
    "above_auto": lambda folder: forms(folder, "auto", slice(1, 2)),
    "other_sets": other_sets,
    "cuts": cuts,
    "nearer": nearer,
    "agreement": agreement,
    "second": second,
    "third": third,
    "own_above": lambda folder: above(folder, ROWS["own threshold"]),
    "own_goal": lambda folder: goal(folder, ROWS["own threshold"]),
    "gans": beside_gans,
    "heads": heads,
    "joint": joint,
    "errors": errors,
    "causes": causes,
}

if __name__ == "__main__":
    main()
