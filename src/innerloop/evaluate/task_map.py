"""A map of the classes of a data set: how hard test classes are, how new they are, and which training classes help."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.names import printable
from innerloop.tasks import Pool

Encode = Callable[[Tensor], Tensor]
"""[n, ...] examples as a model takes them -> [n, d] features."""
CLASSES, EXAMPLES = 100, 20
"""Most classes of a split, and most examples of a class, that a map is made of; which ones, a seed decides."""


class Neighbour(NamedTuple):
    """A test class beside the classes that matter to it."""

    name: str
    rival: str
    """The test class whose mean is nearest."""
    difficulty: float | None
    """Share of its examples that are nearer to the rival's mean than to its own; None: it has a single example."""
    nearest: str
    """The training class whose mean is nearest."""
    helpers: tuple[str, str]
    """The two training classes whose difference is most like its own from the rival."""
    help: float
    """How much that is so, from 0 to 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskMap:
    """Classes of two splits in the features of one encoder.

    Let `m_i` be the mean of the features of class i, `v_i` the trace of their covariance, and `n_i` how many there are.
    The distance of two means is without what few examples add to it, `D_ij^2 = |m_i - m_j|^2 - v_i / n_i - v_j / n_j`,
    and at least 0: about 0 for a class and itself, drawn twice. The rival `r` of a test class is the test class with
    the least `D_ir`. Three numbers, each from 0 to 1:

    - `difficulty`, the mean over test classes of the share of its examples x that are nearer to a rival's mean than to
      its own without x, `|x - m_r|^2 - v_r / n_r < |x - m_i'|^2 - v_i / (n_i - 1)`. Here the rival is looked for among
      means of every second example and its `m_r` is the mean of the others: of many equal classes, one whose mean
      happens to lie well would seem to win. Identical classes: 0.5; classes that are well apart: 0.
    - `novelty`, the chance that the training class nearest to a test class is further away from it than the one nearest
      to another training class is from that (ties count half). The same classes again: 0; classes of the same kind:
      0.5; classes all of another kind: 1.
    - `help`, the mean over test classes of the largest `help_ij` of a training class j, which is the largest
      `cos^2(m_i - m_r, m_j - m_k)` over training classes k: how far what tells class i from its rival also tells two
      training classes apart. 1: there is a pair that differs in just the same way; 0: training never looks that way. In
      few dimensions it is large whatever the classes, so compare it between encoders of alike length or between data.
    """

    test: tuple[str, ...]
    """Names of the test classes that were looked at."""
    train: tuple[str, ...]
    """Names of the training classes."""
    distances: Tensor
    """[test + train, test + train] `D`, test classes first."""
    difficulties: Tensor
    """[test], NaN for classes of a single example."""
    helps: Tensor
    """[test, train] `help_ij`."""
    partners: Tensor
    """[test, train] int64, the training class k that it is with."""
    places: Tensor
    """[test + train, 2] the means in the plane in which they differ most."""
    share: float
    """Share of the squared distances between means that is left in that plane."""
    difficulty: float
    novelty: float
    help: float

    def neighbours(self) -> list[Neighbour]:
        """What stands beside each test class, the hardest first."""
        n = len(self.test)
        rivals, nearest = _nearest(self.distances[:n, :n], own=True)[1], _nearest(self.distances[:n, n:])[1]
        helped, helpers = self.helps.max(1)
        rows = [
            Neighbour(
                name,
                self.test[int(rivals[i])],
                None if self.difficulties[i].isnan() else float(self.difficulties[i]),
                self.train[int(nearest[i])],
                (self.train[int(helpers[i])], self.train[int(self.partners[i, helpers[i]])]),
                float(helped[i]),
            )
            for i, name in enumerate(self.test)
        ]
        return sorted(rows, key=lambda row: -1.0 if row.difficulty is None else row.difficulty, reverse=True)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: the three numbers, and what stands beside each test class."""
        numbers = {"difficulty": self.difficulty, "novelty": self.novelty, "help": self.help}
        counts = {"test_classes": len(self.test), "train_classes": len(self.train)}
        return numbers | counts | {"classes": [row._asdict() for row in self.neighbours()]}

    def __str__(self) -> str:
        return (
            f"difficulty {self.difficulty:.2f} (0: no example is nearer to the nearest rival, 0.5: as good as the same "
            f"class), novelty {self.novelty:.2f} (0.5: as near to training classes as those are to one another), "
            f"help {self.help:.2f} (1: training classes differ in the same ways)"
        )


