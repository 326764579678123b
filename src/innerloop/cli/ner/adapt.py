"""`innerloop ner adapt <source> <data>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.apps.ner.settings import Decode, Head, Tagging
from innerloop.cli.options import Common, parse, tell


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop ner adapt`."""

    source: tyro.conf.Positional[str]
    """What reads the words: entities (English, meta-trained), minilm (English), minilm:0 to minilm:6 for another layer,
    use-multilingual (16 languages, much weaker), gliner: and a folder or name, or the folder of a run of
    `innerloop ner train`."""
    data: tyro.conf.Positional[str]
    """Tagged sentences: a CoNLL file (a word a line with its tag), or JSON with the places of entities in texts."""
    out: str
    """The file to write, by custom `<name>.fewshot`."""
    head: Head | None = None
    """What tells types apart by the rows of an encoder. nearest: a type is as near as its nearest word; prototypes: as
    the mean of its words. Without it: prototypes."""
    decode: Decode = "viterbi"
    """viterbi: the most probable sentence as a whole; argmax: word by word."""
    tagging: Tagging = "io"
    """io: words of one type side by side are one entity; bio: two may touch."""
    whiten: bool = False
    """Whiten rows of an encoder by what differs within types of CrossNER, which has to be at hand."""
    names: bool = False
    """Learn from the name of a type as from an example of it."""
    strict: bool = False
    """Refuse entities that begin with I- instead of B-; otherwise they are read as beginnings, and counted."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Teach types of entities from a few tagged sentences, and keep what was learned in one portable file."""
    options = parse(Command, argv, "ner adapt", run.__doc__ or "")
    from innerloop.apps.ner.commands import adapt, described

    summary = adapt(
        options.source,
        options.data,
        options.out,
        head=options.head,
        decode=options.decode,
        tagging=options.tagging,
        whiten=options.whiten,
        names=options.names,
        strict=options.strict,
        context=options.common,
    )
    learned = f"learned {len(summary['types'])} types in {summary['seconds']:.2f} s: {described(summary)}"
    following = f"kept in {summary['file']}; next: innerloop ner predict {summary['file']} <texts>"
    return tell(summary, f"{learned}\n{following}", options.common)
