import pytest
import torch

from boxless.data.transforms import to_images
from boxless.discovery.centre_or_border import position_targets
from boxless.gan import GANS, position_head
from boxless.gan.localizer import READOUTS, GanLocalizer, from_description
from boxless.gan.networks import Discriminator
from boxless.gan.position_head import Windows, pixel_heatmap, trained_head
from boxless.runtime import checkpoint
from boxless.runtime.errors import UsageError

SIDE = 32
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(position_head, "STEPS", 30)


def discriminator(gan="sn-dcgan", size=SIDE):
    recipe = GANS[gan]
    torch.manual_seed(0)
    return Discriminator(size, width=1 / 8, norm=recipe.norm, norm_first=recipe.norm_first, spectral=recipe.spectral)


def noise(count, seed=0):
    """Bright noise, beside which zeros are seen."""
    return torch.randint(
        128, 256, (count, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def squares(count, seed=0, reach=3):
    """Grey noise with a reddish square of 10 pixels, up to `reach` pixels off the middle -> pictures, corners."""
    pictures = noise(count, seed) // 2
    corners = (SIDE - 10) // 2 + torch.randint(
        -reach, reach + 1, (count, 2), generator=torch.Generator().manual_seed(seed)
    )
    for picture, (top, left) in zip(pictures, corners.tolist(), strict=True):
        picture[top : top + 10, left : left + 10, 0] += 120
    return pictures, corners


def accuracy(maps, pictures, others):
    """Of a head that has learnt from pictures, on others: the mean of the shares of both sides that are right."""
    head = trained_head(maps, maps(to_images(pictures[:1], CPU)).shape[1], pictures, CPU)
    with torch.no_grad():
        said = head(maps(to_images(others, CPU))) > 0
    centre, border = position_targets(*said.shape[-2:])
    return float(said[:, centre].float().mean() + (~said[:, border]).float().mean()) / 2


def test_no_place_leaks_into_images_of_noise_as_it_does_through_padding():
    localizer = GanLocalizer(discriminator(), reading="position", layer=2)
    unpadded, padded = localizer._inside, localizer.discriminator.maps
    assert accuracy(lambda images: unpadded(2 * images - 1), noise(60), noise(60, 1)) == pytest.approx(0.5, abs=0.03)
    assert accuracy(lambda images: padded(2 * images - 1)[2], noise(60), noise(60, 1)) > 0.9


@pytest.mark.parametrize("finer", ["none", "stride"])
def test_a_place_of_the_map_is_the_window_around_it(finer):
    localizer = GanLocalizer(discriminator(), reading="position", layer=2, finer=finer).prepare(noise(8))
    images, windows = 2 * to_images(noise(2), CPU) - 1, localizer.windows
    assert windows == ((13, 4) if finer == "none" else (13, 2))
    whole = localizer._read(images)
    assert whole.shape[-1] == SIDE // windows.step
    row, before = 3, (windows.side - windows.step) // 2
    start = row * windows.step - before
    window = images[:, :, start : start + windows.side, start : start + windows.side]
    torch.testing.assert_close(localizer.head(localizer._inside(window))[:, 0, 0], whole[:, row, row])


def test_what_stands_in_the_middle_is_learnt_from_ds_features_and_from_pixels():
    pictures, (others, corners) = squares(60)[0], squares(40, seed=2, reach=6)
    localizer = GanLocalizer(discriminator(), reading="position", layer=1).prepare(pictures)
    for heatmap in (localizer.heatmap, pixel_heatmap(Windows(7, 2), pictures)):
        heat = heatmap(to_images(others, CPU))
        assert heat.shape == (40, SIDE // 2, SIDE // 2)
        peak = heat.flatten(1).argmax(1)
        found = 2 * torch.stack([peak // (SIDE // 2), peak % (SIDE // 2)], 1) + 1
        assert ((found - corners - 5).abs().amax(1) <= 6).float().mean() > 0.9  # on the square


@pytest.mark.parametrize("gan", ["dcgan", "sn-dcgan", "wgan-gp"])
@pytest.mark.parametrize("finer", ["none", "shift", "stride"])
def test_position_of_every_kind_of_d(gan, finer, monkeypatch, tmp_path):
    monkeypatch.setattr(position_head, "STEPS", 1)
    localizer = GanLocalizer(discriminator(gan), reading="position", layer=1, finer=finer).prepare(noise(8))
    images = to_images(noise(3, 1), CPU)
    heat = localizer.heatmap(images)
    assert heat.shape == (3, *[SIDE // 2 * (1 if finer == "none" else 2)] * 2)
    torch.testing.assert_close(localizer.heatmap(images[1:2])[0], heat[1], rtol=1e-4, atol=1e-5)
    options = {"discriminator": localizer.discriminator.options, "reading": localizer.options}
    checkpoint.save(tmp_path / "best.pt", {"options": options, "model": localizer.state_dict()})
    content = checkpoint.read(tmp_path / "best.pt")
    loaded = from_description(content)
    loaded.load_state_dict(content["model"])
    assert torch.equal(loaded.eval().heatmap(images), heat)
    assert "position" in READOUTS


def test_a_layer_that_sees_the_whole_image_cannot_be_asked_where_it_is():
    with pytest.raises(UsageError, match=r"windows of 46 pixels, of which too few .* Choose an earlier --layer"):
        GanLocalizer(discriminator(size=64), reading="position", layer=-1)
