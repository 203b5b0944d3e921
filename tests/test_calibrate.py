"""A choice by a few boxes: it is what find takes, a left-out image has no say in it, and chance chooses nothing."""

import json
import tomllib
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from boxless.cli import app
from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.discovery.contrast import Contrast
from boxless.evaluation.bootstrap import surely_above_zero
from boxless.evaluation.calibrate import Candidate, calibrate, choices_without, merits, with_boxes

THRESHOLDS = np.arange(4) / 4


def table(method, ious, own=0.25):
    """A candidate over THRESHOLDS."""
    return Candidate(method, np.asarray(ious, np.float32), THRESHOLDS, own)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Twelve made photographs."""
    folder = tmp_path_factory.mktemp("calibrate") / "photos"
    make_scenes(folder, 12, kinds=("beetle",), size=64)
    return folder


@pytest.fixture(scope="module")
def boxes(scenes):
    """The boxes of all of them."""
    train, test = ((scenes / f"boxes_{split}.csv").read_text() for split in ("train", "test"))
    file = scenes.parent / "boxes.csv"
    file.write_text(train + test.split("\n", 1)[1])
    return file


def run(capfd, *arguments):
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        app.meta([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return ended.value.code or 0, out, err


def test_find_takes_what_was_calibrated(scenes, boxes, tmp_path, capfd):
    """The written file has the printed method, and find runs with it."""
    file = tmp_path / "found.toml"
    code, out, err = run(capfd, "calibrate", scenes, "--boxes", boxes, "--out", file, "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert printed["images"] == 12
    assert tomllib.loads(file.read_text())["method"] == printed["method"]
    assert file.read_text().startswith("# ")
    code, _, err = run(capfd, "find", scenes, "--config", file, "--out", tmp_path / "found")
    assert code == 0, err


def test_find_reads_the_threshold_of_the_file(scenes, tmp_path, capfd):
    """The threshold of a config counts, and one that is given wins over it; another method has its own."""
    file = tmp_path / "found.toml"
    file.write_text('method = "saliency"\nthreshold = 0.7\n')
    asked = [((), 0.7), (("--threshold", "0.2"), 0.2), (("--method", "contrast"), Contrast.readout.threshold)]
    for number, (flags, expected) in enumerate(asked):
        out = tmp_path / str(number)
        assert run(capfd, "find", scenes, "--config", file, "--out", out, *flags)[0] == 0
        assert json.loads((out / "summary.json").read_text())["threshold"]["threshold"] == expected


@pytest.mark.parametrize(("rows", "words"), [(4, "too few"), (0, "no rows")])
def test_too_few_boxes_are_refused(scenes, boxes, tmp_path, capfd, rows, words):
    """Fewer than five boxed images choose nothing."""
    few = tmp_path / "few.csv"
    few.write_text("".join((boxes).read_text().splitlines(keepends=True)[: rows + 1]))
    code, _, err = run(capfd, "calibrate", scenes, "--boxes", few, "--out", tmp_path / "f.toml")
    assert code
    assert words in err
    assert not (tmp_path / "f.toml").exists()


def test_boxes_of_absent_images_are_refused_with_strict(scenes, boxes, tmp_path, capfd):
    """A name that the folder has not is named."""
    lines = (boxes).read_text().splitlines(keepends=True)
    name = lines[1].split(",")[0]
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("".join(lines).replace(name, "absent.png"))
    code, _, err = run(capfd, "calibrate", scenes, "--boxes", wrong, "--strict", "--out", tmp_path / "f.toml")
    assert code
    assert "absent.png" in err


def test_several_boxes_of_an_image_are_said(scenes, boxes, tmp_path, caplog):
    """Two that contradict each other pass as two objects, either of which counts as found."""
    data, file = read_data(scenes, "all"), tmp_path / "boxes.csv"
    with_boxes(data, boxes)
    assert "several boxes" not in caplog.text
    name = data.samples[0].name
    file.write_text(boxes.read_text() + f"{name},beetle,64,64,0,0,5,5\n")
    assert len(with_boxes(data, file).samples[0].boxes) == 2
    assert f"1 image has several boxes, such as {name}. Each image counts as one object, found where any" in caplog.text


def test_what_the_label_free_choice_took_and_in_which_size_is_said():
    """Of auto alone, under whatever is chosen: its size is a cost that find will have, too."""
    noticed = {"red": {"choice": "ddt: it is clear", "size": "looked at larger", "closer": ""}}
    reference = replace(table("auto", np.full((6, 4), 0.3)), noticed=noticed)
    found = calibrate([reference, replace(table("ddt", np.full((6, 4), 0.3)), noticed={"red": {}})], reference, {})
    assert found.words()[-2:] == ["auto, red: ddt: it is clear.", "auto, red: looked at larger."]
    assert found.to_dict()["notes"] == noticed


def test_names_of_folders_that_toml_cannot_hold_are_escaped_in_its_comments():
    """As of a folder in another encoding, and of one with a line break."""
    reference = replace(
        table("auto", np.full((6, 4), 0.3)), noticed={"V\udcf6gel\nx = 1": {"choice": "ddt", "size": "", "closer": ""}}
    )
    written = calibrate([reference, table("ddt", np.full((6, 4), 0.3))], reference, {}).to_toml()
    assert tomllib.loads(written.encode().decode()) == {"method": "auto"}
    assert "# auto, V\\udcf6gel\\nx = 1: ddt.\n" in written


def test_what_comes_next_is_what_was_calibrated(scenes, boxes, tmp_path, capfd):
    asked = ["--classes", "beetle", "--one-category", "--out", tmp_path / "a found.toml"]
    code, out, err = run(capfd, "calibrate", scenes, "--boxes", boxes, *asked)
    assert code == 0, err
    assert f"--config '{tmp_path / 'a found.toml'}' --classes beetle --one-category" in out


def test_a_left_out_image_has_no_say():
    """Each image alone loves a column of its own that all others hate: with its say it would choose that one."""
    images = 6
    ious = np.concatenate([np.eye(images), np.full((images, 1), 0.15)], axis=1).astype(np.float32)
    found = calibrate([table("ddt", [[1, 0, 0, 0], *[[0, 0.1, 0, 0]] * 5])], table("auto", np.full((6, 4), 0.08)), {})
    assert (found.threshold, found.left_out[0]) == (0, 0)
    assert (choices_without(merits(ious)) != np.arange(images)).all()


def test_a_better_choice_is_made():
    """A method that is better on every image is chosen, at its best threshold."""
    good = table("contrast", [[0.1, 0.2, 0.8, 0.3]] * 10)
    found = calibrate([table("ddt", np.full((10, 4), 0.3)), good], table("auto", np.full((10, 4), 0.4)), {})
    assert found.settings() == {"method": "contrast", "threshold": 0.5}


@pytest.mark.parametrize(("images", "alike"), [(10, 0.0), (10, 0.9), (20, 0.9), (50, 0.0)])
def test_chance_chooses_nothing(images, alike):
    """Where no candidate differs from the label-free one, 5 % of the draws choose another, whatever they share.

    `alike` is the share of an image's IoU that all candidates have in common. Of 200 draws with 5 % each, 21 or more
    are chosen with a probability of .002.
    """
    rng = np.random.default_rng(images)
    chosen = 0
    for _ in range(200):
        common = rng.random((images, 1))
        noise = alike * common + (1 - alike) * rng.random((images, 17))
        parts = [table(name, noise[:, 4 * k : 4 * k + 4]) for k, name in enumerate(("auto", "ddt", "contrast", "odd"))]
        reference = table("auto", np.repeat(noise[:, 16:], 4, axis=1))
        chosen += calibrate(parts, reference, {}).chosen
    assert chosen < 21


def test_few_boxes_are_enough_for_a_large_difference():
    """A choice that is better by 0.3 on nearly every one of ten images is made, and among many candidates too."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        noise = [table(name, 0.4 + 0.1 * rng.standard_normal((10, 4))) for name in "abcdefgh"]
        better = table("better", 0.7 + 0.1 * rng.standard_normal((10, 4)))
        assert calibrate([*noise, better], table("auto", 0.4 + 0.1 * rng.standard_normal((10, 4))), {}).chosen


