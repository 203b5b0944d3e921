import json
from math import log

import numpy as np
import pytest
import torch

from boxless.cli.reproduce import app
from boxless.reproduce.gan.run import GanTrial, maps_file
from boxless.reproduce.gan.run_results import GanRun
from boxless.reproduce.gan.stopping import FIFTH, agreements, balances, course, spearman, summarise, validate, verdict
from boxless.reproduce.pages import page_of
from boxless.runtime import checkpoint
from boxless.runtime.errors import UsageError


def stage(step, lift, **criteria):
    measured = {"step": step, "equivariance": 0.5, "stability": 0.0, "deletion": 0.0, "similarity": 0.0, **criteria}
    scores = {
        kind: {"transferred": {"hits": "1" * hit + "0" * (100 - hit)}}
        for kind, hit in (("maps", 50 + lift), ("shuffled", 50))
    }
    return {"step": step, "criteria": measured, "readings": {"cam": scores}}


def result(*stages, choice, **more):
    return {"stages": list(stages), "label_free": choice, **more}


def run(name, content):
    return GanRun(GanTrial(gan=name, group="star", augment=False, seed=0), content)


def course_of(name, content, of_run=None):
    return course(run(name, content), of_run)


RISING = result(*(stage(i, i, equivariance=i, similarity=0.9 - 0.1 * i) for i in (1, 2, 3)), choice=2)
FALLING = result(*(stage(i, 9 - i, equivariance=9 - i, deletion=i, similarity=0.5) for i in (1, 2, 3)), choice=1)


def test_spearman():
    rising = np.arange(5.0)
    assert spearman(rising, rising**3) == pytest.approx(1)
    assert spearman(rising, -rising) == pytest.approx(-1)
    assert spearman(rising, np.ones(5)) == 0
    # By hand: ranks (0, 1.5, 1.5, 3) and (0, 1, 2, 3).
    assert spearman(np.array([1.0, 2, 2, 5]), np.array([1.0, 2, 3, 4])) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_every_way_of_choosing_ends_with_the_lift_of_its_checkpoint():
    rising, falling = course_of("a", RISING), course_of("b", FALLING)
    assert rising.choices == pytest.approx(
        {
            "label-free rule": 2,
            "last": 3,
            "random": 2,
            FIFTH: 1,
            "best equivariance": 3,
            "best stability": 1,
            "best deletion": 1,
            "best similarity": 1,
        }
    )
    assert falling.choices["best equivariance"] == 8 and falling.choices["best deletion"] == 6
    assert "best agreement" not in rising.choices  # there is no second seed


def test_regret_and_the_comparison_with_the_last_checkpoint():
    summary = summarise([course_of("a", RISING), course_of("b", FALLING)])
    assert summary["last"]["regret"] == pytest.approx((0 + 2) / 2)
    assert summary["label-free rule"]["against_last"] == pytest.approx((-1 + 2) / 2)
    assert (summary["label-free rule"]["better"], summary["label-free rule"]["worse"]) == (1, 1)
    assert summary["best equivariance"]["spearman"] == pytest.approx(1)
    assert "No way of choosing beats the last" in verdict(summary)
    always = summarise([course_of(name, FALLING) for name in "abcdefghijkl"])
    assert "best equivariance" in verdict(always) and always["best equivariance"]["regret"] == 0
    few = summarise([course_of(name, FALLING) for name in "abc"])  # every one better: a chance of one in four
    assert few["best equivariance"]["low"] > 0 and "No way of choosing" in verdict(few)


def test_similarity_that_was_not_measured_is_no_criterion():
    old = result(*(stage(i, i) for i in (1, 2)), choice=2)
    assert "best similarity" not in course_of("old", old).choices


