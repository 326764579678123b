"""Words spoken by synthetic voices on this machine: a data set of sounds.

The speaker is eSpeak NG (https://github.com/espeak-ng/espeak-ng, GPL 3 or later), the Debian package `espeak-ng`. Words
are classes; every word is said once by each of the 20 speakers of its split, who differ in voice, accent, pitch and
rate. No word and no voice is in two splits, so that meta-testing is of unseen words in unseen voices.
"""

import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks import audio, cache
from innerloop.tasks.log_mel import LogMel
from innerloop.tasks.pool import Pool, Role, Splits
from innerloop.tasks.progress import track

VERSION = 1
"""Version of what is said and how it is heard; in the name of the cache file and of the data set's splits."""
SPEAKERS = 20
HOW = LogMel(size=audio.SIZE, seconds=1.0, highest=audio.HIGHEST)
_PATIENCE = 20
"""Seconds that one word may take."""
_WORDS: dict[Role, dict[str, str]] = {
    "train": {
        "animals": "antelope badger beetle camel dolphin donkey eagle giraffe hamster kitten leopard lizard monkey "
        "octopus ostrich parrot penguin rabbit salmon spider squirrel turtle walrus zebra",
        "food": "apricot bacon biscuit butter cabbage carrot cherry coffee cucumber garlic honey lemon lettuce mango "
        "mustard noodle onion pancake pepper potato pumpkin salad sugar tomato vinegar yoghurt",
        "house": "balcony basket blanket bottle candle carpet ceiling chimney cupboard curtain door fence floor hammer "
        "kettle kitchen ladder mirror needle oven pillow scissors shelf sofa table window",
        "nature": "autumn breeze canyon cloud desert forest glacier harvest hurricane island lightning meadow moon "
        "mountain ocean planet rainbow river shadow snow summer sunshine thunder valley volcano winter",
        "work": "baker butcher captain carpenter doctor driver farmer fisherman gardener judge lawyer manager nurse "
        "painter pilot plumber sailor soldier tailor teacher",
    },
    "validation": {
        "clothes": "apron belt blouse bracelet button cardigan coat gloves jacket necklace pyjamas ribbon sandal scarf "
        "shirt slipper sweater trousers umbrella zip",
        "places": "airport bakery bridge castle church factory garage harbour hospital library market museum palace "
        "prison restaurant school stadium theatre village zoo",
    },
    "test": {
        "commands": "backward cancel continue down enter follow forward go left louder no open pause quiet repeat "
        "right start stop undo up yes",
        "numbers": "zero one two three four five six seven eight nine ten eleven twelve twenty hundred",
        "instruments": "accordion banjo clarinet drum flute guitar harp piano saxophone trombone trumpet violin",
    },
}
_VOICES: dict[Role, str] = {
    "train": "adam Alex Andy Annie antonio benjamin boris caleb david ed f1 f2 f3 Gene Henrique iven Jacky klatt3 "
    "linda m1 m2 m3 m4 max Michael Mike norbert paul steph travis",
    "validation": "belinda Diogo f4 gustave Lee m5 m6 marcelo shelby victor",
    "test": "Alicia Denis f5 grandma klatt2 m7 m8 Mario miguel pablo robert sandro zac",
}
_ACCENTS: dict[Role, str] = {
    "train": "en en-us en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd",
    "validation": "en en-us en-us-nyc",
    "test": "en en-us en-gb-scotland en-029",
}
_PITCHES, _RATES = (20, 80), (130, 210)
"""Bounds of a speaker's pitch, from 0 to 99, and of the words a minute."""


class Speaker(NamedTuple):
    """Who says a word, and how."""

    voice: str
    """An accent and a variant of it, as eSpeak NG writes them: `en-us+f3`."""
    pitch: int
    rate: int


def spoken_words(root: Root = None) -> Splits:
    """Pictures of the sounds, 40 bands by 40 columns of a second; made once and kept in the user's cache folder.

    Args:
        root: Its cache folder keeps the pictures.

    Raises:
        InputError: eSpeak NG is not installed.
    """
    keys = [f"{role}-{group}" for role, groups in _WORDS.items() for group in groups]
    arrays = cache.cached(root, f"spoken-words-v{VERSION}-{HOW.size}-{SPEAKERS}", _make, keys)
    return Splits(**{role: _pool(role, arrays) for role in _WORDS})


def words(role: Role) -> list[str]:
    """The classes of a split."""
    return [word for group in _WORDS[role].values() for word in group.split()]


def speakers(role: Role) -> list[Speaker]:
    """Who speaks in a split, each with another voice, pitch and rate."""
    voices, accents = _VOICES[role].split(), _ACCENTS[role].split()
    draw = np.random.default_rng([VERSION, len(voices)])
    some = draw.permutation(len(voices))
    # Accents are dealt in turn, so that a voice that comes again has another one.
    return [
        Speaker(
            f"{accents[(i + i // len(voices)) % len(accents)]}+{voices[some[i % len(voices)]]}",
            int(draw.integers(*_PITCHES, endpoint=True)),
            int(draw.integers(*_RATES, endpoint=True)),
        )
        for i in range(SPEAKERS)
    ]


def say(word: str, speaker: Speaker) -> bytes:
    """A word as the content of a WAV file.

    Args:
        word: English.
        speaker: Who says it.

    Raises:
        InputError: eSpeak NG is not installed, or does not say it.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise InputError(
            "spoken words are said by eSpeak NG, which is not installed: apt-get install espeak-ng (Debian, Ubuntu), "
            "brew install espeak-ng (macOS)"
        )
    how = ["-v", speaker.voice, "-p", str(speaker.pitch), "-s", str(speaker.rate), "--stdout"]
    try:
        spoken = subprocess.run(
            [program, *how, "--", word], check=True, capture_output=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"espeak-ng does not say '{word}' as {speaker.voice} ({error}): install it anew") from error
    return spoken.stdout


def _make() -> cache.Arrays:
    every = [
        (role, group, word) for role, groups in _WORDS.items() for group in groups for word in groups[group].split()
    ]
    heard: dict[str, list[np.ndarray]] = {}
    with ThreadPoolExecutor(2) as pool:
        shown = track(pool.map(lambda one: _heard(one[2], speakers(one[0])), every), "saying words", len(every))
        for (role, group, _), rows in zip(every, shown, strict=True):
            heard.setdefault(f"{role}-{group}", []).append(rows)
    return {key: np.stack(rows) for key, rows in heard.items()}


def _heard(word: str, every: Sequence[Speaker]) -> np.ndarray:
    """[speakers, 1, size, size] uint8."""
    rows = [HOW.row(audio.read_sound(say(word, one)), f"'{word}' by {one.voice}") for one in every]
    return torch.stack(rows).numpy()


def _pool(role: Role, arrays: cache.Arrays) -> Pool:
    groups = [group for group, some in _WORDS[role].items() for _ in some.split()]
    data = from_numpy(np.concatenate([arrays[f"{role}-{group}"] for group in _WORDS[role]]))
    return Pool(
        data=data,
        counts=torch.full((len(data),), data.shape[1]),
        names=tuple(words(role)),
        groups=tuple(groups),
        dataset="spoken-words",
        split=f"v{VERSION}-{role}",
        preprocessing={"size": HOW.size, "seconds": HOW.seconds, "highest": HOW.highest},
    )
