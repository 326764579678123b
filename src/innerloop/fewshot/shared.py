"""`.fewshot` files and run folders on the Hugging Face Hub: pushed with a card, pulled by a revision and by a hash.

What is pulled is safetensors and JSON, checked before anything is written here; a pickled file is never fetched. The
network is asked through `huggingface_hub`, which reads its own variables (`HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`).
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.errors import FailedError, InnerloopError, InputError
from innerloop.core.importing import require
from innerloop.core.names import printable, reason
from innerloop.encoders.hub import EXTRA, PICKLED
from innerloop.engine import checkpoint
from innerloop.evaluate import calibration
from innerloop.fewshot import cards, container, paths

_ENDING = ".fewshot"
_RUN = ("config.json", "params.safetensors")
"""What makes a run; the others are taken along where they are."""
_BESIDE = (checkpoint.CHOICE, calibration.FILE, "metrics.jsonl", "test-*.json")
_TAKEN = (f"*{_ENDING}", *_RUN, *_BESIDE)
_CARD = "README.md"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHA256 = re.compile("[0-9a-f]{64}")
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is on the Hub, and here."""

    repository: str
    revision: str
    """The commit, a hash."""
    sha256: str
    """Hash of the files but for the card."""
    files: tuple[str, ...]
    path: str
    """What was pushed, or where it was pulled to."""
    left_out: tuple[str, ...] = ()
    """What is not shared of a run folder."""


def push(
    path: str | Path,
    repository: str,
    *,
    public: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> Shared:
    """Put a file or a run on the Hub, with a card; what is there of an earlier push is replaced.

    Args:
        path: A `.fewshot` file or a run folder. Of a folder, `state.pt` and pages stay here.
        repository: `user/name`; made where it is not there.
        public: Whether everybody may read it, where it is made; what is public already takes nothing without it. A
            `.fewshot` file holds the examples it was taught.
        revision: A branch that is there; None: the main one.
        message: Of the commit.

    Raises:
        InputError: `huggingface_hub` is missing or offline, the name is none, it is neither a file nor a run, or the
            repository is public or another program's.
        FailedError: The Hub refused, or cannot be reached.
    """
    place, name = paths.named(path), _checked(repository)
    contents, left_out = _contents(place)
    sha256 = digest(contents)
    card = (cards.of_file if place.is_file() else cards.of_run)(place, name, sha256)
    hub = _hub(name)
    if hub.constants.HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE is set, and pushing needs the Hub: unset it")
    api = hub.HfApi()
    with _asking(name, revision):
        api.create_repo(name, private=not public, exist_ok=True)
        if not public and api.repo_info(name).private is False:
            raise InputError(
                f"'{name}' is there and is public, so that everybody could read what is pushed: make it private, give "
                "another name, or push with --public"
            )
        there = [one for one in api.list_repo_files(name, revision=revision) if _is_taken(one)]
        if _RUN[0] in there and _RUN[1] not in there:
            raise InputError(f"'{name}' holds another program's model, which a push would replace: give another name")
        operations: list[Any] = [hub.CommitOperationDelete(one) for one in there if one not in contents]
        operations += [hub.CommitOperationAdd(one, str(file)) for one, file in contents.items()]
        operations.append(hub.CommitOperationAdd(_CARD, card.encode()))
        about = message or f"Push {place.name} with innerloop"
        commit = api.create_commit(name, operations, commit_message=about, revision=revision)
    return Shared(
        repository=name,
        revision=commit.oid,
        sha256=sha256,
        files=(*contents, _CARD),
        path=str(place),
        left_out=tuple(left_out),
    )


def pull(
    repository: str, out: str | Path | None = None, *, revision: str | None = None, sha256: str | None = None
) -> Shared:
    """Fetch a file or a run from the Hub, or from the cache where `HF_HUB_OFFLINE` is set.

    Args:
        repository: `user/name`.
        out: Where to; None: the file's own name, or for a run the repository's, in this folder.
        revision: A branch, a tag or a commit; None: the newest.
        sha256: What `push` said: other files under the same revision are refused.

    Raises:
        InputError: It is not there, holds no task and no run, or weights that are pickled; its content is not that of
            the hash; or there is something else at `out`.
        FailedError: The Hub cannot be reached.
    """
    name = _checked(repository)
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise InputError(f"a hash has 64 digits of 0-9 and a-f, got '{printable(sha256)[:80]}': take what push printed")
    hub = _hub(name)
    with _asking(name, revision):
        folder = Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(_TAKEN)))
    contents = _found(hub, folder, name, revision)
    there = digest(contents)
    if sha256 is not None and there != sha256:
        raise InputError(
            f"'{name}' at {revision or 'its newest revision'} has the sha256 {there}, not {sha256}: its content "
            "changed since that was pinned. Look at what changed, then pin the new one, or name an older --revision"
        )
    single = next((file for one, file in contents.items() if one.endswith(_ENDING)), None)
    target = (
        files.expanded(out) if out is not None else Path(name.rpartition("/")[2] if single is None else single.name)
    )
    if single is None:
        checkpoint.read_config(folder)
        checkpoint.read_params(folder)
        _place_run(contents, target)
    else:
        container.read(single, "tagger" if container.kind_of(single) == "tagger" else "classifier")
        _place(single, target)
    return Shared(repository=name, revision=folder.name, sha256=there, files=tuple(contents), path=str(target))


