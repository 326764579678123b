"""Whether `innerloop advise` names what was planted: six situations, drawn anew for every seed.

`python -m benchmarks.advice --seeds 0..9` writes `benchmarks/advice.json`; what is there already is kept, so that it
goes on where it was stopped. Seconds are of a processor. An advice is right if it names what was planted, and neither
wrong labels nor copies where none were.

| situation | planted | right if the advice |
| --- | --- | --- |
| easy | 20 classes of photographs (Tiny ImageNet), 20 of each | uses their encoder; meta-learning does not pay |
| strokes | 60 characters that nobody knows, under foreign lines | says that meta-training here pays |
| few | 8 such characters | says that there are too few classes, and that more would help |
| noise | 20 characters without lines, a fifth of the labels wrong | puts cleaning first, about a fifth |
| copies | 20 characters without lines, 15 drawings also in another class | names these pairs, and no other |
| chinese | 6 intents of 8 Chinese sentences | names the script, and an encoder that reads it |
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from innerloop.advice.advise import AdviceOptions, advise
from innerloop.advice.verdict import Advice
from innerloop.core.allocator import keep_memory
from innerloop.core.context import Context
from innerloop.fewshot import sources
from innerloop.tasks import handwriting
from innerloop.tasks.datasets.tiny_imagenet import tiny_imagenet

OUT = Path(__file__).with_suffix(".json")
_EACH, _SIDE = 20, 28
_NOISE, _COPIES = 0.2, 15
_READS_CHINESE = "use-multilingual"
_INTENTS = {
    "退款": "我想退款 请把钱退给我 怎么申请退货 退款什么时候到账 "
    "东西坏了要求赔钱 能不能取消订单还我钱 买错了想退 卖家不给退怎么办",
    "物流": "我的包裹到哪了 快递为什么还没到 什么时候发货 请查一下物流信息 "
    "包裹是不是寄丢了 能不能改送货地址 快递员联系不上 几天能送到",
    "密码": "我忘记密码了 怎么重置登录密码 账号登录不上去 想修改密码 "
    "账户被锁住了 验证码收不到 怀疑有人盗用我的账号 密码输错太多次",
    "天气": "明天会下雨吗 今天天气怎么样 周末冷不冷 外面气温多少度 "
    "这几天会下雪吗 出门要不要带伞 台风什么时候来 后天是晴天吗",
    "音乐": "放一首歌 我想听音乐 播放周杰伦的专辑 换下一首 来点轻松的钢琴曲 单曲循环这首歌 这首歌是谁唱的 给我放儿歌",
    "订餐": "我想订一份外卖 附近有什么好吃的餐厅 帮我订今晚的位子 来一份牛肉面 "
    "这家餐馆几点关门 有没有素菜 推荐一家火锅店 晚饭吃什么",
    "医生": "我想挂号看医生 头疼应该看哪个科 预约明天的门诊 这个药一天吃几次 "
    "医院几点开门 孩子发烧怎么办 要不要去做体检 牙疼得厉害",
    "机票": "帮我订一张机票 航班几点起飞 我要改签航班 去北京的飞机多少钱 "
    "行李可以带多重 飞机晚点了吗 在哪里办登机牌 有没有直飞上海的",
}


def characters(seed: int, classes: int, lines: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Drawings [n, side, side] and labels of made-up characters, each by 20 writers, with foreign lines across."""
    rng, drawn = np.random.default_rng((seed, 1)), []
    for c in range(classes):
        own = np.random.default_rng((seed, 2, c))
        at = np.linspace(0, 1, 9)[:, None]
        # Cubic curves by their four control points.
        points = own.random((own.integers(2, 5), 4, 2))
        curves = [
            (1 - at) ** 3 * a + 3 * (1 - at) ** 2 * at * b + 3 * (1 - at) * at**2 * m + at**3 * d
            for a, b, m, d in points
        ]
        drawn.append(handwriting.write(handwriting.fitted(curves), c, _EACH, _SIDE, seed))
    x = np.concatenate(drawn)
    for i in range(len(x)):
        for _ in range(lines):
            x[i] = np.maximum(x[i], handwriting.draw([rng.random((2, 2))], _SIDE, 1.5))
    return x, np.array([f"character {c:02d}" for c in range(classes)]).repeat(_EACH)


def easy(folder: Path, seed: int) -> tuple[Path, Callable[[Advice], bool]]:
    """Photographs, of which an encoder knows the like."""
    pool, rng = tiny_imagenet(Context()).test, np.random.default_rng(seed)
    classes = rng.permutation(len(pool))[:20].tolist()
    x = torch.cat([pool.data[c, torch.from_numpy(rng.permutation(int(pool.counts[c]))[:_EACH])] for c in classes])
    path = folder / "easy.npz"
    np.savez(path, x=x.numpy(), y=np.array([pool.names[c] for c in classes]).repeat(_EACH))
    return path, lambda a: a.use.candidate.source == "efficientnet-lite0" and a.pays == "no" and not _faults(a)


