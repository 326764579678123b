import errno
import os

import pytest

from innerloop.core import files
from innerloop.core.errors import InputError


def test_write_replaces_whole_files_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a" / "b.txt"
    files.write(path, "one")
    files.write(path, b"two")
    assert path.read_text() == "two" and os.listdir(path.parent) == ["b.txt"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "b.txt"
    files.write(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(InputError, match="No space left"):
        files.write(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["b.txt"]


def test_a_folder_that_cannot_be_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        files.writable(tmp_path / "file" / "run")
