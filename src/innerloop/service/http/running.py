"""Starting the service: checks that it may be started as asked, then uvicorn with one or several workers."""

import logging
import os
import sys
import tempfile
from typing import Any

from innerloop.core.errors import InputError
from innerloop.service.http import listening
from innerloop.service.settings import ENVIRONMENT, Settings

_MOST_CONNECTIONS = 1_000


def check(settings: Settings) -> None:
    """Refuse what would be unsafe or cannot work, before anything listens.

    Raises:
        InputError: No key where one is demanded, a store that cannot be used, a number that makes no sense.
    """
    from innerloop.service.store.keys import Keys
    from innerloop.service.store.store import Store

    if not 0 <= settings.port < 65536:
        raise InputError(f"there is no port {settings.port}: take one from 1 to 65535, or 0 for any that is free")
    if settings.workers < 1:
        raise InputError(f"{settings.workers} workers cannot serve: take 1 or more")
    if settings.run_folder is not None and not settings.run_folder.is_dir():
        raise InputError(f"there is no folder {settings.run_folder} for --runs")
    store = Store(settings.store, settings.limits)
    try:
        if settings.keys and not any(key.revoked is None for key in Keys(store.database).all()):
            where = f"on {settings.host}" if not settings.local else "with --demand-keys"
            raise InputError(
                f"a server {where} demands API keys, and the store has none: make one with "
                f"`innerloop serve keys add --store {settings.store} --scope write`"
            )
    finally:
        store.close()


def serve(settings: Settings) -> None:
    """Serve until stopped.

    Raises:
        InputError: It cannot be started as asked.
    """
    try:
        import uvicorn
        from uvicorn.supervisors import Multiprocess
    except ImportError as error:
        raise InputError("the service needs uvicorn and fastapi: pip install 'innerloop[serve]'") from error
    check(settings)
    listening.check(settings.host, settings.port)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    common: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "limit_concurrency": _MOST_CONNECTIONS,
        "timeout_graceful_shutdown": 20,
        "timeout_keep_alive": 60,
    }
    print(
        f"innerloop: serving on http://{_shown(settings.host)}:{settings.port} from {settings.store}", file=sys.stderr
    )
    if settings.workers == 1:
        from innerloop.service.http.app import create

        uvicorn.run(create(settings), **common)
        return
    with tempfile.TemporaryDirectory(prefix="innerloop-metrics-") as folder:
        os.environ[ENVIRONMENT] = settings.to_json()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        config = uvicorn.Config(
            "innerloop.service.http.app:from_environment", factory=True, workers=settings.workers, **common
        )
        Multiprocess(config, listening.sockets(settings.host, settings.port)).run()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
