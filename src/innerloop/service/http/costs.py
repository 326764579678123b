"""What it should cost to encode an example, in seconds of one core: the batcher's own measurements correct it.

Measured on an Intel Xeon, CPU seconds, 2026-11-27: a text of 20 characters in a batch of 32 takes 0.5 ms
(`use-multilingual`) to 1.8 ms (`minilm`), one of 10,000 takes 62 to 175 ms and 68 ms; decoding and scaling a picture
takes 2 ms and 3 (JPEG) to 60 ns (PNG) a pixel. A sound takes 170 to 200 ns a sample (AMD EPYC, 2026-11-28).
"""

from collections.abc import Sequence

from innerloop.core.texts import LONGEST
from innerloop.service.http import thumbnails
from innerloop.service.http.adapted import Raw
from innerloop.tasks import audio

_TEXT, _CHARACTER = 6e-4, 6e-6
_PICTURE, _PIXEL = 2e-3, 5e-8
_VECTOR, _NUMBER = 1e-4, 1e-7
_SOUND, _SAMPLE = 2e-3, 2e-7


def costs_of(raw: Sequence[Raw]) -> list[float]:
    """Seconds for each example; of pictures and sounds, only the header is read."""
    return [_cost(example) for example in raw]


def _cost(raw: Raw) -> float:
    if raw.kind == "texts":
        return _TEXT + _CHARACTER * min(len(raw.value), LONGEST)
    if raw.kind == "features":
        return _VECTOR + _NUMBER * len(raw.value)
    if raw.kind == "sounds":
        return _SOUND + _SAMPLE * audio.count_of(raw.value)  # FLAC of a tone is a thousand times as long as its bytes
    # One that cannot be read costs the least: it is refused by its name when its turn comes.
    width, height = thumbnails.size(raw.value)
    return _PICTURE + _PIXEL * width * height
