"""What is fitted to the rows of a frozen encoder, or of a run's map: the head, and how examples choose one themselves.

All is a function of the examples: the same ones have the same head, however a task came to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.nearest import nearest
from innerloop.core.threads import on_one_core
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import calibrate
from innerloop.fewshot.mapped import Map, OnMap, map_of
from innerloop.fewshot.settings import Head
from innerloop.fewshot.support import Support
from innerloop.learners.baselines.logistic_regression import LogisticRegression
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.closed_form.ridge_discriminant import RidgeDiscriminant, left_out
from innerloop.learners.online.random_projection import RandomProjection

SIMPLEST_FIRST: tuple[Head, ...] = ("centroid", "ridge", "linear")
"""What `auto` chooses among; of a run, its own learner takes the place of the first."""
_CENTROID = NearestCentroid(distance="cosine")
"""Encoders of sentences and of photographs were trained so that directions, not lengths, tell their rows apart."""
_ON_MAP = NearestCentroid()
"""Lengths of what a run's map makes were learned as well."""
_LEARNERS: Mapping[str, type[Learner]] = {
    "centroid": NearestCentroid,
    "ridge": RidgeDiscriminant,
    "linear": LogisticRegression,
    "random_projection": RandomProjection,
}
_PENALTIES = (10.0, 100.0, 1.0)
"""C of logistic regression; of those that are as good, the first."""
_DECAYS = (0.3, 1.0, 0.1, 3.0, 0.03)
"""Likewise of the ridge, around what d / 2 examples weigh; see `RidgeDiscriminant.decay`."""
_UNITS = 1000
"""Units of the layer of random projection."""
_RIDGES = (0.1, 1.0, 0.01)
"""Likewise of random projection, over the mean squared length of a row, with which its products grow."""
_TOLERANCE = 1e-5
"""A tenth of scikit-learn's, and single precision, which reaches it in under half of the time: of BANKING77's 77 x 50
examples, probabilities are within 0.1% of the minimiser's on average, and 2% at most."""
_SINGLE = Calibration(temperature=0.33, source="meta-validation")
"""Calibration of logistic regression on single examples with a name beside each: fitted on training sentences of
BANKING77 and CLINC150 (`python -m benchmarks.names --weights`). The error is 1 to 4% for 3 to 20 classes, 4 to 13% for
77 and 150."""
_ENOUGH = 500
"""Held-out examples that a choice is made by: a share of them is known to 2 points."""
_WIDEST = 4096
"""Numbers of a row that a ridge is solved for: its table of products has as many rows and columns."""


