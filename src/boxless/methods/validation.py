"""How well a classifier in training classifies images that it does not learn from."""

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from boxless.data.training_batches import PictureCache, Request, batches
from boxless.data.transforms import WHOLE, to_images


@torch.no_grad()
def classification_accuracy(
    network: nn.Module, pictures: PictureCache, fabric: Fabric, *, batch_size: int, workers: int
) -> float:
    """Fraction of the pictures, uncut, whose best class is the label; every process classifies its share of them.

    By the network itself, not by what holds it for several processes: a share may be empty, and nobody is waited for.
    """
    network.eval()
    mine = np.arange(fabric.global_rank, len(pictures.dataset), fabric.world_size)
    parts = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
    requests = (Request(part, np.tile(WHOLE, (len(part), 1))) for part in parts)
    counts = torch.zeros(2, device=fabric.device)
    for batch in batches(pictures, requests, pictures.resize.size, workers):
        if len(batch.targets):
            with fabric.autocast():
                logits = network(to_images(batch.pictures, fabric.device))
            right = logits.argmax(1) == batch.targets.to(fabric.device)
            counts += torch.stack([right.sum(), right.new_tensor(len(right), dtype=torch.long)])
    right_ones, all_ones = fabric.all_reduce(counts, reduce_op="sum").tolist()  # type: ignore[union-attr]
    return float(right_ones / max(all_ones, 1.0))
