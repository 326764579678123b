"""Starting the service: checks that it may be started as asked, then uvicorn with one or several workers."""

import contextlib
import http.client
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from typing import Any

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.fewshot import source_names
from innerloop.service import logs
from innerloop.service.http import ending, listening
from innerloop.service.settings import ENVIRONMENT, Settings
from innerloop.service.store.address import shown

_LOG = logging.getLogger("innerloop.service")
_IDLE = 60
"""Seconds that a connection is kept without a request."""
_SPARE_FILES = 100
"""Files that a worker has open besides its connections: the store, its log, sources while they are loaded."""
_MOMENT = 0.1
"""Seconds between two questions whether a worker answers."""
_FAILED = 3
"""What uvicorn's own command ends with where it could not start."""


def check(settings: Settings) -> None:
    """Refuse what would be unsafe or cannot work, before anything listens.

    Raises:
        InputError: No key where one is demanded, a store that cannot be used, a number that makes no sense.
    """
    from innerloop.service import tracing
    from innerloop.service.addresses import Proxies, check_home
    from innerloop.service.store.keys import Keys
    from innerloop.service.store.store import Store

    if not 0 <= settings.port < 65536:
        raise InputError(f"there is no port {settings.port}: take one from 1 to 65535, or 0 for any that is free")
    Proxies(settings.proxy)
    tracing.check(settings.traces)
    check_home(settings.label_studio)  # a worker that refuses it would be started again, for ever
    if settings.workers < 1:
        raise InputError(f"{settings.workers} workers cannot serve: take 1 or more")
    if settings.run_folder is not None and not files.is_folder(settings.run_folder):
        raise InputError(f"there is no folder {settings.run_folder} for --runs")
    for source in settings.sources:  # before a store is made for what cannot be served
        source_names.check(source)
    listening.check(settings.host, settings.port)
    store = Store(settings.store, settings.limits)
    try:
        if settings.workers > 1:  # one worker does so itself
            store.database.examine()
        if settings.keys and not any(key.revoked is None for key in Keys(store.database).all()):
            where = f"on {settings.host}" if not settings.local else "with --demand-keys"
            raise InputError(
                f"a server {where} demands API keys, and the store has none: make one with "
                f"`innerloop serve keys add --store {store.database.name} --scope write`"
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
    logs.set_up(settings.log)
    common = options(settings)

    class Workers(Multiprocess):
        """Waits for them no longer than they have, nor when it is asked again."""

        def join_all(self) -> None:
            end = time.monotonic() + ending.LATEST + _MOMENT
            while alive := [worker.process for worker in self.processes if worker.process.is_alive()]:
                again = {signal.SIGTERM, signal.SIGINT} & set(self.signal_queue)
                if again or time.monotonic() > end:
                    for process in alive:
                        process.kill()
                alive[0].join(_MOMENT)

    if settings.workers == 1:
        from innerloop.service.http.app import create, settled

        class Server(uvicorn.Server):
            """Says where it is once it answers."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    _announce(settings, self.servers[0].sockets[0].getsockname()[1])

        server = Server(uvicorn.Config(create(settings), **common))
        settled()
        server.run()
        if not server.started:
            sys.exit(_FAILED)
        return
    from innerloop.service.http.metrics import SHARED
    from innerloop.service.http.recent_shelves import folder_of, remove

    with tempfile.TemporaryDirectory(prefix="innerloop-metrics-") as folder:
        # Workers are spawned and import the application by its name: nothing else reaches them.
        os.environ[ENVIRONMENT] = settings.to_json()
        os.environ[SHARED] = folder
        shared = folder_of(settings)
        if shared is not None:  # what a server left that was killed
            remove(shared)
        config = uvicorn.Config(
            "innerloop.service.http.app:from_environment", factory=True, workers=settings.workers, **common
        )
        sockets = listening.sockets(settings.host, settings.port)
        threading.Thread(target=_await, args=(settings, sockets[0].getsockname()[1]), daemon=True).start()
        Workers(config, sockets).run()
        if shared is not None:
            remove(shared)


def options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told."""
    from innerloop.service.addresses import Proxies
    from innerloop.service.http.connections import HEADER_BYTES, Connections

    most = min(settings.limits.connections, max(1, _open_files() - _SPARE_FILES))
    # Without handlers of its own, its lines go where ours do, as ours do.
    lines = {"log_config": None} if settings.log == "json" else {}
    return lines | {
        "host": settings.host,
        "port": settings.port,
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "http": Connections(most, settings.limits.address_connections, Proxies(settings.proxy), idle=_IDLE),
        # The guard looks at HTTP alone: a websocket would pass it.
        "ws": "none",
        "h11_max_incomplete_event_size": HEADER_BYTES,
        "proxy_headers": False,  # uvicorn believes anyone on loopback; `guard` believes --proxy
        "timeout_graceful_shutdown": ending.GRACE,
        "timeout_keep_alive": _IDLE,
    }


def _open_files() -> int:
    """Files that a process of ours may have open, raised to what the system allows; workers inherit it."""
    try:
        import resource
    except ImportError:  # Windows, where connections are not files
        return sys.maxsize
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower bound of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        soft = most
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _announce(settings: Settings, port: int) -> None:
    message = f"serving on http://{_shown(settings.host)}:{port} from {shown(settings.store)}"
    if addresses := listening.reached(settings.host):
        message += f"; open it at {' or '.join(f'http://{_shown(one)}:{port}' for one in addresses)}"
    if settings.log == "json":
        _LOG.info(message)
    else:
        print(f"innerloop: {message}", file=sys.stderr, flush=True)


def _await(settings: Settings, port: int) -> None:
    """Ask until a worker answers, which it does when its sources are loaded, then say where."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(host, port, timeout=60)
            # Called by a name that every server answers to, whatever it listens on.
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            if connection.getresponse().status == http.HTTPStatus.OK:
                break
        time.sleep(_MOMENT)
    _announce(settings, port)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
