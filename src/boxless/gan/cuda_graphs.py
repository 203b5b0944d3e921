"""Whole training steps as CUDA graphs: recorded once, replayed without any work of the host.

A spectrally normalised step launches some hundreds of small kernels, and eager Python is slower at launching them than
the device at running them. Recording kernels also covers the double backward of gradient penalties, which
torch.compile refuses. Written for CUDA and not measured on a GPU.
"""

from collections.abc import Callable

import torch

WARM_UP = 3
"""Iterations that run eagerly before recording, so that libraries and optimizers have allocated what they keep."""


def record(work: Callable[[], None], draws: torch.Generator) -> Callable[[], None]:
    """The same work as one graph launch; it reads and writes the tensors that `work` did, and draws from `draws`.

    Recording runs nothing. The draws of a replay follow from the seed that `draws` has then.
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(draws)
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def on_side_stream(work: Callable[[], None]) -> None:
    """Run `work` on a stream of its own, as warm-up before recording must be, and wait for it in the current stream."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
