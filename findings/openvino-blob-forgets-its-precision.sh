#!/usr/bin/env bash
# A network that OpenVINO compiled in fp32 and kept on disk computes in bf16 when it is read again without saying so.
#
# Guess: `export_model` keeps a compiled network, so that `import_model` gives back what was compiled: the same numbers.
# Seen (openvino 2026.4.1, a processor with bf16): compiled with the hint f32, exported, imported without a hint, it computes in bf16,
# .4 % away, and says so when asked; a blob of bf16 imported with the hint f32 computes what fp32 computes. The precision is
# that of the reader, not of the blob. On a processor without bf16 there is nothing to see.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "openvino==2026.4.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'SCRIPT'
import numpy as np
import openvino
from openvino import opset13

HINT = "INFERENCE_PRECISION_HINT"
core = openvino.Core()
print("openvino", openvino.__version__)
print("guess: a compiled network comes back in the numbers that it was compiled in")
if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
    raise SystemExit("This processor has no bf16: nothing to see.")

random = np.random.default_rng(0)
picture = random.random((1, 3, 64, 64), dtype=np.float32)
entry = opset13.parameter([1, 3, 64, 64], np.float32)
layer, channels = entry, 3
for width in (32, 64, 64):
    weights = random.normal(size=(width, channels, 3, 3)) / np.sqrt(9 * channels)
    convolution = opset13.convolution(layer, opset13.constant(weights.astype(np.float32)), [1, 1], [1, 1], [1, 1], [1, 1])
    layer, channels = opset13.relu(convolution), width
network = openvino.Model([layer], [entry])


def computed(compiled):
    return compiled([picture])[0].copy()


def kept(compiled):
    blob = compiled.export_model()
    return blob if isinstance(blob, bytes) else blob.getvalue()


fp32, bf16 = (core.compile_model(network, "CPU", {HINT: hint}) for hint in ("f32", "bf16"))
exact = computed(fp32)


def away(compiled):
    return float(np.linalg.norm(computed(compiled) - exact) / np.linalg.norm(exact))


unsaid = core.import_model(kept(fp32), "CPU", {})
said = core.import_model(kept(bf16), "CPU", {HINT: "f32"})
print("compiled in bf16:", away(bf16))
print("compiled in fp32, read without a hint:", away(unsaid), unsaid.get_property(HINT).to_string())
print("compiled in bf16, read with the hint f32:", away(said), said.get_property(HINT).to_string())
assert 1e-3 < away(bf16) < 1e-2 and away(unsaid) == away(bf16)
assert unsaid.get_property(HINT).to_string() == "bf16" and away(said) == 0
SCRIPT