def test_resampled_images_are_the_same_for_all_checkpoints():
    same = course_of("a", result(*(stage(i, 20) for i in (1, 2)), choice=1)).resampled()
    np.testing.assert_allclose(same[:, 0], same[:, 1])
    assert same.mean() == pytest.approx(20, abs=1)
    assert same[:, 0].std() == pytest.approx(100 * np.sqrt(0.2 * 0.8 / 100), rel=0.15)  # of a share of 100 images
    summary = summarise([course_of("a", RISING)])["best equivariance"]
    assert summary["spearman_low"] <= summary["spearman"] <= summary["spearman_high"] and summary["spearman_low"] < 1


def test_the_loss_of_d_is_read_where_ln_4_means_something(tmp_path):
    stages = [stage(50, 1), stage(100, 2), stage(150, 3)]
    logistic, critic = (result(*stages, choice=50, training={"loss": loss}) for loss in ("minimax", "wasserstein"))
    runs = [run("a", logistic), run("b", critic), run("gone", logistic)]
    for one in runs[:2]:
        (tmp_path / one.trial.name).mkdir()
        (tmp_path / one.trial.name / "metrics.csv").write_text(f"step,d_loss\n50,{log(4)}\n100,1.0\n150,2.0\n")
    (values,) = balances(runs, tmp_path).values()
    np.testing.assert_allclose(values, [0, 1 - log(4), log(4) - 2])
    assert course_of("a", logistic, {"balance": values}).choices["best balance"] == pytest.approx(1)


def test_seeds_of_one_cell_are_compared_map_by_map(tmp_path):
    trials = [
        GanTrial(gan="dcgan", group="star", augment=augment, seed=seed)
        for augment, seed in ((False, 0), (False, 1), (True, 0))
    ]
    same = torch.rand(8, 4, 4, generator=torch.Generator().manual_seed(0))
    other = torch.rand(8, 4, 4, generator=torch.Generator().manual_seed(1))
    for trial, maps in zip(trials, ((same, other), (same, -other), (same, same)), strict=True):
        (tmp_path / trial.name).mkdir()
        for step, heat in zip((9, 10), maps, strict=True):
            checkpoint.save(maps_file(tmp_path / trial.name, step), {"maps": heat})
    found = agreements(trials, tmp_path)
    assert set(found) == {trials[0].name, trials[1].name}  # the augmented run has no second seed
    assert found[trials[0].name][0] > 0.5 > -0.5 > found[trials[0].name][1]  # in the order of the steps, 9 before 10
    known = course_of("a", result(stage(9, 1), stage(10, 5), choice=10), {"agreement": found[trials[0].name]})
    assert known.choices["best agreement"] == 1


def test_the_page_of_a_folder(tmp_path, capsys):
    with pytest.raises(UsageError, match="no finished run"):
        validate(tmp_path, "made")
    (tmp_path / "cells").mkdir()
    for seed, content in enumerate((RISING, FALLING)):
        cell = {"settings": {"data": "made"}, "result": content}
        (tmp_path / "cells" / f"dcgan_star_plain_{seed}.json").write_text(json.dumps(cell))
    with pytest.raises(SystemExit) as end:
        app(["gan-stopping", "--data", str(tmp_path / "made"), "--out", str(tmp_path)])
    assert end.value.code == 0
    page = capsys.readouterr().out
    assert "| best equivariance | 2 | +1.00 (" in page
    assert "Not measured in these runs: fidelity, agreement, balance" in page
    assert json.loads((tmp_path / "gan-stopping.json").read_text())["result"]["summary"]["last"]["runs"] == 2
    kept = json.loads((tmp_path / "gan-stopping.json").read_text())
    assert page_of("gan-stopping-made", {kept["cell"]: kept["result"]}) == (tmp_path / "gan-stopping.md").read_text()
    one = {"settings": {"data": "made"}, "result": result(stage(1, 1), choice=1)}
    for path in (tmp_path / "cells").iterdir():
        path.write_text(json.dumps(one))
    with pytest.raises(UsageError, match="one checkpoint each"):
        validate(tmp_path, "made")
