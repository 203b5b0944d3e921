"""`boxless find` against the bare forward pass of its network, and CAM heat maps against torchcam and grad-cam.

    python benchmarks/find.py [PHOTOS] [--out find.json] [--count 200] [--repeats 3]

The bare pass is the same network over the same images, already decoded, resized and in memory, in the faster of two
ways: one batch over all cores, or one batch a core. `find` is everything else too: reading, the second look of DDT,
boxes, files. All ways run in turn in every repeat; a ratio is of medians. PHOTOS defaults to made photographs. The
peers' heat maps need `pip install 'boxless[bench]'`; without them their rows say so.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import boxless.runtime.torchvision_compat  # noqa: F401  # grad-cam imports torchvision
from boxless.backbones import build_backbone
from boxless.data.dataset import Dataset
from boxless.data.folder import read_data
from boxless.data.inference_batches import prefetch, stream
from boxless.data.synthetic import make_scenes
from boxless.data.transforms import to_images
from boxless.inference.factory import discoverer
from boxless.inference.predict_folder import predict_folder
from boxless.inference.predictors import parallel_batches
from boxless.methods.cam import Cam
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with photographs(asked.photos) as folder:
        data = read_data(folder, "all")
        data = replace(data, samples=data.samples[: asked.count])
        seconds = measure(ways(data), asked.repeats)
        heats = measure(heat_ways(data), asked.repeats)
    content = {**provenance(), "photos": len(data), "repeats": asked.repeats, **summary(seconds, heats, len(data))}
    print(json.dumps(content, indent=1))
    if asked.out:
        write_json(asked.out, content)


@contextmanager
def photographs(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as made:
        make_scenes(Path(made) / "scenes", 64, size=512, test=0)
        yield Path(made) / "scenes"


def ways(data: Dataset) -> dict[str, Callable[[], None]]:
    predictor = discoverer("ddt")
    images = [to_images(batch.pictures, torch.device("cpu")) for batch in stream(data, predictor.size, Progress())]

    def describe(batch: Tensor) -> Tensor:
        with predictor.how.precision():  # in the numbers that find uses here
            return predictor.method.descriptors(batch)

    def one_batch_over_all_cores() -> None:
        for batch in images:
            describe(batch)

    def one_batch_a_core() -> None:
        with parallel_batches() as lanes:
            for _ in prefetch(describe, images, workers=lanes, window=lanes + 1):
                pass

    def find() -> None:
        with tempfile.TemporaryDirectory() as out:
            predict_folder(predictor, data, Path(out) / "found", Progress(), format="coco")

    return {"forward, all cores": one_batch_over_all_cores, "forward, lanes": one_batch_a_core, "find": find}


def heat_ways(data: Dataset) -> dict[str, Callable[[], None]]:
    network = Cam(build_backbone("lite0", stride=16), 10).eval()
    images = [to_images(batch.pictures, torch.device("cpu")) for batch in stream(data, 224, Progress())]

    def ours() -> None:
        for batch in images:
            network.heatmap_and_logits(batch)

    found: dict[str, Callable[[], None]] = {"cam, boxless": ours}
    for name, build in (("cam, torchcam", torchcam_way), ("cam, grad-cam", gradcam_way)):
        try:
            found[name] = build(network, images)
        except ImportError as error:
            print(f"{name}: not measured ({error})")
    return found


class WithLinear(nn.Module):
    """The same network in the form that the peers look for: layers, pooling, one linear layer."""

    def __init__(self, cam: Cam) -> None:
        super().__init__()
        self.features, self.pool, self.fc = cam.backbone, nn.AdaptiveAvgPool2d(1), cam.fc

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.pool(self.features(images)).flatten(1))
        return logits


def torchcam_way(network: Cam, images: list[Tensor]) -> Callable[[], None]:
    from torchcam.methods import CAM

    wrapped = WithLinear(network).eval()

    def run() -> None:
        with CAM(wrapped, target_layer=wrapped.features, fc_layer=wrapped.fc) as extractor, torch.no_grad():
            for batch in images:
                logits = wrapped(batch)
                extractor(logits.argmax(1).tolist(), logits)

    return run


def gradcam_way(network: Cam, images: list[Tensor]) -> Callable[[], None]:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    wrapped = WithLinear(network).eval()

    def run() -> None:
        with GradCAM(model=wrapped, target_layers=[wrapped.features]) as extractor:
            for batch in images:
                targets = [ClassifierOutputTarget(0)] * len(batch)
                extractor(input_tensor=batch, targets=targets)

    return run


def measure(found: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    for run in found.values():
        run()  # warm up: compiled kernels, caches, files
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(repeats):
        for name, run in found.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def summary(seconds: dict[str, list[float]], heats: dict[str, list[float]], photos: int) -> dict[str, Any]:
    middle = {name: statistics.median(runs) for name, runs in {**seconds, **heats}.items()}
    bare = min(middle["forward, all cores"], middle["forward, lanes"])
    ours = middle["cam, boxless"]
    return {
        "seconds": {**seconds, **heats},
        "photos_per_second": {name: photos / value for name, value in middle.items()},
        "find_over_bare_forward": middle["find"] / bare,
        "peers_over_boxless": {n: middle[n] / ours for n in heats if n != "cam, boxless"},
    }


if __name__ == "__main__":
    main()
