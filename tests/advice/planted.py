"""Small data with something planted, for tests of advice."""

from pathlib import Path

import numpy as np
from PIL import Image

SENTENCES = {
    "退款": ("我想退款", "请把钱退给我", "怎么申请退货", "买错了想退", "卖家不给退怎么办", "东西坏了要求赔钱"),
    "天气": ("明天会下雨吗", "今天天气怎么样", "周末冷不冷", "出门要不要带伞", "台风什么时候来", "外面气温多少度"),
    "音乐": ("放一首歌", "我想听音乐", "播放周杰伦的专辑", "来点轻松的钢琴曲", "给我放儿歌", "单曲循环这首歌"),
}
WORDS = {"refund": "money back return", "weather": "rain sun wind", "music": "song piano play"}


def patterns(
    classes: int, each: int, noise: float = 30.0, seed: int = 0, bright: int = 255
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [n, 28, 28] uint8, a blurred pattern for each class under noise, and labels [n]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, bright, (classes, 7, 7)).repeat(4, 1).repeat(4, 2)
    x = coarse.repeat(each, 0) + rng.normal(0, noise, (classes * each, 28, 28))
    return x.clip(0, 255).astype(np.uint8), np.arange(classes).repeat(each)


def npz(path: Path, x: np.ndarray, y: np.ndarray) -> str:
    """The name of a file of arrays."""
    np.savez(path, x=x, y=y)
    return str(path)


def folder(root: Path, x: np.ndarray, y: np.ndarray) -> str:
    """The name of a folder with a sub-folder for each class."""
    for i, (picture, label) in enumerate(zip(x, y, strict=True)):
        place = root / f"class {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{i:03d}.png")
    return str(root)


def chinese(path: Path) -> str:
    """The name of a table of sentences."""
    rows = [f"{text},{label}" for label, texts in SENTENCES.items() for text in texts]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return str(path)
