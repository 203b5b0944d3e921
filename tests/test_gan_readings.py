import json

import pytest

from boxless.cli.reproduce import app
from boxless.data.dataset import data_hash
from boxless.data.synthetic import make_scenes
from boxless.gan import position_head
from boxless.gan.data import read_images
from boxless.gan.networks import Discriminator
from boxless.gan.settings import GanTraining
from boxless.gan.training import train_gan
from boxless.reproduce.gan.readings import MeasuredReading, attribution_methods, learnt, readings_page, run_readings
from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.gan.run_results import GanRun
from boxless.reproduce.gan.scoring import category_splits
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.pages import page_of
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import write_json


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(position_head, "STEPS", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "made"
    make_scenes(folder, 16, kinds=("beetle", "star"), size=32, test=0.5, seed=1)
    return folder


@pytest.fixture(scope="module")
def out(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("table")
    training = GanTraining(iterations=1, width=1 / 16, size=16, batch_size=4, precision="fp32", device="cpu")
    images = read_images(category_splits(data, "star")[1], 16)
    train_gan("sn-dcgan", images, training, out / "runs" / "sn-dcgan_star_plain_0")
    write_json(out / "cells" / "sn-dcgan_star_plain_0.json", {"settings": {"data": "made"}, "result": {"stages": []}})
    return out


def test_every_reading_of_a_finished_run_is_measured_beside_untrained_ones(data, out):
    begun = []
    page = run_readings(data, out, TimeBudget(), begun=begun.append)
    assert [trial.name for trial in begun] == ["sn-dcgan_star_plain_0"]
    content = json.loads((out / "readings-test" / "sn-dcgan_star_plain_0.json").read_text())
    found = content["result"]["readouts"]
    names = attribution_methods(Discriminator(16, width=1 / 16))
    # Of three layers at 16 pixels the last one sees nearly the whole image, which has no place in it.
    assert list(found) == list(names) and len(names) == 6 + 3 + 3 + 3 + 3 + 2
    assert len([name for name in content["result"]["controls"] if "pixels" in name]) == 2
    for scores in found.values():
        assert len(scores["untrained"]) == 3
        assert all(len(one["transferred"]["hits"]) == 4 for one in (scores["maps"], scores["shuffled"]))
    assert content["result"]["step"] == 1
    assert "| position on the pixels of the windows, layer 1 |" in page
    assert all(any(line.startswith(f"| {name} |") for line in page.splitlines()) for name in names)
    assert (out / "gan-readings-test.md").read_text() == page
    assert page_of("gan-readings-test-made", {content["cell"]: content["result"]}) == page
    run_readings(data, out, TimeBudget(), begun=begun.append)
    assert len(begun) == 1  # read before, and not read again


def test_training_images_are_asked_at_thresholds_of_test_images(data, out):
    page = run_readings(data, out, TimeBudget(), on="train")
    content = json.loads((out / "readings-train" / "sn-dcgan_star_plain_0.json").read_text())
    test, train = category_splits(data, "star")
    assert content["result"]["data"] == {"name": "made", "hash": data_hash(train), "fit_hash": data_hash(test)}
    assert all(len(one["maps"]["transferred"]["hits"]) == len(train) for one in content["result"]["readouts"].values())
    assert "on training images\n" in page and "which D saw without their boxes" in page
    assert page_of("gan-readings-train-made", {content["cell"]: content["result"]}) == page


def test_readings_can_be_chosen_by_name(data, out, tmp_path):
    (tmp_path / "cells").mkdir()
    for name in ("cells/sn-dcgan_star_plain_0.json", "runs"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to(out / name)
    page = run_readings(data, tmp_path, TimeBudget(), only="position")
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    assert rows[1:4] == ["| position, layer 0", "| position, layer 1", "| border contrast, no learning"]
    with pytest.raises(UsageError, match="only position, now every way"):
        run_readings(data, tmp_path, TimeBudget())


def test_lifts_are_differences_on_the_same_images_over_all_groups():
    def score(hits):
        return {"transferred": {"hits": hits}}

    def result(maps, shuffled, *untrained):
        one = {"maps": score(maps), "shuffled": score(shuffled), "untrained": [score(hits) for hits in untrained]}
        controls = {name: {"hits": maps} for name in ("no learning", "centred box", "whole image")}
        training = {"preset": "reference", "width": 0.5, "size": 32}
        return {
            "step": 9, "images": len(maps), "readouts": {"cam": one}, "controls": controls, "training": training
        }  # fmt: skip

    trials = [
        GanTrial(gan="dcgan", group=group, augment=False, seed=seed) for group, seed in (("a", 0), ("a", 1), ("b", 0))
    ]
    done = {
        trials[0].name: result("1100", "1000", "0000", "1111"),
        trials[1].name: result("1000", "0000", "0000", "0000"),
        trials[2].name: result("11", "00", "10", "10"),
    }
    page = readings_page(trials, done)
    assert "3 of 3 finished runs read. Groups: a, b; 6 images; after 9 iterations at width 0.5, 32 pixels, each" in page
    assert "each GAN as its own authors trained it.\n" in page
    (row,) = (line for line in page.splitlines() if line.startswith("| cam"))
    numbers = [trial.split()[0] for trial in row.strip("| ").split(" | ")[1:]]
    # Of six images: (1, .5, 0, 0, 1, 1), shuffled (.5, 0, 0, 0, 0, 0), untrained four times .25 and (1, 0).
    assert numbers == ["58.3", "8.3", "+50.0", "33.3", "+25.0"]


def test_what_was_learnt_lies_above_untrained_ds_and_only_then_above_shuffled_maps():
    ones, none = {"transferred": {"hits": "1" * 40}}, {"transferred": {"hits": "0" * 40}}
    readouts = {
        "sees": {"maps": ones, "shuffled": none, "untrained": [none]},
        "a better blob": {"maps": ones, "shuffled": ones, "untrained": [none]},
        "there before": {"maps": ones, "shuffled": none, "untrained": [ones]},
        "lost": {"maps": none, "shuffled": ones, "untrained": [ones]},
    }
    run = GanRun(GanTrial(gan="dcgan", group="a", augment=False, seed=0), {"readouts": readouts})
    read = {name: MeasuredReading.of(name, [run]) for name in readouts}
    said = learnt(list(read.values()))
    assert said.endswith("above untrained Ds: sees, a better blob; above these and their own shuffled maps: sees.")
    assert "Ds: none; above" in learnt([read["lost"]])


def test_what_cannot_be_read_is_said(data, out, tmp_path):
    with pytest.raises(UsageError, match="no finished run on made"):
        run_readings(data, tmp_path, TimeBudget())
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "sn-dcgan_star_plain_0.json").write_text("{")
    with pytest.raises(BoxlessError, match="is no result of a trial"):
        run_readings(data, tmp_path, TimeBudget())


def test_the_verb(data, out, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        app(["gan-readings", "--data", str(data), "--out", str(out)])
    assert end.value.code == 0
    assert "1 of 1 finished runs read" in capsys.readouterr().out
