"""Processes that are asked to stop and do not, without a service in them."""

import signal
import subprocess
import sys

import pytest

STUCK = """
import signal, sys, threading, time
from innerloop.service.http import ending
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
signal.signal(signal.SIGINT, lambda *_: print("asked", flush=True))
ending.in_time(float(sys.argv[1]))
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import multiprocessing, os, signal, time
from innerloop.service.http import ending

def work():
    signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), os._exit(0)))
    ending.with_parent()
    print("ready", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
    time.sleep(60)
"""


def started(script, *args):
    process = subprocess.Popen([sys.executable, *script, *args], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process, process.stdout


def test_what_does_not_end_is_given_up():
    process, out = started(["-c", STUCK], "0.5")
    process.send_signal(signal.SIGTERM)
    assert out.readline() == "asked\n" and process.wait(40) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_asks_twice_does_not_wait(number):
    process, out = started(["-c", STUCK], "60")
    process.send_signal(number)
    assert out.readline() == "asked\n"
    process.send_signal(number)
    assert process.wait(40) == 128 + number


def test_one_stop_may_come_as_two_signals():
    process, out = started(["-c", STUCK], "1")
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C, and what the parent sends then
        process.send_signal(number)
        assert out.readline() == "asked\n"
    assert process.wait(40) == 1


def test_a_worker_ends_with_its_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    process, out = started([str(script)])
    process.kill()
    # Left alone it would end after a minute, without having been asked.
    assert out.readline() == "asked\n" and out.read() == "", "its end of the pipe is closed"
