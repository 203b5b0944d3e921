import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from boxless.cli.measurement_tables import print_scores
from boxless.data.annotation_files import read_truth
from boxless.evaluation.map_files import MapFiles
from boxless.evaluation.measure import measure
from boxless.evaluation.pixel_metrics import combine, measure_pixels
from boxless.evaluation.score_files import read_masks, read_predictions, score
from boxless.runtime.errors import BoxlessError, UsageError

COLUMNS = ["image", "class", "width", "height", "x0", "y0", "x1", "y1"]


def example(images=8):
    """Names, maps and boxes of images of 60 x 40."""
    rng = np.random.default_rng(0)
    for i in range(images):
        x, y = (int(n) for n in rng.integers(0, 20, 2))
        heat = 0.1 * rng.random((40, 60)).astype(np.float32)
        heat[y : y + 20, x : x + 30] += 1.0
        yield f"{'cat' if i % 2 else 'dog'}/{i}.jpg", heat, [x, y, x + 30, y + 20]


def write_csv(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def truth(tmp_path):
    rows = [[name, name.partition("/")[0], 60, 40, *box] for name, _, box in example()]
    return write_csv(tmp_path / "boxes.csv", rows)


def save_maps(folder, how):
    arrays = {}
    for name, heat, _ in example():
        grey = (heat / heat.max() * 60000).astype(np.uint16)
        if how == "npz":
            arrays[name] = heat
            continue
        file = folder / {"npy": name[:-4] + ".npy", "npy, extension": name + ".npy", "png": name[:-4] + ".png"}.get(
            how, name.rpartition("/")[2][:-4] + ".npy"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        if how == "png":
            cv2.imwrite(str(file), grey)
        else:
            np.save(file, heat)
    if how == "npz":
        folder.mkdir()
        np.savez(folder / "maps.npz", **arrays)
        return folder / "maps.npz"
    return folder


@pytest.mark.parametrize("how", ["npy", "npy, extension", "png", "npz", "flat"])
def test_every_way_to_save_maps_gives_the_same_numbers(tmp_path, truth, how):
    content = score(save_maps(tmp_path / "maps", how), truth).to_dict()["protocols"]["boxless"]
    names, heats, boxes = zip(*example(), strict=True)
    alone = measure(heats, [(60, 40)] * 8, [np.array([box], np.float32) for box in boxes], names=names)
    assert content["images"] == 8
    assert content["metrics"]["mean"] == alone.to_dict()["metrics"]["mean"] == 100.0
    assert {"whole image", "centred box", "shuffled maps"} == set(content["controls"])


def test_several_protocols_side_by_side_as_json_and_print(tmp_path, truth, capsys):
    from rich.console import Console

    names = ["boxless", "wsoleval-v1", "wsoleval-v2", "cam2016", "tscam", "psol"]
    scores = score(save_maps(tmp_path / "maps", "npy"), truth, protocols=names)
    content = json.loads(json.dumps(scores.to_dict()))["protocols"]
    assert list(content) == names
    for entry in content.values():
        assert {"metrics", "curves", "thresholds", "images", "controls"} <= entry.keys()
        assert {len(values) for values in entry["curves"].values()} == {len(entry["thresholds"])}
    print_scores(scores, Console(width=200))
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    assert "MaxBoxAccV2" in content["wsoleval-v2"]["metrics"]


def test_coco_and_wsolevaluation_lists_are_truths_without_the_images(tmp_path, truth):
    given = list(example())
    images = [{"id": i, "file_name": name, "width": 60, "height": 40} for i, (name, _, _) in enumerate(given)]
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    annotations = [
        {
            "id": i,
            "image_id": i,
            "category_id": 7 if "cat" in name else 3,
            "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]],
        }
        for i, (name, _, b) in enumerate(given)
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "image_ids.txt").write_text("".join(f"{name}\n" for name, _, _ in given))
    (lists / "class_labels.txt").write_text("".join(f"{name},{int('dog' in name)}\n" for name, _, _ in given))
    (lists / "image_sizes.txt").write_text("".join(f"{name},60,40\n" for name, _, _ in given))
    (lists / "localization.txt").write_text("".join(f"{name},{b[0]},{b[1]},{b[2]},{b[3]}\n" for name, _, b in given))
    expected = read_truth(truth)
    for other in (tmp_path / "coco.json", lists):
        found = read_truth(other)
        assert found.names == expected.names
        assert found.sizes == expected.sizes
        assert all(np.array_equal(a, b) for a, b in zip(found.boxes, expected.boxes, strict=True))
        named = [[t.classes[label] for label in t.labels] for t in (found, expected)]
        assert named[0] == named[1]


def test_predictions_give_top_1_and_top_5(tmp_path, truth):
    maps = save_maps(tmp_path / "maps", "npy")
    rows = [[name, "cat", "dog", "bear", "fox", "cow"] for name, _, _ in example()]
    predictions = write_csv(tmp_path / "classes.csv", rows, ["image", "1", "2", "3", "4", "5"])
    scores = score(maps, truth, predictions=predictions)
    found = scores.to_dict()["protocols"]["boxless"]["metrics"]
    assert found["Top-1 Loc"] == 50.0
    assert found["Top-5 Loc"] == 100.0
    assert any("3 predicted classes" in note for note in scores.notes)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["dog/0.jpg", "dog"]], "no prediction for 7 images"),
        ([["dog/0.jpg", "dog"], ["dog/0.jpg", "dog"]], "line 3: the image dog/0.jpg is there twice"),
        ([["else.jpg", "dog"]], "line 2: the image else.jpg is not in the truth"),
        ([["dog/0.jpg", ""]], "line 2: expected image,top1"),
        ([["dog/0.jpg", "dog"], ["cat/1.jpg", "cat", "dog"]], "line 3: expected as many classes"),
        ([[name, "lion"] for name, _, _ in example()], "'lion' and other classes that the truth does not have"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(tmp_path, truth, rows, words):
    predictions = write_csv(tmp_path / "classes.csv", rows, ["image", "class"])
    with pytest.raises(BoxlessError, match=words):
        score(save_maps(tmp_path / "maps", "npy"), truth, predictions=predictions)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["a.jpg", "cat", 60, 40, 5, 5, 5, 9], r"boxes\.csv in .*, line 3: the box 5,5,5,9 is empty"),
        (["a.jpg", "cat", 60, 40, 70, 5, 80, 9], "line 3: .* outside of the picture"),
        (["a.jpg", "cat", 60, 40, "x", 5, 80, 9], "line 3: expected numbers"),
        (["a.jpg", "cat", 61, 40, 1, 2, 30, 21], "line 3: a.jpg is 61 x 40 here, and of another size in .* line 2"),
        (["a.jpg", "dog", 60, 40, 1, 2, 30, 21], "line 3: a.jpg is of class 'dog' here, and of 'cat' in .*, line 2"),
        (["b.jpg", "dog", 0, 40, 1, 2, 30, 21], "0 x 40 pixels"),
        (["b.jpg", "dog", "", 40, 1, 2, 30, 21], "line 3: expected numbers"),
    ],
)
def test_a_bad_row_of_the_truth_is_refused_with_its_line(tmp_path, row, words):
    path = write_csv(tmp_path / "boxes.csv", [["a.jpg", "cat", 60, 40, 1, 2, 30, 20], row])
    with pytest.raises(BoxlessError, match=words):
        read_truth(path)


