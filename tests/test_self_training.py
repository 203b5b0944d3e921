import numpy as np
import torch

from boxless.boxes.from_heatmap import Readout
from boxless.data.transforms import to_images
from boxless.discovery.self_training import Student, filled_boxes, moved, train_student


def discs(count, seed=0, side=32):
    """Dark noise with a bright square of 12 pixels anywhere -> pictures and their masks."""
    draws = torch.Generator().manual_seed(seed)
    pictures = torch.randint(90, (count, side, side, 3), generator=draws, dtype=torch.uint8)
    masks = torch.zeros(count, side, side, dtype=torch.bool)
    for mask, (top, left) in zip(masks, torch.randint(side - 12, (count, 2), generator=draws).tolist(), strict=True):
        mask[top : top + 12, left : left + 12] = True
    pictures[masks] += 120
    return pictures, masks


def test_the_student_is_better_than_its_teacher():
    pictures, masks = discs(80)
    draws = torch.Generator().manual_seed(1)
    by = torch.randint(-4, 5, (80, 2), generator=draws).tolist()
    wrong = torch.stack([mask.roll(both, (0, 1)) for mask, both in zip(masks, by, strict=True)])
    student = train_student(pictures, wrong, steps=60, batch_size=16, device=torch.device("cpu"))
    others, truth = discs(40, seed=2)
    found = (
        student.heatmap(to_images(others, torch.device("cpu"))).repeat_interleave(2, 1).repeat_interleave(2, 2) > 0.5
    )

    def iou(a, b):
        return float(((a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1)).mean())

    assert found.shape == truth.shape
    assert iou(found, truth) > iou(wrong, masks) + 0.1


def test_targets_are_the_filled_box_of_the_largest_component():
    heat = np.zeros((16, 16), np.float32)
    heat[2:6, 3], heat[5, 3:9], heat[12, 12] = 1, 1, 1
    readout = Readout(0.9, "fixed")
    (mask, empty) = filled_boxes([heat, np.zeros((16, 16), np.float32)], 16, readout)
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[2:6, 3:9] = True
    assert torch.equal(mask, expected) and not empty.any()


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
