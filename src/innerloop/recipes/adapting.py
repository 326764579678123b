"""From a folder of labelled pictures to a portable file, and from that to answers."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from innerloop.serve.classifier import FewShotClassifier


def adapt(run: str | Path, pictures: str | Path, out: str | Path, allow: tuple[str, ...] = ()) -> dict[str, Any]:
    """Teach a run new classes and keep what it learned.

    Args:
        run: Run folder.
        pictures: A sub-folder for each class.
        out: The file to write.
        allow: Module prefixes besides `innerloop.` that the run may name.

    Returns:
        The file, the number of examples of each class, and the seconds it took, in plain JSON.
    """
    classifier = FewShotClassifier.load(run, allow)
    start = time.perf_counter()
    classifier.fit_folder(pictures)
    seconds = time.perf_counter() - start
    classifier.save(out)
    made = {"file": str(out), "examples": classifier.examples_, "seconds": seconds}
    return made | {"learner": type(classifier.learner).__name__}


def predictions(file: str | Path, pictures: list[str], allow: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """The class of every picture, with the probability of each class, most probable first.

    Args:
        file: What `adapt` wrote.
        pictures: Files, or folders of which every picture that lies directly in them is taken.
        allow: Module prefixes besides `innerloop.` that the file may name.

    Raises:
        InputError: A picture cannot be read, or there is none; nothing was predicted then.
    """
    classifier = FewShotClassifier.load(file, allow)
    read = [classifier.read(path) for path in pictures]
    for found in read:
        for path, row in zip(found.paths, classifier.predict_proba(found.x), strict=True):
            ranked = sorted(zip(classifier.classes_.tolist(), row.tolist(), strict=True), key=lambda pair: -pair[1])
            yield {"path": str(path), "class": ranked[0][0], "probabilities": {str(k): v for k, v in ranked}}
