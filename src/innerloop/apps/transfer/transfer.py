"""What is learned on one data set and carries over to another: every way of learning on the same target tasks."""

from collections.abc import Callable, Sequence

from innerloop.apps.transfer.settings import Settings
from innerloop.apps.transfer.shipped import shipped
from innerloop.apps.transfer.table import Measured, Transfer, table
from innerloop.apps.transfer.training import Entry, trained
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.evaluate.meta_test import meta_test
from innerloop.evaluate.result import Result
from innerloop.tasks import datasets
from innerloop.tasks.episodes import EpisodeSampler
from innerloop.tasks.joined import joined
from innerloop.tasks.pool import Pool
from innerloop.tasks.resized import resized
from innerloop.tasks.seen import Seen

_MOST_WAYS = 10
_SELECTION = "nothing was chosen on the target; it may have classes of the same names as the source"

Say = Callable[[str], None]


def transfer(
    source: str,
    targets: Sequence[str],
    settings: Settings = Settings(),
    context: Context = Context(),
    say: Say = lambda message: None,
) -> Transfer:
    """Learn on a source in every way there is, and measure on the same tasks of each target.

    All classes of both are taken. Of data sets that are published in two parts, the source is the part to train on and
    the target that to test on.

    Args:
        source: A data set, or a path of one, of pictures.
        targets: Likewise, one or several.
        settings: How.
        context: Where data sets lie, and what is made is kept.
        say: Hears of every row.

    Raises:
        InputError: There is no such data set, or its classes or examples are too few.
    """
    if not targets or not settings.shots or not settings.seeds:
        raise InputError("a transfer needs at least one target, one number of shots and one seed")
    for name, values in (("target", targets), ("number of shots", settings.shots), ("seed", settings.seeds)):
        if len(set(values)) < len(values):
            raise InputError(f"a {name} is there twice: {', '.join(map(str, values))}; give each once")
    known = resized(_pool(source, "train", context), settings.size, 3)
    pools = {name: _pool(name, "test", context) for name in targets}
    ways = {min(len(pool), _MOST_WAYS) for pool in pools.values()}
    if len(ways) > 1:
        raise InputError(f"targets of one transfer need the same number of classes up to {_MOST_WAYS}: take one a time")
    (count,) = ways
    samplers = {
        (name, n): EpisodeSampler(pool=pool, ways=count, shots=n, queries=settings.queries)
        for name, pool in pools.items()
        for n in settings.shots
    }
    rows: dict[tuple[str, int], list[Measured]] = {key: [] for key in samplers}

    def measure(name: str, entry: Entry, seed: int | None, pool: Pool) -> None:
        for n in settings.shots:
            rows[name, n].append(Measured(entry, seed, _measured(entry, samplers[name, n], pool, settings)))

    if len(known) < count:
        say(f"no row of maml: {source} has {len(known)} classes, and tasks of the target {count}")
    views = {name: resized(pool, settings.size, 3) for name, pool in pools.items()}
    for seed in settings.seeds:
        for entry in trained(known, count, settings, seed, context):
            say(f"seed {seed}: {entry.name}")
            for name, pool in views.items():
                measure(name, entry, seed, pool)
    for name, pool in pools.items():
        for entry, view in shipped(pool, context):
            say(f"{name}: {entry.name}")
            measure(name, entry, None, view)
    return Transfer(tuple(table(source, name, shots, each) for (name, shots), each in rows.items()))


def _pool(name: str, part: str, context: Context) -> Pool:
    """All classes of a data set, or of a part of it where it is published in two."""
    return joined(datasets.load(name, context, part if datasets.official_test(name) else None))


def _measured(entry: Entry, sampler: EpisodeSampler, pool: Pool, settings: Settings) -> Result:
    """An entry on a sampler's tasks, as it sees their examples."""
    tasks = Seen(sampler=sampler, pool=pool)
    return meta_test(
        entry.learner,
        entry.params,
        tasks,
        settings.episodes,
        name=entry.name,
        selection=_SELECTION,
        curve=False,
    )
