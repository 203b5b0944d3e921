"""docs/results.md from the committed results in docs/results/: no number in it is typed in by hand.

    python docs/make_results.py

Each json is what `boxless evaluate ... --out DIR` leaves as result.json, or what a benchmark prints; its file name is
the order and the heading, as in the folder that benchmarks/position.py leaves. Any other folder holds the cells/*.json
that `boxless reproduce TABLE` leaves, and its name is the order, the table and the data: 30-i2c-table-4-cub10. Of a
figure it holds figures/*.json and the picture, of gan-readings readings/*.json, of gan-stopping its json.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boxless.evaluation.bootstrap import Comparison, compare, holm
from boxless.reproduce.markdown import markdown_table, signed, with_interval
from boxless.reproduce.pages import page_of

HERE = Path(__file__).parent
INTRODUCTION = """# Results

Made by `python docs/make_results.py` from the json files in [results/](results/); nothing here is typed in by hand.
Accuracy is the percentage of images whose box has at least the given IoU with a true box (GT-known localization), the
mean is over the three, and the interval is the 95 % bootstrap interval of that mean over images. The first row of each
table is what `predict` and `find` would do; *transferred* is the threshold that is best on the training images' boxes;
*oracle* was chosen with the test boxes and is an upper bound. Below them stand the controls: what no method at all
scores on the same images, at the threshold named. What does not beat them has found nothing.

