import json
from dataclasses import replace

import pytest

from boxless.cli.reproduce import app
from boxless.data.synthetic import make_scenes
from boxless.gan.data import read_images
from boxless.gan.settings import GanTraining
from boxless.gan.training import train_gan
from boxless.reproduce.gan.cam_reference import schedule
from boxless.reproduce.gan.readings import finished
from boxless.reproduce.gan.run import STAGES, GanTrial, run_trial, steps
from boxless.reproduce.gan.scoring import category_splits
from boxless.reproduce.gan.table_3 import (
    GROUP_ORDER,
    NOT_RUN,
    PAPER,
    TABLES,
    deciding,
    groups_in,
    rows,
    run_table_3,
    table_3_trials,
)
from boxless.reproduce.grid import TimeBudget, results, run_grid
from boxless.reproduce.pages import page_of
from boxless.runtime.errors import BoxlessError, UsageError


class Killed(BaseException):
    """Nobody catches it, and nothing is saved."""


def silent(step, steps, row):
    pass


def training(iterations=3):
    return GanTraining(
        iterations=iterations, width=1 / 16, size=16, batch_size=4, precision="fp32", device="cpu", log_every=50
    )


@pytest.fixture(scope="module", autouse=True)
def few_samples():
    """Fewer generated images for the distance of each stage: what is tested here is the trial around it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boxless.reproduce.gan.run.COMPARED", 16)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "made"
    make_scenes(folder, 24, kinds=("beetle", "star"), size=32, test=0.5, seed=1)
    return folder


TRIAL = GanTrial(gan="sn-dcgan", group="star", augment=False, seed=0)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return run_trial(TRIAL, data, training(12), tmp_path_factory.mktemp("run"), TimeBudget(), silent)


def test_a_trial_measures_every_stage_beside_its_controls(whole):
    assert [stage["step"] for stage in whole["stages"]] == steps(12) and whole["stages"][-1]["step"] == 12
    assert whole["label_free"] in steps(12)
    assert all(0 < stage["criteria"]["similarity"] < 1 for stage in whole["stages"])
    assert whole["untrained_criteria"]["equivariance"] > 0
    assert whole["images"] == 6
    for stage in whole["stages"]:
        for reading in stage["readings"].values():
            for kind in ("maps", "shuffled"):
                for score in reading[kind].values():
                    assert len(score["hits"]) == 6
                    assert score["accuracy"]["0.5"] == pytest.approx(100 * score["hits"].count("1") / 6)
    controls = whole["controls"]
    untrained = controls["untrained"]
    assert set(untrained) == {"cam", "ddt", "border", "smoothgrad"} and len(untrained["cam"]) == 3
    assert all(len(controls[name]["hits"]) == 6 for name in ("whole image", "centred box", "no learning"))


def test_a_killed_trial_goes_on_and_ends_as_if_it_had_not_been(data, whole, tmp_path):
    def kill(step, steps, row):
        if step == 6:  # in the middle of a stage
            raise Killed

    with pytest.raises(Killed):
        run_trial(TRIAL, data, training(12), tmp_path, TimeBudget(), kill)
    begun = json.loads((tmp_path / "stages.json").read_text())["stages"]
    assert 0 < len(begun) < STAGES and begun == whole["stages"][: len(begun)]
    seen = []
    again = run_trial(TRIAL, data, training(12), tmp_path, TimeBudget(), lambda step, steps, row: seen.append(step))
    assert again == whole
    assert seen[0] == begun[-1]["step"] + 1
    with pytest.raises(UsageError, match="another number of iterations"):
        run_trial(TRIAL, data, training(50), tmp_path, TimeBudget(), silent)


def test_a_trial_is_known_by_its_name():
    for trial in (TRIAL, GanTrial(gan="sn-wgan-gp", group="my_class", augment=True, seed=12)):
        assert GanTrial.named(trial.name) == trial
    with pytest.raises(UsageError, match="is no trial"):
        GanTrial.named("sn-dcgan_star")


def test_stages_are_spread_and_end_with_the_run():
    assert steps(3) == [1, 2, 3]
    assert steps(1000) == list(range(100, 1001, 100))
    assert steps(105)[-1] == 105 and len(steps(105)) == STAGES


def test_the_table_grows_with_the_trials_and_names_what_was_not_run(data, tmp_path):
    trials = table_3_trials(["star", "beetle"], ["sn-dcgan"], [0])
    settings = training()
    ran = []

    def begun(trial):
        ran.append(trial.name)
        if len(ran) == 2:
            raise Killed
        return silent

    with pytest.raises(Killed):
        run_table_3(trials, data, settings, tmp_path, TimeBudget(), begun)
    page = (tmp_path / "gan-table-3.md").read_text()
    lines = [line for line in page.splitlines() if "| sn-dcgan |" in line]
    # What was not run stands in the first table alone, and position's own table has no GAN.
    tables = len(TABLES) - 1
    assert len(lines) == 4 + tables - 1
    assert sum(NOT_RUN in line for line in lines) == 3
    assert "1 of 4 trials run" in page
    page = run_table_3(trials, data, settings, tmp_path, TimeBudget(), begun)
    assert ran.count(trials[0].name) == 1  # done before, and not run again
    assert not any(NOT_RUN in line for line in page.splitlines() if "| sn-dcgan |" in line)
    assert "4 of 4 trials run" in page and "| above DCGAN | - | - | - | - | not run |" in page
    assert (tmp_path / "cells" / f"{trials[3].name}.json").exists()
    committed = page_of(
        "gan-table-3-made", results(trials[:3], tmp_path / "cells", {"data": "made", **deciding(settings)})
    )
    ours = [line for line in page.splitlines() if line.startswith("| sn-dcgan | no |")]
    assert len(ours) == 2 * tables and all(line in committed for line in ours)
    assert "3 iterations at width 0.0625, 16 pixels" in committed
    assert "| dcgan | no | star | - | 0 of 1 | - | not run |" in committed  # the paper's trials that nobody ran
    older = results(trials[:1], tmp_path / "cells", {"data": "made", **deciding(settings)})
    for stage in older[trials[0].name]["stages"]:  # as runs were measured before there was this reading
        del stage["readings"]["smoothgrad"]
    assert "SmoothGrad" in committed and "SmoothGrad" not in page_of("gan-table-3-made", older)
    with pytest.raises(UsageError, match="iterations 3, now 4"):
        run_table_3(trials, data, training(4), tmp_path, TimeBudget(), begun)


def test_columns_pick_their_stages_and_seeds_are_averaged():
    def stage(step, *hits):
        reading = {"maps": {"fixed": score(*hits)}, "shuffled": {"fixed": score(0, 0)}}
        return {"step": step, "readings": {"cam": reading}}

    def score(*hits):
        return {"hits": "".join(map(str, hits)), "accuracy": {"0.5": 100 * sum(hits) / len(hits)}}

    def result(*stages, choice):
        controls = {"untrained": {"cam": [{"fixed": score(1, 0)}]}} | dict.fromkeys(
            ("no learning", "centred box", "whole image"), score(1, 1)
        )
        return {"images": 2, "stages": list(stages), "label_free": choice, "controls": controls}

    trials = table_3_trials(["vehicle"], ["sn-dcgan"], [0, 1])[::2]
    first = result(stage(1, 1, 1), stage(2, 1, 0), stage(3, 0, 0), choice=2)
    second = result(stage(1, 0, 0), stage(2, 1, 1), stage(3, 1, 0), choice=1)
    (row,) = rows(trials, dict(zip([trial.name for trial in trials], [first, second], strict=True)), "cam", "fixed")
    numbers = [trial.partition(" ")[0] for trial in row[5:]]
    assert row[:5] == ["sn-dcgan", "no", "vehicle", "2", "2 of 2"]
    assert numbers == ["75.0", "25.0", "25.0", "100.0", "0.0", "50.0", "100.0", "100.0", "100.0"]


def test_a_reference_without_labels_stands_beside_the_gans(tmp_path, monkeypatch):
    monkeypatch.setattr("boxless.reproduce.gan.position_reference.UNTRAINED", 1)
    monkeypatch.setattr("boxless.reproduce.gan.position_reference.STEPS", 2)
    make_scenes(tmp_path / "scenes", 40, kinds=("star",), size=32, test=0.2, seed=1)
    trials = table_3_trials(["star"], ["position"], [0])
    assert [trial.name for trial in trials] == ["position_star_plain_0"]
    settings = GanTraining(iterations=3, size=32, width=1 / 16, precision="fp32", device="cpu")
    page = run_table_3(trials, tmp_path / "scenes", settings, tmp_path, TimeBudget(), lambda trial: None)
    _, _, table = page.partition("## Position as a free label, no GAN")
    (row,) = (line for line in page.splitlines() if line.startswith("| position |"))
    assert row in table and "| 8 | 1 of 1 | - |" in row and "| - | - |" in row
    found = results(trials, tmp_path / "cells", {"data": "scenes", **deciding(settings)})
    assert page_of("gan-table-3-scenes", found).count("| position |") == 1
    assert set(found[trials[0].name]["controls"]) == {"untrained", "whole image", "centred box", "no learning"}


def test_the_reference_learns_from_labels_once_for_all_groups(data, tmp_path, monkeypatch):
    monkeypatch.setattr("boxless.reproduce.gan.cam_reference.UNTRAINED", 1)
    trials = table_3_trials(["star", "beetle"], ["cam"], [0])
    assert [trial.name for trial in trials] == ["cam_star_augmented_0", "cam_beetle_augmented_0"]
    settings = training(2)
    begun = []
    page = run_table_3(trials, data, settings, tmp_path, TimeBudget(), begun.append)
    assert [trial.group for trial in begun] == ["star", "beetle"]
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["cam_0"]
    lines = [line for line in page.splitlines() if line.startswith("| cam |")]
    assert len(lines) == 2 * 2  # in the two tables of class activation maps
    assert all("| - | - |" in line and NOT_RUN not in line for line in lines)
    found = results(trials, tmp_path / "cells", {"data": "made", **deciding(settings)})["cam_star_augmented_0"]
    assert found["training"]["backbone"] == "preresnet34" and found["training"]["weights"] == "none"
    assert found["images"] == 6 and len(found["controls"]["untrained"]["cam"]) == 1
    with pytest.raises(UsageError, match="no finished run"):  # it has no D to read
        finished(tmp_path / "cells", "made")
    moon = GanTrial(gan="cam", group="moon", augment=True, seed=0)
    run_table_3([moon], data, settings, tmp_path, TimeBudget(), begun.append)
    assert "The data has no class moon" in (tmp_path / "gan-table-3.md").read_text()


def test_the_reference_is_trained_as_the_paper_says():
    made = schedule(GanTraining(), 14_000, seed=3)
    assert (made.batch_size, made.lr, made.momentum, made.weight_decay, made.seed) == (256, 0.1, 0.9, 1e-4, 3)
    assert made.epochs * 14_000 / 256 == pytest.approx(100_000, rel=1e-3)
    assert [epoch * 14_000 / 256 for epoch in made.decay] == pytest.approx([25_000, 50_000, 75_000], rel=1e-3)
    assert made.resize == 70  # a square of 64 is cut out of it: shifts by 3 pixels
    assert schedule(GanTraining(iterations=10), 30, seed=0).decay == (1, 2, 3)


def test_trials_come_in_the_order_that_tells_most_first():
    trials = table_3_trials(GROUP_ORDER, ["sn-dcgan", "dcgan"], [0, 1])
    assert len(trials) == 48 and len({trial.name for trial in trials}) == 48
    assert [(c.gan, c.augment, c.seed) for c in trials[:6]] == [("sn-dcgan", False, 0)] * 6
    assert all(trial.seed == 0 for trial in trials[:24])
    assert all(set(groups) == set(GROUP_ORDER) for groups in PAPER.values())


def test_the_grid_stops_with_the_clock_and_records_failures(tmp_path):
    trials = table_3_trials(["a", "b"], ["dcgan"], [0])

    def work(trial, budget):
        if trial.group == "a":
            raise BoxlessError("d_loss is no number")
        budget.end = 0.0  # the minutes are used up inside this trial
        return None

    run_grid(trials, work, tmp_path, {"x": 1}, budget := TimeBudget(5), str, tmp_path / "page.md")
    assert "d_loss is no number" in (tmp_path / "page.md").read_text()
    assert budget.over
    assert results(trials, tmp_path, {"x": 1}) == {trials[0].name: {"failed": "d_loss is no number"}}
    (row, *_) = rows(trials, results(trials, tmp_path, {"x": 1}), "cam", "fixed")
    assert row[-1] == "failed"
    with pytest.raises(UsageError, match="expected more than 0"):
        TimeBudget(0)


@pytest.mark.parametrize("nested", [True, False])
def test_folders_of_the_version_before_are_taken_up(nested, tmp_path):
    """Those of classifiers have a table of their training among the settings, those of GANs do not."""
    trials = table_3_trials(["a"], ["cam"], [0])

    def settings(**training):
        return {"data": "made", **({"training": training} if nested else training)}

    def work(trial, budget):
        return {"failed": "ran"}

    stored = settings(accelerator="cpu", precision="32-true", width=0.5)
    run_grid(trials, work, tmp_path, stored, TimeBudget(), str, tmp_path / "page.md")
    assert results(trials, tmp_path, settings(device="cpu", precision="fp32", width=0.5, newer=1))
    with pytest.raises(UsageError, match="precision fp32, now bf16"):
        results(trials, tmp_path, settings(device="cpu", precision="bf16", width=0.5))


def test_a_result_that_lacks_what_a_table_needs_is_made_anew(tmp_path):
    """As where another table with the same --out has made it."""
    trials = table_3_trials(["a"], ["cam"], [0])
    pages = []
    run_grid(trials, lambda trial, budget: {"b": 1}, tmp_path, {}, TimeBudget(), str, tmp_path / "b.md")

    def page(done):
        pages.append(done)
        return ""

    def needs(result):
        return "c" in result

    more = {"complete": needs}
    run_grid(trials, lambda trial, budget: None, tmp_path, {}, TimeBudget(), page, tmp_path / "c.md", **more)
    assert pages == [{}]
    run_grid(trials, lambda trial, budget: {"c": 2}, tmp_path, {}, TimeBudget(), page, tmp_path / "c.md", **more)
    assert pages[1] == {trial.name: {"c": 2} for trial in trials}


def test_a_run_that_a_figure_trained_past_a_stage_is_no_run_of_a_table(data, tmp_path):
    images = read_images(category_splits(data, TRIAL.group)[1], 16)
    train_gan(TRIAL.gan, images, replace(training(20), augment=TRIAL.augment, seed=TRIAL.seed), tmp_path)
    with pytest.raises(UsageError, match=r"is past iteration 2, .* Run the table first"):
        run_trial(TRIAL, data, training(20), tmp_path, TimeBudget(), silent)


def test_how_many_threads_read_makes_no_other_table():
    assert deciding(training()) == deciding(replace(training(), workers=3))


def test_the_clock_stops_a_trial_with_everything_saved(data, tmp_path):
    assert run_trial(TRIAL, data, training(10_000), tmp_path, TimeBudget(0.02), silent) is None
    assert (tmp_path / "last.pt").exists() and not (tmp_path / "stages.json").exists()


def test_the_verb(data, tmp_path, capsys):
    arguments = f"gan-table-3 --data {data} --groups star,beetle --gans dcgan --iterations 2 --width 0.0625 --size 16"
    with pytest.raises(SystemExit) as end:
        more = f"--preset reference --batch-size 4 --minutes 0.0001 --out {tmp_path}"
        app([*arguments.split(), *more.split()])
    assert end.value.code == 0
    page = capsys.readouterr().out
    assert page.count(NOT_RUN) == 8 * 4  # in the first table alone
    assert "16 pixels, each GAN as its own authors trained it (the paper" in page
    with pytest.raises(UsageError, match="whole numbers"):
        app([*arguments.split(), "--seeds", "a"])
    with pytest.raises(UsageError, match="none of the paper's groups"):
        groups_in(data)
