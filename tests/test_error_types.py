import numpy as np
import pytest

from boxless.evaluation.error_types import KINDS, classify_errors


@pytest.mark.parametrize(
    ("box", "truth", "kind"),
    [
        ([0, 0, 10, 10], [[0, 0, 10, 10]], "hit"),
        ([2, 2, 5, 5], [[0, 0, 10, 10]], "part"),
        ([0, 0, 40, 40], [[10, 10, 20, 20]], "large"),
        ([0, 0, 40, 20], [[0, 0, 15, 20], [25, 0, 40, 20]], "several"),
        ([0, 0, 5, 5], [[20, 20, 30, 30]], "missed"),
        ([0, 0, 0, 0], [[20, 20, 30, 30]], "missed"),
        ([0, 0, 10, 10], [[5, 5, 15, 15]], "missed"),
        ([0, 0, 10, 10], [[50, 50, 60, 60], [0, 0, 10, 9]], "hit"),
    ],
)
def test_each_kind(box, truth, kind):
    found = classify_errors(np.array([box], np.float32), [np.array(truth, np.float32)])
    assert found.kind(0) == kind
    assert found.totals()[kind] == 1


def test_totals_classes_and_worst_images():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 2, 2], [50, 50, 60, 60]], np.float32)
    truths = [np.array([[0, 0, 10, 10]], np.float32)] * 4
    found = classify_errors(boxes, truths, np.array([3, 3, 5, 5]))
    assert sum(found.totals().values()) == 4
    assert set(found.totals()) == set(KINDS)
    assert found.per_class() == {
        3: {"hit": 2, "part": 0, "large": 0, "several": 0, "missed": 0},
        5: {"hit": 0, "part": 1, "large": 0, "several": 0, "missed": 1},
    }
    assert found.worst(2) == [3, 2]
    assert classify_errors(boxes, truths).per_class() == {}
