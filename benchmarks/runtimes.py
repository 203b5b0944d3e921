"""What computes lite0's descriptors on a processor: torch, OpenVINO, ONNX Runtime, OpenCV's networks, in turns.

    python benchmarks/runtimes.py PHOTOS --out runtimes.json [--repeats 7] [--count 16] [--size 288]

fp32, bf16 and 8 bits where the library has them; what is not installed, or cannot do it, is left out with its reason.
8 bits are boxless's own for OpenVINO and ONNX Runtime's static quantisation for that, both measured on the first half
of --count photographs; the other half is timed, in batches of 4 on one thread, by milliseconds of the processor (the
median), and compared: the mean cosine of descriptors to torch's in fp32.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from boxless.backbones import build_backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.data.images import read_resized
from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance

STAGES = ("block10", "block15")
BATCH = 4
Way = Callable[[np.ndarray], list[Any]]


class Descriptors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = folded(build_backbone("lite0", stride=16, weights="imagenet")).eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.backbone.compute(images, *STAGES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--size", type=int, default=288)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths = sorted(asked.photos.rglob("*.jpg"))
    some = [paths[place] for place in np.linspace(0, len(paths) - 1, asked.count).round().astype(int)]
    read = np.stack([read_resized(path.read_bytes(), path.name, asked.size)[0] for path in some])
    pictures = np.ascontiguousarray(read.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    with tempfile.TemporaryDirectory() as room, torch.no_grad():
        found = compared(dict(ways(pictures[: asked.count // 2], Path(room))), pictures[asked.count // 2 :], asked)
    write_json(asked.out, {**provenance(), "load": os.getloadavg()[0], "size": asked.size, "ways": found})
    print(asked.out.read_text())


def ways(calibration: np.ndarray, room: Path) -> Iterator[tuple[str, Way | str]]:
    """Name -> what computes a batch, or why nothing does."""
    network = Descriptors().to(memory_format=torch.channels_last)
    yield "torch fp32", lambda batch: [part.numpy() for part in network(torch.from_numpy(batch))]
    yield "torch bf16", by_torch_bf16(network)
    for name, make in (
        ("openvino fp32", lambda: openvino(network, calibration, "f32", eight=False)),
        ("openvino bf16", lambda: openvino(network, calibration, "bf16", eight=False)),
        ("openvino int8", lambda: openvino(network, calibration, "bf16", eight=True)),
        ("onnxruntime fp32", lambda: onnxruntime(exported(network, calibration, room))),
        ("onnxruntime int8", lambda: onnxruntime(quantised(exported(network, calibration, room), calibration))),
        ("opencv fp32", lambda: opencv(exported(network, calibration, room))),
    ):
        try:
            yield name, make()
        except Exception as error:  # each library has its own
            yield name, f"{type(error).__name__}: {error}"[:160]


def by_torch_bf16(network: nn.Module) -> Way:
    def compute(batch: np.ndarray) -> list[Any]:
        with torch.autocast("cpu", torch.bfloat16):
            return [part.float().numpy() for part in network(torch.from_numpy(batch))]

    return compute


def openvino(network: Descriptors, calibration: np.ndarray, hint: str, *, eight: bool) -> Way:
    import openvino

    from boxless.backbones.int8 import measured_ranges, quantise
    from boxless.backbones.openvino_engine import Steps, convert

    core = openvino.Core()
    model = convert(Steps(network.backbone, STAGES, nn.Identity()), torch.from_numpy(calibration[:1]))
    if eight:
        quantise(model, measured_ranges(core, model, calibration))
    options = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(model, "CPU", options)
    return lambda batch: list(compiled([batch]).values())


def exported(network: nn.Module, calibration: np.ndarray, room: Path) -> Path:
    path = room / "lite0.onnx"
    if not path.exists():
        example = torch.from_numpy(calibration[:BATCH])
        torch.onnx.export(network, (example,), str(path), input_names=["images"], dynamo=False)
    return path


def quantised(path: Path, calibration: np.ndarray) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(np.split(calibration, range(BATCH, len(calibration), BATCH)))

        def get_next(self) -> Any:
            batch = next(self.rest, None)
            return None if batch is None else {"images": batch}

    target = path.with_name("lite0-int8.onnx")
    quantize_static(str(path), str(target), Batches(), quant_format=QuantFormat.QDQ, per_channel=True)
    return target


def onnxruntime(path: Path) -> Way:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda batch: list(session.run(None, {"images": batch}))


def opencv(path: Path) -> Way:
    network = cv2.dnn.readNetFromONNX(str(path))
    names = network.getUnconnectedOutLayersNames()

    def compute(batch: np.ndarray) -> list[Any]:
        network.setInput(batch)
        return list(network.forward(names))

    return compute


def compared(made: dict[str, Way | str], pictures: np.ndarray, asked: argparse.Namespace) -> dict[str, Any]:
    able = {name: way for name, way in made.items() if not isinstance(way, str)}
    found: dict[str, Any] = {name: {"not measured": why} for name, why in made.items() if isinstance(why, str)}
    batches = np.split(pictures, range(BATCH, len(pictures), BATCH))
    expected = [[torch.from_numpy(part) for part in able["torch fp32"](batch)] for batch in batches]
    spent: dict[str, list[float]] = {name: [] for name in able}
    alike: dict[str, list[float]] = {name: [] for name in able}
    for repeat in range(asked.repeats + 1):
        for name, way in able.items():
            began = time.process_time()
            results = [way(batch) for batch in batches]
            spent[name].append(1e3 * (time.process_time() - began) / len(pictures))
            if not repeat:
                pairs = (
                    (own, other)
                    for result, true in zip(results, expected, strict=True)
                    for own, other in zip(sorted_by_channels(result), true, strict=True)
                )
                alike[name] = [
                    float(F.cosine_similarity(torch.from_numpy(own), other, dim=1).mean()) for own, other in pairs
                ]
    for name, times in spent.items():
        found[name] = {"ms": statistics.median(times[1:]), "cosine": float(np.mean(alike[name]))}
    return found


def sorted_by_channels(parts: list[Any]) -> list[np.ndarray]:
    """OpenCV gives outputs in an order of its own."""
    return sorted((np.ascontiguousarray(part) for part in parts), key=lambda part: part.shape[1])


if __name__ == "__main__":
    main()
