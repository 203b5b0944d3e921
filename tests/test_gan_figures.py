import json

import numpy as np
import pytest
from PIL import Image

from boxless.cli import reproduce_gan
from boxless.cli.reproduce import app
from boxless.data.splits import splits_for
from boxless.data.synthetic import make_scenes
from boxless.gan.settings import GanTraining
from boxless.reproduce.gan import figure_panels
from boxless.reproduce.gan.figures import FIGURES, categories, run_figure
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.pages import page_of
from boxless.runtime.errors import BoxlessError, UsageError


class Killed(BaseException):
    """Nobody catches it, and nothing is saved."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "made"
    make_scenes(folder, 24, kinds=("beetle", "star"), size=32, test=0.5, seed=1)
    return folder


def training(iterations=2):
    return GanTraining(iterations=iterations, width=1 / 16, size=16, batch_size=4, precision="fp32", device="cpu")


@pytest.fixture(scope="module", autouse=True)
def few():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure_panels, "COUNT", 8)
        yield


@pytest.fixture(scope="module")
def first(data, tmp_path_factory):
    """Figure 1 of two GANs, killed after the first, and made whole by the second call."""
    out = tmp_path_factory.mktemp("out")
    begun = []

    def note(trial):
        begun.append(trial.gan)
        if len(begun) == 2:
            raise Killed
        return lambda step, steps, row: None

    how = {"gans": ["sn-dcgan", "wgan"], "groups": ["star"]}
    with pytest.raises(Killed):
        run_figure("gan-figure-1", data, training(), out, TimeBudget(), note, **how)
    halfway = (out / "gan-figure-1.md").read_text()
    run_figure("gan-figure-1", data, training(), out, TimeBudget(), note, **how)
    return out, halfway, begun


def test_a_figure_grows_with_its_runs_and_names_those_that_it_lacks(first):
    out, halfway, begun = first
    assert "Not run: wgan_star_plain_0." in halfway and "sn-dcgan" in halfway
    assert begun == ["sn-dcgan", "wgan", "wgan"]  # the first one was not trained again
    page = (out / "gan-figure-1.md").read_text()
    trials = json.loads((out / "gan-figure-1.json").read_text())["cells"]
    assert page_of("gan-figure-1-made", trials) == page
    assert "Trained at width 0.0625, 16 pixels, the paper's optimizer." in page
    assert "Not run" not in page and FIGURES["gan-figure-1"].says in page
    width, height = Image.open(out / "gan-figure-1.jpg").size
    assert width > 2 * 8 * 64 and height > 8 * 64


def test_the_numbers_behind_the_picture(first):
    content = json.loads((first[0] / "gan-figure-1.json").read_text())
    assert content["seed"] == 0 and content["settings"]["iterations"] == 2 and content["versions"]["torch"]
    cell = content["cells"]["sn-dcgan_star_plain_0"]
    for kind, pairs in (("generated", 4), ("real", 3)):
        similarity = cell["ms_ssim"][kind]
        assert similarity["n"] == pairs and 0 <= similarity["low"] <= similarity["mean"] <= similarity["high"] <= 1
    assert cell["kid"]["generated"]["mean"] > cell["kid"]["real"]["mean"]  # two steps make no photographs
    maps = cell["map_correlation"]
    assert maps["trained"]["n"] == 6 and len(maps["untrained"]) == 3
    assert all(-1 <= one["mean"] <= 1 for one in (maps["trained"], *maps["untrained"]))


def test_figures_of_one_folder_share_their_runs(data, first):
    def note(trial):
        raise AssertionError(f"{trial.name} is trained again")

    out = first[0]
    page = run_figure("gan-figure-2", data, training(), out, TimeBudget(), note, gans=["sn-dcgan"], groups=["star"])
    assert "| sn-dcgan | star |" in page
    picture = np.asarray(Image.open(out / "gan-figure-2.jpg"))
    assert picture.shape[0] > 6 * 128 and picture.shape[1] > 3 * 128
    with pytest.raises(UsageError, match="iterations 2, now 3"):
        run_figure("gan-figure-2", data, training(3), out, TimeBudget(), note, gans=["sn-dcgan"], groups=["star"])


def test_too_few_images_to_be_compared_are_refused_before_any_training(tmp_path):
    make_scenes(tmp_path / "few", 8, kinds=("beetle", "star"), size=32, test=0.5, seed=1)
    how = (training(), tmp_path, TimeBudget(), lambda trial: None)
    with pytest.raises(UsageError, match="2 training images of star"):
        run_figure("gan-figure-1", tmp_path / "few", *how, groups=["star"])
    assert not (tmp_path / "runs").exists()


def test_the_clock_leaves_no_picture_of_nothing(data, tmp_path):
    page = run_figure(
        "gan-figure-4", data, training(10_000), tmp_path, TimeBudget(0.02), lambda trial: print, groups=["star"]
    )
    assert "Not run: sn-dcgan_star_plain_0, sn-dcgan_star_augmented_0.\n" in page
    assert not (tmp_path / "gan-figure-4.jpg").exists()
    assert (tmp_path / "runs" / "sn-dcgan_star_plain_0" / "last.pt").exists()  # and goes on from there


def test_without_the_papers_groups_every_class_is_a_category(data, tmp_path):
    assert categories(data) == ["beetle", "star"]
    make_scenes(tmp_path / "flat", 4, kinds=("star",), size=32, test=0.0)
    with pytest.raises((BoxlessError, UsageError)):
        run_figure(
            "gan-figure-1", tmp_path / "flat" / "train", training(), tmp_path / "out", TimeBudget(), lambda trial: print
        )


def test_a_class_is_not_taken_for_a_group_of_the_same_name(tmp_path):
    make_scenes(tmp_path / "made", 8, kinds=("beetle", "star"), size=32, test=0.5)
    for split in ("train", "test"):
        (tmp_path / "made" / split / "star").rename(tmp_path / "made" / split / "bird")
    for boxes in (tmp_path / "made").glob("boxes*.csv"):
        boxes.unlink()
    test, train = splits_for(tmp_path / "made", classes="bird", one_category=True)
    assert len(test) == 2 and train is not None and len(train) == 2


def test_the_verbs(data, tmp_path, capsys):
    assert set(reproduce_gan.FIGURES) == set(FIGURES)
    arguments = f"gan-figure-3 --data {data} --groups star --width 0.0625 --minutes 0.0001 --out {tmp_path}"
    with pytest.raises(SystemExit) as end:
        app(arguments.split())
    assert end.value.code == 0
    assert "Not run: sn-dcgan_star_plain_0." in capsys.readouterr().out