class _Features(NamedTuple):
    """What is kept of the classes of a split."""

    names: tuple[str, ...]
    rows: list[Tensor]  # a class [n, d]
    means: Tensor  # [classes, d]
    variances: Tensor  # [classes]
    counts: Tensor  # [classes]


def flat(x: Tensor) -> Tensor:
    """Examples [n, ...] as they are, [n, d]."""
    return x.flatten(1)


@torch.no_grad()
def task_map(pool_train: Pool, pool_test: Pool, encode: Encode = flat, seed: int = 0) -> TaskMap:
    """Map the classes of two splits.

    Args:
        pool_train: Classes that are trained on.
        pool_test: New ones.
        encode: From examples to features; as it is left out, the examples as they are.
        seed: Decides which classes and examples are looked at where there are more than `CLASSES` and `EXAMPLES`.

    Raises:
        InputError: A split has a single class, no test class has two examples, or features are no finite rows.
    """
    for pool in (pool_train, pool_test):
        if len(pool) < 2:
            raise InputError(
                f"{pool.dataset}: a map needs two classes of each split, and '{pool.split}' has the single one "
                f"'{printable(pool.names[0])}': give more classes, 10 are cut into 6, 2 and 2"
            )
    test, train = (_features(pool, encode, seed) for pool in (pool_test, pool_train))
    if int(test.counts.max()) < 2:
        raise InputError(
            f"{pool_test.dataset}: none of the {len(test.names)} classes of '{pool_test.split}' that are looked at has "
            "two examples, so nothing says how far its own lie apart: give two or more of a class"
        )
    means, n = torch.cat([test.means, train.means]), len(test.names)
    noise = torch.cat([_noise(test), _noise(train)])
    raw = _squared(means)
    squared = (raw - noise[:, None] - noise).clamp_min(0)
    rivals = _nearest(squared[:n, :n], own=True)[1]
    difficulties = _difficulties(test)
    helps, partners = _helps(test.means - test.means[rivals], train.means, raw[n:, n:])
    known = difficulties[~difficulties.isnan()]
    places, share = _plane(means)
    return TaskMap(
        test=test.names,
        train=train.names,
        distances=squared.sqrt(),
        difficulties=difficulties,
        helps=helps,
        partners=partners,
        places=places,
        share=share,
        difficulty=float(known.mean()),
        novelty=_novelty(squared[:n, n:], squared[n:, n:]),
        help=float(helps.amax(1).mean()),
    )


def _features(pool: Pool, encode: Encode, seed: int) -> _Features:
    """Features of some classes of a pool, and what their distances are made of, in float64."""
    chosen, instances = sorted(_some(len(pool), CLASSES, seed, 0)), pool.data.shape[1]
    rows = []
    for i in chosen:
        index = torch.tensor(sorted(_some(int(pool.counts[i]), EXAMPLES, seed, 1 + i)))
        features = encode(pool.rows(i * instances + index))
        if features.ndim != 2 or len(features) != len(index) or not torch.isfinite(features).all():
            raise InputError(
                f"{pool.dataset}: the encoder must make [{len(index)}, d] finite features of as many examples, got "
                f"{list(features.shape)}{'' if torch.isfinite(features).all() else ' with NaN or infinite values'}"
            )
        rows.append(features.detach().cpu())
    means = torch.stack([one.double().mean(0) for one in rows])
    squares = [(one.double() - mean).square().sum() for one, mean in zip(rows, means, strict=True)]
    counts = torch.tensor([len(one) for one in rows])
    several = counts > 1
    variances = torch.stack(squares) / (counts - 1).clamp_min(1)
    # Of a single example nothing says how far others lie: as far as in the other classes.
    typical = variances[several].mean() if several.any() else variances.new_zeros(())
    names = tuple(pool.names[i] for i in chosen)
    return _Features(names, rows, means, torch.where(several, variances, typical), counts)


