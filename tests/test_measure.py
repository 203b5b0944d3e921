import io
import json

import cv2
import numpy as np
import pytest
from rich.console import Console

from boxless.boxes.from_heatmap import Readout, find_boxes
from boxless.cli.measurement_tables import print_measurement
from boxless.evaluation.measure import Split, measure
from boxless.evaluation.metrics import iou_table
from boxless.evaluation.protocols import PROTOCOLS
from boxless.runtime.errors import BoxlessError


def made(images, seed=0, noise=0.15):
    """Maps of 14 x 14 that show a box of the image, blurred and with noise."""
    rng = np.random.default_rng(seed)
    maps, sizes, truths = [], [], []
    for _ in range(images):
        width, height = (int(n) for n in rng.integers(60, 160, 2))
        x, y = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
        box = [x, y, int(rng.integers(x + 20, width + 1)), int(rng.integers(y + 20, height + 1))]
        heat = np.zeros((height, width), np.float32)
        heat[box[1] : box[3], box[0] : box[2]] = 1.0
        heat = cv2.resize(heat, (14, 14), interpolation=cv2.INTER_AREA)
        maps.append(heat + noise * rng.random((14, 14)).astype(np.float32))
        sizes.append((width, height))
        truths.append(np.array([box], np.float32))
    return maps, sizes, truths


def test_the_headline_is_the_read_out_s_and_equals_prediction():
    maps, sizes, truths = made(25)
    found = measure(maps, sizes, truths, readout=Readout(0.37, "fixed"), fit=Split(*made(20, seed=1)))
    assert found.rows[0].threshold == (0.37,)
    assert [row.kind for row in found.rows][:5] == ["maps", "maps", "maps", "maps", "oracle"]
    other = measure(
        maps, sizes, truths, readout=Readout(0.37, "fixed"), fit=Split(*made(20, seed=1)), headline="transferred"
    )
    assert other.rows[0].origin.startswith("transferred")
    assert other.rows[1].threshold == (0.37,)
    for i in range(25):
        assert np.array_equal(found.error_types.boxes[i], find_boxes(maps[i], sizes[i], 0.37)[0][0])
    hits = found.error_types.ious >= 0.5
    assert found.accuracies(found.rows[0])[1] == pytest.approx(100 * hits.mean())


def test_every_control_stands_beside_the_score_with_its_lift():
    maps, sizes, truths = made(30)
    untrained = [np.random.default_rng(i).random((14, 14)).astype(np.float32) for i in range(30)]
    pictures = [np.random.default_rng(i).integers(0, 255, (64, 64, 3)).astype(np.uint8) for i in range(30)]
    found = measure(maps, sizes, truths, fit=Split(*made(20, seed=1)), untrained=untrained, pictures=pictures)
    names = {row.name for row in found.controls}
    assert names == {"whole image", "centred box", "shuffled maps", "untrained network", "saliency"}
    for control in found.controls:
        lift = found.lift(control)
        means = [np.mean(found.accuracies(row)) for row in (found.rows[0], control)]
        assert lift.difference == pytest.approx(means[0] - means[1])
        assert lift.low > 0
        assert lift.p < 0.01
    origins = {row.name: row.origin for row in found.controls}
    assert "fitted on other images" in origins["centred box"]
    assert origins["saliency"].startswith("label-free")
    seen = measure(maps, sizes, truths, fit=Split(*made(20, seed=1)), pictures=pictures, fit_pictures=pictures[:20])
    assert seen.controls[-1].origin == "transferred from 20 other images"


def test_the_oracle_is_never_below_the_others_and_never_alone():
    maps, sizes, truths = made(30, noise=0.6)
    for protocol in PROTOCOLS.values():
        found = measure(maps, sizes, truths, protocol=protocol, fit=Split(*made(20, seed=1)))
        oracle = next(row for row in found.rows if row.kind == "oracle")
        fair = [row for row in found.rows if row.kind == "maps"]
        assert fair
        for row in fair:
            assert all(a >= b for a, b in zip(found.accuracies(oracle), found.accuracies(row), strict=True))
        curves = found.to_dict()["curves"]
        assert [max(curves[delta]) for delta in ("0.3", "0.5", "0.7")] == found.accuracies(oracle)


