"""A backbone's frozen steps compute the same of the same picture: once is enough for all epochs, seeds and methods.

Pictures are told apart by a hash of their pixels, so that nothing has to know which image a tensor came from. It pays
where pictures come again as they were (no random cut; mirrored or not), which is most of a small experiment's time.
"""

from functools import partial
from hashlib import blake2b

import torch
from jaxtyping import Float
from torch import Tensor

from boxless.backbones.backbone import Backbone


class Remembered:
    """Outputs of the last frozen step by picture, in memory up to `memory` GiB; of one backbone with one freeze."""

    def __init__(self, memory: float = 1.0) -> None:
        self.room = memory * 2**30
        self.kept: dict[bytes, Tensor] = {}

    def attach(self, backbone: Backbone) -> None:
        """Let `backbone`, whose first steps are frozen, look here before it computes them; its state dict stays."""
        backbone.forward = partial(self.features, backbone)  # type: ignore[method-assign]

    def features(self, backbone: Backbone, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch channels h w"]:
        """Images 0..1 -> the features of the last step, as Backbone.forward gives them."""
        keys = [_key(image) for image in images]
        new = [place for place, key in enumerate(keys) if key not in self.kept]
        made = (
            dict(zip([keys[place] for place in new], self._frozen(backbone, images[new]), strict=True)) if new else {}
        )
        rows = [made[key] if key in made else self.kept[key] for key in keys]
        for key, row in made.items():
            if self.room >= row.nbytes:
                self.room -= row.nbytes
                self.kept[key] = row
        features = torch.stack(rows).contiguous(memory_format=torch.channels_last)
        for _, step in list(backbone.steps())[backbone.frozen :]:
            features = step(features)
        return features

    @staticmethod
    def _frozen(backbone: Backbone, images: Tensor) -> list[Tensor]:
        # Not in inference mode, whose tensors training could not use later.
        with torch.inference_mode(False), torch.no_grad():
            features = backbone.normalise(images.clone())
            for _, step in list(backbone.steps())[: backbone.frozen]:
                features = step(features)
            return [row.clone() for row in features]


def _key(image: Float[Tensor, "3 H W"]) -> bytes:
    return blake2b(image.permute(1, 2, 0).contiguous().cpu().numpy().data, digest_size=16).digest()
