import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.data.training_batches import PictureCache
from boxless.data.transforms import Resize
from boxless.discovery import discoverer_class
from boxless.discovery.notes import Notes
from boxless.evaluation.evaluate import compute_heatmaps, evaluate
from boxless.inference.factory import discoverer, untrained
from boxless.inference.predict_folder import predict_folder
from boxless.inference.predictors import ImageHeatmap
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import Progress


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "data"
    make_scenes(folder, 40, kinds=("beetle", "star"), size=96, test=0.5, seed=3)
    return folder


def predictor(**options):
    return discoverer("ddt", size=128, batch_size=7, **options)


def test_a_search_leaves_boxes_a_summary_and_a_report(photos, tmp_path):
    data = read_data(photos, "test")
    summary = predict_folder(predictor(), data, tmp_path / "out", Progress(), format="csv", report=True)
    with (tmp_path / "out" / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert summary.boxes == len(rows) == 20
    assert {row["class"] for row in rows} == {"beetle", "star"}
    assert {row["image"] for row in rows} == {sample.name for sample in data.samples}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["images"] == 20 and summary["threshold"]["origin"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(sample.name in page for sample in data.samples)


def test_boxes_are_in_pixels_of_the_original_picture(photos):
    for mapped in predictor().maps(read_data(photos, "test"), Progress()):
        assert mapped.size == (96, 96)


def test_each_category_is_judged_by_itself(photos):
    both = compute_heatmaps(predictor(), read_data(photos, "test"), Progress())
    stars = read_data(photos, "test")
    stars = type(stars)(stars.source, [s for s in stars.samples if s.label == 1], stars.classes, "test")
    alone = compute_heatmaps(predictor(), stars, Progress())
    heat = {sample.name: heat for sample, heat in zip(both.samples, both.heats, strict=True)}
    for sample, other in zip(alone.samples, alone.heats, strict=True):
        np.testing.assert_allclose(heat[sample.name], other, atol=2e-3)


@pytest.mark.parametrize("method", ["ddt", "contrast"])
def test_one_picture_again_and_again_is_said(photos, tmp_path, method):
    first, second = (path for path in sorted(photos.glob("test/star/*.jpg"))[:2])
    (tmp_path / "in" / "same").mkdir(parents=True)
    for number in range(5):
        Image.open(first).save(tmp_path / "in" / "same" / f"{number}.jpg", quality=90 + number)
    (tmp_path / "in" / "other").mkdir()
    for path in (first, second):
        shutil.copy(path, tmp_path / "in" / "other")
    data = read_data(tmp_path / "in")
    summary = predict_folder(discoverer(method, size=64), data, tmp_path / "out", Progress(), format="csv")
    said = [words for words in summary.words() if "all the same picture" in words]
    assert len(said) == 1 and said[0].startswith("same: its 5 images are all the same picture")


def test_of_larger_images_fewer_go_through_the_network_at_once():
    sides = {"ddt": discoverer_class("ddt").size, "several": discoverer_class("several").size, "larger": 900}
    at_once = {name: discoverer("contrast", device="cpu", size=side).how.batch_size for name, side in sides.items()}
    assert at_once == {"ddt": 16, "several": 1, "larger": 1}
    assert discoverer("contrast", device="cpu", size=400).how.batch_size == 2
    assert discoverer("contrast", device="cpu", size=576, batch_size=7).how.batch_size == 7


def test_batch_size_and_broken_neighbours_change_no_map(photos, tmp_path):
    data = read_data(photos, "test")
    whole = compute_heatmaps(predictor(), data, Progress())
    other = compute_heatmaps(discoverer("ddt", size=128, batch_size=3), data, Progress())
    for one, two in zip(whole.heats, other.heats, strict=True):
        np.testing.assert_allclose(one, two, atol=2e-3)


def test_nothing_readable_is_one_sentence(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(BoxlessError, match="None of the 1 images could be read"):
        predict_folder(predictor(), read_data(tmp_path / "photos", "all"), tmp_path / "out", Progress(), format="coco")
    assert not (tmp_path / "out" / "boxes.json").exists()


def test_ddt_beats_every_control_on_made_scenes(tmp_path):
    make_scenes(tmp_path / "data", 120, size=96, test=0.4, seed=5)
    train, test = read_data(tmp_path / "data", "train"), read_data(tmp_path / "data", "test")
    chosen = discoverer("ddt", size=256)
    control = untrained(chosen, train)
    measured, _ = evaluate(chosen, test, Progress(), fit=train, untrained=control, headline="transferred")
    assert {row.name for row in measured.controls} >= {
        "whole image",
        "centred box",
        "shuffled maps",
        "untrained network",
    }
    for row in measured.controls:
        assert measured.lift(row).low > 0, row.name


def test_data_without_boxes_cannot_be_measured(tmp_path):
    make_scenes(tmp_path / "data", 4, size=48, test=0)
    (tmp_path / "data" / "boxes_train.csv").unlink()
    with pytest.raises(BoxlessError, match="has a box"):
        evaluate(predictor(), read_data(tmp_path / "data", "train"), Progress())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two classes of scenes, one image beside their folders, and no boxes."""
    folder = tmp_path_factory.mktemp("mixed") / "data"
    make_scenes(folder, 6, kinds=("beetle", "star"), size=48, test=0, seed=3)
    (folder / "boxes_train.csv").unlink()
    shutil.move(sorted((folder / "train" / "beetle").iterdir())[0], folder / "train" / "loose.jpg")
    return read_data(folder, "all")


@pytest.mark.parametrize("method", ["ddt", "contrast"])
@pytest.mark.parametrize("format", ["csv", "coco", "yolo", "voc"])
def test_an_image_without_a_class_is_of_none_of_the_others(mixed, tmp_path, method, format):
    summary = predict_folder(
        discoverer(method, size=64, threshold=0.01), mixed, tmp_path / "out", Progress(), format=format
    )
    assert summary.unlabelled == 1 and any("Without a class of their own: 1;" in words for words in summary.words())
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["unlabelled"] == 1
    if format == "csv":
        with (tmp_path / "out" / "boxes.csv").open(newline="") as file:
            named = {row["image"]: row["class"] for row in csv.DictReader(file)}
        found = named["train/loose.jpg"]
        assert all(label == name.split("/")[1] for name, label in named.items() if name != "train/loose.jpg")
    elif format == "coco":
        content = json.loads((tmp_path / "out" / "boxes.json").read_text())
        categories = {one["id"]: one["name"] for one in content["categories"]}
        (image,) = (one["id"] for one in content["images"] if one["file_name"] == "train/loose.jpg")
        (found,) = {categories[one["category_id"]] for one in content["annotations"] if one["image_id"] == image}
    elif format == "yolo":
        found = {"2": "object"}[(tmp_path / "out" / "labels" / "train" / "loose.txt").read_text()[0]]
    else:
        found = (tmp_path / "out" / "Annotations" / "train" / "loose.xml").read_text().partition("<name>")[2][:6]
    assert found == "object"


def test_a_map_without_classes_leaves_the_image_its_own(mixed):
    sample = mixed.samples[0]
    size, heat = (48, 48), np.zeros((4, 4), np.float32)
    assert ImageHeatmap(sample, size, heat).label == sample.label
    assert ImageHeatmap(sample, size, heat, (1, 0)).label == 1
    (loose,) = (one for one in mixed.samples if one.label is None)
    assert ImageHeatmap(loose, size, heat).label is None


@pytest.mark.parametrize("box", ["60,10,90,40", "5,50,40,60", "5,5,80,40"])
def test_boxes_stated_for_another_size_are_never_cut_or_refused_silently(tmp_path, box):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 255, (48, 96, 3), np.uint8)  # upright it is 48 wide and 96 high
    Image.fromarray(pixels).save(tmp_path / "a" / "1.jpg", exif=exif)
    (tmp_path / "boxes.csv").write_text(f"image,class,width,height,x0,y0,x1,y1\na/1.jpg,a,96,48,{box}\n")
    sentence = r"'a/1\.jpg' has 48 x 96 pixels once it is turned upright, and its annotation says 96 x 48"
    with pytest.raises(BoxlessError, match=sentence):
        evaluate(discoverer("contrast", size=64), read_data(tmp_path), Progress())
    with pytest.raises(BoxlessError, match=sentence):
        PictureCache(read_data(tmp_path), Resize(32), 1.0).read(0)


def test_a_trained_network_knows_nothing_of_the_folders_that_photographs_lie_in(photos, tmp_path):
    """Its classes are fewer than the folders; what it noticed, such as its tiles, is of all images."""
    (tmp_path / "in").mkdir()
    for number, path in enumerate(sorted(photos.glob("test/star/*.jpg"))[:3]):
        (tmp_path / "in" / f"day {number}").mkdir()
        shutil.copy(path, tmp_path / "in" / f"day {number}" / "1.jpg")
    network = predictor()
    network.classes, network.category = ["cat", "dog"], "animal"
    maps = network.maps

    def noticing(dataset, progress, *, labels=False):
        for mapped in maps(dataset, progress):
            yield replace(mapped, ranked=(1,), notes=Notes(tiles="no tiles"))

    network.maps = noticing
    data = read_data(tmp_path / "in")
    summary = predict_folder(network, data, tmp_path / "out", Progress(), format="csv")
    assert summary.boxes == 3 and list(summary.notes) == ["animal"]


def test_a_stride_that_was_asked_for_is_another_search(photos, tmp_path):
    data = read_data(photos, "test")
    assert predictor(stride=8).identity() != predictor(stride=16).identity() == predictor().identity()
    predict_folder(predictor(stride=8), data, tmp_path / "out", Progress(), format="csv")
    with pytest.raises(UsageError, match="has stride 8, not 16"):
        predict_folder(predictor(), data, tmp_path / "out", Progress(), format="csv", resume=True)


def test_no_report_of_another_search_stays_beside_new_boxes(photos, tmp_path):
    data = read_data(photos, "test")
    predict_folder(discoverer("contrast"), data, tmp_path / "out", Progress(), format="csv", report=True)
    predict_folder(discoverer("saliency"), data, tmp_path / "out", Progress(), format="coco", overwrite=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.txt", "boxes.json", "summary.json"}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "report.html").write_text("of evaluate")
    predict_folder(discoverer("saliency"), data, tmp_path / "results", Progress(), format="coco", overwrite=True)
    assert (tmp_path / "results" / "report.html").read_text() == "of evaluate"
