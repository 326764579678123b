import errno
import os
import subprocess
import sys

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


HOLDING = """
import sys, time
from pathlib import Path
from innerloop.core import files
handle, name = files._temporary(Path(sys.argv[1]))
print(name, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="where there are such locks")
def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path):
    path = tmp_path / "b.txt"
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        files.write(path, "new")
        files.writable(tmp_path)
        assert os.path.exists(name)
        process.kill()
        process.wait()
    (tmp_path / ".b.txt.settings").write_text("a user's")
    files.write(path, "newer")
    assert sorted(os.listdir(tmp_path)) == [".b.txt.settings", "b.txt"]


def test_two_that_prove_one_folder_at_once_do_not_disturb_each_other(tmp_path, monkeypatch):
    close, inside = os.close, []

    def closing(handle):
        close(handle)
        if not inside:  # at the first moment in which another process may remove what this one had
            inside.append(True)
            files.writable(tmp_path)

    monkeypatch.setattr(os, "close", closing)
    files.writable(tmp_path)
    assert inside and not os.listdir(tmp_path)


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 120)
    files.write(path, "x")
    assert path.read_text() == "x"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_one_message(tmp_path, name):
    with pytest.raises(InputError, match="cannot write"):
        files.write(tmp_path / name, "x")


def test_what_was_appended_in_part_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "log"
    files.append(path, "one\n")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        files.append(path, "two\n")
    monkeypatch.undo()
    assert path.read_text() == "one\n"


def test_a_folder_that_is_not_synced_is_said(tmp_path, monkeypatch):
    sync, calls = os.fsync, []

    def second(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        sync(handle)

    monkeypatch.setattr(os, "fsync", second)
    with pytest.raises(InputError, match="was written, but the disk does not confirm"):
        files.write(tmp_path / "a", "x")
