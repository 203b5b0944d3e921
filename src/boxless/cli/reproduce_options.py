"""What the commands that rebuild tables of classifiers have in common: their flags in words and as values."""

from typing import Any

from boxless.runtime.errors import UsageError

HELP = """data
    Folder or zip with train and test (or val) images in class folders, and boxes_train.csv and boxes_test.csv; several
    paths are the parts of one data set, such as tiny200_a.zip tiny200_b.zip.
minutes
    Stop after this many minutes with everything saved; default: no limit.
seeds
    Seeds, separated by commas; all trials of the first come first.
recipe
    quick: Lite0's last layers, on a processor; paper: the published schedule (InceptionV3), for a GPU.
epochs
    Passes over the training images; default: the recipe's.
freeze
    Last step of the backbone that does not learn; default: the recipe's.
size
    Side in pixels of what the network sees; default: the recipe's.
images_per_class
    Training images of each class at most, the first by name; default: all.
workers
    Threads that read images.
out
    Folder for cells/*.json, the runs and the page.

"""


def numbers(seeds: str) -> list[int]:
    """Seeds as they are typed; raises UsageError for anything else."""
    if not all(seed.strip().isdecimal() for seed in seeds.split(",")):
        raise UsageError(f"The seeds are {seeds!r}. Expected whole numbers separated by commas, such as 0,1.")
    return [int(seed) for seed in seeds.split(",")]


def changed(
    recipe: str, epochs: int | None, freeze: str | None, size: int | None, workers: int, images_per_class: int | None
) -> dict[str, Any]:
    """Options of `reproduce`: the recipe and what differs from it; the margin for crops grows with the size."""
    from boxless.reproduce.recipes import RECIPES

    base = RECIPES[recipe].training
    resize = None if size is None else round(size * base.resize / base.size)
    given = {"epochs": epochs, "freeze": freeze, "size": size, "resize": resize}
    found = {"recipe": recipe, "images_per_class": images_per_class, "workers": workers}
    return found | {name: value for name, value in given.items() if value is not None}
