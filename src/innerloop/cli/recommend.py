"""`innerloop recommend <run>`."""

import sys
from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.errors import InputError
from innerloop.core.names import printable


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop recommend`."""

    run: tyro.conf.Positional[str]
    """Run folder of `innerloop train alpaca --data RATINGS`, or of `innerloop train anil --data CLICKS --implicit`."""
    user: str | None = None
    """CSV file with the columns item (name or title) and rating of the one to recommend to, of clicks with the column
    item alone; None: nothing is known."""
    features: tuple[str, ...] = ()
    """What is known of the one to recommend to, as COLUMN=VALUE of the features that users were trained with, several
    categories with | between them."""
    top: int = 10
    """How many items."""
    familiarity: float = 0.0
    """What the logarithm of how many have rated an item adds to its rating in the order of the list."""
    diversity: float = 0.0
    """From 0 to 1: how much an item loses by being like one before it in the list."""
    ask: int | None = None
    """Ask for so many ratings first, the most telling ones, and recommend then; where nobody is at a terminal, only
    name the items that are worth asking about next."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Recommend to somebody who has rated a few items, and say why; or say which items to ask about next.

    A line has the foreseen rating with its deviation, the item, the rated items that raise it most, and its features
    that do. Of a run on clicks it has the chance that the item is taken next, and what it is like of what was taken.
    """
    options = parse(Command, argv, "recommend", run.__doc__ or "")
    typed = sys.stdin.isatty() and sys.stdout.isatty() and not options.common.json
    usual = Command(run=options.run)
    kept = all(getattr(options, k) == getattr(usual, k) for k in ("top", "familiarity", "diversity"))
    if options.ask is not None and not typed and not kept:
        raise InputError(
            "--top, --familiarity and --diversity are of recommendations: leave them out with --ask, which recommends "
            "at a terminal alone, where somebody answers"
        )
    from innerloop.apps.recsys.dialogue import interview
    from innerloop.apps.recsys.recommender import Recommender
    from innerloop.tasks.ratings.somebody import read

    features = read(options.features)
    recommender = Recommender.load(options.run, options.common).fit(options.user or {}, features)
    if options.ask is not None and not typed:
        titles = recommender.ask(options.ask)
        emit({"ask": titles}) if options.common.json else print("\n".join(map(printable, titles)))
        return 0
    if options.ask is not None:
        interview(recommender, recommender.ratings, options.ask, input, print, features)
    recommended = recommender.recommend(options.top, options.familiarity, options.diversity)
    if options.common.json:
        plain = ({**one._asdict(), "because": dict(one.because), "features": dict(one.features)} for one in recommended)
        emit({"recommended": list(plain)})
    else:
        print("\n".join(printable(str(one)) for one in recommended))
    return 0
