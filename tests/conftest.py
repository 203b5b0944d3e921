import os
from collections.abc import Iterator
from typing import Any

import pytest

# One thread a process: tests measure nothing, and many small kernels on many threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)

# Every annotated call into boxless is checked while the tests run, so that the types and shapes in its signatures stay
# true. This has to come before boxless is first imported: modules are instrumented as they load. As for mypy, an int
# will do where a float is asked for.
install_import_hook("boxless", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available() or "BOXLESS_GPU" in os.environ:
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def tab() -> Iterator[Any]:
    """A real browser; tests that need one are skipped where there is none."""
    import browser

    if browser.CHROMIUM is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with browser.browser() as opened:
        yield opened
