"""How well a run on spoken words answers where what is asked was recorded otherwise than what was taught.

    python -m benchmarks.sounds runs/words

Words and voices are those of meta-test, of which 8 speakers are taken; support sets are of the words as they are.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.signal import resample_poly

from innerloop.core.types import Batch
from innerloop.engine import load
from innerloop.tasks.audio import read_sound
from innerloop.tasks.datasets import spoken_words
from innerloop.tasks.wav import Sound

WAYS, QUERIES, TASKS, SPEAKERS = 5, 5, 60, 8


def resampled(up: int, down: int, rate: int) -> Callable[[Sound], Sound]:
    """Recorded at another rate."""
    return lambda sound: Sound(resample_poly(sound.samples, up, down, axis=1), rate)


def in_noise(decibels: float, draw: np.random.Generator) -> Callable[[Sound], Sound]:
    """With white noise that is so far below the mean of what is heard."""

    def noisy(sound: Sound) -> Sound:
        heard = sound.samples**2
        deviation = np.sqrt(heard[heard > 1e-6].mean() / 10 ** (decibels / 10))
        return Sound(sound.samples + deviation * draw.normal(size=sound.samples.shape), sound.rate)

    return noisy


def late_and_quiet(sound: Sound) -> Sound:
    """After a second of silence, 40 dB quieter, with an offset."""
    return Sound(np.pad(sound.samples, ((0, 0), (sound.rate, 0))) * 0.01 + 0.2, sound.rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run folder of a learner that was trained on spoken-words")
    learner, params = load(parser.parse_args().run)
    speakers, words = spoken_words.speakers("test")[:SPEAKERS], spoken_words.words("test")
    with ThreadPoolExecutor(2) as pool:
        said = [*pool.map(lambda word: [read_sound(spoken_words.say(word, one)) for one in speakers], words)]
    draw = np.random.default_rng(0)
    recorded: dict[str, Callable[[Sound], Sound]] = {
        "as it is": lambda sound: sound,
        "8 kHz": resampled(160, 441, 8_000),
        "48 kHz": resampled(320, 147, 48_000),
        "noise at 20 dB": in_noise(20, draw),
        "noise at 10 dB": in_noise(10, draw),
        "silence, offset, -40 dB": late_and_quiet,
    }
    taught = None
    for name, change in recorded.items():
        rows = torch.stack([torch.stack([spoken_words.HOW.row(change(one), name) for one in each]) for each in said])
        taught = rows if taught is None else taught
        tasks, scores = np.random.default_rng(1), []
        for i in range(TASKS):
            classes = tasks.choice(len(words), WAYS, False)
            order = np.stack([tasks.permutation(SPEAKERS)[: 1 + QUERIES] for _ in classes])
            support = torch.stack([taught[c, o[0]] for c, o in zip(classes, order, strict=True)]) / 255
            query = torch.cat([rows[c, o[1:]] for c, o in zip(classes, order, strict=True)]) / 255
            y = torch.arange(WAYS)
            batch = Batch(support, y, None, torch.ones(WAYS, dtype=torch.bool), torch.tensor(i))
            with torch.no_grad():
                logits = learner.predict(params, learner.adapt(params, batch), query)
            scores.append(float((logits.argmax(-1) == y.repeat_interleave(QUERIES)).float().mean()))
        print(f"{name}: {100 * np.mean(scores):.1f} ± {196 * np.std(scores, ddof=1) / TASKS**0.5:.1f}%", flush=True)


if __name__ == "__main__":
    main()