DDT and CAM read features of a network trained on ImageNet with labels. The Tiny ImageNet categories are ImageNet
categories, and albatrosses are, too: these numbers do not say how well boxless finds what ImageNet never showed. The
layer and the fixed threshold of DDT were chosen once, on training boxes of cub10, bird, bottle, dog and vehicle; a
first look at the layers had been taken on the test boxes of cub10, so its row flatters it a little. Artiodactyla,
cat and the validation boxes of all groups were not looked at. SN-DCGAN uses nothing but the images of its group; its
rows are those of SmoothGrad, whose form and threshold were chosen on boxes of the birds' training and test images.
position, too, uses nothing but the images of its group: how it came about is in [position.md](position.md). On cells,
codes, profiles, skin, smear and spines it was measured once, with 400 steps, which were fixed before. All
its rows are of the form before the present one. Of its seeds, the rows and tables are those of seed 0; the others stand
[below](#position-above-its-best-control-seed-by-seed).

auto was measured on the test halves twice: its rows are those of the second look. After the first its rule was
changed, on training halves alone, but in the knowledge of how the first rule had done on which set, so these rows are
not as clean as a first look's. With its fifth sign, which was chosen on training halves in the knowledge that ddt had
been taken wrongly on the test half of skin, skin was looked at a third time: the sign stayed below its limit, and all
boxes are those of the second look. On the other sets that are no photographs a further sign cannot change the choice;
the photographs were not measured again. When auto had learnt to look at larger images, which it does on the test half
of codes alone, codes were looked at a third time, and its row is of that look; that its row was the lowest but one of
the five had been known when the rule was made.

The rows of ddt and contrast on cells, codes, profiles, skin, smear and spines are of the first look; nothing in
either has changed since. Test images that `check` calls nearly the same as a training image were left out. On smear,
with many cells per image, the largest component counts as right where it is any cell.
Both ddt and auto take each group of Tiny ImageNet as one category. In its rows of all groups but cat nothing was
fitted on training images (`--fit none`), so that the controls there are weaker than in ddt's rows: compare with
those.

The trained CAM comes from

    boxless train cam cub10 --out cam-cub10 --size 288 --resize 320 --freeze all --lr 0.003 --epochs 6
"""


TABLES = """## Tables of methods, one protocol each

Made by `boxless reproduce TABLE`. Every method or variant of a table is trained on the same images for the same epochs
with the same batches and learning rates, from the image labels alone; the seed changes weights and batches. Its first
row has the threshold that is best on the boxes of the training images. An image's value is its mean over the seeds;
intervals and p-values are over images, the spread over seeds stands beside. Refused: what cannot be combined.

Of the readings of a GAN, SmoothGrad was chosen after a look at a dozen forms of the gradient on the boxes of the birds'
training images, with the run of 20,000 iterations: its row there is no test of it. Vehicles were read afterwards. In
gan-readings-train-tiny28-heads layer 0 was not read, and the untrained D is one, that of the same seed.
"""

ENGINES = """## Other engines and other numbers

`benchmarks/engines.py` on training images: per cent of auto's boxes whose IoU with torch's in fp32 is 0.9 or more; in
brackets the numbers that were used: 8 bits are left for bf16 where the features are not those of fp32.
"""

CHECKED = """## What check says of folders whose content is known

By `benchmarks/check.py`, on training halves: how far categories lie from ImageNet, and which folders, single categories
and mixed pairs of them, are called two kinds of thing.
"""

CLOSER = """## A closer look

`benchmarks/closer.py` on cub10 as one category: auto as it is, with `--closer` (the part of each photograph around its
box looked at again), and with the whole photographs looked at larger, which is about as dear. All at auto's threshold,
which knows no box; GT-known accuracy in percent, and how far the mean of the three IoUs is above auto's, paired, with
its 95 % interval over images. How much wider than the box the part is was chosen on the training half, where it hardly
matters below 1.5; the test half, on which auto had been measured before, was looked at once. These are birds, the only
photographs with boxes here that have more pixels than the network looks at: how much other things gain is not known. In
Tiny ImageNet's 64 pixels there is nothing to be seen closer, and nothing changes.
"""

MIRRORED = """## Where maps lie

By `benchmarks/mirrored.py`: the maps of an image and of its mirror image, mirrored back, would be the same, if a place
of the network saw what lies at its middle. lite0's do not: at the stride of 16, which it was not trained with, its maps
lie too far right and down by a third of a place. It is left so: boxes moved back are tighter in some sets and looser in
others, since parts that maps miss, as feet and wheels, lie on that side. Moving the image instead was tried, too:
better on cells and vertebrae, worse on cars, whose wheels are at the lower edge. Pixels are those of the square of 288;
accuracies of auto on training halves, in percent, the mean of three IoUs; gain: moved back minus as found, with its
95 % interval.
"""

CALIBRATED = """## Ten boxes

`boxless calibrate` on ten draws of ten or twenty boxed images, by `benchmarks/calibrate.py`: GT-known accuracy at IoU
0.5, in per cent, on the images of the set that were not drawn; mean over the draws. *auto* needs no box; *without the
guard* takes what fits the drawn ones best, also where it is not surely better than auto. *Made*: draws in which a
choice was made. *Promised*: what calibrate said to expect; *kept*: draws in which the accuracy lay in the promised 95 %
interval. Methods and guard were chosen on the training halves. The test halves, without near duplicates of training
images, were looked at once for this table, after that; auto had been measured on them before.
"""

SEVERAL = """## A box for each object

`benchmarks/several.py`: `find --multiple` of this version and of the one before on the same images, one after the
other, scored by pycocotools over all classes as one; AP and recall in percent, with 95 % bootstrap intervals over
images. Counting: found minus true boxes per image, and the mean of its size. Method, size and thresholds were chosen on
the training half of smear and on made scenes with another seed. No test image is one that `check` calls nearly the same
as a training image. They have been looked at before: smear's by five earlier rules and by `evaluate`, those of scenes
(`detector.py --scenes 7`) by three earlier rules, and both for the tables of a detector below. Now maps are a
discriminant's, chosen on development images and fixed before its one look, the first two tables. The last two are
those of the rule before, whose maps were the likeness that teaches the discriminant: on scenes it is better in all and
counts better, on smear it finds as much and counts worse. *One box* is `find` without `--multiple`; what stands below
it, no method made.
"""
DETECTOR = """## A detector and the boxes that taught it

`benchmarks/detector.py`: what `find --multiple` found in the training images taught `train detector`, with its
defaults; both then search the test images. Scored as above. Everything was chosen on training images of smear and on
made scenes with other seeds. The test images had been looked at before: scenes twice, once when the detector was worse
than its teacher since it started to learn at four times today's rate; smear three times, once with an earlier form of
the loss, the table of it here. The first two tables are one more look with nothing changed but the maps of the teacher,
which are today's, as in the development images of seed 102; those of seed 101 and *smear-train-halved*, the training
half of smear, every second image for training, have teachers of earlier maps.
"""
WAYS = """## Other methods with --multiple, and tiles

`benchmarks/several.py` with more searches, scored as above: what each method finds as one box and as a box for each
object, and what `--tiles` find of small objects in large photographs. Development images, on which methods and
thresholds were chosen or might have been: the numbers compare the ways, they are not what to expect. Processor seconds
per image are of all threads together, start included; megabytes are the most at a time. *this*: `find --multiple`; *one
box*: `find`; *before*: `find --multiple` of the version before; others by their words. Where the command says --runs,
times are medians of that many, the searches taking turns. In the table of scenes102 *this* has the maps of today's
discriminant and *before* those of the rule before, the likeness at the network's stride of 32, which the tables of
made-12-megapixels and of scenes104 beside another size call *this*; the likeness at a stride of 16 is *before* in these
two, and *this* in those of smear and smear-train-mosaics. In the mosaics of smears much of what is found too much is a
cell that nobody boxed. Where objects are few in large photographs (made-12-megapixels), most tiles show none, and auto
takes none. *mosaic* is two photographs of 3840 x 3072 pixels, joined from 80 made scenes each (beetles, one to three in
a scene, seed 301), with today's rule for the sign of a direction in tiles; with the one before auto boxed background
there and hit nothing.
"""
TAUGHT = "detector minus find --multiple"
NOT_SPEEDS = {"measurement", "calibrated", "this minus before", "searches", TAUGHT}
SPENT = {"processor seconds per image": 2, "megabytes": 0}
"""What a search costs, and with how many decimals it is printed."""
SEVERAL_CONTROLS = ("one box", "whole image", "centred box", "another image's boxes")

SAME_IMAGES = """## auto and ddt on the same images

From the rows above: GT-known accuracy at IoU 0.5, and the mean over the three, of auto minus that of ddt with its fixed
threshold, in points, with 95 % intervals of the paired difference. *Won* and *lost*: images with a hit at 0.5 by one of
the two alone.
"""

CHOSEN = """## The threshold of auto and its sign *frame*, on training halves

By `benchmarks/choice.py`. A form of threshold is judged on photographs that are left to ddt: constants by all sets (in
sample), and by all sets but the one that is measured (left out); GT-known accuracy at IoU 0.5 / the mean over IoU 0.3,
0.5 and 0.7, macro over sets. *frame*: the share of the maps of corners that stays with the frame.
"""

SIZES = """## auto with larger images and a finer map, on training halves

By `benchmarks/sizes.py`: each set as one category, at most 120 images of its training half; the side of the square, and
the stride of the map where it is not 16. GT-known accuracy at IoU 0.5 / the mean over IoU 0.3, 0.5 and 0.7; the sign
*separation*; processor seconds per image, fp32. Of the mean, the paired difference to 288 pixels. *auto's own choice*
is what `find` does, its looks at larger images among the seconds. Below, what a choice for each set gives over all, by
signs that need no box, and by the boxes themselves.
"""

PROTOCOLS = """## The same maps under every protocol

Saved with `boxless evaluate METHOD cub10 --fit none --maps maps.npz`, scored with `boxless score maps.npz
boxes_test.csv --protocol ...`. Accuracy at IoU 0.5 in percent, and what the controls score under the same protocol. The
maps are the same in every row: what moves the number is the protocol, most of all who chose the threshold.
"""


POSITION = """## position above its best control, seed by seed

Hits of the images that the runs of position above keep. An image's value is its mean over the seeds and over IoU 0.3,
0.5 and 0.7, in percent; the best control is the one with the highest mean of border contrast at its own threshold,
centred box, whole image, saliency, shuffled maps and untrained networks. Intervals and p-values (sign flips) are over
images; bold: p < 0.01 after Holm's correction for all groups. Threshold: the median of the maps' Otsu thresholds, which
knows no box.
"""

UNKNOWN = """## Where ImageNet knows nothing: position, contrast, ddt and auto

Test halves, the mean over IoU 0.3, 0.5 and 0.7: at each one's own threshold / at the median of Otsu's thresholds of its
maps / at the one transferred from boxes of the training half, with its interval. Only the last has seen a box. auto may
take any of several methods, position among them not.
"""


def main() -> None:
    here = HERE / "results"
    paths = sorted([*here.glob("*.json"), *here.glob("*-position-*/*.json")])
    results = {str(path.relative_to(here).with_suffix("")): json.loads(path.read_text()) for path in paths}
    first = {name: content for name, content in results.items() if "measurement" in content and not content["seed"]}
    measured = [evaluation(name, content) for name, content in first.items()]
    sides = [side_by_side(name, content) for name, content in results.items() if "protocols" in content]
    others = {
        name: content for name, content in results.items() if "versions" in content and not NOT_SPEEDS & content.keys()
    }
    own = ("-check", "-engines", "-choice", "-sizes", "-mirrored", "-closer")
    speeds = [benchmark(name, content) for name, content in others.items() if not name.endswith(own)]
    engines = [other_numbers(name, content) for name, content in others.items() if name.endswith("-engines")]
    checks = [benchmark(name, content) for name, content in others.items() if name.endswith("-check")]
    taught = [compared_with_teacher(name, content) for name, content in results.items() if TAUGHT in content]
    chosen = [forms(name, content) for name, content in others.items() if name.endswith("-choice")]
    sized = [sizes(name, content) for name, content in others.items() if name.endswith("-sizes")]
    nearer = [closer(name, content) for name, content in others.items() if name.endswith("-closer")]
    mirrored = [benchmark(name, content) for name, content in others.items() if name.endswith("-mirrored")]
    many = [
        compared(name, content)
        for name, content in results.items()
        if "this minus before" in content and "searches" not in content
    ]
    ways = [
        several_objects(name, content, content["searches"], "Searches of the same images")
        for name, content in results.items()
        if "searches" in content
    ]
    few = [calibrated(name, content) for name, content in results.items() if "calibrated" in content]
    overview = [summary_row(content) for content in first.values()]
    folders = [path for path in sorted(here.glob("[0-9]*")) if path.is_dir() and "-position-" not in path.name]
    tables = [table(folder) for folder in folders]
    runs = [content for content in results.values() if content.get("method") == "position" and "hits" in content]
    parts = [
        *measured,
        SAME_IMAGES,
        *same_images(results),
        *([CHOSEN, *chosen] if chosen else []),
        *([SIZES, *sized] if sized else []),
        *([CLOSER, *nearer] if nearer else []),
        *([MIRRORED, *mirrored] if mirrored else []),
        *([CALIBRATED, *few] if few else []),
        *([SEVERAL, *many] if many else []),
        *([WAYS, *ways] if ways else []),
        *([DETECTOR, *taught] if taught else []),
        POSITION,
        *above_controls(runs),
        UNKNOWN,
        *by_set(results),
        *([TABLES, *tables] if tables else []),
        PROTOCOLS,
        *sides,
        CHECKED,
        *checks,
        "## Speed\n",
        *speeds,
        *([ENGINES, *engines] if engines else []),
    ]
    text = "\n".join([INTRODUCTION, *summary(overview), *parts])
    (HERE / "results.md").write_text(text.rstrip() + "\n", encoding="utf-8")


def summary(rows: list[list[str]]) -> list[str]:
    columns = ("method", "data", "n", "own threshold", "transferred", "oracle", "best control", "which")
    return ["## In short: mean over IoU 0.3, 0.5 and 0.7\n", *markdown_table(columns, rows), ""]


def summary_row(content: dict[str, Any]) -> list[str]:
    measured = content["measurement"]
    rows = {kind(row): row for row in reversed(measured["rows"])}
    control = max(measured["controls"].values(), key=lambda row: row["mean"])
    entries = [content["method"], place(content), str(measured["images"])]
    entries += [row_interval(rows[key]) if key in rows else "not measured" for key in ("own", "transferred", "oracle")]
    return [*entries, row_interval(control), control["name"]]


def kind(row: dict[str, Any]) -> str:
    if "'s own" in row["origin"]:  # label-free, of the category or of each map, and the method's own
        return "own"
    first = row["origin"].split()[0].strip(":")
    return first if first in ("transferred", "oracle", "label-free") else "own"


def place(content: dict[str, Any]) -> str:
    data = content["data"]
    classes = f", {data['classes'][0]}" if len(data["classes"]) == 1 else f", {len(data['classes'])} classes"
    return f"{data['name']} {data['split']}{classes}"


def row_interval(row: dict[str, Any]) -> str:
    return f"{row['mean']:.1f} ({row['interval'][0]:.1f} to {row['interval'][1]:.1f})"


def evaluation(name: str, content: dict[str, Any]) -> str:
    measured = content["measurement"]
    step = content.get("network", {}).get("step")
    after = f", after {step} iterations" if step else ""
    lines = [f"## {content['method']} on {place(content)}{after}\n"]
    origin = f"data {content['data']['hash']}; [json](results/{name}.json)"
    lines += [f"`{content['command']}`  "]
    lines += [f"{measured['images']} images, seed {content['seed']}; {machine(content)}; {origin}\n"]
    rows = []
    for row in [*measured["rows"], *measured["controls"].values()]:
        accuracies = [f"{value:.1f}" for value in row["accuracy"].values()]
        at = "/".join(f"{value:.2f}" for value in row["threshold"])
        note = ", ".join(part for part in (at, row["origin"]) if part)
        title = row["name"] if row["kind"] == "control" else f"**{content['method']}**"
        rows.append([title, *accuracies, row_interval(row), note])
    lines += markdown_table(("", "IoU 0.3", "0.5", "0.7", "mean (95 %)", "threshold"), rows)
    others = {key: value for key, value in measured["metrics"].items() if not key.startswith(("GT-known", "mean"))}
    metrics = [f"{key} {value:.1f} ({low_high(measured, key)})" for key, value in others.items()]
    anatomy = ", ".join(f"{key} {count}" for key, count in measured["anatomy"].items())
    lines.append(f"\nAt the first row's threshold: {'; '.join(metrics)}. Boxes: {anatomy}.\n")
    return "\n".join([*lines, *(detections(measured["detections"]) if "detections" in measured else []), ""])


class Beside(NamedTuple):
    """Runs of position on one category and its best control, each (seed, image, IoU), and how far it is above it."""

    group: str
    mine: Any
    control: str
    other: Any
    above: Comparison


def best_controls(runs: list[dict[str, Any]], row: str = "heat maps, label-free") -> list[Beside]:
    """A row of position's beside the control with the highest mean over seeds, a category each."""
    groups, found = dict[str, list[dict[str, Any]]](), []
    for run in runs:
        groups.setdefault(run["data"]["classes"][0], []).append(run)
    for group, seeds in groups.items():
        mine = np.array([bits(seed["hits"], row) for seed in seeds])
        others = {name: np.array([bits(seed["hits"], name) for seed in seeds]) for name in CONTROLS}
        others["border contrast"] = np.array([bits(seed["contrast"]["hits"], "fixed") for seed in seeds])
        best = max(others, key=lambda name: float(others[name].mean()))
        above = compare(mine.mean(axis=(0, 2)), others[best].mean(axis=(0, 2)))
        found.append(Beside(group, mine, best, others[best], above))
    return found


def above_controls(runs: list[dict[str, Any]]) -> list[str]:
    """The lines of markdown that compare runs of position with their controls, a row for each category."""
    found, rows = best_controls(runs), []
    for one, sure in zip(found, holm([one.above.p for one in found], 0.01), strict=True):
        scores = [f"{100 * one.mine[..., 1].mean():.1f}", with_interval(one.mine.mean(axis=(0, 2)), 100)]
        gain = f"**{signed(one.above, 100)}**" if sure else signed(one.above, 100)
        spread = each_seed(one.mine.mean(axis=(1, 2)))
        other = f"{100 * one.other.mean():.1f}"
        rows.append(
            [one.group, str(one.mine.shape[1]), *scores, spread, one.control, other, gain, f"{one.above.p:.2g}"]
        )
    half, mean, control = (
        np.mean([100 * values.mean() for values in each])
        for each in ([one.mine[..., 1] for one in found], [one.mine for one in found], [one.other for one in found])
    )
    spread = each_seed(macro(found))
    last = ["the best of each", f"{control:.1f}", f"{mean - control:+.1f}", ""]
    rows.append(["macro", "", f"{half:.1f}", f"{mean:.1f}", spread, *last])
    columns = ("group", "n", "IoU 0.5", "mean (95 %)", "seeds", "best control", "its mean", "above it (95 %)", "p")
    return [*markdown_table(columns, rows), ""]


def macro(found: list[Beside], iou: slice = slice(None)) -> Any:
    """Mean over the categories, of each seed that all of them have."""
    seeds = min(len(one.mine) for one in found)
    return np.mean([one.mine[:seeds, :, iou].mean(axis=(1, 2)) for one in found], axis=0)


def each_seed(values: Any) -> str:
    """Every seed's accuracy in percent, and where there are several how far they lie apart."""
    apart = f"; sd {100 * values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return ", ".join(f"{100 * value:.1f}" for value in values) + apart


def by_set(results: dict[str, Any]) -> list[str]:
    """The lines of markdown that hold one method beside the other, a row for each set that ImageNet does not know."""
    found: dict[str, dict[str, Any]] = {}
    for name, content in results.items():
        ours = name.split("-")[0] in ("12", "13", "14", "15") and "measurement" in content
        if ours and content["data"]["name"] in SETS:
            found.setdefault(content["data"]["name"], {})[content["method"]] = content["measurement"]
    rows = []
    for place, methods in found.items():
        control = max(methods["contrast"]["controls"].values(), key=lambda row: row["mean"])
        cells = [f"{control['mean']:.1f}, {control['name']}"]
        for method in ("position", "contrast", "ddt", "auto"):
            first = {kind(row): row for row in reversed(methods.get(method, {"rows": []})["rows"])}
            if not {"own", "transferred"} <= first.keys():
                cells.append("not measured")
                continue
            otsu = f"{first['label-free']['mean']:.1f}" if "label-free" in first else "-"
            cells.append(f"{first['own']['mean']:.1f} / {otsu} / {row_interval(first['transferred'])}")
        rows.append([place, str(methods["contrast"]["images"]), *cells])
    columns = ("set", "n", "best constant or saliency", "position", "contrast", "ddt", "auto")
    return [*markdown_table(columns, rows), ""]


SETS = ("cells", "codes", "profiles", "skin", "smear", "spines")
CONTROLS = ("centred box", "whole image", "saliency", "shuffled maps", "untrained network")


def same_images(results: dict[str, Any]) -> list[str]:
    """Auto minus ddt, for every set on whose images both were measured."""
    measured = {name: content for name, content in results.items() if "measurement" in content}
    of = {
        method: {content["data"]["hash"]: content for content in measured.values() if content["method"] == method}
        for method in ("auto", "ddt")
    }
    rows = []
    for data, ours in of["auto"].items():
        if data not in of["ddt"]:
            continue
        a, b = (np.array(content["measurement"]["ious"]) for content in (ours, of["ddt"][data]))
        three = [100 * np.mean([ious >= delta for delta in (0.3, 0.5, 0.7)], axis=0) for ious in (a, b)]
        half, mean = compare(100.0 * (a >= 0.5), 100.0 * (b >= 0.5)), compare(*three)
        won, lost = int(((a >= 0.5) & (b < 0.5)).sum()), int(((b >= 0.5) & (a < 0.5)).sum())
        differences = [signed(one) for one in (half, mean)]
        rows.append((place(ours), str(len(a)), *differences, str(won), str(lost)))
    return [*markdown_table(("set", "n", "at 0.5", "mean", "won", "lost"), rows), ""]


def forms(name: str, content: dict[str, Any]) -> str:
    """Forms of threshold, auto's beside the fixed one on every set, and the sign `frame`."""
    head = f"`{content['command']}`  \n{machine(content)}; [json](results/{name}.json)\n"
    both = ("GT-known@0.5", "mean")
    judged = [
        (form, *(" / ".join(f"{of[which][key]:.1f}" for key in both) for which in ("in sample", "left out")))
        for form, of in content["forms of threshold"].items()
    ]
    sets = []
    for each, of in content["auto and the fixed threshold"].items():
        difference = signed(Comparison(**of["difference at 0.5"]))
        at = [" / ".join(f"{of[which][key]:.1f}" for key in both) for which in ("fixed", "auto")]
        sets.append((each, str(of["images"]), *at, difference))
    frame = [(key, f"{value:.2f}") for key, value in numbers(content["frame"])]
    tables = (
        markdown_table(("threshold", "in sample", "left out"), judged),
        markdown_table(("set", "n", "fixed", "auto", "difference at 0.5"), sets),
        markdown_table(("frame", ""), frame),
    )
    return "\n".join([head, *(line for one in tables for line in (*one, ""))])


def sizes(name: str, content: dict[str, Any]) -> str:
    """Every side and stride on every set, and what choices among them give."""
    head = f"`{content['command']}`  \n{machine(content)}; [json](results/{name}.json)\n"
    rows = []
    for each, candidates in content["sets"].items():
        for candidate, of in candidates.items():
            above = next((signed(Comparison(**of[key])) for key in of if key.startswith("above")), "")
            figures = f"{of['GT-known@0.5']:.1f} / {of['mean of three']:.1f}"
            apart = f"{of['signs']['separation']:.2f}"
            rows.append((each, str(of["images"]), candidate, figures, above, apart, f"{of['processor seconds']:.2f}"))
    choices = [
        (
            choice,
            f"{of['GT-known@0.5']:.1f} / {of['mean of three']:.1f}",
            "; ".join(map(": ".join, of.get("takes", {}).items())),
        )
        for choice, of in content["choices"].items()
    ]
    tables = (
        markdown_table(("set", "n", "side", "at 0.5 / mean", "above 288", "separation", "seconds"), rows),
        markdown_table(("choice", "at 0.5 / mean", "takes"), choices),
    )
    return "\n".join([head, *(line for one in tables for line in (*one, ""))])


def closer(name: str, content: dict[str, Any]) -> str:
    """Every way to look on the same images: what it finds, or where it was timed how long it takes."""
    what = f"{content['images']} images, {content['split']} half"
    head = f"### {name}\n\n`{content['command']}`  \n{what}; {machine(content)}; [json](results/{name}.json)\n"
    rows, first = [], next(iter(content["ways"].values()))
    for way, of in content["ways"].items():
        if "seconds" in of:
            ratios = (f"{of[key] / first[key]:.2f}" for key in ("seconds", "processor"))
            rows.append((way, f"{of['seconds']:.1f}", f"{of['processor']:.1f}", *ratios))
        else:
            mean = f"{np.mean(of['accuracy']):.1f}"
            rows.append((way, *(f"{part:.1f}" for part in of["accuracy"]), mean, signed(Comparison(**of["above"]))))
    timed = ("", "seconds", "of the processor", "times auto's", "of the processor")
    measured = ("", "at 0.3", "at 0.5", "at 0.7", "mean", "above auto")
    return "\n".join([head, *markdown_table(timed if "seconds" in first else measured, rows), ""])


def bits(hits: dict[str, Any], words: str) -> Any:
    """Whether each image is hit at IoU 0.3, 0.5 and 0.7, (image, 3), of the first row that the words are in."""
    digits = next(digits for name, digits in hits["rows"].items() if words in name)
    return np.array([[int(digit) >> place & 1 for place in range(3)] for digit in digits], float)


def detections(content: dict[str, Any]) -> list[str]:
    """The table of several objects per image."""
    rows = []
    for row in [*content["rows"], *content["controls"].values()]:
        title = row["name"] if row["kind"] == "control" else f"**{row['name']}**"
        values = [f"{value:.1f}" for value in row["metrics"].values()]
        low, high = row["intervals"]["AP.5"]
        rows.append([title, *values, f"{low:.1f} to {high:.1f}", f"{row['counting']['mean']:+.1f}"])
    columns = ("", *content["rows"][0]["metrics"], "AP.5 (95 %)", "found minus true")
    told = f"A box for each object, {content['true_boxes']} true ones, with {len(content['controls'])} controls:"
    return [f"\n{told}\n", *markdown_table(columns, rows)]


def compared(name: str, content: dict[str, Any]) -> str:
    """Several objects by this checkout and by another one."""
    gain = content["this minus before"]
    more = f"AP.5, this minus before: 95 % interval {gain['AP.5 low']:+.1f} to {gain['AP.5 high']:+.1f}"
    return several_objects(name, content, ("this", "before", *SEVERAL_CONTROLS), more)


def compared_with_teacher(name: str, content: dict[str, Any]) -> str:
    """A detector and the boxes that taught it."""
    gains = [f"{metric} {low:+.1f} to {high:+.1f}" for metric, (low, high) in content[TAUGHT].items()]
    more = f"{content['training images']} training images; {TAUGHT}: 95 % intervals {', '.join(gains)}"
    return several_objects(
        name, content, ("detector", "find --multiple", "untrained network", "another image's boxes"), more
    )


def several_objects(name: str, content: dict[str, Any], which: Sequence[str], more: str) -> str:
    """The table of several objects by each of `which`."""
    columns = ("AP.5", "AP.5:.95", "AR100", "recall at .7", "found minus true", "off by")
    if any(SPENT.keys() & content[one].keys() for one in which):
        columns += tuple(SPENT)
    rows = []
    for one in which:
        found = content[one]
        cells = [f"{found[column]:.{SPENT.get(column, 1)}f}" if column in found else "" for column in columns]
        for place, metric in enumerate(columns[: 2 if TAUGHT in content else 1]):
            cells[place] += f" ({found[f'{metric} low']:.1f} to {found[f'{metric} high']:.1f})"
        rows.append([one, *cells])
    head = f"### {content['data']} {content['split']}, {content['images']} images\n"
    told = f"{more}; `{content['command']}`; {machine(content)}; [json](results/{name}.json)"
    return "\n".join([head, *markdown_table(("", *columns), rows), f"\n{told}\n"])


def side_by_side(name: str, content: dict[str, Any]) -> str:
    columns, lines = ["heat maps", "whole image", "centred box", "shuffled maps"], []
    for protocol, measured in content["protocols"].items():
        rows = {row["name"]: row for row in reversed([*measured["rows"], *measured["controls"].values()])}
        accuracies = [f"{rows[column]['accuracy']['0.5']:.1f}" for column in columns]
        lines.append([protocol, *accuracies, measured["rows"][0]["origin"]])
    table = markdown_table(["protocol", *columns, "threshold of the first"], lines)
    return "\n".join([f"### {name}\n", *table, f"\n[json](results/{name}.json)\n"])


def calibrated(name: str, content: dict[str, Any]) -> str:
    columns = ("set", "n", "auto", "calibrate", "without the guard", "made", "promised", "kept")
    kinds = ("auto", "calibrate", "without guard", "promised")
    sets = content["calibrated"]
    rows = []
    for one, held in sets.items():
        auto, guarded, unguarded, promised = (f"{held['mean'][kind]:.1f}" for kind in kinds)
        made, kept = (
            f"{sum(draw[kind] for draw in held['draws'])} of {len(held['draws'])}" for kind in ("chosen", "kept")
        )
        rows.append([one, str(held["images"]), auto, guarded, unguarded, made, promised, kept])
    macro = [sum(held["mean"][kind] for held in sets.values()) / len(sets) for kind in (*kinds, "chosen", "kept")]
    auto, guarded, unguarded, promised = (f"{value:.1f}" for value in macro[:4])
    made, kept = (f"{100 * share:.0f} %" for share in macro[4:])
    rows.append(["**mean**", "", auto, guarded, unguarded, made, promised, kept])
    title = f"### {content['split'].capitalize()} halves, {content['boxes']} boxes"
    head = f"{title}\n\n`{content['command']}`  \n{machine(content)}; [json](results/{name}.json)\n"
    return "\n".join([head, *markdown_table(columns, rows), ""])


def table(folder: Path) -> str:
    """The page of a table below the heading of its folder."""
    contents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    found = {content["cell"]: content["result"] for content in contents}
    _, _, name = folder.name.partition("-")
    head, _, rest = page_of(name, found).partition("\n")
    commands = dict.fromkeys(f"`{content['command']}`" for content in contents)
    made = f"{', '.join(commands)}  \n{machine(contents[-1])}; [json](results/{folder.name}/)\n"
    drawn = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    pictures = "".join(f"\n![{path.stem}](results/{folder.name}/{path.name})\n" for path in drawn)
    return f"### {name}: {head.partition(': ')[2]}\n\n{made}\n{rest.lstrip().replace('## ', '#### ')}{pictures}"


def low_high(measured: dict[str, Any], key: str) -> str:
    low, high = measured["intervals"][key]
    return f"{low:.1f} to {high:.1f}"


def machine(content: dict[str, Any]) -> str:
    hardware, versions = content["hardware"], content["versions"]
    device = hardware["gpu"] or f"{hardware['processor']}, {hardware['cores']} cores, not measured on a GPU"
    return f"{device}; torch {versions['torch']}, boxless {versions['boxless']}; {content['time'][:10]}"


def benchmark(name: str, content: dict[str, Any]) -> str:
    where = f"{machine(content)}; " if "hardware" in content else ""
    known = {key: value for key, value in content.items() if key not in ("versions", "hardware", "machine", "seconds")}
    rows = [(key, f"{value:.3g}") for key, value in numbers(known)]
    return "\n".join([f"### {name}\n", f"{where}[json](results/{name}.json)\n", *markdown_table(("", ""), rows), ""])


def other_numbers(name: str, content: dict[str, Any]) -> str:
    """What share of boxes stays with each engine and its numbers, a row for each set."""
    ways = list(content["summary"])
    rows = []
    for each, found in content["rows"].items():
        shares = [f"{100 * found[way]['same']:.0f} ({found[way]['used']})" for way in ways]
        rows.append((each, str(found["images"]), f"{100 * found['torch fp32']['corloc'][1]:.0f}", *shares))
    kept = [f"{100 * content['summary'][way]['same']:.1f}" for way in ways]
    change = [f"{100 * content['summary'][way]['corloc_50']:+.1f}" for way in ways]
    rows += [("**all**", "", "", *kept), ("change of CorLoc at 0.5", "", "", *change)]
    head = f"### {name}\n\n`{content['command']}`  \n{machine(content)}; [json](results/{name}.json)\n"
    return "\n".join([head, *markdown_table(("set", "n", "CorLoc at 0.5, fp32", *ways), rows), ""])


def numbers(content: dict[str, Any], above: str = "") -> list[tuple[str, float]]:
    """Every number of a benchmark's json with the path that leads to it; entries of a list by their words."""
    found = []
    for key, value in content.items():
        if isinstance(value, dict):
            found += numbers(value, f"{above}{key}: ")
        elif isinstance(value, list):
            for entry in value:
                words = ", ".join(word for word in entry.values() if isinstance(word, str))
                found += numbers(entry, f"{above}{words}: ")
        elif isinstance(value, int | float):
            found.append((above + key, value))
    return found


if __name__ == "__main__":
    main()