def strokes(folder: Path, seed: int) -> tuple[Path, Callable[[Advice], bool]]:
    """Many classes that nothing knows."""
    path = _saved(folder / "strokes.npz", *characters(seed, 60, lines=2))
    return path, lambda a: a.pays == "here" and "innerloop train protonet" in a.commands[0] and not _faults(a)


def few(folder: Path, seed: int) -> tuple[Path, Callable[[Advice], bool]]:
    """Few of them."""
    path = _saved(folder / "few.npz", *characters(seed, 8, lines=2))
    return path, lambda a: "classes" in a.helps and "8" in (a.evidence.untried or "") and not _faults(a)


def noise(folder: Path, seed: int) -> tuple[Path, Callable[[Advice], bool]]:
    """Wrong labels."""
    x, y = characters(seed, 20)
    rng, names = np.random.default_rng((seed, 3)), np.unique(y)
    wrong = rng.permutation(len(y))[: round(_NOISE * len(y))]
    at = np.searchsorted(names, y[wrong])
    y[wrong] = names[(at + rng.integers(1, len(names), len(wrong))) % len(names)]
    path = _saved(folder / "noise.npz", x, y)
    return (
        path,
        lambda a: (
            a.helps[:1] == ("cleaning",)
            and a.evidence.wrong.low <= _NOISE <= a.evidence.wrong.high
            and not a.evidence.copies.across
        ),
    )


def copies(folder: Path, seed: int) -> tuple[Path, Callable[[Advice], bool]]:
    """Drawings in two classes."""
    x, y = characters(seed, 20)
    rng, names = np.random.default_rng((seed, 4)), np.unique(y)
    twice = rng.permutation(len(y))[:_COPIES]
    other = names[(np.searchsorted(names, y[twice]) + rng.integers(1, len(names), _COPIES)) % len(names)]
    planted = {frozenset(pair) for pair in zip(y[twice].tolist(), other.tolist(), strict=True)}
    path = _saved(folder / "copies.npz", np.concatenate([x, x[twice]]), np.concatenate([y, other]))

    def right(a: Advice) -> bool:
        names, labels = a.looked.names, a.looked.labels
        pairs = [frozenset(names[int(labels[i])] for i in twin[:2]) for twin in a.evidence.copies.across]
        return len(pairs) == _COPIES and set(pairs) == planted and a.helps[:1] == ("duplicates",)

    return path, right


def chinese(folder: Path, seed: int) -> tuple[Path, Callable[[Advice], bool]]:
    """Sentences in Chinese."""
    rng, path = np.random.default_rng(seed), folder / "chinese.csv"
    chosen = [list(_INTENTS)[i] for i in rng.permutation(len(_INTENTS))[:6]]
    lines = [f"{text},{name}" for name in chosen for text in _INTENTS[name].split()]
    path.write_text("\n".join(["text,label", *rng.permutation(lines).tolist()]) + "\n", encoding="utf-8")

    def right(a: Advice) -> bool:
        source = a.use.candidate.source
        reads = source is not None and sources.encoder_of(source) == _READS_CHINESE
        return a.evidence.looks.script == "Chinese characters" and reads and not _faults(a)

    return path, right


SITUATIONS = {"easy": easy, "strokes": strokes, "few": few, "noise": noise, "copies": copies, "chinese": chinese}


def _saved(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(path, x=x, y=y)
    return path


def _faults(a: Advice) -> bool:
    """Whether it names faults of the data, of which none were planted."""
    return "cleaning" in a.helps or bool(a.evidence.copies.across)


def measure(situation: str, seed: int) -> dict[str, Any]:
    """One advice on one situation."""
    with TemporaryDirectory() as folder:
        path, right = SITUATIONS[situation](Path(folder), seed)
        advice = advise(str(path), AdviceOptions(seed=seed))
        lines = [line.replace(folder, "") for line in advice.lines]
    about = {"right": bool(right(advice)), "use": advice.use.candidate.name, "pays": advice.pays}
    about |= {"helps": list(advice.helps), "seconds": round(advice.seconds, 1), "lines": lines}
    return about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0..9", help="first..last")
    parser.add_argument("--only", choices=SITUATIONS, nargs="*", default=list(SITUATIONS))
    asked = parser.parse_args()
    keep_memory()
    first, _, last = asked.seeds.partition("..")
    kept: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    for seed in range(int(first), int(last or first) + 1):
        for situation in asked.only:
            of_situation = kept.setdefault(situation, {})
            if str(seed) in of_situation:
                continue
            of_situation[str(seed)] = one = measure(situation, seed)
            OUT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(situation, seed, {k: v for k, v in one.items() if k != "lines"}, flush=True)
    for situation, seeds in kept.items():
        right = sum(one["right"] for one in seeds.values())
        print(f"{situation}: {right} of {len(seeds)} right, {max(one['seconds'] for one in seeds.values())} s at most")


if __name__ == "__main__":
    main()