def test_metrics_have_the_protocol_s_names_and_the_dict_is_plain_json():
    maps, sizes, truths = made(20)
    labels = [i % 4 for i in range(20)]
    predictions = np.array([[i % 4, (i + 1) % 4] if i < 10 else [(i + 1) % 4, i % 4] for i in range(20)])
    given = {"labels": labels, "predictions": predictions, "classes": list("abcd")}
    content = measure(maps, sizes, truths, **given).to_dict()
    assert json.loads(json.dumps(content)) == content
    assert {"GT-known@0.3", "GT-known@0.5", "mean", "CorLoc", "Top-1 Loc"} <= content["metrics"].keys()
    assert content["metrics"]["Top-1 classification error"] == 50.0
    assert set(content["per_class"]) == set("abcd")
    assert sum(entry["images"] for entry in content["per_class"].values()) == content["images"] == 20
    assert sum(content["anatomy"].values()) == 20
    v2 = measure(maps, sizes, truths, protocol=PROTOCOLS["wsoleval-v2"]).to_dict()["metrics"]
    assert v2["MaxBoxAccV2"] == pytest.approx(np.mean([v2[f"MaxBoxAcc@{d}"] for d in ("0.3", "0.5", "0.7")]))
    assert set(measure(maps, sizes, truths, protocol=PROTOCOLS["tscam"]).to_dict()["metrics"]) == {"GT-known"}


def test_images_without_boxes_are_left_out_and_counted():
    maps, sizes, truths = made(12)
    holes = [None if i % 3 == 0 else truth for i, truth in enumerate(truths)]
    found = measure(maps, sizes, holes, names=[f"{i}.jpg" for i in range(12)])
    assert found.skipped == 4
    assert found.indices.tolist() == [1, 2, 4, 5, 7, 8, 10, 11]
    assert found.names[0] == "1.jpg"
    kept = [i for i in range(12) if i % 3]
    alone = measure([maps[i] for i in kept], [sizes[i] for i in kept], [truths[i] for i in kept])
    assert alone.accuracies(alone.rows[0]) == found.accuracies(found.rows[0])


def test_psol_means_over_classes():
    maps, sizes, truths = made(20, noise=0.9)
    labels = [0] * 15 + [1] * 5
    found = measure(maps, sizes, truths, labels=labels, protocol=PROTOCOLS["psol"])
    hit = found.rows[0].at(0.5)
    assert found.accuracies(found.rows[0])[1] == pytest.approx(50 * hit[:15].mean() + 50 * hit[15:].mean())
    assert max(found.to_dict()["curves"]["0.5"]) == pytest.approx(found.accuracies(found.rows[0])[1])


def test_what_cannot_be_measured_is_refused_in_a_sentence():
    maps, sizes, truths = made(3)
    with pytest.raises(BoxlessError, match="one of each"):
        measure(maps[:2], sizes, truths)
    with pytest.raises(BoxlessError, match="None of the 3 images has a box"):
        measure(maps, sizes, [None] * 3)
    maps[1] = np.full((3, 3), np.nan, np.float32)
    with pytest.raises(BoxlessError, match="image 2 of 3"):
        measure(maps, sizes, truths)


def test_one_image_is_measured_without_shuffling():
    found = measure(*made(1))
    assert {row.name for row in found.controls} == {"whole image", "centred box"}


def test_threads_do_not_change_the_table():
    given = made(16)
    tables = [iou_table(*given, PROTOCOLS["boxless"], threads=threads).ious for threads in (1, 4)]
    assert np.array_equal(*tables)


def test_the_table_is_printed_with_origins_and_intervals():
    file = io.StringIO()
    print_measurement(measure(*made(12), readout=Readout(0.4, "fixed, the default")), Console(file=file, width=200))
    printed = file.getvalue()
    for words in ("fixed, the default", "label-free", "oracle", "whole image", "shuffled maps", "12 images"):
        assert words in printed


def test_saliency_is_the_same_control_for_maps_that_are_not_normalised():
    maps, sizes, truths = made(12)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in maps]

    def saliency(normalisation):
        found = measure(maps, sizes, truths, readout=Readout(0.5, "fixed", normalisation), pictures=pictures)
        return next(found.accuracies(row) for row in found.controls if row.name == "saliency")

    assert saliency("none") == saliency("minmax") and sum(saliency("minmax")) > 0
