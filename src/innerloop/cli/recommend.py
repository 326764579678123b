"""`innerloop recommend <run>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.errors import InputError
from innerloop.core.names import printable


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop recommend`."""

    run: tyro.conf.Positional[str]
    """Run folder of `innerloop train alpaca --data RATINGS`."""
    user: str | None = None
    """CSV file with the columns item (name or title) and rating of the one to recommend to; None: nothing is known."""
    top: int = 10
    """How many items."""
    familiarity: float = 0.0
    """What the logarithm of how many have rated an item adds to its rating in the order of the list."""
    ask: int | None = None
    """Instead name so many items that are worth asking about next, the most telling first."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Recommend to somebody who has rated a few items, and say why; or say which items to ask about next.

    A line has the foreseen rating with its deviation, the item, and the rated items that raise it most.
    """
    options = parse(Command, argv, "recommend", run.__doc__ or "")
    if options.ask is not None and (options.top, options.familiarity) != (Command.top, Command.familiarity):
        raise InputError("--top and --familiarity are of recommendations: leave them out with --ask")
    from innerloop.apps.recsys.recommender import Recommender

    recommender = Recommender.load(options.run, options.common).fit(options.user or {})
    if options.ask is not None:
        titles = recommender.ask(options.ask)
        emit({"ask": titles}) if options.common.json else print("\n".join(map(printable, titles)))
        return 0
    recommended = recommender.recommend(options.top, options.familiarity)
    if options.common.json:
        emit({"recommended": [{**one._asdict(), "because": dict(one.because)} for one in recommended]})
    else:
        print("\n".join(printable(str(one)) for one in recommended))
    return 0
