from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from boxless.gan.checkpoint_selection import (
    CheckpointCriteria,
    CriteriaScores,
    agreement,
    correlation,
    deletion,
    derangement,
    equivariance,
    select_checkpoint,
)
from boxless.gan.localizer import GanLocalizer
from boxless.gan.networks import Discriminator

SIZE, COUNT = 64, 60
OTHERS = derangement(COUNT)


def blobs(seed: int = 0) -> Tensor:
    """Dark images with one bright square each, somewhere (n, 3, size, size)."""
    draws = torch.Generator().manual_seed(seed)
    images = 0.1 * torch.rand(COUNT, 3, SIZE, SIZE, generator=draws)
    for image in images:
        y, x = torch.randint(4, SIZE - 24, (2,), generator=draws).tolist()
        image[:, y : y + 20, x : x + 20] += 0.8
    return images


def seeing(images: Tensor) -> Tensor:
    return F.avg_pool2d(images.mean(1), 16)


def logit(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


def constant(images: Tensor) -> Tensor:
    return torch.ones(len(images), 4, 4)


def centre(images: Tensor) -> Tensor:
    line = torch.tensor([0.1, 1.0, 1.0, 0.1])
    return (line[:, None] * line).expand(len(images), 4, 4)


def noise(images: Tensor) -> Tensor:
    return torch.rand(len(images), 4, 4)


def test_maps_that_see_the_object_score_high() -> None:
    images = blobs()
    assert equivariance(seeing, images, OTHERS) > 0.5
    assert deletion(logit, images, seeing(images), OTHERS) > 0.9
    assert agreement(seeing(images), seeing(images), OTHERS) > 0.5


@pytest.mark.parametrize(("heatmap", "tolerance"), [(constant, 1e-6), (centre, 1e-6), (noise, 0.35)])
def test_maps_that_see_nothing_score_nothing(heatmap: Callable[[Tensor], Tensor], tolerance: float) -> None:
    torch.manual_seed(0)
    images = blobs()
    assert abs(equivariance(heatmap, images, OTHERS)) < tolerance
    assert abs(agreement(heatmap(images), heatmap(images), OTHERS)) < tolerance
    assert abs(deletion(logit, images, heatmap(images), OTHERS)) < tolerance


def test_hiding_the_wrong_place_scores_below_zero() -> None:
    images = blobs()
    assert deletion(logit, images, -seeing(images), OTHERS) < -0.5


def test_derangement_leaves_nothing_in_place() -> None:
    for count in (2, 3, 60):
        others = derangement(count)
        assert (others != torch.arange(count)).all() and others.sort().values.tolist() == list(range(count))


def test_correlation_of_constant_maps_is_0() -> None:
    assert correlation(torch.ones(2, 4, 4), torch.rand(2, 4, 4)).tolist() == [0, 0]
    x = torch.rand(2, 4, 4)
    torch.testing.assert_close(correlation(x, 3 * x + 1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(correlation(x, -x), -torch.ones(2, dtype=torch.float64))


def localizer(seed: int) -> GanLocalizer:
    torch.manual_seed(seed)
    return GanLocalizer(Discriminator(SIZE, width=1 / 16, norm="none", spectral=True))


def test_an_untrained_network_is_not_chosen_over_its_like() -> None:
    images = (blobs().permute(0, 2, 3, 1) * 255).to(torch.uint8)
    judge = CheckpointCriteria(images, localizer(0))
    scores = [judge.score(localizer(seed), seed) for seed in range(1, 6)]
    spread = max(s.equivariance for s in scores) - min(s.equivariance for s in scores)
    mean = sum(s.equivariance for s in scores) / len(scores)
    assert abs(mean - judge.untrained.equivariance) <= spread
    assert scores[0].stability == 0
    assert judge.score(localizer(5), 6).stability > 0.3  # the same network again


def rows(equivariance: list[float], deletion: list[float], stability: list[float]) -> list[CriteriaScores]:
    values = zip(equivariance, stability, deletion, strict=True)
    return [CriteriaScores(100 * i, *row) for i, row in enumerate(values, 1)]


UNTRAINED = CriteriaScores(0, 0.1, 0.0, 0.1)


def test_selection_takes_the_peak_and_waits_for_stability() -> None:
    rise_and_fall = [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1]
    steady = [0.9] * 10
    assert select_checkpoint(rows(rise_and_fall, rise_and_fall, steady), UNTRAINED) in (600, 700)
    late = [0.1] * 7 + [0.9] * 3
    always = [0.1 * i for i in range(1, 11)]
    assert select_checkpoint(rows(always, always, late), UNTRAINED) == 1000
    early = [*steady[:4], *[0.1] * 6]
    # The median sees the fall one row late.
    assert select_checkpoint(rows(rise_and_fall, rise_and_fall, early), UNTRAINED) == 500


def test_selection_is_causal() -> None:
    torch.manual_seed(0)
    made = rows(*torch.rand(3, 20).tolist())
    choices = [select_checkpoint(made[:count], UNTRAINED) for count in range(3, 21)]
    changes = [count for count, (a, b) in enumerate(pairwise(choices), 4) if a != b]
    assert all(choices[count - 3] == 100 * count for count in changes)


def test_nothing_above_the_untrained_network_leaves_the_last() -> None:
    dead = [0.05] * 8
    assert select_checkpoint(rows(dead, dead, [0.9] * 8), UNTRAINED) == 800