def digest(contents: Mapping[str, Path]) -> str:
    """The sha256 of files with their names, whatever their order.

    Raises:
        InputError: One cannot be read.
    """
    total = hashlib.sha256()
    for name, path in sorted(contents.items()):
        try:
            total.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    total.update(block)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return total.hexdigest()


def _checked(repository: str) -> str:
    if not _NAME.fullmatch(repository) or len(repository) > 96:
        raise InputError(f"'{printable(repository)[:100]}' is no name of the Hugging Face Hub: give user/name")
    return repository


def _hub(name: str) -> Any:
    require("huggingface_hub", name, EXTRA)
    import huggingface_hub
    from huggingface_hub import constants  # noqa: F401  so that the package has it

    return huggingface_hub


def _contents(place: Path) -> tuple[dict[str, Path], list[str]]:
    """What is shared of a place, by name, and what is not."""
    if files.is_folder(place):
        if not all((place / one).is_file() for one in _RUN):
            raise files.no_run(place)
        every = [one for one in files.entries(place) if files.is_file(one)]
        contents = {one.name: one for one in every if _is_taken(one.name) and not one.name.endswith(_ENDING)}
        checkpoint.read_config(place)
        checkpoint.read_params(place)
        return contents, [one.name for one in files.entries(place) if one.name not in contents]
    files.check_file(place, "give a .fewshot file or a run folder")
    if place.suffix in PICKLED:
        raise InputError(
            f"{place} is pickled, which can run code when it is read: only .fewshot files and runs are shared"
        )
    if place.suffix != _ENDING:
        raise InputError(f"{place} is no {_ENDING} file: write one with `innerloop adapt`, or give a run folder")
    return {place.name: place}, []


def _is_taken(name: str) -> bool:
    return "/" not in name and any(Path(name).match(pattern) for pattern in _TAKEN)


def _found(hub: Any, folder: Path, name: str, revision: str | None) -> dict[str, Path]:
    """What a snapshot holds: one `.fewshot` file, or what a run is of."""
    # Where nothing is taken, nothing is made.
    every = files.entries(folder) if files.is_folder(folder) else []
    there = {one.name: one for one in every if _is_taken(one.name)}
    tasks = {one: path for one, path in there.items() if one.endswith(_ENDING)}
    if len(tasks) == 1:
        return tasks
    if len(tasks) > 1:
        raise InputError(f"'{name}' holds {', '.join(tasks)}: one {_ENDING} file or one run in a repository is pulled")
    if all(one in there for one in _RUN):
        return there
    names = list[str]()
    if not hub.constants.HF_HUB_OFFLINE:
        with contextlib.suppress(Exception):  # it is told below that nothing was found, whatever is listed
            names = sorted(hub.HfApi().list_repo_files(name, revision=revision))
    pickled = next((one for one in names if Path(one).suffix in PICKLED), None)
    if pickled is not None:
        raise InputError(
            f"'{name}' has its weights in {printable(pickled)}, which can run code when it is read: it is not fetched. "
            "Push what innerloop writes, which is safetensors"
        )
    raise InputError(f"'{name}' holds neither a {_ENDING} file nor a run (config.json and params.safetensors)")


def _place(source: Path, target: Path) -> None:
    if files.is_folder(target):
        target = target / source.name
    content = source.read_bytes()
    if files.is_file(target):
        if target.read_bytes() != content:
            raise _in_the_way(target)
        return
    files.write(target, content)


def _place_run(contents: Mapping[str, Path], target: Path) -> None:
    if target.exists():
        own = {one.name: one for one in files.entries(target)} if files.is_folder(target) else {}
        if not all(one in own and own[one].read_bytes() == path.read_bytes() for one, path in contents.items()):
            raise _in_the_way(target)
        return
    with files.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, and moved when it is whole.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pulled-") as temporary:
            whole = Path(temporary) / "run"
            whole.mkdir()
            for one, path in contents.items():
                shutil.copyfile(path, whole / one)
            os.rename(whole, target)


def _in_the_way(target: Path) -> InputError:
    return InputError(f"{target} is there and is something else: give another --out, or move it away")


@contextlib.contextmanager
def _asking(name: str, revision: str | None) -> Iterator[None]:
    """Turn the Hub's refusals into one message.

    Raises:
        InputError: There is no such repository or revision, or it may not be seen.
        FailedError: It cannot be reached.
    """
    from huggingface_hub import errors

    at = f" at revision '{printable(revision)[:100]}'" if revision else ""
    try:
        yield
    except InnerloopError:
        raise
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"'{name}' has no revision '{printable(revision or '')[:100]}': look at its branches"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"there is no '{name}' on the Hub that you may see: check the name, and log in with `hf auth login`, or "
            "set HF_TOKEN"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise InputError(
            f"'{name}'{at} is not in the cache of this machine, and the Hub was not reached: unset HF_HUB_OFFLINE, or "
            "pull it once where there is a network"
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise InputError(
                f"the Hub does not let you ({status}): log in with `hf auth login`, or set HF_TOKEN"
            ) from error
        raise FailedError(f"the Hub answered {status} about '{name}'{at}: {reason(error)}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise FailedError(f"'{name}'{at} cannot be asked of the Hub ({reason(error)}): check the network") from error
    except Exception as error:  # of the client's own HTTP library
        raise FailedError(f"the Hub cannot be reached ({reason(error)}): check the network") from error
