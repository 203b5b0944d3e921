"""What wsolevaluation computes, written out once from its description: one contour search for each threshold.

Half-open truth boxes of the original image are its metadata numbers as they stand.
"""

import cv2
import numpy as np

SIDE = 224


def scoremap(cam):
    """Resize (cubic, float64) to 224 x 224, then min-max; zeros where the map is constant."""
    large = cv2.resize(cam.astype(np.float64), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    if large.min() == large.max():
        return np.zeros_like(large)
    large -= large.min()
    return large / large.max()


def resized_truth(box, size):
    (x0, y0, x1, y1), (width, height) = map(float, box), map(float, size)
    return int(x0 * SIDE / width), int(y0 * SIDE / height), int(x1 * SIDE / width), int(y1 * SIDE / height)


def boxes_at(score, threshold, every_contour):
    height, width = score.shape
    grey = (score * 255).astype(np.uint8)
    _, mask = cv2.threshold(grey, int(threshold * np.max(grey)), 255, cv2.THRESH_BINARY)
    contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if len(contours) == 0:
        return [[0, 0, 0, 0]]
    if not every_contour:
        contours = [max(contours, key=cv2.contourArea)]
    found = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        found.append([x, y, min(x + w, width - 1), min(y + h, height - 1)])
    return found


def inclusive_iou(a, b):
    across = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    shared = across * max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return shared / (sum(areas) - shared)


def best_iou(score, truths, threshold, every_contour):
    return max(inclusive_iou(a, b) for a in boxes_at(score, threshold, every_contour) for b in truths)


def ious(cam, size, truth, thresholds, every_contour=False):
    """IoU at every threshold; a threshold that int() makes the same is not searched twice."""
    score, truths = scoremap(cam), [resized_truth(box, size) for box in truth]
    top = int(np.max((score * 255).astype(np.uint8)))
    known = {}
    for threshold in thresholds:
        level = int(threshold * top)
        if level not in known:
            known[level] = best_iou(score, truths, threshold, every_contour)
    return np.array([known[int(threshold * top)] for threshold in thresholds])


def pixel_average_precision(scores, masks, thresholds):
    """Score maps and masks (1 object, 0 background, 255 ignored), pooled -> PxAP in percent."""
    edges = np.append(thresholds, [1.0, 2.0, 3.0])
    true = np.zeros(len(edges) - 1)
    false = np.zeros(len(edges) - 1)
    for score, mask in zip(scores, masks, strict=True):
        true += np.histogram(score[mask == 1], bins=edges)[0]
        false += np.histogram(score[mask == 0], bins=edges)[0]
    tp, fp = true[::-1].cumsum(), false[::-1].cumsum()
    kept = (tp + fp) != 0
    precision = np.divide(tp, tp + fp, where=kept, out=np.zeros_like(tp))
    recall = tp / true.sum()
    return 100.0 * (precision[1:] * np.diff(recall))[kept[1:]].sum()
