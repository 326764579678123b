import importlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.tasks import EpisodeSampler, Pool
from innerloop.tasks.datasets import omniglot as package_member

module = importlib.import_module("innerloop.tasks.datasets.omniglot")
omniglot = module.omniglot
SMALL = {"images_background": 6, "images_evaluation": 4}
ALPHABETS = {"images_background": ("Latin", "Greek", "Hebrew"), "images_evaluation": ("Tengwar", "Angelic")}


def png(seed: int) -> bytes:
    values = np.random.default_rng(seed).random((105, 105)) > 0.1
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def build(root: Path, packed: bool, drawings: int = 20, extra: str | None = None) -> Path:
    """A small Omniglot in the official layout: two characters of each alphabet."""
    for name, alphabets in ALPHABETS.items():
        files = {
            f"{name}/{alphabet}/character{c:02d}/{c:04d}_{i:02d}.png": png(1000 * a + 100 * c + i)
            for a, alphabet in enumerate(alphabets)
            for c in (1, 2)
            for i in range(1, drawings + 1)
        }
        if packed:
            root.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
                for place, content in files.items() | ({(extra, b"attack")} if extra else set()):
                    archive.writestr(place, content)
        else:
            for place, content in files.items():
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                (root / place).write_bytes(content)
    return root


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_SETS", SMALL)
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INNERLOOP_DATA", raising=False)
    return tmp_path


def test_zips_and_folders_are_the_same(small, monkeypatch):
    zips = omniglot(build(small / "zips", packed=True), "lake", rotations=False)
    folders = omniglot(build(small / "folders" / "omniglot", packed=False).parent, "lake", rotations=False)
    monkeypatch.setenv("INNERLOOP_DATA", str(small / "zips"))
    named = omniglot(split="lake", rotations=False)
    for name, pool in zips.pools().items():
        assert torch.equal(pool.data, folders.pools()[name].data) and pool.names == folders.pools()[name].names
        assert pool.names == named.pools()[name].names
    assert zips.train.names == tuple(f"{a}/character{c:02d}" for a in ("Greek", "Latin") for c in (1, 2))
    assert set(zips.validation.groups) == {"Hebrew"} and set(zips.test.groups) == {"Angelic", "Tengwar"}
    assert sorted(p.name for p in (small / "zips").iterdir()) == ["images_background.zip", "images_evaluation.zip"]


def test_vinyals_goes_by_alphabet_and_rotates(small):
    splits = omniglot(build(small / "data", packed=True))
    assert set(splits.test.groups) == {"Tengwar"} and set(splits.validation.groups) == {"Hebrew"}
    assert len(splits.test) == 8 and "Tengwar/character01/rot270" in splits.test.names
    assert splits.test.dataset == "omniglot" and splits.test.split == "vinyals-test"


def test_strokes_are_one(small):
    pool = omniglot(build(small / "data", packed=False), rotations=False).test
    assert 0.05 < pool.data.float().mean() / 255 < 0.15  # a tenth of every picture is ink


def test_names_that_lead_out_of_a_zip_are_refused(small):
    for i, name in enumerate(("../outside.png", "/absolute.png", "images_background/../../x.png", "..\\x.png", "C:/x")):
        with pytest.raises(InputError, match="leads out of it"):
            omniglot(build(small / str(i), packed=True, extra=name))


def test_wrong_structure_is_said(small):
    with pytest.raises(InputError, match="has 19 drawings"):
        omniglot(build(small / "few", packed=True, drawings=19))
    (small / "junk").mkdir()
    for name in SMALL:
        (small / "junk" / f"{name}.zip").write_bytes(b"junk")
    with pytest.raises(InputError, match="not a readable zip"):
        omniglot(small / "junk")


def test_damaged_picture_is_named(small):
    root = build(small / "data", packed=False)
    path = root / "images_background/Greek/character01/0001_03.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"Greek/character01/0001_03\.png is damaged"):
        omniglot(root)
    assert not list((small / "cache").glob("**/*.npz"))


