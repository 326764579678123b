"""Checks of a sampler's tasks: that they repeat, that they can be solved, and that only the support gives answers."""

import math

import torch
from torch import Tensor

from innerloop.audit.check import Check, rowwise
from innerloop.core import tree
from innerloop.core.objectives import weights
from innerloop.core.scores import Score, measured
from innerloop.core.types import Batch, Episode, Sampler

Z_LIMIT = 4.75
"""Limit of a standard normal: chance exceeds it once in a million."""
_ROUNDED = 1e-4
"""What padding may move a score by, as a share of it."""
_FEWEST = 8
"""Tasks below which nothing is said of chance."""
_SHARE = 0.9
"""Share of tasks in which an entry of the rows may tell the classes apart by chance."""


def repeatable(sampler: Sampler, episodes: Episode) -> Check:
    """Whether task `i` is a function of `(seed, i)` alone, and has a key of its own."""
    name = "tasks repeat"
    count = tree.length(episodes)
    half = count // 2
    with torch.random.fork_rng(devices=[]):
        torch.rand(7)
        later = sampler.episodes(half, count - half)
    expected = tree.flatten(tree.slice(episodes, slice(half, None)))
    same = [torch.equal(a.to(b.device), b) for a, b in zip(tree.flatten(later), expected, strict=True)]
    if not all(same):
        message = (
            f"tasks {half} to {count - 1} are others when they are drawn alone: task i must be a function of "
            "(seed, i), so that a test can be repeated. Draw by innerloop.core.random.mix(seed, i)"
        )
        return Check(name, False, None, message)
    keys = [batch.key for batch in episodes if batch.key is not None]
    shared = count - min((len(key.unique()) for key in keys), default=count)
    if shared:
        message = (
            f"{shared} of {count} tasks have the key of another one, and would have its noise: mix the key with the "
            "task's index"
        )
        return Check(name, False, shared, message)
    return Check(name, True, 0.0, f"{count} tasks are the same when half of them are drawn alone")


def answerable(episodes: Episode) -> Check:
    """Whether every query is of a class that the support shows."""
    name = "query classes"
    wrong = rows = 0
    for i in range(tree.length(episodes)):
        support, query = tree.slice(episodes, i)
        asked = query.y[weights(query.y, query.mask)]
        shown = support.y[weights(support.y, support.mask)].unique()
        rows += len(asked)
        wrong += int((~torch.isin(asked, shown)).sum())
    if wrong:
        message = (
            f"{wrong} of {rows:,} query rows have a label that their support does not show: labels of support and "
            "query are numbered apart, or a class has no example"
        )
        return Check(name, False, wrong, message)
    return Check(name, True, 0, f"all of {rows:,} query rows are of classes that their support shows")


def query_order(episodes: Episode) -> Check:
    """Whether the position of a query row tells its label: chi-square of position x label, at p < 1e-6.

    In a random order of `n` rows, `q` of each of `w` labels, the counts over `e` tasks have covariance
    `e q / (n - 1)` times a projection of rank (n - 1)(w - 1).
    """
    name = "query order"
    y, mask = episodes.query.y, episodes.query.mask
    whole = (y >= 0).all(1) if mask is None else (mask & (y >= 0)).all(1)
    y = y[whole]
    ways = int(y.max()) + 1 if y.numel() else 0
    counts = torch.stack([(y == c).sum(1) for c in range(ways)], 1) if ways else y  # [tasks, ways]
    y = y[(counts == counts[:1, :1]).all(1)] if ways else y
    tasks, n = y.shape
    if tasks < _FEWEST or ways < 2:
        return Check(name, None, None, "too few tasks with equally many queries of two classes or more")
    table = torch.stack([(y == c).sum(0) for c in range(ways)], 1).double()  # [n, ways]
    freedom = (n - 1) * (ways - 1)
    statistic = (table - tasks / ways).square().sum().item() * (n - 1) * ways / (tasks * n)
    z = _normal(statistic, freedom)
    if z > Z_LIMIT:
        message = (
            f"labels depend on the position of a query ({z:.0f} standard deviations from chance): whoever looks at "
            "rows in their order is told the answers. Shuffle the query"
        )
        return Check(name, False, z, message)
    return Check(name, True, z, f"positions and labels of queries are independent ({z:+.1f} standard deviations)")


