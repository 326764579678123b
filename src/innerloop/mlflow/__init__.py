"""Taught tasks as models of MLflow: `log_task` and `load_task`; `mlflow.pyfunc` asks them as any other model.

A model is a `.fewshot` file and what MLflow writes beside it. `load_task` reads that file alone, and runs no code that
the model names; `mlflow.pyfunc.load_model` imports what a model names, as it does with every model.
"""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from innerloop import encoders
from innerloop.core.errors import FailedError, InputError
from innerloop.core.importing import require
from innerloop.core.names import printable, reason
from innerloop.encoders import hub
from innerloop.fewshot import file, paths
from innerloop.fewshot.classifier import FewShotClassifier

__all__ = ["load_task", "log_task", "save_task"]
_LOADER = f"{__name__}.pyfunc"
_FILE = "task.fewshot"
_FLAVOUR = "python_function"
_COLUMNS = {"texts": ("string", "text"), "pictures": ("binary", "image"), "sounds": ("binary", "sound")}
_OF_KIND = {"pictures": ["images"], "sounds": ["sounds"]}


def log_task(
    task: FewShotClassifier | str | Path, name: str = "task", *, registered_model_name: str | None = None
) -> Any:
    """Log a taught task to the active run of MLflow.

    Args:
        task: A classifier that has learned, or a `.fewshot` file.
        name: What the model is called.
        registered_model_name: Under which it is registered as well; None: it is not.

    Returns:
        MLflow's `ModelInfo`, whose `model_uri` is for `load_task` and `mlflow.pyfunc.load_model`.

    Raises:
        InputError: MLflow is missing, or nothing was learned yet.
        FailedError: MLflow's store refused.
    """
    mlflow = _mlflow()
    with _about(task) as about, _asking("log"):
        return mlflow.pyfunc.log_model(name=name, registered_model_name=registered_model_name, **about)


def save_task(task: FewShotClassifier | str | Path, path: str | Path) -> Path:
    """Write a taught task as a folder that MLflow reads; arguments as of `log_task`.

    Raises:
        InputError: MLflow is missing, nothing was learned yet, or there is something at `path`.
    """
    mlflow, place = _mlflow(), paths.named(path)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(f"{place} is there: give a folder that is not, or an empty one")
    with _about(task) as about, _asking("save"):
        mlflow.pyfunc.save_model(path=str(place), **about)
    return place


def load_task(model: str | Path, allow: Sequence[str] = ()) -> FewShotClassifier:
    """A task that `log_task` or `save_task` kept, which may be asked and taught.

    Args:
        model: A URI of MLflow, such as `models:/intents/3` or `runs:/<id>/task`, or a folder.
        allow: Module prefixes besides `innerloop.` that the task may name.

    Raises:
        InputError: MLflow is missing, it is no such model, or a package is missing that its encoder needs.
    """
    mlflow, name = _mlflow(), str(model)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=name)).resolve()
        flavour = dict(mlflow.models.Model.load(str(folder)).flavors.get(_FLAVOUR, {}))
    except Exception as error:  # of MLflow, a network or a disk
        raise InputError(f"MLflow finds no model '{printable(name)[:200]}' ({reason(error)}): check its URI") from error
    if flavour.get("loader_module") != _LOADER:
        raise InputError(
            f"'{printable(name)[:200]}' is a model of {printable(str(flavour.get('loader_module')))[:100]}, not a task "
            "that innerloop.mlflow logged"
        )
    place = (folder / str(flavour.get("data"))).resolve()
    if not place.is_relative_to(folder):
        raise InputError(f"'{printable(name)[:200]}' names a file outside of itself: it is not read")
    return FewShotClassifier.load(place, allow)


def _mlflow() -> Any:
    require("mlflow", "innerloop.mlflow", "mlflow")
    require("pandas", "innerloop.mlflow", "mlflow")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # no network that was not asked for
    import mlflow
    import mlflow.artifacts
    import mlflow.models
    import mlflow.pyfunc

    return mlflow


@contextlib.contextmanager
def _about(task: FewShotClassifier | str | Path) -> Iterator[dict[str, Any]]:
    """What `mlflow.pyfunc` is told of a task, as long as its file is there."""
    classifier = task if isinstance(task, FewShotClassifier) else FewShotClassifier.load(paths.existing(task))
    if not hasattr(classifier, "task"):
        raise InputError("nothing was learned yet: fit the classifier before it is kept")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / _FILE
        file.write(place, classifier.task)
        yield {
            "loader_module": _LOADER,
            "data_path": str(place),
            "pip_requirements": [f"innerloop[{','.join(_extras(classifier))}]=={metadata.version('innerloop')}"],
            "signature": _signature(classifier),
            "model_config": {"allow": []},  # MLflow lets nobody give what is not named here
            "metadata": {"source": classifier.name, "kind": classifier.kind},
        }


def _extras(classifier: FewShotClassifier) -> list[str]:
    """What must be installed where the model is used."""
    source = classifier.task.source
    name = source.encoder_name or source.name
    own = [encoders.about(name).EXTRA] if name in encoders.names() else [hub.EXTRA] * hub.is_name(name)
    return sorted({"mlflow", *own, *_OF_KIND.get(source.kind, [])})


def _signature(classifier: FewShotClassifier) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    source = classifier.task.source
    inputs = list[ColSpec | TensorSpec]()
    if source.kind in _COLUMNS:
        inputs.append(ColSpec(*_COLUMNS[source.kind]))
    elif source.columns is not None:
        inputs.extend(ColSpec("double", name) for name in source.columns)
    elif source.encoder is None and len(source.shape or ()) == 1:
        assert source.shape is not None
        inputs.extend(ColSpec("double") for _ in range(source.shape[0]))
    else:
        return None  # arrays as an encoder of one's own takes them
    return ModelSignature(inputs=Schema(inputs))


@contextlib.contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)  # the signature is known
            yield
    except InputError:
        raise
    except Exception as error:  # of MLflow's store, whatever that is
        raise FailedError(f"MLflow cannot {what} the task ({reason(error)})") from error