class LeftOut(NamedTuple):
    """Examples that were not learned from."""

    logits: Tensor  # [n, ways] float64
    labels: Tensor  # [n]

    @property
    def right(self) -> Tensor:
        """[n] 1 where an example was named correctly, else 0."""
        return (self.logits.argmax(1) == self.labels).double()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The head of a task, and why it is that one."""

    asked: Head
    head: Head
    """What `asked` came to."""
    accuracy: Mapping[str, float]
    """Share named correctly by every head that was tried, on the same held-out examples of the support."""
    examples: int
    """How many those were."""

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        if self.asked != "auto":
            return f"{self.head} was asked for"
        if not self.accuracy and self.head == "linear":
            return "linear, as is best for single examples with a name beside each: there is no second one to hold out"
        if not self.accuracy:
            return f"{self.head}, since no class has a second example to hold out"
        tried = ", ".join(f"{head} {100 * share:.1f}%" for head, share in self.accuracy.items())
        best = [share for share in self.accuracy.values() if share == max(self.accuracy.values())]
        why = "the best" if len(best) == 1 else "the simplest of the best"
        return f"{self.head}, {why} on {self.examples} held-out examples ({tried})"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        accuracy = dict(self.accuracy)
        return {"asked": self.asked, "head": self.head, "accuracy": accuracy, "examples": self.examples}

    @classmethod
    def from_json(cls, entry: Any) -> "Choice":
        """What `to_json` made.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: It is something else.
        """
        asked, head, accuracy, examples = (entry[key] for key in ("asked", "head", "accuracy", "examples"))
        if asked not in get_args(Head) or head not in (*_LEARNERS, "own") or (asked not in ("auto", head)):
            raise ValueError("its head is none that there is")
        shares = {str(key): float(share) for key, share in accuracy.items()}
        if not set(shares) <= {*SIMPLEST_FIRST, "own"} or not all(0 <= share <= 1 for share in shares.values()):
            raise ValueError("the accuracies of its heads are none")
        if (shares and head not in shares) or isinstance(examples, bool) or not isinstance(examples, int):
            raise ValueError("its head was not chosen by its accuracies")
        return cls(asked=asked, head=head, accuracy=shares, examples=examples)


def checked(head: Any, name: str, own: Head | None, of_run: Map | None = None) -> Head | None:
    """The head of a source, as it was asked for.

    Args:
        head: None: the source's own.
        name: What the source is called.
        own: What it has otherwise; None: it brings a learner.
        of_run: The map of that learner, behind which heads fit; None: they do not.

    Raises:
        InputError: There is no such head, or the source takes none.
    """
    if head is None:
        return own
    if not isinstance(head, str) or head not in get_args(Head):
        raise InputError(f"there is no head {head!r}{nearest(str(head), get_args(Head))}")
    if of_run is None and own is None:
        raise InputError(
            f"'{name}' has a learner of its own, so that head='{head}' cannot be taken: leave the head out, or name a "
            "frozen encoder such as use-multilingual, or a run that maps rows, such as intents"
        )
    if of_run is None and head == "own":
        raise InputError(f"'{name}' has no learner of its own, as head='own' asks for: leave the head out")
    return next(known for known in get_args(Head) if known == head)


def prior(choice: Choice | None, own: Calibration | None, learner: Learner) -> Calibration | None:
    """What is known of a head's logits before an example is held out.

    Args:
        choice: The head; None: the source's own learner.
        own: What is known of the source: of a run, with its learner; of an encoder, with its centroids, whose cosines
            say nothing of other logits.
        learner: What the choice came to.
    """
    on_map = isinstance(learner, OnMap)
    if choice is None or choice.head == "own" or (choice.head == "centroid" and not on_map):
        return own
    return _SINGLE if choice.asked == "auto" and not choice.accuracy else None


def is_head(learner: Learner, head: Head, encoded: bool) -> bool:
    """Whether a learner is what a head stands for.

    Args:
        learner: What a task learned with.
        head: Which it is to be.
        encoded: Whether the rows are an encoder's, on which heads are without a map, too.
    """
    if head == "own":
        return not isinstance(learner, OnMap) and map_of(learner, learner.init(0)) is not None
    if isinstance(learner, OnMap):
        return type(learner.head) is _LEARNERS[head]
    return encoded and type(learner) is _LEARNERS[head]


def quick(learner: Learner) -> Learner:
    """The learner as it is asked about examples left out: it has not converged as far as the one that answers."""
    if isinstance(learner, OnMap):
        return replace(learner, head=quick(learner.head))
    if isinstance(learner, LogisticRegression):
        return replace(learner, tolerance=1e-4)  # as scikit-learn has it
    return learner


def plain(head: Head) -> Learner:
    """A head as it is where no example can be held out for its hyper-parameters; not `auto`."""
    if head == "centroid":
        return _CENTROID
    if head == "random_projection":
        return _projection(_RIDGES[0])
    return RidgeDiscriminant(decay=_DECAYS[0]) if head == "ridge" else _linear(_PENALTIES[0])


def fitting(x: Tensor) -> tuple[Head, ...]:
    """What `auto` chooses among for [n, ...] rows."""
    return tuple(head for head in SIMPLEST_FIRST if head != "ridge" or x[0].numel() <= _WIDEST)


@torch.no_grad()
def choose(asked: Head, given: Support, ways: int, of_run: Map | None = None) -> tuple[Learner, Choice]:
    """The learner of a task, and why it is that one.

    Hyper-parameters come from the support as well: the ridge's by leaving each example out, exactly, those of logistic
    regression and random projection by folds. `auto` holds the same folds out for all, and takes the head that names
    most of them correctly, of those that are as good the simplest. Where no class has a second example it is centroid,
    and with names linear, the best on training sentences of BANKING77 and CLINC150 (`python -m benchmarks.names
    --weights`), and behind the map of `intents` on its validation intents.

    Args:
        asked: Which head.
        given: What it learns from.
        ways: Number of classes.
        of_run: The map of a run, which the head is put behind; of its own learner it is asked as well, in place of
            centroid. None: the rows are taken as they are.

    Raises:
        InputError: The rows are too wide for the head.
    """
    if given.tuning is not None and given.tuning.choice is not None:
        # What the encoder was trained on tells no more: the head was chosen before.
        return plain(given.tuning.choice.head), given.tuning.choice
    # Sums of several cores round in another order: two workers would choose otherwise.
    return on_one_core(lambda: _choose(asked, given, ways) if of_run is None else _on_map(asked, given, ways, of_run))


def _on_map(asked: Head, given: Support, ways: int, of_run: Map) -> tuple[Learner, Choice]:
    """As `_choose`, of heads behind a run's map."""
    own, several = None, bool(calibrate.can_be_spared(given.y, given.kept).any())
    if asked == "own" or (asked == "auto" and not several and not _named(given)):
        return of_run.run, Choice(asked=asked, head="own", accuracy={}, examples=0)
    if asked == "auto" and several:
        own = LeftOut(*calibrate.examples_left_out(of_run.run, of_run.params, given, ways, _ENOUGH))
    learner, choice = _choose(asked, given._replace(x=of_run.rows(given.x)), ways, _ON_MAP, own)
    return of_run.run if choice.head == "own" else of_run.behind(learner), choice