def test_a_truth_without_rows_columns_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(BoxlessError, match="no column x0, y1"):
        read_truth(write_csv(tmp_path / "a.csv", [], [c for c in COLUMNS if c not in ("x0", "y1")]))
    with pytest.raises(BoxlessError, match="no rows"):
        read_truth(write_csv(tmp_path / "b.csv", []))
    with pytest.raises(BoxlessError, match="is no truth"):
        read_truth(tmp_path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), np.nan), "not finite"),
        (np.array([[1.0, np.inf]]), "not finite"),
        (np.zeros((3, 4, 4)), r"shape \(3, 4, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.zeros((4, 4), complex), "Expected real numbers"),
        (np.array([["a"]]), "Expected real numbers"),
        (np.array([[None]], object), "cannot be read as a map"),
    ],
)
def test_what_is_no_map_is_refused_by_name(tmp_path, array, words):
    np.save(tmp_path / "one.npy", array, allow_pickle=True)
    with pytest.raises(BoxlessError, match=f"one.npy.*{words}"):
        MapFiles(tmp_path, ["one.jpg"])[0]


def test_missing_double_and_surplus_maps(tmp_path):
    with pytest.raises(BoxlessError, match="no maps"):
        MapFiles(tmp_path, ["one.jpg"])
    np.save(tmp_path / "one.npy", np.eye(3))
    with pytest.raises(BoxlessError, match=r"no map for 2 of 3 images, the first is two.jpg"):
        MapFiles(tmp_path, ["one.jpg", "two.jpg", "three.jpg"])
    np.save(tmp_path / "one.jpg.npy", np.eye(3))
    with pytest.raises(BoxlessError, match=r"2 maps for one.jpg: one.jpg.npy, one.npy"):
        MapFiles(tmp_path, ["one.jpg"])
    (tmp_path / "one.jpg.npy").rename(tmp_path / "other.npy")
    assert MapFiles(tmp_path, ["one.jpg"]).surplus == 1
    with pytest.raises(BoxlessError, match="no map for 2 of 2"):  # the same file name in two folders is nobody's
        MapFiles(tmp_path, ["a/one.jpg", "b/one.jpg"])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(BoxlessError, match="not a whole png"):
        MapFiles(tmp_path, ["broken.jpg"])[0]


def test_maps_beyond_the_memory_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("boxless.evaluation.map_files.MEMORY", 0)
    np.save(tmp_path / "one.npy", np.eye(3))
    maps = MapFiles(tmp_path, ["one.jpg"])
    assert np.array_equal(maps[0], np.eye(3))
    np.save(tmp_path / "one.npy", np.ones((2, 2)))
    assert np.array_equal(maps[0], np.ones((2, 2)))


