"""Files of published data sets: where they are looked for, and how they are fetched when they are not there."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.core.files import share
from innerloop.tasks import cache
from innerloop.tasks.progress import track

_CHUNK = 1 << 16


def places(root: Root, dataset: str) -> list[Path]:
    """Folders that may hold a data set's files: the data root, its own folder there, and that of downloads, last."""
    base = cache.data_folder(root)
    return list(dict.fromkeys([base, base / dataset, cache.folder(root) / "data" / dataset]))


def listed(folders: Sequence[Path]) -> str:
    """Folders as a message names them."""
    return " or ".join(str(folder) for folder in folders)


def located(root: Root, dataset: str, name: str, url: str, md5: str, also: Sequence[str] = ()) -> Path:
    """A file of a data set, fetched into the user's cache when it is not there.

    Args:
        root: The data root.
        dataset: As the field writes it; folders are called so.
        name: Of the file.
        url: Folder that it is in, with a slash at the end.
        md5: Of the file as it is published.
        also: Other names that the file may have here, such as that without `.gz`.

    Raises:
        InputError: It is neither there nor to be had.
    """
    folders = places(root, dataset)
    here = next((folder / n for folder in folders for n in (name, *also) if (folder / n).exists()), None)
    if here is not None:
        return here
    advice = (
        f"there is no {' and no '.join((name, *also))} in {listed(folders)}, and it could not be downloaded. Put "
        f"{name} from {url} into {folders[1]}, or set INNERLOOP_DATA or --data-root to the folder that holds it"
    )
    return fetched(f"{url}{name}", md5, folders[-1], advice)


def fetched(url: str, md5: str, folder: Path, advice: str) -> Path:
    """Download a file, once.

    Args:
        url: Of the file.
        md5: Of its content.
        folder: Where it is kept.
        advice: What to do when it cannot be had.

    Raises:
        InputError: It cannot be had, or its content is another.
    """
    try:
        import pooch
    except ImportError as error:
        raise InputError(f"{advice}; downloading needs pooch: pip install 'innerloop[images]'") from error
    name, downloader = url.rsplit("/", 1)[-1], _fetch
    try:
        path = pooch.retrieve(url, f"md5:{md5}", name, folder, downloader=downloader)  # pyright: ignore[reportArgumentType]
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
        raise InputError(f"{advice} ({error})") from error
    share(Path(path))  # pooch makes it for one user, and the folder may be for many
    return Path(path)


def _fetch(url: str, output: str | IO[bytes], _: object) -> None:
    """Pooch's downloader, with our bar."""
    import requests

    with requests.get(url, stream=True, timeout=30) as answer:
        answer.raise_for_status()
        size = int(answer.headers.get("Content-Length", 0))
        chunks = answer.iter_content(_CHUNK)
        with open(output, "wb") if isinstance(output, str) else nullcontext(output) as file:
            for chunk in track(chunks, f"downloading {url.rsplit('/', 1)[-1]}", -(-size // _CHUNK)):
                file.write(chunk)