def _some(n: int, most: int, seed: int, number: int) -> list[int]:
    """At most so many of n, drawn."""
    return random.permutation(random.fold(random.mix(seed, 0), number), n)[:most].tolist()


def _noise(features: _Features) -> Tensor:
    """[classes] what few examples add to the squared distance of a mean from anything."""
    return features.variances / features.counts


def _squared(means: Tensor) -> Tensor:
    """[n, n] squared distances."""
    return torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist").square()


def _nearest(distances: Tensor, own: bool = False) -> tuple[Tensor, Tensor]:
    """Least distance of each row and its place; `own`: rows and columns are the same classes, never their own."""
    if own:
        distances = distances + torch.diag(distances.new_full((len(distances),), torch.inf))
    nearest = distances.min(1)
    return nearest.values, nearest.indices


def _difficulties(test: _Features) -> Tensor:
    """[test] shares of examples that are nearer to the rival."""
    halves = [torch.stack([half(rows).double().mean(0) for rows in test.rows]) for half in (_even, _odd)]
    among = torch.stack(
        [test.variances / torch.tensor([len(half(rows)) for rows in test.rows]) for half in (_even, _odd)]
    )
    squared = _squared(halves[0]) - among[0] - among[0][:, None]
    rivals, shares = _nearest(squared, own=True)[1], []
    for i, rows in enumerate(test.rows):
        n, rival = len(rows), int(rivals[i])
        if n < 2:
            shares.append(float("nan"))
            continue
        x = rows.double()
        own = (x - test.means[i]).square().sum(1) * (n / (n - 1)) ** 2 - test.variances[i] / (n - 1)
        other = (x - halves[1][rival]).square().sum(1) - among[1][rival]
        shares.append(float((other < own).double().mean() + 0.5 * (other == own).double().mean()))
    return torch.tensor(shares, dtype=torch.float64)


def _even(rows: Tensor) -> Tensor:
    """Every second example, from the first on."""
    return rows[::2]


def _odd(rows: Tensor) -> Tensor:
    """The others; of a single example, that one."""
    return rows[1::2] if len(rows) > 1 else rows


def _novelty(across: Tensor, among: Tensor) -> float:
    """The chance that a row of `across` [test, train] has its nearest further than one of `among` [train, train]."""
    new, old = _nearest(across)[0], _nearest(among, own=True)[0]
    further = (new[:, None] > old).double() + 0.5 * (new[:, None] == old).double()
    return float(further.mean())


def _helps(wanted: Tensor, train: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
    """[test, train] the largest squared cosine of a wanted direction with one between training classes, and which.

    Args:
        wanted: [test, d] differences of test classes and their rivals.
        train: [train, d] means.
        squared: [train, train] squared distances of these.
    """
    lengths = wanted.square().sum(1)
    best = []
    for along, length in zip(wanted @ train.T, lengths, strict=True):  # [train]
        below = squared * length
        cosines = torch.where(below > 0, (along[:, None] - along).square() / torch.where(below > 0, below, 1.0), 0.0)
        best.append(cosines.clamp_max(1.0).max(1))
    return torch.stack([one.values for one in best]), torch.stack([one.indices for one in best])


def _plane(means: Tensor) -> tuple[Tensor, float]:
    """[n, 2] the first two principal components of means, and the share of their variance; signs are fixed."""
    centred = means - means.mean(0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    places = torch.zeros(len(means), 2, dtype=means.dtype)
    kept = min(2, len(sizes))
    places[:, :kept] = left[:, :kept] * sizes[:kept]
    largest = places.gather(0, places.abs().argmax(0, keepdim=True))
    total = sizes.square().sum()
    share = float(sizes[:2].square().sum() / total) if total > 0 else 1.0
    return places * torch.where(largest < 0, -1.0, 1.0), share
