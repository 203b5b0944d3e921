import os
import pickle
import stat

import pytest
import torch

from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError


def test_what_is_saved_is_read(tmp_path):
    checkpoint.save(tmp_path / "run" / "last.pt", {"model": {"w": torch.arange(3.0)}, "epoch": 2, "classes": ["a"]})
    content = checkpoint.read(tmp_path / "run" / "last.pt")
    assert content["epoch"] == 2 and content["classes"] == ["a"]
    assert torch.equal(content["model"]["w"], torch.arange(3.0))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["last.pt"]


def test_other_people_may_read_it_as_the_umask_says(tmp_path):
    old = os.umask(0o022)
    try:
        checkpoint.save(tmp_path / "last.pt", {})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "last.pt").stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"epoch": 1})

    def full(content, file):
        file.write(b"half")
        raise RuntimeError("unexpected pos: no space left")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BoxlessError, match="Could not write the checkpoint"):
        checkpoint.save(path, {"epoch": 2})
    assert checkpoint.read(path)["epoch"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"model": torch.zeros(1000)})
    whole = path.read_bytes()
    for share in (0, 1, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:share])
        with pytest.raises(BoxlessError, match="not a whole boxless checkpoint"):
            checkpoint.read(path)


class Malice:
    def __reduce__(self):
        return os.system, ("echo this must never run > /dev/null",)


def test_code_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "best.pt"
    torch.save({"format": 1, "model": Malice()}, path)
    with pytest.raises(BoxlessError):
        checkpoint.read(path)
    path.write_bytes(pickle.dumps(Malice()))
    with pytest.raises(BoxlessError):
        checkpoint.read(path)


def test_foreign_missing_and_newer_files_are_named(tmp_path):
    with pytest.raises(BoxlessError, match="There is no checkpoint"):
        checkpoint.read(tmp_path / "none.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.pt")
    with pytest.raises(BoxlessError, match="not a boxless checkpoint"):
        checkpoint.read(tmp_path / "foreign.pt")
    torch.save({"format": checkpoint.FORMAT + 1}, tmp_path / "newer.pt")
    with pytest.raises(BoxlessError, match="Install a newer one"):
        checkpoint.read(tmp_path / "newer.pt")
