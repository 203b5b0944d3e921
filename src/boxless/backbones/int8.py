"""An OpenVINO model -> the same in integers of 8 bits, its ranges measured on a few images.

Every convolution gets weights of 255 levels per channel and inputs of 256 levels per tensor, as do the two sides of a
shortcut. Convolutions that read a map of half the image's resolution or more keep their precision: there the rounding
of one pixel is seen by all that follow. With ReLU6 inputs this needs no search for ranges; the extremes serve.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

CONVOLUTIONS = ("Convolution", "GroupConvolution")
AT_ONCE = 4
"""Images whose ranges are measured in one pass."""
Ranges = dict[str, tuple[float, float]]
"""Name of a tensor -> its least and greatest value."""


def measured_ranges(core: Any, model: Any, images: Float32[np.ndarray, "batch 3 H W"]) -> Ranges:
    """The extremes, over some images, of every tensor that `quantise` would round."""
    import openvino
    from openvino import opset13 as ops

    axes = ops.constant(np.arange(4))
    tensors = _rounded(model)
    extremes = [
        reduce(tensor, axes, False).output(0)
        for tensor in tensors.values()
        for reduce in (ops.reduce_min, ops.reduce_max)
    ]
    observer = core.compile_model(
        openvino.Model(extremes, model.get_parameters(), "ranges"),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1},
    )
    seen = []
    for start in range(0, len(images), AT_ONCE):  # every tensor of a pass is kept until its end
        found = observer([images[start : start + AT_ONCE]])
        seen.append([float(found[place]) for place in range(len(extremes))])
    low, high = np.min(seen, axis=0)[::2], np.max(seen, axis=0)[1::2]
    return dict(zip(tensors, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def quantise(model: Any, ranges: Ranges) -> None:
    """Round the model's convolutions and shortcuts in place, to the levels that `ranges` give."""
    convolutions = [op for op in _convolutions(model) if not _fine(model, op)]
    fine = {op.get_friendly_name() for op in _convolutions(model)} - {op.get_friendly_name() for op in convolutions}
    for name, tensor in _rounded(model).items():
        users = [one for one in tensor.get_target_inputs() if one.get_node().get_friendly_name() not in fine]
        rounded = _levels(tensor, *with_zero(*ranges[name]), 256).output(0)
        for user in users:
            if user.get_node().get_type_name() != "Result":
                user.replace_source_output(rounded)
    for convolution in convolutions:
        kernel = convolution.input_value(1)
        convolution.input(1).replace_source_output(_rounded_kernel(kernel, convolution.get_type_name()).output(0))
    model.validate_nodes_and_infer_types()


def with_zero(low: float, high: float) -> tuple[float, float]:
    """The range, widened until 0 is one of its 256 levels, as padding needs."""
    low, high = min(low, 0.0), max(high, 0.0, low + 1e-6)
    if low == 0:
        return low, high
    below = min(max(round(-low / (high - low) * 255), 1), 254)
    step = max(-low / below, high / (255 - below))
    return -step * below, step * (255 - below)


def _convolutions(model: Any) -> list[Any]:
    return [op for op in model.get_ordered_ops() if op.get_type_name() in CONVOLUTIONS]


def _fine(model: Any, convolution: Any) -> bool:
    side = model.input(0).get_partial_shape()[2].get_length()
    return bool(2 * convolution.input(0).get_partial_shape()[2].get_length() >= side)


def _rounded(model: Any) -> dict[str, Any]:
    """The tensors that are rounded, by name: what convolutions read, before any padding, and what shortcuts add."""
    return {f"{one.get_node().get_friendly_name()}:{one.get_index()}": one for one in _inputs(model)}


def _inputs(model: Any) -> Iterator[Any]:
    for op in model.get_ordered_ops():
        if op.get_type_name() in CONVOLUTIONS and not _fine(model, op):
            tensor = op.input_value(0)
            padded = tensor.get_node().get_type_name() == "Pad"
            yield tensor.get_node().input_value(0) if padded else tensor
        elif op.get_type_name() == "Add":
            sides = [op.input_value(0), op.input_value(1)]
            if all(side.get_node().get_type_name() != "Constant" and _is_map(side) for side in sides):
                yield from sides


def _is_map(tensor: Any) -> bool:
    return len(tensor.get_partial_shape()) == 4


def _rounded_kernel(kernel: Any, kind: str) -> Any:
    from openvino import opset13 as ops

    values: np.ndarray = np.ascontiguousarray(kernel.get_node().data, np.float32)
    own = 1 if kind == "Convolution" else 2  # axes that number the channels that leave
    greatest = np.abs(values).max(axis=tuple(range(own, values.ndim)), keepdims=True) + np.float32(1e-12)
    return _levels(ops.constant(values), -greatest, greatest, 255)


def _levels(tensor: Any, low: Any, high: Any, count: int) -> Any:
    from openvino import opset13 as ops

    ends = [ops.constant(np.asarray(end, np.float32).reshape(np.shape(end) or (1, 1, 1, 1))) for end in (low, high)]
    return ops.fake_quantize(tensor, *ends, *ends, count)