def test_offline_says_what_to_put_where(small, monkeypatch):
    pooch = pytest.importorskip("pooch")

    def offline(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(pooch, "retrieve", offline)
    said = rf"Put images_background.zip and images_evaluation.zip from https://\S+ into {small / 'data' / 'omniglot'}"
    with pytest.raises(InputError, match=said):
        omniglot(small / "data")


def test_downloads_go_to_the_cache_with_their_checksums(small, monkeypatch):
    pooch = pytest.importorskip("pooch")
    source, asked = build(small / "source", packed=True), {}

    def retrieve(url, known_hash, fname, path, **kwargs):
        asked[fname] = known_hash
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / fname).write_bytes((source / fname).read_bytes())
        (Path(path) / fname).chmod(0o600)  # as pooch leaves it
        return str(Path(path) / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    (small / "empty").mkdir()
    assert len(omniglot(small / "empty").test) == 8 and not list((small / "empty").iterdir())
    assert asked == {f"{name}.zip": f"md5:{module._MD5[name]}" for name in SMALL}
    zips = list(small.rglob("images_*.zip"))
    (small / "new").touch()
    modes = {path.stat().st_mode for path in zips if source not in path.parents}
    assert modes == {(small / "new").stat().st_mode}, "the cache may be shared with others"
    monkeypatch.setattr(pooch, "retrieve", lambda *a, **k: pytest.fail("downloaded twice"))
    omniglot(small / "empty")


def test_unknown_split(small):
    with pytest.raises(InputError, match="vinyals, lake and maml"):
        omniglot(small, "random")


def pixels(pool: Pool, ways: int, episodes: int) -> float:
    sampler = EpisodeSampler(pool=pool, ways=ways, shots=1, queries=5, seed=0)
    right = []
    for first in range(0, episodes, 100):
        drawn = sampler.episodes(first, 100)
        support, query = (batch.x.flatten(2) for batch in drawn)  # pyright: ignore[reportAttributeAccessIssue]
        right.append((torch.cdist(query, support).argmin(-1) == drawn.query.y).float().mean())
    return torch.stack(right).mean().item()


@pytest.mark.slow
def test_d1_and_d2(data_root):
    """The figures of the original data: counts, mean pixel, nearest centroid on pixels."""
    splits = omniglot(data_root, rotations=False)
    assert {name: len(pool) for name, pool in splits.pools().items()} == {"train": 1028, "validation": 172, "test": 423}
    every = torch.cat([pool.data for pool in splits.pools().values()])
    assert every.shape == (1623, 20, 1, 28, 28) and every.float().mean().item() / 255 == pytest.approx(0.0840, abs=5e-4)
    assert pixels(splits.test, 5, 600) == pytest.approx(0.417, abs=0.03)
    assert pixels(splits.test, 20, 200) == pytest.approx(0.227, abs=0.02)
    for split, sizes in {"lake": [792, 172, 659], "maml": [1100, 100, 423]}.items():
        assert [len(pool) for pool in omniglot(data_root, split, rotations=False).pools().values()] == sizes
    assert [len(pool) for pool in omniglot(data_root).pools().values()] == [4112, 688, 1692]


@pytest.mark.slow
def test_vinyals_is_the_published_lists(data_root):
    folder = data_root / "omniglot" / "splits" / "vinyals"
    if not folder.is_dir():
        pytest.skip(f"no published lists in {folder}")
    for name, pool in omniglot(data_root).pools().items():
        lines = (folder / f"{'val' if name == 'validation' else name}.txt").read_text().split()
        assert {line.removesuffix("/rot000") for line in lines} == set(pool.names)


def test_one_shot_runs(data_root):
    episodes = module.omniglot_runs(data_root)
    assert isinstance(episodes.support.x, torch.Tensor) and episodes.support.x.shape == (20, 20, 1, 28, 28)
    assert (episodes.query.y.sort(1).values == torch.arange(20)).all() and episodes.query.y[0, :3].tolist() == [7, 8, 1]
    assert episodes.support.x.mean().item() == pytest.approx(0.08, abs=0.02)


def test_one_shot_runs_are_a_sampler(data_root):
    runs, every = module.OneShotRuns(data_root), module.omniglot_runs(data_root)
    few = runs.episodes(3, 2)
    assert torch.equal(few.query.x, every.query.x[3:5]) and torch.equal(few.query.y, every.query.y[3:5])
    assert len(runs) == 20 and runs.describe()["ways"] == 20
    with pytest.raises(InputError, match="has episodes 0 to 19, got 19 to 20"):
        runs.episodes(19, 2)


def test_the_module_is_importable_beside_its_function():
    assert package_member is module