def test_pxap_needs_masks_and_stands_beside_its_controls(tmp_path, truth):
    maps = save_maps(tmp_path / "maps", "npy")
    with pytest.raises(UsageError, match="--masks"):
        score(maps, truth, protocols=["pxap"])
    with pytest.raises(BoxlessError, match=r"no readable mask dog/0.png"):
        score(maps, truth, protocols=["pxap"], masks=tmp_path)
    for name, _, box in example():
        mask = np.zeros((40, 60), np.uint8)
        mask[box[1] : box[3], box[0] : box[2]] = 255
        file = tmp_path / "masks" / f"{name[:-4]}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), mask)
    content = score(maps, truth, protocols=["pxap"], masks=tmp_path / "masks").to_dict()["protocols"]["pxap"]
    assert content["metrics"]["PxAP"] > 99
    assert set(content["controls"]) == {"constant map", "centred Gaussian", "shuffled maps"}
    assert content["controls"]["constant map"]["metrics"]["PxAP"] == pytest.approx(25.0, abs=0.3)
    assert content["controls"]["shuffled maps"]["lift"]["low"] > 0


def test_ignored_pixels_count_for_neither_side():
    mask, ignore = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    mask[:5], ignore[:7] = 1, 255
    assert np.bincount(combine(mask, ignore).ravel()).nonzero()[0].tolist() == [0, 1, 255]
    assert (combine(mask, ignore) == 1).sum() == 50
    heat = np.zeros((10, 10), np.float32)
    heat[:7] = 1.0
    assert measure_pixels([heat], [combine(mask)]).value < 90
    assert measure_pixels([heat], [combine(mask, ignore)]).value > 99
    with pytest.raises(BoxlessError, match="object pixel"):
        measure_pixels([heat], [np.zeros((4, 4), np.uint8)])


def palette_mask():
    """A spot whose index is 5 and whose colour is all but black."""
    image = Image.new("P", (60, 40), 0)
    image.putpalette([0, 0, 0] * 5 + [0, 0, 2])
    image.paste(5, (10, 10, 20, 20))
    return image


def spot(value, dtype, channels=()):
    mask = np.zeros((40, 60, *channels), dtype)
    mask[10:20, 10:20] = value
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        spot(1, np.uint8),
        spot(1, np.uint16),
        spot(200, np.uint16),
        spot((0, 0, 1), np.uint8, (3,)),
        spot((1, 0, 0), np.uint16, (3,)),
        spot((0, 1, 0, 0), np.uint8, (4,)) + np.array([0, 0, 0, 255], np.uint8),
        palette_mask(),
        Image.fromarray(spot(255, np.uint8)).convert("1"),
        Image.merge("LA", [Image.fromarray(spot(7, np.uint8)), Image.new("L", (60, 40), 255)]),
    ],
    ids=["8", "16: 1", "16: 200", "colour", "16-bit colour", "transparency", "palette", "1 bit", "grey, transparency"],
)
def test_whatever_is_not_black_in_a_mask_is_object(tmp_path, mask):
    if isinstance(mask, np.ndarray):
        cv2.imwrite(str(tmp_path / "a.png"), mask)
    else:
        mask.save(tmp_path / "a.png")
    (found,) = read_masks(tmp_path, ["a.jpg"])
    assert np.array_equal(found, spot(1, np.uint8))


def test_one_mask_is_not_taken_for_two_images(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), spot(1, np.uint8))
    with pytest.raises(BoxlessError, match=r"Several images are called a but for the extension"):
        read_masks(tmp_path, ["a.jpg", "a.jp2"])


def test_maps_are_matched_by_whole_names_never_by_a_shorter_one(tmp_path):
    for number, name in enumerate(["a.b.npy", "a.npy", "c.jp2.npy", "deep/d.e.f.npy"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, np.full((2, 2), number, np.float32))
    maps = MapFiles(tmp_path, ["a.jpg", "a.b.jpg", "c.jp2", "x/d.e.f.png"])
    assert [float(maps[i][0, 0]) for i in range(4)] == [1, 0, 2, 3]
    for stranger in ("a.c.jpg", "deep/d.e.jpg", "b.jpg", "a.b.c"):
        with pytest.raises(BoxlessError, match=f"no map for 1 of 1 images, the first is {stranger}"):
            MapFiles(tmp_path, [stranger])
    with pytest.raises(BoxlessError, match=r"no map for 2 of 2"):  # one file cannot be the map of both
        MapFiles(tmp_path, ["a.jpg", "a.png"])


def test_predictions_of_images_that_differ_in_the_extension_alone(tmp_path):
    path = write_csv(tmp_path / "p.csv", [["a.jpg", "cat"], ["a.png", "dog"], ["b", "dog"]], ["image", "class"])
    found = read_predictions(path, ["a.jpg", "a.png", "b.jpg"], ["cat", "dog"], [])
    assert found.ravel().tolist() == [0, 1, 1]
