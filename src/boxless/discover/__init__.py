"""Training-free co-localization: what the images of one category share, read from features that somebody else trained.

A discoverer sees every image once (`describe`), learns from the descriptors as they stream by (`learn`), and then turns
each image's descriptors into a heat map (`heatmap`). Names map to import paths, so that help does not import torch.
"""

import importlib
from typing import Any

DISCOVERERS = {
    "ddt": "boxless.discover.ddt:Ddt",
}


def discoverer_class(name: str) -> Any:
    """The class of the training-free method called `name`; raises KeyError for a name DISCOVERERS does not hold."""
    module, _, attribute = DISCOVERERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
