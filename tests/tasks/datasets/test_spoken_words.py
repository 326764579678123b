import shutil

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import datasets
from innerloop.tasks.audio import read_sound
from innerloop.tasks.datasets import spoken_words as module
from innerloop.tasks.datasets.spoken_words import Speaker, say, speakers, words

spoken = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="eSpeak NG is not installed (Debian: apt install espeak-ng)"
)
ROLES = ("train", "validation", "test")


def test_no_word_and_no_voice_is_in_two_splits():
    for part in (words, lambda role: [one.voice.partition("+")[2] for one in speakers(role)]):
        each = [set(part(role)) for role in ROLES]
        assert sum(map(len, each)) == len(set.union(*each))
    assert [len(words(role)) for role in ROLES] == [122, 40, 48]
    for role in ROLES:
        assert len({(one.voice, one.pitch, one.rate) for one in speakers(role)}) == module.SPEAKERS
        assert speakers(role) == speakers(role)


@spoken
def test_every_voice_is_another_one():
    """eSpeak NG says nothing of a voice that it does not have, and takes its usual one."""
    voices = {one.voice.partition("+")[2] for role in ROLES for one in speakers(role)}
    said = {say("five", Speaker(f"en+{voice}", 50, 175)) for voice in voices}
    assert len(said) == len(voices)


@spoken
def test_a_few_words_are_said_heard_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "SPEAKERS", 2)
    few = {"train": {"a": "camel zebra"}, "validation": {"b": "zoo"}, "test": {"c": "stop go", "d": "one"}}
    monkeypatch.setattr(module, "_WORDS", few)
    monkeypatch.setattr(module, "speakers", lambda role: speakers(role)[:2])
    splits = datasets.load("spoken-words")
    assert splits.test.names == ("stop", "go", "one") and splits.test.groups == ("c", "c", "d")
    assert splits.train.data.shape == (2, 2, 1, 40, 40) and splits.train.split == "v1-train"
    assert len(read_sound(say("stop", speakers("test")[0])).samples[0]) > 4_000
    monkeypatch.setattr(module, "say", None)  # nothing is said twice
    assert torch.equal(datasets.load("spoken_words").test.data, splits.test.data)


def test_without_the_program_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt-get install espeak-ng"):
        say("stop", Speaker("en", 50, 175))
