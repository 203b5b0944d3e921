import json

import pytest
import torch

from boxless.boxes.otsu import otsu
from boxless.cli import app
from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.data.transforms import to_images
from boxless.discovery import position
from boxless.discovery.centre_or_border import position_targets
from boxless.discovery.pictures import EvenSample
from boxless.discovery.position import (
    FIELD,
    PatchNetwork,
    Position,
    PositionNetwork,
    check_pictures,
    from_description,
    train_both,
    train_patches,
    warn_if_framed_alike,
)
from boxless.inference.factory import discoverer, untrained
from boxless.runtime.errors import BoxlessError, UsageError

SIDE = 40


def noise(count, seed=0, side=SIDE):
    return torch.randint(256, (count, side, side, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def squares(count, seed=0, *, reach=5, side=SIDE):
    """Grey noise with a reddish square of 14 pixels, up to `reach` pixels off the middle -> pictures, corners."""
    draws = torch.Generator().manual_seed(seed)
    pictures = 110 + noise(count, seed, side) // 8
    corners = (side - 14) // 2 + torch.randint(-reach, reach + 1, (count, 2), generator=draws)
    for picture, (top, left) in zip(pictures, corners.tolist(), strict=True):
        picture[top : top + 14, left : left + 14, 0] += 100
    return pictures, corners


def accuracy(network, pictures):
    """Mean of the shares of centre windows and of border windows that are answered right."""
    with torch.no_grad():
        said = network(to_images(pictures, torch.device("cpu"))) > 0
    centre, border = position_targets(*said.shape[-2:])
    return float(said[:, centre].float().mean() + (~said[:, border]).float().mean()) / 2


def learnt(pictures, steps=40, seed=0):
    return train_patches(pictures, steps=steps, batch_size=16, seed=seed, device=torch.device("cpu"))


def test_no_place_leaks_into_images_of_noise():
    assert accuracy(learnt(noise(100)), noise(100, seed=1)) == pytest.approx(0.5, abs=0.03)


def test_no_place_leaks_into_images_that_are_shifted_around():
    def shifted(pictures, seed):
        draws = torch.Generator().manual_seed(seed)
        by = torch.randint(SIDE, (len(pictures), 2), generator=draws).tolist()
        return torch.stack([picture.roll(both, (0, 1)) for picture, both in zip(pictures, by, strict=True)])

    learnt_from, others = shifted(squares(200)[0], 0), shifted(squares(300, seed=1)[0], 1)
    assert accuracy(learnt(learnt_from), others) == pytest.approx(0.5, abs=0.05)


def test_what_stands_in_the_middle_is_learnt_and_found_where_it_is():
    network = learnt(squares(100)[0])
    assert accuracy(network, squares(50, seed=1)[0]) > 0.8
    pictures, corners = squares(50, seed=2, reach=10)
    heat = network.heatmap(to_images(pictures, torch.device("cpu")))
    assert heat.shape == (50, SIDE // 2, SIDE // 2)
    places = heat.flatten(1).argmax(1)
    found = torch.stack([places // (SIDE // 2), places % (SIDE // 2)], 1) * 2 + 1
    assert ((found - corners - 7).abs().amax(1) <= 7).float().mean() > 0.9  # on the square


def test_training_in_half_precision_learns_as_well():
    with torch.autocast("cpu", torch.bfloat16):  # keeps copies of weights, which must not be those of the beginning
        network = learnt(squares(100)[0])
    assert accuracy(network, squares(50, seed=1)[0]) > 0.8


def test_a_warning_says_when_images_are_framed_alike(caplog):
    squared = squares(100)[0]
    warn_if_framed_alike(learnt(squared), squared)
    assert not caplog.messages
    pictures = noise(100)  # whatever the red says, green and blue tell where a patch is
    pictures[..., 1] = torch.arange(0, 6 * SIDE, 6, dtype=torch.uint8)[:, None]
    pictures[..., 2] = torch.arange(0, 6 * SIDE, 6, dtype=torch.uint8)
    warn_if_framed_alike(learnt(pictures), pictures)
    assert "framed alike" in caplog.text


def test_a_place_of_the_map_is_the_window_around_it():
    network = PatchNetwork().eval()
    images = to_images(noise(2), torch.device("cpu"))
    whole = network(torch.nn.functional.pad(images, (FIELD // 2 - 1,) * 4, mode="replicate"))
    assert network(images).shape[-1] == (SIDE - FIELD) // 2 + 1
    torch.testing.assert_close(whole[:, 3:-3, 3:-3], network(images))
    window = images[:, :, 10 : 10 + FIELD, 16 : 16 + FIELD]  # its middle lies between pixels 16 and 17, and 22 and 23
    torch.testing.assert_close(network(window)[:, 0, 0], whole[:, 8, 11])


def test_targets_are_a_square_and_a_frame_of_their_own_sizes():
    centre, border = position_targets(14, 14)
    assert not (centre & border).any()
    assert centre.sum() == 36 and border.sum() == 14**2 - 10**2
    assert torch.equal(centre, centre.flip(0)) and torch.equal(border, border.T)


def test_maps_repeat_and_leave_other_draws_alone():
    pictures = squares(40)[0]
    torch.manual_seed(3)
    one, after = learnt(pictures, steps=5), torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    two, other = learnt(pictures, steps=5), learnt(pictures, steps=5, seed=1)
    images = to_images(pictures, torch.device("cpu"))
    assert torch.equal(one.heatmap(images), two.heatmap(images))
    assert not torch.equal(one.heatmap(images), other.heatmap(images))


def test_how_the_images_are_cut_into_batches_changes_nothing(monkeypatch):
    monkeypatch.setattr(position, "STEPS", 5)
    images = to_images(squares(40)[0], torch.device("cpu"))
    maps = []
    for size in (7, 40):
        method = Position.build()
        for part in images.split(size):
            method.partial_fit(method.descriptors(part))
        method.fit_done()
        maps.append(method.heatmap(images))
    assert torch.equal(*maps)


def test_the_kept_pictures_are_bounded_and_even():
    kept = EvenSample(8)
    for start in range(0, 100, 10):
        kept.add(torch.arange(start, start + 10, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 1, 3))
        assert len(kept.kept) <= 8
    assert [int(picture[0, 0, 0]) for picture in kept.kept] == list(range(0, 100, 16))


def test_the_map_is_the_sum_of_both_networks_cut_in_each_image_where_otsu_parts_it():
    images = to_images(squares(3)[0], torch.device("cpu"))
    torch.manual_seed(0)
    network = PositionNetwork().prepare(squares(40)[0])
    heats = network.heatmap(images)
    for one, answer, first in zip(heats, network.student.heatmap(images), network.patches.heatmap(images), strict=True):
        both = sum((part - part.min()) / (part.max() - part.min()) for part in (answer, first)).numpy()
        low, high = both.min(), both.max()
        above = both > low + otsu(both) * (high - low)
        assert 0 < above.sum() < above.size and ((one.numpy() > Position.readout.threshold) == above).all()
        assert (one.min(), one.max()) == (0, 1)


def test_a_checkpoint_of_an_earlier_version_keeps_its_maps():
    images = to_images(squares(3)[0], torch.device("cpu"))
    network = from_description({"options": {}}).eval()
    assert torch.equal(network.heatmap(images), network.student.heatmap(images))


def test_an_image_of_one_colour_shows_nothing():
    assert not PatchNetwork().eval().heatmap(torch.full((1, 3, 64, 64), 0.3)).any()


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        (noise(29), "29 readable images"),
        (torch.full((40, SIDE, SIDE, 3), 7, dtype=torch.uint8), "of one colour"),
        (noise(40, side=20), "choose a --size of 28"),
    ],
)
def test_what_has_nothing_to_learn_from_is_refused(pictures, reason):
    with pytest.raises(BoxlessError, match=reason):
        check_pictures(pictures)


def test_it_refuses_a_network_and_another_stride():
    with pytest.raises(UsageError, match="learns its own network"):
        discoverer("position", backbone="lite0")
    with pytest.raises(UsageError, match="a place every 2"):
        discoverer("position", stride=4)


def test_the_untrained_control_has_not_learnt(scenes):
    control = untrained(discoverer("position"), read_data(scenes, "test"), seed=1).method
    images = to_images(squares(40)[0], torch.device("cpu"))
    control.partial_fit(control.descriptors(images))
    control.fit_done()
    network = control.network
    assert network is not None and accuracy(network.patches, squares(40)[0]) == pytest.approx(0.5, abs=0.25)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms[0].running_mean.abs().max() > 0  # its normalisation has seen the images all the same


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("position") / "scenes"
    make_scenes(folder, 93, kinds=("beetle", "star", "leaf"), size=64, test=30 / 93)
    return folder


def run(capfd, *arguments):
    code = app.meta([str(argument) for argument in arguments], result_action="return_value")
    return code, *capfd.readouterr()


def test_find_learns_from_each_category_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capfd, scenes):
    monkeypatch.setattr(position, "STEPS", 5)
    asked = ["--method", "position", "--size", "40", "--format", "csv"]
    code, _, err = run(capfd, "find", scenes, "--out", tmp_path / "whole", *asked)
    assert code == 0, err
    taught = list[int]()

    def stopped(pictures, **options):
        if len(taught) == 2:
            raise BoxlessError("stopped")
        taught.append(len(pictures))
        return train_both(pictures, **options)

    with monkeypatch.context() as patch:
        patch.setattr(position, "train_both", stopped)
        code, _, err = run(capfd, "find", scenes, "--out", tmp_path / "found", *asked)
    assert code == 1 and taught == [31, 31]
    code, out, err = run(capfd, "find", scenes, "--out", tmp_path / "found", *asked, "--resume", "--json")
    assert code == 0 and json.loads(out)["taken_over"] == sum(taught) == 62, err
    assert (tmp_path / "found" / "boxes.csv").read_text() == (tmp_path / "whole" / "boxes.csv").read_text()


def test_a_trained_run_predicts_and_is_measured_beside_its_controls(tmp_path, capfd, scenes):
    run_folder = tmp_path / "run"
    code, out, err = run(capfd, "train", "position", scenes, "--out", run_folder, "--steps", 5, "--size", 40)
    assert code == 0, err
    assert (run_folder / "best.pt").exists() and "predict" in out
    code, _, err = run(capfd, "train", "position", scenes, "--out", run_folder, "--steps", 5, "--size", 40)
    assert code == 2 and "already holds a run" in err
    code, _, err = run(capfd, "predict", run_folder, scenes / "test", "--out", tmp_path / "boxes")
    assert code == 0, err
    code, out, err = run(capfd, "evaluate", run_folder, scenes, "--json")
    assert code == 0, err
    controls = json.loads(out)["measurement"]["controls"]
    assert {"whole image", "centred box", "shuffled maps", "untrained network"} <= set(controls)
