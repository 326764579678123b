"""Where the trials of a study are kept: one SQLite file in its folder, or a database that many machines reach."""

import contextlib
import importlib.util
import json
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from innerloop.core import files
from innerloop.core.complaints import complain
from innerloop.core.errors import FailedError, InputError

T = TypeVar("T")
FILE = "study.sqlite"
BEAT = 5
"""Seconds between two signs of life of a trial."""
GRACE = 60
"""Seconds without one after which a trial of another machine is given to somebody else."""
PATIENCE = 120.0
"""Seconds that a storage which went away is waited for."""
_LOCKED = 30.0
"""Seconds that one process waits for another to write into SQLite."""
_PAUSE = 0.5
_ABOUT = "innerloop"
"""Attribute of a study that says what it is of."""
_POSTGRES = "postgresql"


def library() -> Any:
    """Optuna, which an extra brings.

    Raises:
        InputError: It is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise InputError("tuning needs Optuna: pip install 'innerloop[tune]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def url_of(storage: str | None, out: Path) -> str:
    """The address of a storage; of PostgreSQL, with the driver that the extra brings.

    Raises:
        InputError: It is no address.
    """
    if storage is None:
        return f"sqlite:///{(out / FILE).resolve()}"
    if "://" not in storage:
        raise InputError(
            f"--storage '{storage}' is no address: leave it out for a file in the study's folder, or give one such as "
            "postgresql://user@host/studies"
        )
    scheme, _, rest = storage.partition("://")
    return f"{_POSTGRES}+psycopg://{rest}" if scheme in (_POSTGRES, "postgres") else storage


def open_storage(url: str) -> Any:
    """A storage of Optuna that several processes may write into at once.

    Raises:
        InputError: It cannot be opened, or cannot be written.
    """
    optuna = library()
    lite = url.startswith("sqlite")
    if lite:
        _prepare(url)
    arguments = {"connect_args": {"timeout": _LOCKED}} if lite else {"pool_pre_ping": True}
    with quiet(), opening(url):
        try:
            if lite:
                _make_tables(url, arguments)
            storage = optuna.storages.RDBStorage(
                url, engine_kwargs=arguments, heartbeat_interval=BEAT, grace_period=GRACE
            )
        except ImportError as error:
            raise InputError(
                f"the driver of {shown(url)} is not installed ({error}): pip install 'innerloop[postgres]'"
            ) from error
        if lite:
            _one_at_a_time(storage.engine)
    return storage


def open_study(storage: Any, url: str, name: str, direction: str, about: Mapping[str, Any]) -> Any:
    """The study of a name, made where there is none.

    Args:
        storage: From `open_storage`.
        url: Of it.
        name: Of the study.
        direction: minimize or maximize.
        about: What it is of, as plain JSON.

    Raises:
        InputError: It cannot be written, or the study of that name is of something else.
    """
    optuna, about = library(), json.loads(json.dumps(about))
    with quiet(), opening(url):
        study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        kept = study.user_attrs.get(_ABOUT)
        if kept is None:
            study.set_user_attr(_ABOUT, about)
            kept = about
    if kept != about:
        entry, was, now = _difference("", kept, about)
        raise InputError(
            f"{shown(url)} holds another study '{name}': its {entry} is {was!r:.200}, now {now!r:.200} is asked for. "
            "Choose another folder (or --name), or ask for the same to go on with it"
        )
    return study


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's warnings of what is experimental: its versions are bounded."""
    optuna = library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for usual in ("Heartbeat of storage", "The number of trials is too small"):
            warnings.filterwarnings("ignore", message=usual, category=UserWarning)
        yield


@contextlib.contextmanager
def opening(url: str) -> Iterator[None]:
    """Turn what a database says into one message.

    Raises:
        InputError: The block failed for the database's sake.
    """
    try:
        yield
    except failures() as error:
        text = _reason(error)
        advice = "check that it is there, and its address"
        if "locked" in text:
            advice = "another program holds it: close that, then try again"
        elif "readonly" in text or "read-only" in text:
            advice = "allow it to be written, or choose another folder"
        elif "not a database" in text:
            advice = "remove it, or choose another folder"
        raise InputError(f"the study's storage {shown(url)} cannot be used ({text}): {advice}") from error


def failures() -> tuple[type[Exception], ...]:
    """Errors of a storage that is not there, or does not do what it should."""
    import sqlalchemy.exc

    return library().exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error


def late() -> tuple[type[Exception], ...]:
    """Errors of whoever goes on with a trial that was given to somebody else."""
    return (library().exceptions.UpdateFinishedTrialError,)


def patient(what: Callable[[], T], url: str, lost: str) -> T:
    """Do something with a storage, waiting for one that went away.

    Args:
        what: Done again until it works.
        url: Of the storage.
        lost: What to say where it stays away.

    Raises:
        FailedError: It did not come back.
    """
    deadline, known = time.monotonic() + PATIENCE, False
    while True:
        try:
            with quiet():
                return what()
        except failures() as error:
            if time.monotonic() > deadline:
                raise FailedError(f"the study's storage {shown(url)} is gone ({_reason(error)}): {lost}") from error
            if not known:
                complain(f"{shown(url)} does not answer; waiting for it")
                known = True
            time.sleep(_PAUSE)


def shown(url: str) -> str:
    """An address without its password; of a file, its path."""
    if url.startswith("sqlite"):
        return url.partition("///")[2] or url
    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme.partition('+')[0]}://{user.partition(':')[0]}{at}{place}"


def _prepare(url: str) -> None:
    """Have a file of SQLite written ahead, so that reading does not wait for writing."""
    path = url.partition("///")[2]
    if "?" in path or not path:
        return  # with settings of its own, or in memory
    files.writable(Path(path).parent)
    with opening(url), contextlib.closing(sqlite3.connect(path, timeout=_LOCKED)) as file:
        file.execute("PRAGMA journal_mode=WAL")


def _make_tables(url: str, arguments: dict[str, Any]) -> None:
    """Make the tables of a file in one transaction.

    Optuna makes one after the other: whoever was killed behind that of studies would leave it without the index by
    which no two have one name.
    """
    from optuna.storages._rdb import models
    from sqlalchemy import create_engine

    engine = create_engine(url, **arguments)
    _one_at_a_time(engine)
    models.BaseModel.metadata.create_all(engine)
    engine.dispose()


def _one_at_a_time(engine: Any) -> None:
    """Have every transaction of SQLite begin as one that writes.

    Optuna reads a trial's state and then writes it, which two processes may otherwise do at the same time.
    """
    from sqlalchemy import event

    def connected(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the driver would begin on its own, and later
        connection.execute("PRAGMA synchronous=NORMAL")  # with the write-ahead log, a crash tears nothing

    def began(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)
    engine.dispose()  # connections from before


def _reason(error: Exception) -> str:
    origin: Any = error.__cause__ if error.__cause__ is not None else error
    origin = getattr(origin, "orig", None) or origin
    return str(origin).strip().partition("\n")[0] or type(origin).__name__


def _difference(place: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """The first entry in which nested JSON differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(k for k in (*new, *old) if old.get(k) != new.get(k))
        return _difference(f"{place}.{key}".lstrip("."), old.get(key), new.get(key))
    return place, old, new
