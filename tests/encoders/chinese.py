"""Chinese sentences with persons, places and organisations, written by hand: every character is a word."""

import re

from innerloop.tasks.entities.sentences import Sentence, Span

_KINDS = {"人": "person", "地": "place", "机": "organisation"}
_PART = re.compile("〔(.)(.+?)〕|([^〔]+)")
_WRITTEN = """
昨天〔人王小明〕从〔地北京〕坐火车去了〔地上海〕。
〔机清华大学〕的〔人李教授〕在〔地杭州〕做了报告。
〔人张伟〕在〔机中国银行〕工作了十年。
〔机华为公司〕在〔地深圳〕开了新店。
我的朋友〔人陈静〕住在〔地广州〕。
〔人刘洋〕去年离开了〔机腾讯公司〕。
〔地成都〕的冬天不太冷，〔人赵敏〕很喜欢。
〔机北京大学〕和〔机复旦大学〕今年招生。
〔人孙丽〕和〔人周强〕在〔地南京〕结婚了。
从〔地西安〕到〔地武汉〕要坐四个小时的火车。
〔机人民医院〕的〔人吴医生〕非常有名。
〔人郑爽〕给〔机中央电视台〕写了一封信。
〔地天津〕离〔地北京〕很近。
〔机阿里巴巴〕的创始人是〔人马云〕。
〔人林峰〕在〔地重庆〕吃了火锅。
〔机国家图书馆〕周末也开放。
〔人黄蓉〕把书还给了〔机上海图书馆〕。
〔地苏州〕的园林很漂亮。
〔人杨洁〕是〔机浙江大学〕的学生。
〔机东方航空〕取消了飞往〔地昆明〕的航班。
〔人何平〕昨晚到了〔地青岛〕。
〔机红十字会〕帮助了〔地四川〕的灾民。
〔人徐志〕和他的妹妹〔人徐红〕在〔地大连〕长大。
〔机交通银行〕的经理〔人马超〕来了。
〔地哈尔滨〕的冰灯吸引了很多人。
〔人高峰〕在〔机小米公司〕当工程师。
〔机南开大学〕在〔地天津〕。
〔人罗琳〕明天飞往〔地厦门〕。
〔机中国科学院〕发表了〔人钱学〕的论文。
〔地桂林〕的山水，〔人宋佳〕画了很多次。
〔人唐嫣〕告诉〔机海尔集团〕她不去了。
〔机招商银行〕在〔地长沙〕有三家分行。
〔人冯刚〕从〔地拉萨〕寄来一张照片。
〔机新华书店〕就在〔地济南〕火车站旁边。
〔人韩雪〕采访了〔机百度公司〕的〔人董事〕。
〔地海口〕的海边，〔人曹颖〕遇见了〔人彭飞〕。
"""


def sentences() -> list[Sentence]:
    """The sentences, cut into characters."""
    return [_read(line) for line in _WRITTEN.split()]


def _read(line: str) -> Sentence:
    words, spans = list[str](), list[Span]()
    for kind, entity, plain in _PART.findall(line):
        if entity:
            spans.append(Span(len(words), len(words) + len(entity), _KINDS[kind]))
        words.extend(entity or plain)
    return Sentence(tuple(words), tuple(spans))
