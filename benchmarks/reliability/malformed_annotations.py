"""Annotation files that are broken, hostile or of somebody else's making: csv, COCO json, VOC xml, text lists."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cases import Bytes, Case
from malformed_images import encoded, picture

ODD = {
    "nan": "nan",
    "infinite": "inf",
    "1e999": "1e999",
    "enormous": "1" + 30 * "0",
    "beyond float32": "1e200",
    "400 digits": 400 * "9",
    "5000 digits": 5000 * "9",
    "negative": "-5",
    "empty": "",
    "a word": "left",
    "hexadecimal": "0x10",
    "underscores": "1_0",
    "full-width digits": "１２",
    "a comma": "1,5",
    "a NUL": "1\0",
}
"""What may stand where a number should."""

VALUES: dict[str, Any] = {
    "null": None, "a list": [1], "an object": {"a": 1}, "true": True, "a word": "x", "an empty word": "",
    "negative": -1, "enormous": 10**30, "400 digits": 10**400, "nan": float("nan"),
    "infinite": float("inf"), "a fraction": 1.5,
}  # fmt: skip
"""What may stand where json should have something else."""

HEAD = "image,class,width,height,x0,y0,x1,y1\n"
ROW = "a/1.png,a,96,64,10,10,50,50\n"


def malformed_annotations(seed: int) -> Iterator[Case]:
    """Every kind of annotation file that boxless reads, damaged in every way that came to mind, and at random."""
    yield from csv_cases(seed)
    yield from coco_cases(seed)
    yield from xml_cases(seed)
    yield from list_cases(seed)


def images(*names: str) -> dict[str, Bytes]:
    return {name: encoded(picture(np.random.default_rng(2)), "PNG") for name in names}


def mutants(content: bytes, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """The file cut off, with bits flipped, pieces repeated, removed, and with other encodings."""
    for number in range(count):
        rng = np.random.default_rng((seed, len(content), number))
        at, to = sorted(int(place) for place in rng.integers(0, len(content), 2))
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(rng.integers(8))
        yield f"cut off, {number}", content[:at]
        yield f"a bit flipped, {number}", bytes(flipped)
        yield f"a piece removed, {number}", content[:at] + content[to:]
        yield f"a piece repeated, {number}", content[:to] + content[at:]
    yield "with a BOM", b"\xef\xbb\xbf" + content
    yield "in UTF-16", content.decode().encode("utf-16")
    yield "in Latin-1", content.replace(b"a", b"\xe4")
    yield "with NUL bytes", content.replace(b"1", b"1\0")
    yield "empty", b""
    yield "of zeros", bytes(1000)


def csv_cases(seed: int) -> Iterator[Case]:
    texts = {f"x1 is {what}": (HEAD + ROW.replace(",50,50", f",{value},50")) for what, value in ODD.items()}
    texts |= {f"width is {what}": (HEAD + ROW.replace("96", value)) for what, value in ODD.items()}
    texts |= {
        "a field of 300 kB": HEAD + ROW.replace(",a,", f",{300_000 * 'a'},"),
        "an open quote": HEAD + '"' + ROW,
        "no header": ROW,
        "columns twice": HEAD.replace("class", "image") + ROW,
        "100000 columns": HEAD.strip() + 100_000 * ",more" + "\n" + ROW,
        "an image that leaves its folder": HEAD + ROW.replace("a/1.png", "../../etc/passwd"),
        "an absolute image": HEAD + ROW.replace("a/1.png", "/etc/passwd"),
        "a name of 5000 letters": HEAD + ROW.replace("a/1.png", 5000 * "a"),
        "an empty box": HEAD + ROW.replace("50,50", "10,10"),
        "a box beside the image": HEAD + ROW.replace("10,10,50,50", "900,900,950,950"),
        "carriage returns": (HEAD + ROW).replace("\n", "\r"),
    }
    for what, content in [*((k, v.encode()) for k, v in texts.items()), *mutants((HEAD + ROW).encode(), seed, 4)]:
        for reader in ("data", "truth"):
            files = images("a/1.png") | {"boxes.csv": content}
            path = "boxes.csv" if reader == "truth" else ""
            yield Case(f"csv ({reader}), {what}", "boxes.csv", files, path, reader)


def coco_cases(seed: int) -> Iterator[Case]:
    content = {
        "images": [{"id": 1, "file_name": "a/1.png", "width": 96, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "a"}],
    }
    texts: dict[str, bytes] = {}
    places: list[tuple[str, ...]] = [("images",), ("annotations",), ("categories",)]
    places += [(name, key) for name, entries in content.items() for key in entries[0]]  # type: ignore[attr-defined]
    for number, (what, value) in enumerate(VALUES.items()):
        for place in places if number < 4 else places[number % 3 :: 3]:
            texts[f"{'.'.join(place)} is {what}"] = json.dumps(changed(content, place, value)).encode()
        box = [10, value, 40, 40]
        texts[f"a side is {what}"] = json.dumps(changed(content, ("annotations", "bbox"), box)).encode()
    texts["a list and no object"] = b"[]"
    texts["nested 100000 deep"] = 100_000 * b"[" + 100_000 * b"]"
    texts["objects nested 100000 deep"] = 100_000 * b'{"images":' + b"1" + 100_000 * b"}"
    texts["a number of 5000 digits"] = json.dumps(content).encode().replace(b"96", 5000 * b"9")
    texts["an image that leaves its folder"] = json.dumps(content).encode().replace(b"a/1", b"../../../etc/a/1")
    texts["an absolute image"] = json.dumps(content).encode().replace(b"a/1.png", b"/etc/passwd")
    texts["a name of 5000 letters"] = json.dumps(content).encode().replace(b"a/1", 5000 * b"a")
    texts["a NUL in a name"] = json.dumps(content).encode().replace(b"a/1", b"a\\u0000/1")
    texts["a lone surrogate in a name"] = json.dumps(content).encode().replace(b"a/1", b"a\\ud800/1")
    texts["the same image twice"] = json.dumps(changed(content, ("images",), content["images"] * 2)).encode()
    for what, text in [*texts.items(), *mutants(json.dumps(content).encode(), seed, 8)]:
        for reader in ("data", "truth"):
            yield Case(f"COCO ({reader}), {what}", "a.json", images("a/1.png") | {"a.json": text}, "a.json", reader)


def changed(content: Any, place: tuple[str, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    if len(place) == 1:
        copy[place[0]] = value
    else:
        copy[place[0]][0][place[1]] = value
    return copy


XML = """<annotation><folder>val</folder><filename>1</filename><size><width>96</width><height>64</height></size>
<object><name>n01</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>50</xmax><ymax>50</ymax></bndbox></object></annotation>
"""
ENTITIES = "".join(f'<!ENTITY l{n + 1} "{10 * f"&l{n};"}">' for n in range(9))


def xml_cases(seed: int) -> Iterator[Case]:
    texts = {f"xmax is {what}": XML.replace("<xmax>50", f"<xmax>{value}") for what, value in ODD.items()}
    texts |= {f"height is {what}": XML.replace("64", value) for what, value in list(ODD.items())[:8]}
    texts |= {
        "billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "lol">{ENTITIES}]>' + XML.replace("n01", "&l9;"),
        "quadratic blow-up": f'<!DOCTYPE a [<!ENTITY l "{100_000 * "l"}">]>' + XML.replace("n01", 20_000 * "&l;"),
        "an outside entity": '<!DOCTYPE a [<!ENTITY l SYSTEM "file:///etc/passwd">]>' + XML.replace("n01", "&l;"),
        "nested 100000 deep": 100_000 * "<a>" + 100_000 * "</a>",
        "an unknown encoding": '<?xml version="1.0" encoding="klingon"?>' + XML,
        "no size": XML.replace("size", "sighs"),
        "no box": XML.replace("bndbox", "bound"),
        "no name": XML.replace("name>", "nom>"),
    }
    for what, content in [*((k, v.encode()) for k, v in texts.items()), *mutants(XML.encode(), seed, 4)]:
        root = "ILSVRC/Data/CLS-LOC"
        files = images(f"{root}/train/n01/2.png", f"{root}/val/1.JPEG")
        yield Case(f"VOC xml, {what}", "1.xml", files | {"ILSVRC/Annotations/CLS-LOC/val/1.xml": content})


LISTS: dict[str, dict[str, str]] = {
    "wsolevaluation": {
        "image_ids.txt": "a/1.png\n",
        "class_labels.txt": "a/1.png,0\n",
        "image_sizes.txt": "a/1.png,96,64\n",
        "localization.txt": "a/1.png,10,10,50,50\n",
    },
    "CUB": {
        "images.txt": "1 a/1.png\n",
        "classes.txt": "1 a\n",
        "image_class_labels.txt": "1 1\n",
        "train_test_split.txt": "1 1\n",
        "bounding_boxes.txt": "1 10 10 40 40\n",
    },
    "Tiny ImageNet": {
        "wnids.txt": "n01\n",
        "val/val_annotations.txt": "1.JPEG\tn01\t10\t10\t50\t50\n",
        "train/n01/n01_boxes.txt": "1.JPEG\t10\t10\t50\t50\n",
    },
}
PLACES = {"wsolevaluation": ("a/1.png",), "CUB": ("images/a/1.png",)}


def list_cases(seed: int) -> Iterator[Case]:
    for layout, files in LISTS.items():
        around = images(*PLACES.get(layout, ("val/images/1.JPEG", "train/n01/images/1.JPEG")))
        for number, (file, text) in enumerate(files.items()):
            others: dict[str, Bytes] = {name: other.encode() for name, other in files.items()}
            variants: list[tuple[str, bytes]] = [
                *((f"the last value is {what}", _last(text, value)) for what, value in list(ODD.items())[number::3]),
                ("a label of a billion", _last(text, "1000000000")),
                *list(mutants(text.encode(), seed, 2)),
            ]
            for what, content in variants:
                yield Case(f"{layout} {file}, {what}", file.rpartition("/")[2], around | others | {file: content})


def _last(text: str, value: str) -> bytes:
    kept: Callable[[str], str] = lambda line: line[: max(line.rfind(mark) for mark in ", \t") + 1]  # noqa: E731
    return (kept(text) + value + "\n").encode()
