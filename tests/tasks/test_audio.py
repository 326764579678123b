import io
import weakref
import zipfile

import numpy as np
import pytest
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.problems.classes import Classes
from innerloop.problems.completion import Pixels
from innerloop.tasks import EpisodeSampler, datasets
from innerloop.tasks.audio import count_of, is_sound, read_sound, sound_folder, sound_row
from innerloop.tasks.log_mel import LogMel
from innerloop.tasks.resized import resized
from tests.tasks import sounds
from tests.tasks.sounds import tone, wav


def test_a_folder_says_how_it_was_read(tmp_path):
    pool = sound_folder(sounds.folder(tmp_path / "tones", 2))
    assert pool.names == ("high", "low", "middle", "rising") and pool.counts.tolist() == [2] * 4
    assert pool.data.shape == (4, 2, 1, 40, 40) and pool.preprocessing is not None
    assert pool.preprocessing["highest"] == 7_600 and 0.3 <= pool.preprocessing["seconds"] <= 0.5
    row = sound_row(tmp_path / "tones/low/0.wav", pool.preprocessing)
    assert bool((row == pool.data[1, 0]).all())
    again = sound_folder(tmp_path / "tones", **pool.preprocessing)
    assert again.digest == pool.digest
    splits = datasets.load(tmp_path / "tones")
    assert splits.train.preprocessing == pool.preprocessing and len(splits.test) == 1


def test_no_class_is_told_by_the_rate_that_it_was_recorded_at(tmp_path):
    for name, rate in (("a", 8_000), ("b", 48_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.wav").write_bytes(wav(tone(None, rate), rate))
    pool = sound_folder(tmp_path)
    assert pool.preprocessing is not None and pool.preprocessing["highest"] == 3_800
    gap = (pool.data[0, 0].float() - pool.data[1, 0].float()).abs().mean()
    assert float(gap) < 2


def test_a_zip_is_read_as_its_folder(tmp_path):
    root = sounds.folder(tmp_path / "tones", 1)
    with zipfile.ZipFile(tmp_path / "tones.zip", "w") as archive:
        for file in sorted(root.rglob("*.wav")):
            archive.write(file, file.relative_to(root))
    assert sound_folder(tmp_path / "tones.zip").digest == sound_folder(root).digest


def test_pictures_among_sounds_are_refused(tmp_path):
    root = sounds.folder(tmp_path / "tones", 1)
    Image.new("L", (9, 9)).save(root / "low" / "cover.png")
    with pytest.raises(InputError, match=r"sounds and pictures, such as high/0\.wav and low/cover\.png"):
        sound_folder(root)


def test_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no sub-folders"):
        sound_folder(tmp_path)
    sounds.folder(tmp_path / "tones", 1)
    (tmp_path / "tones" / "none").mkdir()
    with pytest.raises(InputError, match=r"class 'none' .* has no sound in it"):
        sound_folder(tmp_path / "tones")
    with pytest.raises(InputError, match="there is no folder"):
        sound_folder(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"only words", "no WAV"),
        (b"", "no WAV"),
        (wav(np.zeros(9_000)), "silence"),
        (wav(np.zeros(1)), "1 samples"),
        (wav(tone())[:-9], "cut short"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path, content, said):
    root = sounds.folder(tmp_path / "tones", 1)
    (root / "low" / "odd.wav").write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        sound_folder(root)
    assert "low/odd.wav" in str(error.value)


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match="there is no sound"):
        read_sound("nowhere.wav")


def test_flac_is_what_the_wav_is(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="FLAC needs the extra `sounds`")
    samples = np.stack([tone(None), tone(900)], 1)
    for kind in ("PCM_16", "PCM_24"):
        soundfile.write(tmp_path / "a.flac", samples, 16_000, kind)
        sound = read_sound(tmp_path / "a.flac")
        assert sound.rate == 16_000
        np.testing.assert_allclose(sound.samples, samples.T, atol=1e-4)
    content = (tmp_path / "a.flac").read_bytes()
    np.testing.assert_array_equal(read_sound(content).samples, sound.samples)
    count = int.from_bytes(content[21:26], "big")
    assert count_of(content) == 2 * (count & 0xFFFFFFFFF) == 2 * len(samples)
    endless = content[:21] + (count >> 36 << 36).to_bytes(5, "big") + content[26:]
    with pytest.raises(InputError, match=r"b\.flac does not say how long it is"):
        read_sound(endless, "b.flac")
    for damaged in (content[: len(content) // 2], content[:30]):
        with pytest.raises(InputError, match=r"b\.flac is (damaged|cut short)"):
            read_sound(damaged, "b.flac")


def test_flac_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(InputError, match=r"a\.flac needs soundfile: pip install 'innerloop\[sounds\]'"):
        read_sound(b"fLaC" + bytes(60), "a.flac")


def test_sounds_are_told_by_how_they_begin_or_are_called():
    webp = io.BytesIO()
    Image.new("L", (9, 9)).save(webp, "WEBP")
    assert is_sound(wav(tone()), "a") and is_sound(b"fLaC", "a") and is_sound(b"", "a.WAV") and is_sound(b"", "a.mp3")
    assert count_of(wav(np.zeros((9, 2)))) == 18 and count_of(b"words") == 0
    assert not is_sound(webp.getvalue(), "a.webp")


def test_what_is_made_of_sounds_is_not_called_pixels(tmp_path):
    pool = sound_folder(sounds.folder(tmp_path / "tones", 2))
    sampler = EpisodeSampler(pool=pool, ways=2, shots=1, queries=1)
    first = next(Classes(data="tones").baselines(NearestCentroid(), 0, sampler))
    assert first.name == "log-mel energy, nearest centroid"
    record = {"shape": [1, 40, 40], "preprocessing": {"size": 40, "seconds": 0.5, "highest": 3_800}}
    with pytest.raises(InputError, match="listened up to 3,800 Hz, and tones is read up to 7,600"):
        Classes(data="tones").refuse_unfit(NearestCentroid(), {}, record, sampler)
    assert {"mnist-pixels"} <= set(Pixels.data_sets()) and "spoken-words-pixels" not in Pixels.data_sets()
    with pytest.raises(InputError, match=r"only pictures in grey or colour .* are sounds"):
        resized(pool, 16, 3)


def test_of_many_sounds_only_pictures_are_in_memory_and_few_are_heard_twice(tmp_path, monkeypatch):
    root = sounds.folder(tmp_path / "tones", 8)
    long = np.concatenate([tone(300.0) * gain for gain in (0.1, 1.0, 0.3)])
    (root / "low" / "0.wav").write_bytes(wav(long, 16_000))
    heard, alive, own = list[weakref.ref](), list[int](), LogMel.heard

    def watched(self, sound, name):
        alive.append(sum(one() is not None for one in heard))
        result = own(self, sound, name)
        heard.append(weakref.ref(result))
        return result

    monkeypatch.setattr(LogMel, "heard", watched)
    pool = sound_folder(root)
    assert pool.preprocessing is not None and pool.preprocessing["seconds"] < 0.6 and len(heard) == 32 + 1
    assert max(alive) <= 1
    for k, name in enumerate(pool.names):
        for i in range(8):
            assert bool((sound_row(root / name / f"{i}.wav", pool.preprocessing) == pool.data[k, i]).all())
