"""A real service in this process, on a port of its own, with a small run to teach; and pictures to teach it."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings
from innerloop.tasks import EpisodeSampler, Pool

SHAPES = ("circle", "cross", "plus", "square", "triangle")


def train(run: Path, seed: int = 0, steps: int = 60) -> None:
    """Meta-train on drawn shapes and strokes for a moment, and test, so that there is a run to look at."""
    rng = random.Random(0)
    drawn = np.stack(
        [np.stack([np.asarray(drawing(rng, s).resize((28, 28))) for _ in range(12)]) for s in (*SHAPES, *"LTVNZ")]
    )
    pool = Pool(
        data=255 - torch.from_numpy(drawn)[:, :, None],
        counts=torch.full((len(drawn),), 12),
        names=(*SHAPES, *"LTVNZ"),
        dataset="shapes",
        split="all",
        preprocessing={"size": 28, "channels": 1, "ink": "auto"},
    )
    sampler = EpisodeSampler(pool=pool, ways=5, shots=2, queries=4, seed=seed)
    learner = ProtoNet(encoder=Conv4(width=16, outputs=None))
    record = {
        "learner": "protonet",
        "dataset": "shapes",
        "shape": [1, 28, 28],
        "preprocessing": {"size": 28, "channels": 1, "ink": "auto"},
    }
    config = TrainConfig(steps=steps, meta_batch_size=2, seed=seed, plan="loop")
    params = meta_train(learner, sampler, config, out=run, record=record)
    meta_test(learner, params, replace(sampler, seed=99), episodes=20).save(run)


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def service(
    store: Path,
    runs: Path | None,
    sources: tuple[str, ...] = (),
    demand_keys: bool = False,
    limits: Limits | None = None,
    **options: Any,
) -> Iterator[str]:
    """The address of a service that runs as long as the block."""
    uvicorn = pytest.importorskip("uvicorn", reason="the service needs the extra serve")
    from innerloop.service.http import running
    from innerloop.service.http.app import create

    port = free_port()
    settings = Settings(
        store=str(store),
        port=port,
        sources=sources,
        runs=None if runs is None else str(runs),
        demand_keys=demand_keys,
        limits=limits or Limits(threads=1),
    )
    server = uvicorn.Server(uvicorn.Config(create(settings), **(running.options(settings) | options)))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


def drawing(rng: random.Random, shape: str) -> Image.Image:
    """One hand-drawn looking picture, dark on white."""
    image = Image.new("L", (96, 96), 255)
    pen = ImageDraw.Draw(image)
    a, b = rng.randint(12, 26), rng.randint(70, 84)
    middle, width = (a + b) // 2, rng.randint(5, 7)
    lines = {
        "cross": [(a, a, b, b), (a, b, b, a)],
        "plus": [(a, middle, b, middle), (middle, a, middle, b)],
        "triangle": [(a, b, b, b), (b, b, middle, a), (middle, a, a, b)],
    }
    if shape == "circle":
        pen.ellipse((a, a, b, b), outline=0, width=width)
    elif shape == "square":
        pen.rectangle((a, a, b, b), outline=0, width=width)
    elif shape in lines:
        for line in lines[shape]:
            pen.line(line, fill=0, width=width)
    else:
        pen.text((a, a - 10), shape, fill=0, font=ImageFont.load_default(size=64))
    return image.rotate(rng.uniform(-8, 8), fillcolor=255)


def draw(folder: Path, shape: str, count: int, seed: int = 0) -> list[Path]:
    """Picture files of one shape, no two alike."""
    rng = random.Random(f"{shape} {seed}")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{shape}-{seed}-{i}.png" for i in range(count)]
    for path in paths:
        drawing(rng, shape).save(path)
    return paths
