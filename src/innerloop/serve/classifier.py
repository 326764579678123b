"""fit and predict, as in scikit-learn, on top of any meta-trained learner: a few examples of each class are enough."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.engine import checkpoint
from innerloop.engine import load as load_run
from innerloop.serve import fewshot
from innerloop.serve.rehearsal import outputs, support
from innerloop.tasks.images import Pictures, decide_ink, image_files, image_folder, read_image

Examples = np.ndarray | Tensor | Sequence[str | Path]
"""[n, ...] numbers as the learner was trained on (uint8 is divided by 255), or paths of n pictures."""

_CHUNK = 256
_BRIGHTEST = 1.5
"""Float pictures go up to 1; above this someone forgot to divide by 255."""


class FewShotClassifier:
    """Learns classes from a handful of examples each, in milliseconds.

    ```python
    classifier = FewShotClassifier.load("runs/p").fit(paths, ["cat", "dog", "dog"])
    classifier.predict(others)
    ```

    Predictions are inductive: the answer for one example does not depend on what else is asked.
    """

    classes_: np.ndarray
    """[classes] labels in sorted order, after `fit`."""
    examples_: dict[str, int]
    """How many examples of each class it learned from."""

    def __init__(
        self,
        learner: Learner,
        params: Params,
        *,
        shape: Sequence[int] | None = None,
        preprocessing: dict[str, Any] | None = None,
    ):
        """Use `load` unless the learner was never saved.

        Args:
            learner: The algorithm.
            params: Its meta-parameters.
            shape: Of one example; None: as of the first ones given.
            preprocessing: How picture files are read, keyword arguments of `tasks.image_files`; None: they are not.
        """
        self.learner = replace(learner, transductive=False)
        self.params = params
        self._shape = None if shape is None else tuple(shape)
        self._preprocessing = None if preprocessing is None else dict(preprocessing)
        self._adapted: Any = None

    @classmethod
    def load(cls, path: str | Path, allow: Sequence[str] = ()) -> "FewShotClassifier":
        """A classifier that is ready to `fit` (from a run folder) or to `predict` (from a file of `save`).

        Args:
            path: A run folder, or a `.fewshot` file.
            allow: Module prefixes besides `innerloop.` that it may name; importing what a file names runs code.

        Raises:
            InputError: Neither of the two, of another version, damaged, or naming foreign classes.
        """
        path = Path(path)
        if path.is_dir():
            record = checkpoint.read_config(path).get("record") or {}
            learner, params = load_run(path, allow)
            return cls(learner, params, shape=record.get("shape"), preprocessing=record.get("preprocessing"))
        task = fewshot.read(path, allow)
        made = cls(task.learner, task.params, shape=task.shape, preprocessing=task.preprocessing)
        made.classes_, made.examples_, made._adapted = np.asarray(task.classes), task.examples, task.adapted
        return made

    def fit(self, X: Examples, y: Sequence[Any] | np.ndarray | Tensor) -> "FewShotClassifier":
        """Learn from labelled examples; classes may have different numbers of them. Forgets what it knew before.

        Args:
            X: [n, ...] examples.
            y: [n] their classes: strings or integers.

        Raises:
            InputError: Examples that do not fit the learner or each other, fewer than two classes, or more than the
                learner's network has outputs.
        """
        rows, preprocessing = self._rows(X, fitting=True)
        labels = np.asarray(y)
        if labels.shape != (len(rows),):
            raise InputError(
                f"X has {len(rows)} examples and y shape {list(labels.shape)}; give one label for each example"
            )
        if labels.dtype.kind == "f":
            raise InputError("y holds fractions; classes are strings or integers")
        classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if len(classes) < 2:
            raise InputError(f"telling classes apart needs at least 2, got {len(classes)}")
        shape = tuple(rows.shape[1:])
        self._check_ways(shape, len(classes))
        with torch.no_grad():
            adapted = self.learner.adapt(self.params, support(rows, torch.as_tensor(index), len(classes)))
        self.classes_, self.examples_ = classes, dict(zip(map(str, classes.tolist()), counts.tolist(), strict=True))
        self._adapted, self._shape, self._preprocessing = adapted, shape, preprocessing
        return self

    def fit_folder(self, path: str | Path) -> "FewShotClassifier":
        """Learn from a folder with a sub-folder of pictures for each class; what they are called are the classes.

        Raises:
            InputError: As `fit`; no such folder, a class without pictures, or a picture that cannot be read.
        """
        pool = image_folder(path, **self._reading())
        known = torch.arange(pool.data.shape[1]) < pool.counts[:, None]  # [classes, instances]
        labels = np.asarray(pool.names)[known.nonzero()[:, 0].numpy()]
        self.fit(pool.data[known], labels)
        self._preprocessing = pool.preprocessing  # whether strokes are dark was decided on all of them
        return self

    def predict_proba(self, X: Examples) -> np.ndarray:
        """[n, classes] probability of every class, in the order of `classes_`."""
        self._check_fitted()
        rows, _ = self._rows(X, fitting=False)
        with torch.no_grad():
            logits = [self.learner.predict(self.params, self._adapted, part) for part in rows.split(_CHUNK)]
        # A network with more outputs than there are classes was never told of the others.
        found = torch.cat(logits)[:, : len(self.classes_)] if logits else torch.zeros(0, len(self.classes_))
        return torch.softmax(found.double(), -1).numpy()

    def predict(self, X: Examples) -> np.ndarray:
        """[n] the most probable class of every example."""
        best = self.predict_proba(X).argmax(-1)
        return self.classes_[best]

    def read(self, path: str | Path) -> Pictures:
        """A picture, or those that lie directly in a folder, as `predict` takes them.

        Raises:
            InputError: There is none, or one cannot be read.
        """
        return image_files(path, **self._reading())

    def save(self, path: str | Path) -> Path:
        """Write what was learned to one portable file, whole or not at all.

        Raises:
            InputError: Nothing was learned yet, or it cannot be written.
        """
        self._check_fitted()
        assert self._shape is not None
        task = fewshot.Task(
            learner=self.learner,
            params=self.params,
            adapted=self._adapted,
            classes=self.classes_.tolist(),
            examples=self.examples_,
            shape=self._shape,
            preprocessing=self._preprocessing,
        )
        fewshot.write(Path(path), task)
        return Path(path)

    def _rows(self, X: Examples, fitting: bool) -> tuple[Tensor, dict[str, Any] | None]:
        """Examples as the learner takes them, and how further pictures are to be read."""
        preprocessing = self._preprocessing
        if isinstance(X, str | Path):
            raise InputError(f"X is one path; give a list of pictures, or use fit_folder('{X}')")
        if not isinstance(X, np.ndarray | Tensor) and len(X) and all(isinstance(p, str | Path) for p in X):
            reading = self._reading()
            as_they_are = reading | {"ink": "light"}
            rows = torch.stack([read_image(path, **as_they_are) for path in X])  # pyright: ignore[reportArgumentType]
            if reading["ink"] == "auto" and reading["channels"] == 1:
                reading["ink"] = decide_ink(rows)
            rows = 255 - rows if reading["ink"] == "dark" else rows
            preprocessing = reading if fitting else preprocessing
        else:
            rows = _tensor(X)
        if rows.dtype == torch.uint8:
            rows = rows / 255
        rows = rows.float()
        if self._shape is not None and rows.ndim == len(self._shape) and self._shape[:1] == (1,):
            rows = rows[:, None]  # grey pictures without their one channel
        if rows.ndim < 2 or (self._shape is not None and tuple(rows.shape[1:]) != self._shape):
            needed = "..." if self._shape is None else ", ".join(map(str, self._shape))
            raise InputError(f"examples must have shape [n, {needed}], got {list(rows.shape)}")
        if not bool(torch.isfinite(rows).all()):
            wrong = (~torch.isfinite(rows)).flatten(1).any(1).nonzero()[0].item()
            raise InputError(f"X holds NaN or infinite values, the first in example {wrong}; remove or fill them")
        if preprocessing is not None and rows.numel() and float(rows.max()) > _BRIGHTEST:
            raise InputError(
                f"float pictures must lie in [0, 1], these reach {float(rows.max()):.4g}: divide by 255, or pass uint8"
            )
        return rows, preprocessing

    def _reading(self) -> dict[str, Any]:
        if self._preprocessing is None:
            raise InputError("this learner was not trained on pictures, so files cannot be read for it: give arrays")
        return dict(self._preprocessing)

    def _check_fitted(self) -> None:
        if not hasattr(self, "classes_"):
            raise InputError("nothing was learned yet: call fit first, or load a file that `save` wrote")

    def _check_ways(self, shape: tuple[int, ...], ways: int) -> None:
        most = outputs(self.learner, self.params, shape, ways)
        if most < ways:
            raise InputError(
                f"{type(self.learner).__name__} was meta-trained to tell {most} classes apart, and these are {ways}: "
                f"train it with ways={ways}, or take a learner for any number of classes, such as protonet or fine_tune"
            )


def _tensor(X: Any) -> Tensor:
    try:
        return X.detach().cpu() if isinstance(X, Tensor) else torch.as_tensor(np.asarray(X))
    except (TypeError, ValueError) as error:
        raise InputError(f"X must be an array of numbers, or a list of paths ({error})") from error