def test_p_values_count_every_candidate():
    """One candidate's p is that of the sign-flip test; a hundred alike cost nothing, a hundred of noise do."""
    rng = np.random.default_rng(0)
    one = rng.standard_normal((8, 1)) + 0.6
    (p,) = surely_above_zero(one)
    flips = np.array(list(product([1, -1], repeat=8))) @ one[:, 0]
    assert p == pytest.approx((flips >= one.sum() - 1e-9).mean(), abs=0.02)  # the mean, and not its t, is flipped here
    assert surely_above_zero(np.repeat(one, 100, axis=1)) == pytest.approx(np.full(100, p))
    assert surely_above_zero(np.concatenate([one, rng.standard_normal((8, 100))], axis=1))[0] > p
    assert (surely_above_zero(np.zeros((10, 3))) == 1).all()


@pytest.mark.parametrize("gain", [0.0, 0.5])
def test_what_is_expected_first_is_what_find_will_be_run_with(gain):
    """The label-free method's figures lead where it is kept, and what fits best is said not to be taken."""
    reference = table("auto", np.full((10, 4), 0.4))
    found = calibrate([reference, table("ddt", np.full((10, 4), 0.4 + gain))], reference, {})
    assert found.chosen == (gain > 0)
    first, second = found.words()[2:]
    assert first.startswith("chosen with boxes: " if gain else "auto: ")
    assert second.startswith("auto: ") if gain else ", not taken: " in second
