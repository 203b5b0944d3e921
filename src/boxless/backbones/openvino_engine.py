"""Backbones computed by OpenVINO on a processor: each compiled once, checked against torch, and kept on disk.

A compiled network lies in the user's cache folder behind a digest of its own, under the hash of all that it was made
of. What is there is a convenience: whatever cannot be read, does not fit or computes something else is made anew.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone
from boxless.backbones.int8 import measured_ranges, quantise
from boxless.runtime.errors import UsageError
from boxless.runtime.files import atomic_path
from boxless.runtime.provenance import package_version

KEPT = 16
"""Compiled networks that stay in the cache folder; the oldest go."""
FAITHFUL = 0.99
"""Mean cosine, to torch's in fp32, of descriptors or of whole heat maps, below which a compiled network is not used."""
AT_ONCE = 4
"""Images in one pass: as fast as more, in a fraction of the memory."""
HELD_BACK = 8
"""Of the images for 8 bits, those that the ranges are not measured on: they tell whether the network is faithful."""
ANSWERS = 1024
"""Numbers that a network computed when it was kept, and has to compute again when it is read."""
APART = 0.01
"""Part of their length by which the two may differ, or it is made anew."""

log = logging.getLogger("boxless")


@dataclass(frozen=True, slots=True)
class _Compiled:
    model: Any
    idle: "SimpleQueue[Any]" = field(default_factory=SimpleQueue)
    """Requests that no thread uses at the moment; each owns the memory of one pass."""

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> tuple[Tensor, ...]:
        try:
            request = self.idle.get_nowait()
        except Empty:
            request = self.model.create_infer_request()
        found = []
        for part in torch.split(images.float().contiguous(), AT_ONCE):
            tensors = request.infer([part.numpy()], share_inputs=True)
            found.append([torch.from_numpy(tensors[place]) for place in range(len(tensors))])
        self.idle.put(request)
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    def answers(self, probe: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "number"]:
        """Some of what it computes for the first image of `probe`, evenly taken."""
        flat = self(probe[:1])[0].flatten()
        some = flat[:: max(1, len(flat) // ANSWERS)][:ANSWERS]
        return F.pad(some, (0, ANSWERS - len(some)))


class Steps(nn.Module):
    """What is computed in one pass: the features after each of the named stages, the last of them through a neck."""

    def __init__(self, backbone: Backbone, names: tuple[str, ...], neck: nn.Module) -> None:
        super().__init__()
        self.backbone, self.names, self.neck = backbone, names, neck

    def forward(self, images: Float[Tensor, "batch 3 H W"]) -> tuple[Tensor, ...]:
        """Images 0..1 -> those features, by torch."""
        return self.backbone.compute(images, *self.names, neck=self.neck)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A way to compute the network, and what tells whether it does."""

    numbers: str
    probe: Float[Tensor, "batch 3 H W"]
    images: Float[Tensor, "image 3 H W"] | None = None
    """What the ranges of 8 bits are measured on."""


class OpenvinoEngine:
    """What a backbone's `intermediates` are computed by, where its `engine` is one of these.

    `lanes` batches run side by side, each on one thread. Numbers of 8 bits are tried on `images` of 0..1, then bf16 if
    it is asked for, then fp32. What 8 bits have to leave the same are the features, or the heat maps that `maps` makes
    of images with the backbone. Where `required`, a network that cannot be compiled raises UsageError; else that is
    logged once, and torch computes it.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        bf16: bool,
        lanes: int,
        required: bool,
        images: Float[Tensor, "image 3 H W"] | None = None,
        maps: Callable[[Tensor], Float[Tensor, "image h w"]] | None = None,
    ) -> None:
        import openvino  # half a second, for those alone who use it

        self.backbone, self.required, self.images, self.bf16 = backbone, required, images, bf16
        self.maps = maps
        self.core = openvino.Core()
        self.version = openvino.__version__.partition("-")[0]
        self.numbers = ""
        """What the network that was compiled last computes in."""
        self.lanes = {"NUM_STREAMS": lanes, "INFERENCE_NUM_THREADS": lanes, "ENABLE_CPU_PINNING": False}
        self.failed = False
        self._compiled: dict[tuple[Any, ...], _Compiled] = {}
        self._on_trial: Callable[[Tensor], tuple[Tensor, ...]] | None = None
        self._lock = threading.RLock()  # a trial makes maps, which asks for features again
        self._origin = {
            "boxless": package_version(),
            "openvino": openvino.__version__,
            "processor": self.core.get_property("CPU", "FULL_DEVICE_NAME"),
            "can": sorted(self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            "network": repr(backbone),
            "weights": _digest_of(backbone),
            "lanes": lanes,
        }

    @property
    def used(self) -> bool:
        """Whether anything was compiled, and nothing failed."""
        return bool(self._compiled) and not self.failed

    @property
    def name(self) -> str:
        """In what and by what the network is computed."""
        return f"{self.numbers} by openvino {self.version}"

    def __call__(
        self, images: Float[Tensor, "batch 3 H W"], names: tuple[str, ...], neck: nn.Module
    ) -> tuple[Tensor, ...] | None:
        """Images 0..1 -> the features after each of the named stages, the last of them through `neck`.

        None where torch has to compute them.
        """
        key = (names, neck, *images.shape[-2:])
        with self._lock:
            if self._on_trial is not None:
                return self._on_trial(images)
            if not self.failed and key not in self._compiled:
                self._add(key, Steps(self.backbone, names, neck), tuple(images.shape[1:]))
        return None if self.failed else self._compiled[key](images)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _add(self, key: tuple[Any, ...], steps: Steps, shape: tuple[int, ...]) -> None:
        said = "it computes something else than torch"
        for trial in self._trials(shape):
            try:
                with torch.autocast("cpu", enabled=False):
                    found = self._load_or_compile(trial, steps)
            except Exception as error:  # OpenVINO and tracing raise whatever they stumble over
                said = next(iter(str(error).strip().splitlines()[-1:]), type(error).__name__)
                continue
            if found is not None:
                self._compiled[key], self.numbers = found, trial.numbers
                return
        said = f"OpenVINO cannot compute {self.backbone.name} here ({said})"
        if self.required:
            raise UsageError(f"{said}. Leave --engine out, or give --engine torch.")
        self.failed = True
        log.warning("%s; torch computes it.", said)

    def _trials(self, shape: tuple[int, ...]) -> Iterator[_Trial]:
        if self.images is not None and self.images.shape[1:] == shape:
            yield _Trial("int8", self.images[-HELD_BACK:], self.images[:-HELD_BACK])
        cells = max(9, shape[1] // 32)  # in a smoother image than photographs are, bf16 differs more from fp32
        noise = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(0))
        probe = F.interpolate(noise, shape[1:], mode="bilinear")
        if self.bf16:
            yield _Trial("bf16", probe)
        yield _Trial("fp32", probe)

    def _load_or_compile(self, trial: _Trial, steps: Steps) -> _Compiled | None:
        """The network from the cache or compiled; None where it is not faithful."""
        options = {**self.lanes, "INFERENCE_PRECISION_HINT": "bf16" if self.bf16 and trial.numbers != "fp32" else "f32"}
        pictures = {} if trial.images is None else {"images": trial.images}
        made_of = {"names": steps.names, "shape": trial.probe.shape[1:], "options": options}
        made_of |= {"pictures": _digest(pictures), "neck": repr(steps.neck), "its weights": _digest_of(steps.neck)}
        path = cache_folder() / f"{_hash({**self._origin, **made_of, 'answers': ANSWERS})}.blob"
        with suppress(Exception):  # what is there may be anything
            answers, blob = _read_checked(path)
            found = _Compiled(self.core.import_model(blob, "CPU", options))
            if (found.answers(trial.probe) - answers).norm() <= APART * answers.norm():
                return found
        model = convert(steps, trial.probe[:1])
        if trial.images is not None:
            quantise(model, measured_ranges(self.core, model, trial.images.contiguous().numpy()))
        found = _Compiled(self.core.compile_model(model, "CPU", options))
        if not self._is_faithful(found, trial, steps):
            return None
        with suppress(OSError):  # a full disk costs the next process its compilation
            _keep(path, found.answers(trial.probe), found.model.export_model())
        return found

    def _is_faithful(self, found: _Compiled, trial: _Trial, steps: Steps) -> bool:
        pairs = zip(*(self._judged(way, trial) for way in (found, steps)), strict=True)
        return all(one.shape == other.shape and _likeness(one, other) >= FAITHFUL for one, other in pairs)

    def _judged(self, way: Callable[[Tensor], tuple[Tensor, ...]], trial: _Trial) -> tuple[Tensor, ...]:
        """What has to stay the same, computed one way: the features of the probe, or its maps about their means."""
        if self.maps is None or trial.images is None:
            return way(trial.probe)
        self._on_trial = way
        try:
            flat = torch.cat([self.maps(part) for part in torch.split(trial.probe, AT_ONCE)]).flatten(1)
        finally:
            self._on_trial = None
        return (flat - flat.mean(1, keepdim=True),)


def _likeness(one: Tensor, other: Tensor) -> float:
    """The mean cosine over the second axis; of two zero vectors, as a neck's ReLU leaves them, it is 1."""
    none = (one == 0).all(1) & (other == 0).all(1)
    return float(F.cosine_similarity(one, other, dim=1).where(~none, 1.0).mean())


def _keep(path: Path, answers: Float[Tensor, "number"], blob: Any) -> None:
    data = answers.numpy().tobytes() + (blob.getvalue() if hasattr(blob, "getvalue") else bytes(blob))
    with atomic_path(path) as temporary:
        temporary.write_bytes(hashlib.sha256(data).digest() + data)
    for old in sorted(path.parent.glob("*.blob"), key=lambda one: one.stat().st_mtime)[:-KEPT]:
        old.unlink()


def convert(steps: Steps, example: Float[Tensor, "1 3 H W"]) -> Any:
    """An OpenVINO model of (batch, 3, H, W) -> what the steps compute; raises what tracing raises.

    OpenVINO's own convert_model does the same, but asks a package of telemetry on its way.
    """
    import warnings

    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.passes import ConstantFolding, Manager

    frontend = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shapes are fixed, as the trace says
        # Tracing once more to compare takes longer than all else here; what is compiled is compared anyway.
        once = {"check_trace": False}
        decoder = TorchScriptPythonDecoder(steps.eval(), example_input=example.repeat(2, 1, 1, 1), trace_kwargs=once)
        model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, *example.shape[1:]])
    folding = Manager()
    folding.register_pass(ConstantFolding())  # most of what was traced computes shapes
    folding.run_passes(model)
    return model


def installed() -> bool:
    """Whether OpenVINO is there to be imported."""
    return find_spec("openvino") is not None


def cache_folder() -> Path:
    """Where compiled networks are kept: boxless in XDG_CACHE_HOME, else in the user's .cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boxless" / "openvino"


def _read_checked(path: Path) -> tuple[Float[Tensor, "number"], bytes]:
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise ValueError("the file is not as it was written")
    end = 32 + 4 * ANSWERS
    return torch.frombuffer(bytearray(content[32:end]), dtype=torch.float32), content[end:]


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(name.encode() + value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest_of(module: nn.Module) -> str:
    return _digest(dict([*module.named_parameters(), *module.named_buffers()]))


def _hash(origin: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:32]
