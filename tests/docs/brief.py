"""Commands that train or test for long, for a moment instead."""

import re
from collections.abc import Collection
from typing import NamedTuple


class Cut(NamedTuple):
    """What becomes of an option: its new values, and whether it is added where it is not typed."""

    values: str
    always: bool = False


CUTS = {
    "train": {
        "steps": Cut("2", True),
        "meta-batch-size": Cut("2"),
        "validate-every": Cut("1"),
        "validation-episodes": Cut("4"),
        "seeds": Cut("0 1"),
        "width": Cut("8"),
    },
    "test": {"episodes": Cut("4", True)},
    "compare": {"episodes": Cut("4", True)},
    "tune": {"steps": Cut("2", True), "trials": Cut("2", True)},
    "reproduce": {"minutes": Cut("0.01", True), "episodes": Cut("4", True)},
    "transfer": {"steps": Cut("2", True), "seeds": Cut("0", True), "episodes": Cut("2", True)},
    "advise": {"episodes": Cut("4", True)},
    "adapt": {"tune-encoder": Cut("1")},
}
"""By verb."""
BESIDES = {
    " --data ": {"meta-batch-size": Cut("2", True), "plan": Cut("loop", True)},
    " model_predictive ": {"meta-batch-size": Cut("2", True), "candidates": Cut("2", True), "ahead": Cut("2", True)},
}
"""Of a training whose command has this in it: timing plans takes long, and so does planning."""
ROUNDS = {"rounds": Cut("10", True), "seeds": Cut("0 1")}
STREAM = {"rows": Cut("40", True), "held-out": Cut("40", True), "tasks": Cut("2", True), "seeds": Cut("0 1")}
"""Of a training along a stream, in rounds or of classes, which has no steps."""
_COMMAND = re.compile(r"(innerloop(?:\.cli\.main)? (\w+))((?:\\\n|[^;|&<>\n])*)")
_WORD = r"\s+\w+"
_VALUES = r"(?:\s+\"?[\d.e-]+\"?)*(?=[\s\\]|$)"


_PYTHON = re.compile(r"\b(steps|episodes)=(\d+)")


def brief_python(text: str) -> str:
    """A block of Python with `steps=` and `episodes=` of ten at most."""
    return _PYTHON.sub(lambda found: f"{found[1]}={min(int(found[2]), 10)}", text)


def brief(command: str, alone: Collection[str] = ()) -> str:
    """A command line with the options of every `innerloop` command in it cut, but those of some verbs."""
    return _COMMAND.sub(lambda found: found[0] if found[2] in alone else _cut(*found.groups()), command)


def _cut(start: str, verb: str, rest: str) -> str:
    cuts = CUTS.get(verb, {})
    if verb == "train" and "--stream" in rest:
        cuts = ROUNDS if "--stream sinusoids" in rest else STREAM
    for part, more in BESIDES.items():
        if verb == "train" and part in rest:
            cuts = cuts | more
    if verb in ("train", "tune"):  # steps say how long
        rest = re.sub(rf"\s--cpu-minutes{_VALUES}", "", rest)
    tail = rest[len(rest.rstrip()) :]
    rest = rest.rstrip()
    for option, cut in cuts.items():
        if re.search(rf"\s--{option} 0(?=\s+--|\s*$)", rest):
            continue
        values = _VALUES if cut.values[0].isdigit() else _WORD
        rest, typed = re.subn(rf"(\s--{option}){values}", rf"\1 {cut.values}", rest)
        if cut.always and not typed:
            rest += f" --{option} {cut.values}"
    return start + rest + tail
