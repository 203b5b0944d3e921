import numpy as np
import pytest
import torch

from boxless.backbones import build_backbone
from boxless.backbones.backbone import Backbone
from boxless.discovery.ddt import Ddt
from boxless.runtime.errors import BoxlessError


class Same(torch.nn.Module):
    """A network whose one step changes nothing."""

    def stages(self):
        yield "same", torch.nn.Identity()


def identity():
    """A backbone whose features are the image itself."""
    return Backbone(Same(), name="identity", stride=1, mean=(0.0,) * 3, std=(1.0,) * 3)


def made(batch, places=9, channels=6, seed=0):
    """Descriptors of a common object in the middle of each image, on a background that varies from image to image."""
    random = torch.Generator().manual_seed(seed)
    descriptors = 0.3 * torch.randn(batch, channels, places, places, generator=random)
    common = torch.tensor([3.0, -1.0, 0.0, 2.0, 0.0, 1.0])
    descriptors[:, :, 3:6, 3:6] += common.view(1, -1, 1, 1)
    return descriptors


def learned(descriptors, *, split=1, **options):
    method = Ddt(identity(), **options)
    for part in descriptors.split(split):
        method.partial_fit(part)
    method.fit_done()
    return method


def test_the_stream_gives_the_principal_direction_of_all_descriptors_at_once():
    descriptors = made(7)
    method = learned(descriptors, split=2)
    flat = descriptors.permute(0, 2, 3, 1).flatten(0, 2).numpy().astype(np.float64)
    _, _, directions = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    assert abs(float(method.direction.numpy() @ directions[0])) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(method.mean.numpy(), flat.mean(0), atol=1e-5)


@pytest.mark.parametrize("split", [1, 3, 7])
def test_batching_changes_nothing(split):
    whole, parts = learned(made(7), split=7), learned(made(7), split=split)
    torch.testing.assert_close(whole.heatmap(made(7)), parts.heatmap(made(7)), atol=1e-5, rtol=1e-4)


def test_the_common_object_is_positive_and_the_border_negative_whatever_sign_the_eigenvector_has():
    for sign in (1, -1):
        heat = learned(sign * made(6)).heatmap(sign * made(6))
        assert (heat[:, 3:6, 3:6] > 0).all() and (heat[:, 0] < 0).all()


def test_a_large_mean_costs_no_digits():
    near, far = learned(made(5)), learned(made(5) + 1000)
    torch.testing.assert_close(near.heatmap(made(5)), far.heatmap(made(5) + 1000), atol=2e-3, rtol=1e-2)


def test_descriptors_have_unit_length_unless_told_otherwise():
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(Ddt(identity()).descriptors(images).norm(dim=1), torch.ones(2, 8, 8))
    torch.testing.assert_close(Ddt(identity(), unit_length=False).descriptors(images), images)


def test_one_image_and_one_place_are_enough_to_go_on():
    assert learned(made(1)).heatmap(made(1)).shape == (1, 9, 9)
    assert torch.isfinite(learned(made(3)[:, :, :1, :1]).heatmap(made(3)[:, :, :1, :1])).all()


def test_a_new_category_forgets_the_old_one():
    method = learned(made(4, seed=1))
    method.reset()
    with pytest.raises(BoxlessError, match="No readable image"):
        method.fit_done()
    method.partial_fit(made(5, seed=2))
    method.fit_done()
    torch.testing.assert_close(
        method.heatmap(made(5, seed=2)), learned(made(5, seed=2), split=5).heatmap(made(5, seed=2))
    )


def test_lite0_is_read_at_its_last_block_but_one():
    descriptors = Ddt(build_backbone("lite0", stride=16, weights="none")).descriptors(torch.rand(1, 3, 64, 64))
    assert descriptors.shape == (1, 192, 4, 4)
