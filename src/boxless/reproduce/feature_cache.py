"""A backbone's frozen stages compute the same of the same picture: once is enough for all epochs, seeds and methods.

Pictures are told apart by a hash of their pixels, so that nothing has to know which image a tensor came from. It pays
where pictures come again as they were (no random cut; mirrored or not), which is most of a small experiment's time.
"""

from functools import partial
from hashlib import blake2b

import torch
from jaxtyping import Float
from torch import Tensor

from boxless.backbones.backbone import Backbone


class FeatureCache:
    """Features after frozen stages by picture, in memory up to `memory` GiB; of one backbone with one freeze."""

    def __init__(self, memory: float = 1.0) -> None:
        self.room = memory * 2**30
        self.kept: dict[tuple[int, torch.dtype, bytes], Tensor] = {}

    def attach(self, backbone: Backbone) -> None:
        """Let `backbone`, whose first stages are frozen, look here before it computes them; its state dict stays."""
        backbone.forward_stem = partial(self.forward_stem, backbone)  # type: ignore[method-assign]

    def forward_stem(
        self, backbone: Backbone, images: Float[Tensor, "batch 3 H W"], count: int
    ) -> Float[Tensor, "batch _c _h _w"]:
        """Images 0..1 -> the features after the first `count` stages, all of them frozen, as Backbone.forward_stem."""
        kind = images.device.type
        computed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else images.dtype
        keys = [(count, computed, _key(image)) for image in images]  # what was rounded is none of another precision's
        new = [place for place, key in enumerate(keys) if key not in self.kept]
        made = (
            dict(zip([keys[place] for place in new], _computed(backbone, images[new], count), strict=True))
            if new
            else {}
        )
        rows = [made[key] if key in made else self.kept[key] for key in keys]
        for key, row in made.items():
            if self.room >= row.nbytes:
                self.room -= row.nbytes
                self.kept[key] = row
        return torch.stack(rows).contiguous(memory_format=torch.channels_last)


def _computed(backbone: Backbone, images: Tensor, count: int) -> list[Tensor]:
    # Not in inference mode, whose tensors training could not use later.
    with torch.inference_mode(False), torch.no_grad():
        return [row.clone() for row in Backbone.forward_stem(backbone, images.clone(), count)]


def _key(image: Float[Tensor, "3 H W"]) -> bytes:
    return blake2b(image.permute(1, 2, 0).contiguous().cpu().numpy().data, digest_size=16).digest()