def _choose(
    asked: Head, given: Support, ways: int, centroid: Learner = _CENTROID, own: LeftOut | None = None
) -> tuple[Learner, Choice]:
    """As `choose`; `own` is what the learner of a run answers, which is compared in place of centroids."""
    width, several = given.x[0].numel(), bool(calibrate.can_be_spared(given.y, given.kept).any())
    if asked == "ridge" and width > _WIDEST:
        raise InputError(
            f"head='ridge' takes rows of {_WIDEST:,} numbers at most, and these have {width:,}: use linear"
        )
    if asked == "auto" and not several:
        named = _named(given)
        learner = _linear(_PENALTIES[0]) if named else centroid
        return learner, Choice(asked=asked, head="linear" if named else "centroid", accuracy={}, examples=0)
    compared = asked == "auto"
    heads = fitting(given.x) if compared else (asked,)
    tried: dict[Head, tuple[Learner, LeftOut | None]] = {} if own is None else {"own": (centroid, own)}
    for head in heads:
        if own is None or head != "centroid":
            tried[head] = _tuned(head, given, ways, several, compared, centroid)
    if not compared:
        learner, _ = tried[asked]
        return learner, Choice(asked=asked, head=asked, accuracy={}, examples=0)
    right: dict[Head, Tensor] = {head: answers.right for head, (_, answers) in tried.items() if answers is not None}
    accuracy: dict[str, float] = {head: float(each.mean()) for head, each in right.items()}
    head = max(right, key=lambda head: accuracy[head])  # the first of those that are as good
    return tried[head][0], Choice(asked=asked, head=head, accuracy=accuracy, examples=len(right[head]))


def _named(given: Support) -> bool:
    """Whether there are names beside examples."""
    return given.kept is not None and not bool(given.kept.all())


def _tuned(
    head: Head, given: Support, ways: int, several: bool, compared: bool, centroid: Learner
) -> tuple[Learner, LeftOut | None]:
    """A learner with the hyper-parameters that the support asks for, and what it answers to examples left out."""
    candidates: Sequence[Learner] = [centroid]
    if head == "ridge":
        candidates = [RidgeDiscriminant(decay=_decay(given, ways) if several else _DECAYS[0])]
    elif head == "linear":
        candidates = [_linear(C) for C in (_PENALTIES if several else _PENALTIES[:1])]
    elif head == "random_projection":
        size = max(float(given.x.flatten(1).square().sum(1).mean()), 1e-12)
        candidates = [_projection(share * size) for share in (_RIDGES if several else _RIDGES[:1])]
    if len(candidates) == 1 and not compared:
        return candidates[0], None
    answers = [_left_out(learner, given, ways) for learner in candidates]
    best = max(range(len(answers)), key=lambda i: float(answers[i].right.mean()))
    return candidates[best], answers[best]


def _linear(penalty: float) -> LogisticRegression:
    return LogisticRegression(C=penalty, tolerance=_TOLERANCE, solver_precision="float32")


def _projection(ridge: float) -> RandomProjection:
    return RandomProjection(units=_UNITS, ridge=ridge)


def _left_out(learner: Learner, given: Support, ways: int) -> LeftOut:
    return LeftOut(*calibrate.examples_left_out(quick(learner), {}, given, ways, _ENOUGH))


def _decay(given: Support, ways: int) -> float:
    x, y, weight = given.x, given.y, given.weight
    asked = calibrate.can_be_spared(y, given.kept)
    right = [float((logits.argmax(1) == y)[asked].double().mean()) for logits in left_out(x, y, ways, _DECAYS, weight)]
    return _DECAYS[right.index(max(right))]