def told_labels(episodes: Episode, common: int = 0) -> Check:
    """Whether an entry of the rows tells the label without a support.

    The order of an episode's classes is random, so that no entry of `x` can go with `y` from task to task. The
    covariance of every entry with every label, of query and support, is tested over tasks by Student's t. Rows of the
    `common` first labels, which mean the same in every task, are left out.
    """
    name = "labels in inputs"
    tasks = tree.length(episodes)
    if tasks < _FEWEST:
        return Check(name, None, None, f"{tasks} tasks are too few to tell chance from a leak")
    worst, entries, where = 0.0, 0, ""
    ways = 1 + max(int(batch.y.max()) for batch in episodes) - common
    for part in ("support", "query"):
        rows = [_rows(tree.slice(getattr(episodes, part), i)) for i in range(tasks)]
        if any(row is None for row in rows):
            return Check(name, None, None, "tasks have no rows of entries")
        products = torch.stack(
            [_covariance(*_from(*row, common), ways) for row in rows if row]
        )  # [tasks, entries, ways]
        entries = max(entries, products[0].numel())
        mean, spread = products.mean(0), products.std(0)
        t = mean.abs() * math.sqrt(tasks) / spread.clamp_min(1e-9 * products.abs().amax(0)).clamp_min(1e-300)
        t = torch.where(mean.abs() > 1e-12, t, 0)
        z = math.sqrt((tasks - 1) * math.log1p(t.max().item() ** 2 / (tasks - 1)))  # of the same probability, about
        if z > worst:
            worst, where = z, f"entry {int(t.max(1).values.argmax())} of the {part}"
    limit = math.sqrt(Z_LIMIT**2 + 2 * math.log(max(entries, 1)))  # of the largest of so many
    if worst > limit:
        message = (
            f"{where} goes with the label from task to task ({worst:.0f} standard deviations): the answer stands in "
            "the inputs. Give the rows without their label"
        )
        return Check(name, False, worst, message)
    return Check(
        name,
        True,
        worst,
        f"no entry of the rows goes with the label (at most {worst:.1f} standard deviations)",
    )


def tags(episodes: Episode) -> Check:
    """Whether one entry is the same number in all rows of a class and another one in every other class."""
    name = "class tags"
    share: Tensor | None = None
    tasks = tree.length(episodes)
    for i in range(tasks):
        rows = [_rows(batch) for batch in tree.slice(episodes, i)]
        if rows[0] is None or rows[1] is None or rows[0][0].shape[1] != rows[1][0].shape[1]:
            return Check(name, None, None, "tasks have no rows of entries")
        x, y = (torch.cat([a, b]) for a, b in zip(*rows, strict=True))
        each = [x[y == c] for c in y.unique()]
        if len(each) < 2 or min(map(len, each)) < 2:
            return Check(name, None, None, "classes have too few examples to tell a tag from chance")
        constant = torch.stack([(c == c[0]).all(0) for c in each]).all(0)
        values = torch.stack([c[0] for c in each]).sort(0).values
        tag = constant & (values.diff(dim=0) > 0).all(0)
        share = tag.double() if share is None else share + tag
    assert share is not None
    most = share.max().item() / tasks
    if most > _SHARE:
        message = (
            f"entry {int(share.argmax())} of the rows is one number in each class and tells all classes apart in "
            f"{most:.0%} of the tasks: the class itself stands in the inputs. Leave it out"
        )
        return Check(name, False, most, message)
    return Check(name, True, most, "no entry of the rows is a number of its own for every class")


def score_of_rows(score: Score, episodes: Episode) -> Check:
    """Whether the score returns what it declares, and does not see rows that the mask leaves out."""
    name = "score"
    if not rowwise(episodes.query):
        return Check(name, None, None, "it is not of rows")
    query: Batch = tree.slice(episodes, 0).query
    y, n = query.y, len(query.y)
    if score.of_classes:
        ways = len(query.classes) if query.classes is not None else int(y.max()) + 1
        right = torch.nn.functional.one_hot(y.clamp_min(0), ways).float()
    elif y.ndim == 2 and y.is_floating_point():
        right = y
    else:
        return Check(name, None, None, "it is not of rows")
    outputs = right + torch.linspace(-1, 1, right.numel(), device=y.device).mul(7).sin().view_as(right).to(right)
    real = torch.ones(n, dtype=torch.bool, device=y.device) if query.mask is None else query.mask
    rows = tree.slice(query._replace(classes=None, key=None, mask=real), torch.arange(2 * n, device=y.device) % n)
    padded = rows._replace(mask=torch.cat([real, torch.zeros_like(real)]), classes=query.classes, key=query.key)
    values, apart = measured(score, outputs, query), 0.0
    for answers in (right, 1 - right):  # what the padding would be right, or wrong, by
        moved = measured(score, torch.cat([outputs, answers]), padded) - values
        apart = max(apart, (moved.abs() / values.abs().clamp_min(1)).max().item())
    if apart > _ROUNDED:
        message = f"rows that the mask leaves out move the {score.title} by {apart:.2g}: weigh rows by the mask"
        return Check(name, False, apart, message)
    return Check(name, True, apart, f"the {score.title} has the length it declares, and is of real rows alone")


def _from(x: Tensor, y: Tensor, common: int) -> tuple[Tensor, Tensor]:
    """Rows of labels from `common` on, which count from 0 then."""
    kept = y >= common
    return x[kept], y[kept] - common


def _rows(batch: Batch) -> tuple[Tensor, Tensor] | None:
    """[n, entries] float64 and [n] labels of one task's labelled rows."""
    leaves = tree.flatten(batch.x)
    n = len(batch.y)
    if not leaves or any(leaf.ndim < 1 or len(leaf) != n for leaf in leaves):
        return None
    real = weights(batch.y, batch.mask)
    x = torch.cat([leaf.reshape(n, -1).double() for leaf in leaves], 1)
    return x[real], batch.y[real]


def _covariance(x: Tensor, y: Tensor, ways: int) -> Tensor:
    """[entries, ways] of rows with one-hot labels."""
    member = torch.nn.functional.one_hot(y, ways).double()
    return (x - x.mean(0)).T @ (member - member.mean(0)) / max(len(y), 1)


def _normal(statistic: float, freedom: int) -> float:
    """A chi-square as a standard normal (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / spread**0.5
