import pytest

from boxless.runtime.errors import BoxlessError
from boxless.runtime.files import write_text_atomic


def test_a_failure_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "a.csv"
    write_text_atomic(path, ["one\n", "\udcff\n"], "the boxes")
    assert path.read_bytes() == b"one\n\xff\n"

    def pieces():
        yield "two"
        raise ValueError

    with pytest.raises(ValueError):
        write_text_atomic(path, pieces(), "the boxes")
    assert path.read_bytes() == b"one\n\xff\n" and [entry.name for entry in path.parent.iterdir()] == ["a.csv"]


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BoxlessError, match=r"Could not write the boxes .*file"):
        write_text_atomic(tmp_path / "file" / "a.csv", ["x"], "the boxes")
