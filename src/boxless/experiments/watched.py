"""A training run that notes what it costs: processor seconds of every epoch, and the memory of one step.

Memory is what a step of the last epoch (when everything that a method does is switched on) holds at most beyond what
was there before it: activations, gradients, momentum. It is counted from the allocations themselves, so that neither
the size of the data nor what ran before in the process is in it.
"""

import time
from typing import Any

import torch
from torch.autograd.profiler import profile

from boxless.data.loading import Batch
from boxless.training import Run


class WatchedRun(Run):
    """A Run with its costs; the numbers it learns are the same."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.step_bytes: int | None = None
        """None when the run had no step of the last epoch left."""
        self.epoch_seconds: list[float] = []
        """Processor seconds of each epoch that was run from its beginning."""
        self._began = time.process_time() if not self.step else None

    def learn(self, batch: Batch) -> None:
        """One step; the first one of the last epoch is watched."""
        if self.step_bytes is not None or self.epoch < self.settings.epochs - 1:
            super().learn(batch)
        elif self.fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.fabric.device)
            before = torch.cuda.memory_allocated(self.fabric.device)
            super().learn(batch)
            self.step_bytes = torch.cuda.max_memory_allocated(self.fabric.device) - before
        else:
            with profile(profile_memory=True, use_kineto=False) as watched:  # Kineto writes to stderr
                super().learn(batch)
            self.step_bytes = most_allocated(watched)

    def finish_epoch(self) -> None:
        """Note the seconds beside what a Run does."""
        super().finish_epoch()
        now = time.process_time()
        if self._began is not None:
            self.epoch_seconds.append(now - self._began)
        self._began = now


def most_allocated(watched: profile) -> int:
    """The highest sum of allocations less frees in bytes, in the order of the profiler's events."""
    held = most = 0
    for event in sorted(watched.function_events or [], key=lambda event: event.time_range.start):
        held += event.self_cpu_memory_usage
        most = max(most, held)
    return most
