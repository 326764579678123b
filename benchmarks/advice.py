"""Whether `innerloop advise` names what was planted: six situations, drawn anew for every seed.

`python -m benchmarks.advice --seeds 0..9` writes `benchmarks/advice.json`; what is there already is kept, so that it goes
on where it was stopped. Seconds are of a processor.

| situation | planted | right if the advice |
| --- | --- | --- |
| easy | 20 classes of photographs of Tiny ImageNet, 20 of each | uses the encoder of photographs, and says that meta-learning does not pay |
| strokes | 60 characters that nobody knows, with foreign lines across | says that meta-learning pays here, with the command |
| few | 8 such characters | says that there are too few classes to meta-train on, and that more would help |
| noise | 20 characters, a fifth of the labels wrong | puts cleaning first, and its interval holds a fifth |
| copies | 20 characters, 15 drawings also put into another class | names exactly those pairs |
| chinese | 10 intents of 14 Chinese sentences | names the script and uses an encoder that reads it |

In none may it also say something that was not planted: wrong labels or copies where there are none.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from innerloop.advice.advise import AdviceOptions, advise
from innerloop.advice.verdict import Advice
from innerloop.core.context import Context
from innerloop.tasks import handwriting
from innerloop.tasks.datasets.tiny_imagenet import tiny_imagenet

OUT = Path(__file__).with_suffix(".json")
_EACH, _SIDE = 20, 28
_NOISE, _COPIES = 0.2, 15
_INTENTS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "退款": (("我想退款", "请把钱退给我", "怎么申请退款", "退款什么时候到账", "能不能退货退钱"), _WHEN := ("", "，谢谢", "，急")),
    "物流": (("我的包裹到哪了", "快递为什么还没到", "什么时候发货", "请查一下物流", "包裹寄丢了吗"), _WHEN),
    "密码": (("我忘记密码了", "怎么重置密码", "登录密码不对", "想修改登录密码", "账号被锁住了"), _WHEN),
    "发票": (("请给我开发票", "怎么开电子发票", "发票抬头写错了", "发票还没有收到", "可以补开发票吗"), _WHEN),
    "天气": (("明天会下雨吗", "今天天气怎么样", "周末冷不冷", "外面气温多少度", "会不会下雪"), _WHEN),
    "音乐": (("放一首歌", "我想听音乐", "播放周杰伦的歌", "换一首歌听", "声音大一点继续放歌"), _WHEN),
    "订餐": (("我想订一份外卖", "附近有什么餐厅", "帮我订今晚的位子", "来一份牛肉面", "这家餐馆几点关门"), _WHEN),
    "医生": (("我想挂号看医生", "头疼应该看哪个科", "预约明天的门诊", "这个药怎么吃", "医院几点开门"), _WHEN),
    "机票": (("帮我订一张机票", "航班几点起飞", "我要改签航班", "去北京的飞机票多少钱", "行李可以带多重"), _WHEN),
    "银行": (("我的余额是多少", "怎么给朋友转账", "信用卡还款日是哪天", "我要办一张储蓄卡", "银行卡丢了怎么办"), _WHEN),
}
