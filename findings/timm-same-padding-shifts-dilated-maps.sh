#!/usr/bin/env bash
# A network of timm that pads as TensorFlow does gives maps at output_stride 16 that lie a whole place aside, or do not,
# with the parity of the image's side.
#
# Guess: a stride that is taken out and made good by dilation computes the same features at more places, so that every
# second place of the finer map, beginning with the first, is the coarser map: for every network and every size of image.
# Seen (timm 1.0.31, random weights): so it is with symmetric padding (efficientnet_lite0, resnet18), at 256 and at 257
# pixels. With "same" padding (tf_efficientnet_lite0) it is so at 257 pixels; at 256 the coarser map is every second place
# from the second on, and the first ones are something else. A strided window is padded by the size of the image, and a
# dilated one is not. Whoever lays the finer map over the image as the coarser one draws its objects up to half a place of
# the coarser map aside.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0" "torchvision==0.28.0" "timm==1.0.31"
# Where torch and torchvision were not built for each other, the operators of torchvision are missing; none is used here.
built=1
"$work/venv/bin/python" -c "import torchvision" 2>/dev/null || built=0
BUILT_FOR_EACH_OTHER=$built "$work/venv/bin/python" - <<'SCRIPT'
import os

import torch

if os.environ["BUILT_FOR_EACH_OTHER"] == "0":
    missing = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        missing.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm

print("timm", timm.__version__)
print("guess: every second place of the map at output_stride 16, from the first on, is the map at 32")


def beginning(name, side):
    """With which place of the finer map the coarser one begins: 0, 1, or nothing."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, side, side)
    coarse, fine = timm.create_model(name).eval(), timm.create_model(name, output_stride=16).eval()
    fine.load_state_dict(coarse.state_dict())
    with torch.inference_mode():
        expected, found = coarse.forward_features(image), fine.forward_features(image)
    for first in (0, 1):
        taken = found[:, :, first::2, first::2]
        inner = [part[:, :, 2:6, 2:6] for part in (expected, taken)]
        if torch.allclose(*inner, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
            return first
    return None


seen = {}
for name in ("efficientnet_lite0", "resnet18", "tf_efficientnet_lite0"):
    for side in (256, 257):
        seen[name, side] = beginning(name, side)
        print(f"{name}, {side} pixels: begins with place {seen[name, side]}")
assert all(first == 0 for (name, side), first in seen.items() if (name, side) != ("tf_efficientnet_lite0", 256))
assert seen["tf_efficientnet_lite0", 256] == 1
SCRIPT
