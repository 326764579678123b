"""fit and predict, as in scikit-learn, on top of any meta-trained learner: a few examples of each class are enough."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.texts import Kind
from innerloop.core.types import Params
from innerloop.fewshot import class_names, examples, file, paths, priors, sources, tune
from innerloop.fewshot.answers import Answer, Answers
from innerloop.fewshot.budget import checked
from innerloop.fewshot.calibrate import NONE, Wanted
from innerloop.fewshot.fitted import Fitted
from innerloop.fewshot.gaussians import noted
from innerloop.fewshot.history import Label
from innerloop.fewshot.labels import Labels, check_among, known_as, labels, same_names
from innerloop.fewshot.nearest import Neighbour
from innerloop.fewshot.rows import Examples, Rows, floats, read
from innerloop.fewshot.settings import Head, Names
from innerloop.fewshot.sources import Source
from innerloop.fewshot.support import by_class, checked_weights
from innerloop.fewshot.task import Task, name_classes, teach
from innerloop.fewshot.tuning import checked_seconds
from innerloop.tasks import other_sets
from innerloop.tasks.columns import TableOptions

__all__ = ["NONE", "Answer", "Answers", "Examples", "FewShotClassifier", "Neighbour", "Rows"]


class FewShotClassifier(Fitted):
    """Learns classes from a handful of examples each, in milliseconds; follows scikit-learn's conventions.

    ```python
    classifier = FewShotClassifier.load("runs/p").fit(paths, ["cat", "dog", "dog"])
    classifier.predict(others)
    ```

    Predictions are inductive: the answer for one example does not depend on what else is asked. A fitted classifier may
    be asked by many threads at once; what changes it (`fit`, `add_class`, ...) is for one thread at a time.

    "None of these" compares the largest logit with a threshold. That is a distance for metric learners; a plain
    classifier's head (MAML, fine-tuning) only says how far one class is above the others, so that its AUROC in
    `calibration_` is to be looked at before it is trusted.
    """

    def __init__(
        self,
        source: str | Path | Source | None = None,
        *,
        reject: float | None = None,
        allow: Sequence[str] = (),
        head: Head | None = None,
        names: Names | None = None,
        descriptions: Mapping[str, str] | None = None,
        coverage: float | None = None,
        tune_encoder: float | None = None,
        budget: int | None = None,
        prior: str | None = None,
    ):
        """Nothing is read before it is needed; `load` reads at once.

        Args:
            source: What learns: a run folder, a shipped run, a frozen encoder, `package.module:attribute` of a network,
                or a `Source`. None: nearest centroid on the examples as they are.
            reject: Share of examples of no class that may be taken for one of them, such as 0.05; `predict` answers
                `NONE` for what is too far from every class. None: every example is named.
            allow: Module prefixes besides `innerloop.` that the source may name; importing them runs their code.
            head: What is fitted to the rows of a frozen encoder, or to those that the map of a run such as `intents`
                makes: centroid, ridge, linear or random_projection; own: the run's learner; auto: which is best,
                random_projection apart, by examples held out. None: auto for encoders of texts and pictures and for
                `intents`, own for other runs.
            names: Whether an encoder of texts learns from the names of classes, too; auto, as None: where the examples
                show that they mean something.
            descriptions: What some classes are, by their names: `{"refund": "the customer wants money back"}`.
            coverage: In place of `reject`: share of examples of the classes that are to be named, such as 0.9.
            tune_encoder: Seconds, such as 300, in which the encoder is tuned to the first examples, if that is clearly
                better on some of them that are held out. None: it stays as it comes.
            budget: How many examples of each class stay, a uniform sample of all that it is taught, so that a task that
                is taught for months does not grow. None: all of them.
            prior: A run over the rows of the encoder that `source` is, which teaching starts from: `polarity` for
                moods on `use-multilingual`. None, as "none": the rows as they are.
        """
        self.source = source
        self.head: Head | None = head
        self.names: Names | None = names
        self.descriptions = descriptions
        self.reject = reject
        self.allow = allow
        self.coverage = coverage
        self.tune_encoder = tune_encoder
        self.budget = budget
        self.prior = prior

    @classmethod
    def of(
        cls,
        learner: Learner,
        params: Params,
        *,
        shape: Sequence[int] | None = None,
        preprocessing: dict[str, Any] | None = None,
        reject: float | None = None,
        coverage: float | None = None,
    ) -> "FewShotClassifier":
        """A classifier on a learner that was never saved.

        Args:
            learner: The algorithm.
            params: Its meta-parameters.
            shape: Of one example; None: as of the first ones given.
            preprocessing: How picture files are read, keyword arguments of `tasks.image_files`; None: they are not.
            reject: As of the constructor.
            coverage: Likewise.
        """
        source = sources.of_learner(learner, params, shape, preprocessing)
        return cls(source, reject=reject, coverage=coverage)

    @classmethod
    def load(
        cls,
        name: str | Path,
        allow: Sequence[str] = (),
        *,
        reject: float | None = None,
        head: Head | None = None,
        names: Names | None = None,
        descriptions: Mapping[str, str] | None = None,
        coverage: float | None = None,
        tune_encoder: float | None = None,
        budget: int | None = None,
        prior: str | None = None,
    ) -> "FewShotClassifier":
        """A classifier that is ready to `fit` (from a source) or to `predict` (from a file of `save`).

        Args:
            name: As `source` of the constructor, or a `.fewshot` file.
            allow: Module prefixes besides `innerloop.` that it may name; importing what a file names runs code.
            reject: As of the constructor; a file has its own.
            head: Likewise.
            names: Likewise.
            descriptions: Likewise.
            coverage: Likewise.
            tune_encoder: Likewise.
            budget: Likewise.
            prior: Likewise.

        Raises:
            InputError: None of these, of another version, damaged, or naming foreign classes.
        """
        path = paths.named(name)
        if not files.is_file(path) and path.suffix != ".fewshot":
            classifier = cls(
                name,
                reject=reject,
                allow=allow,
                head=head,
                names=names,
                descriptions=descriptions,
                coverage=coverage,
                tune_encoder=tune_encoder,
                budget=budget,
                prior=prior,
            )
            classifier._resolved()
            return classifier
        seen = paths.seen(path)  # before it is read: what changes meanwhile is noticed when it is saved
        task = file.read(path, allow)
        strangers, share = task.wanted
        classifier = cls(task.source, reject=strangers, allow=allow, coverage=share, budget=task.budget)
        classifier._task = task
        classifier._read_from = seen
        return classifier

    def fit(self, X: Any, y: Labels | None = None, sample_weight: Any = None) -> "FewShotClassifier":
        """Learn from labelled examples; classes may have different numbers of them. Forgets what it knew before.

        Args:
            X: [n, ...] `Examples`, or a labelled data set of another library (see `tasks.other_sets`), without y.
            y: [n] their classes: strings, integers or booleans.
            sample_weight: [n] how many examples each counts as while a class is learned; 0 leaves it out. None: 1.
                Heads of frozen encoders weigh, and centroids of examples as they are.

        Raises:
            InputError: Examples that do not fit, fewer than two classes, more than the learner's network has outputs,
                `reject` without the examples that it takes, or weights for a learner that does not weigh.
        """
        X, y = other_sets.apart(X, y)
        return self._learn(X, lambda count: labels(y, count), sample_weight, anew=True)

    def fit_names(self, classes: Sequence[str]) -> "FewShotClassifier":
        """Learn classes from their names, without an example; `add` may give some. Forgets what it knew before.

        Args:
            classes: Names, such as "card payment fee"; `descriptions` of the constructor say more of them.

        Raises:
            InputError: The source has no encoder of texts, or there are fewer than two classes.
        """
        known, wanted = class_names.declared(classes), Wanted(self.reject, self.coverage)
        self._task = replace(name_classes(self._resolved(), known, wanted), budget=checked(self.budget))
        return self

    def add_names(self, classes: Sequence[str]) -> "FewShotClassifier":
        """Learn further classes from their names; `fit_names` if they are the first.

        Raises:
            InputError: As `fit_names`, or there is such a class; nothing is changed then.
        """
        task = self.__dict__.get("_task")
        if task is None:
            return self.fit_names(classes)
        self._task = task.naming(class_names.declared(classes))
        return self

    def fit_folder(self, path: str | Path, table: TableOptions = TableOptions()) -> "FewShotClassifier":
        """Learn from a folder with a sub-folder for each class, or from a table, which is read as `table` says.

        Raises:
            InputError: As `fit`; no such folder, a class without examples, or one that cannot be read.
        """
        return self.fit(*examples.labelled(path, self.kind, table))

    def partial_fit(
        self, X: Any, y: Labels | None = None, classes: Labels | None = None, sample_weight: Any = None
    ) -> "FewShotClassifier":
        """Learn from more examples, of classes that are known or new, without forgetting any; `fit` if it is the first.

        Args:
            X: As of `fit`.
            y: As of `fit`.
            classes: All that may ever come, as other estimators of scikit-learn need it; only checked against `y`.
            sample_weight: As of `fit`.

        Raises:
            InputError: As `fit`; nothing is changed then.
        """
        X, y = other_sets.apart(X, y)
        if classes is not None:
            check_among(labels(y), labels(classes))
        return self._learn(X, lambda count: labels(y, count), sample_weight)

    def add(self, X: Any, y: Labels | None = None) -> "FewShotClassifier":
        """`partial_fit`, by the name that it has on the command line and over HTTP."""
        return self.partial_fit(X, y)

    def add_class(self, label: Label, X: Examples) -> "FewShotClassifier":
        """Learn a class, or more examples of one.

        Raises:
            InputError: As `fit`; nothing is changed then.
        """
        return self._learn(list(X) if isinstance(X, Iterator) else X, lambda count: labels([label], 1) * count)

    def drop_class(self, label: Label) -> "FewShotClassifier":
        """Forget a class, which `undo` brings back; an `InputError` where there is none, or fewer than two are left."""
        task = self._fitted()
        self._task = task.at(task.history.drop(known_as(label, task.classes)))
        return self

    def drop(self, label: Label) -> "FewShotClassifier":
        """`drop_class`, by the name that it has on the command line and over HTTP."""
        return self.drop_class(label)

    def feedback(self, X: Any, y: Labels | None = None) -> "FewShotClassifier":
        """Say what examples are that came in use: they are asked, which drift is told by (`show`), and then learned.

        Right answers count as wrong ones do: without them nothing is known of how many are right. `undo` takes back
        what was learned, not what was noted of the answers.

        Raises:
            InputError: As `fit`; nothing is changed then.
        """
        task = self._fitted()
        X, y = other_sets.apart(X, y)
        X = list(X) if isinstance(X, Iterator) else X
        self._learn(X, lambda count: labels(y, count))
        self._task = replace(self._fitted(), drift=noted(task, X, labels(y)))
        return self

    def rejecting(self, reject: float | None, coverage: float | None = None) -> "FewShotClassifier":
        """The same knowledge with another threshold, by either share; this one stays as it is.

        Raises:
            InputError: The examples are too few to say when to reject.
        """
        return self.holding(self._fitted().rejecting(Wanted(reject, coverage)))

    def holding(self, task: Task) -> "FewShotClassifier":
        """The same settings with another task; this one stays as it is."""
        strangers, coverage = task.wanted
        classifier = type(self)(
            self.source,
            reject=strangers,
            allow=self.allow,
            head=self.head,
            names=self.names,
            descriptions=self.descriptions,
            coverage=coverage,
            tune_encoder=self.tune_encoder,
            budget=task.budget,
            prior=self.prior,
        )
        classifier._task = task
        return classifier

    def rows(self, X: Examples) -> Tensor:
        """[n, ...] float32, what the learner takes; the encoder runs here. Examples that are rows stay as they are."""
        task = self.__dict__.get("_task")
        return floats(read(X, self._resolved() if task is None else task.source)[0])

    def _write(self, path: Path, task: Task) -> None:
        file.write(path, task)

    @property
    def name(self) -> str:
        """What its source is called."""
        return self._resolved().name

    @property
    def kind(self) -> Kind:
        """What raw examples are: pictures, texts or features."""
        return self._resolved().kind

    @property
    def learner(self) -> Learner:
        """The algorithm; after `fit`, that of the head."""
        task = self.__dict__.get("_task")
        return self._resolved().learner if task is None else task.source.learner

    def _learn(
        self, X: Any, labelled: Callable[[int], list[Label]], sample_weight: Any = None, anew: bool = False
    ) -> "FewShotClassifier":
        """Learn from examples whose labels are asked for by their number, beside what is known unless it is anew."""
        task = None if anew else self.__dict__.get("_task")
        first = task is None or not len(task.rows)
        budget = checked(self.budget)
        if budget is not None and self.tune_encoder is not None:
            raise InputError("a tuned encoder keeps the examples it saw: leave out the budget, or tune_encoder")
        seconds = checked_seconds(self.tune_encoder) if first and self.tune_encoder is not None else None
        rows, source = read(X, self._resolved() if task is None else task.source, teaching=True)
        y = labelled(len(rows))
        weights, places = checked_weights(sample_weight, len(rows), source.learner), list(range(len(rows)))
        if weights is not None:
            places = (weights > 0).nonzero()[:, 0].tolist()
            rows, weights, y = rows[places], weights[places], [y[i] for i in places]
        if task is None:
            task = teach(source, rows, y, Wanted(self.reject, self.coverage), weights, budget)
        else:
            y = same_names(y, task.classes)
            task = task.more(rows, y, source, weights)
        if seconds is not None:  # later examples are seen by the encoder that the first ones leave
            task = tune.tuned(task, tune.given(X, source, [places[i] for i in by_class(y)]), seconds)
        self._task = task
        return self

    def _resolved(self) -> Source:
        """The source; found when it is first needed, and again when it was changed."""
        asked = (self.source, self.allow, self.head, self.names, self.descriptions, self.tune_encoder, self.prior)
        resolution = self.__dict__.get("_resolution")
        if resolution is None or resolution[0] != asked:
            source = sources.source(self.source, self.allow)
            source = priors.begun(source, self.prior, lambda name: sources.source(name, self.allow))
            source = replace(source, learner=replace(source.learner, transductive=False))
            source = source.headed(self.head, self.tune_encoder is not None)
            resolution = (asked, class_names.reading(source, self.names, self.descriptions))
            self._resolution = resolution
        return resolution[1]
