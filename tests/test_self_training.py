import numpy as np
import pytest
import torch

from boxless.data.transforms import to_images
from boxless.discovery.self_training import (
    CUTS,
    SELDOM,
    Student,
    agreement,
    filled,
    moved,
    nested_boxes,
    train_student,
)


def discs(count, seed=0, side=32):
    """Dark noise with a bright square of 12 pixels anywhere -> pictures and their masks."""
    draws = torch.Generator().manual_seed(seed)
    pictures = torch.randint(90, (count, side, side, 3), generator=draws, dtype=torch.uint8)
    masks = torch.zeros(count, side, side, dtype=torch.bool)
    for mask, (top, left) in zip(masks, torch.randint(side - 12, (count, 2), generator=draws).tolist(), strict=True):
        mask[top : top + 12, left : left + 12] = True
    pictures[masks] += 120
    return pictures, masks


def boxes_of(masks):
    """Masks of rectangles -> the same box for every cut."""
    places = [mask.nonzero() for mask in masks]
    found = [[*where.amin(0).flip(0).tolist(), *(where.amax(0).flip(0) + 1).tolist()] for where in places]
    return torch.tensor(found, dtype=torch.int32)[:, None].repeat(1, len(CUTS), 1)


def test_the_student_is_better_than_its_teacher():
    pictures, masks = discs(80)
    wrong, draws = boxes_of(masks), torch.Generator().manual_seed(1)
    wrong += torch.randint(-4, 5, (80, 1, 2), generator=draws, dtype=torch.int32).repeat(1, 1, 2)
    student = train_student(pictures, wrong, steps=60, batch_size=16, device=torch.device("cpu"))
    others, truth = discs(40, seed=2)
    found = (
        student.heatmap(to_images(others, torch.device("cpu"))).repeat_interleave(2, 1).repeat_interleave(2, 2) > 0.5
    )

    def iou(a, b):
        return float(((a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1)).mean())

    assert found.shape == truth.shape
    assert iou(found, truth) > iou(filled(wrong, 32) > 0, masks) + 0.1


def test_a_target_is_the_mean_of_the_boxes_of_the_largest_component():
    slope, empty = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    slope[2:6, 3], slope[5, 3:9], slope[12, 12] = 1, 1, 1
    slope[6:9, 3:9] = 0.25  # above the first cut alone
    boxes = nested_boxes([slope, empty], 16)
    assert boxes[0].tolist() == [[3, 2, 9, 9], [3, 2, 9, 6], [3, 2, 9, 6]] and not boxes[1].any()
    target, nothing = filled(boxes, 16)
    expected = torch.zeros(16, 16)
    expected[2:9, 3:9], expected[2:6, 3:9] = 1 / 3, 1
    torch.testing.assert_close(target, expected)
    assert not nothing.any()
    assert agreement(boxes, 16).tolist() == pytest.approx([4 / 7, SELDOM])


def test_images_whose_boxes_differ_are_seldom_learnt_from():
    pictures, masks = discs(80)
    boxes = boxes_of(masks)
    boxes[:40] = torch.tensor([[0, 0, 32, 32], [0, 0, 8, 8], [0, 0, 2, 2]])  # no cut is right: these lead astray
    student = train_student(pictures, boxes, steps=60, batch_size=16, device=torch.device("cpu"))
    heat = student.heatmap(to_images(pictures, torch.device("cpu")))
    inside = torch.nn.functional.avg_pool2d(masks.float(), 2) == 1
    assert heat[inside].mean() > 0.8 and heat[~inside].mean() < 0.2


def test_a_target_moves_with_its_image():
    pictures, masks = discs(20)
    images = torch.cat([to_images(pictures, torch.device("cpu")), masks[:, None].float()], dim=1)
    seen = moved(images, torch.Generator().manual_seed(0))
    bright, mask = seen[:, :3].mean(1) > 0.35, seen[:, 3] > 0.5
    assert not torch.equal(seen, images)
    assert (bright == mask).float().mean() > 0.97


def test_images_of_any_size_give_a_place_every_two_pixels():
    for height, width in ((28, 28), (33, 50)):
        assert Student().eval().heatmap(torch.rand(2, 3, height, width)).shape == (2, height // 2, width // 2)
