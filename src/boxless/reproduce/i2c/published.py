"""What the I2C paper prints in its comparisons, as data: errors in percent (Zhang et al., ECCV 2020, Tables 1 and 2).

The rows of other methods were copied by the paper from theirs; each was made under its own protocol. The paper says
that its thresholds "are adjusted to the optimal values", so that its errors belong beside our oracle's.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One line: a method on a backbone, as boxless calls them, and its errors; None where nothing is printed."""

    method: str
    backbone: str
    top_1: float | None
    """Top-1 localization."""
    top_5: float | None = None
    """Top-5 localization."""
    gt_known: float | None = None
    class_1: float | None = None
    """Top-1 classification."""
    class_5: float | None = None
    """Top-5 classification."""

    @property
    def errors(self) -> tuple[float | None, ...]:
        """In the order of the columns."""
        return self.top_1, self.top_5, self.gt_known, self.class_1, self.class_5


TABLE_1 = (
    PublishedRow("cam", "alexnet", 67.19, 52.16, 45.01, 42.6, 19.5),
    PublishedRow("cam", "googlenet", 56.40, 43.00, 41.34, 31.9, 11.3),
    PublishedRow("has", "googlenet", 54.53, None, 39.43, 32.5),
    PublishedRow("acol", "googlenet", 53.28, 42.58, None, 29.0, 11.8),
    PublishedRow("danet", "googlenet", 52.47, 41.72, None, 27.5, 8.6),
    PublishedRow("backprop", "vgg16", 61.12, 51.46),
    PublishedRow("cam", "vgg16", 57.20, 45.14, None, 31.2, 11.4),
    PublishedRow("cutmix", "vgg16", 56.55),
    PublishedRow("adl", "vgg16", 55.08, None, None, 32.2),
    PublishedRow("acol", "vgg16", 54.17, 40.57, 37.04, 32.5, 12.0),
    PublishedRow("i2c", "vgg16", 52.59, 41.49, 36.10, 30.6, 10.7),
    PublishedRow("cam", "resnet50_se", 53.81, None, None, 23.44),
    PublishedRow("cutmix", "resnet50", 52.75, None, None, 21.4, 5.92),
    PublishedRow("adl", "resnet50_se", 51.47, None, None, 24.15),
    PublishedRow("i2c", "resnet50", 45.17, 35.40, 31.50, 23.3, 6.9),
    PublishedRow("cam", "inception_v3", 53.71, 41.81, 37.32, 26.7, 8.2),
    PublishedRow("spg", "inception_v3", 51.40, 40.00, 35.31, 30.3, 9.9),
    PublishedRow("adl", "inception_v3", 51.29, None, None, 27.2),
    PublishedRow("i2c", "inception_v3", 46.89, 35.87, 31.50, 26.7, 8.4),
)
"""ILSVRC validation images, ten crops for the classes."""

TABLE_2 = (
    PublishedRow("cam", "inception_v3", 56.33, 46.47),
    PublishedRow("acol", "inception_v3", 54.08, 43.49),
    PublishedRow("spg", "inception_v3", 53.36, 42.28),
    PublishedRow("danet", "inception_v3", 47.48, 38.04),
    PublishedRow("adl", "inception_v3", 46.96),
    PublishedRow("i2c", "inception_v3", 44.01, 31.66),
)
"""CUB-200-2011 test images; the text names InceptionV3, the table no backbone, and DANet's was VGG16 in its paper."""
