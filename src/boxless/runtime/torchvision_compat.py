"""Make `import torchvision` work beside a torch that its compiled extension does not fit.

PyPI's torchvision wheels are CUDA builds. Beside a CPU-only torch the extension cannot load, and the import dies
with "operator torchvision::nms does not exist" (pytorch/vision#8985), because torchvision registers fake kernels for
two operators that nobody has declared. Declaring them first is enough for models, transforms.v2 and box_iou; nms,
roi_align and torchvision.io stay unavailable and boxless uses none of them. Import this module before torchvision.
"""

import importlib.util
from pathlib import Path

import torch


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")  # finds the package without running its __init__
    if spec is None or spec.origin is None:
        return False
    try:
        for library in Path(spec.origin).parent.glob("_C.*"):
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
            return True
    except OSError:
        return False
    return False


def _declare_missing_operators() -> torch.library.Library | None:
    if _extension_loads():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library


# The declarations live as long as this object does.
DECLARED = _declare_missing_operators()
