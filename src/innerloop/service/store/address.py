"""Addresses of PostgreSQL, whose passwords stand in no message."""

import importlib.util
import re
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from innerloop.core.errors import InputError

_SCHEMES = ("postgresql://", "postgres://")
_OTHER = re.compile(r"[A-Za-z][\w+.-]+://?")
"""Also where a path was made of it, which leaves one stroke; a drive of Windows has one letter."""
_SHOWN = 300
"""Characters of what PostgreSQL says."""


def is_address(where: str | Path) -> bool:
    """Whether a store is in PostgreSQL, not in a folder.

    Raises:
        InputError: It is an address of something else, of which nobody wants a folder with a password in its name.
    """
    text = str(where)
    if not text.startswith(_SCHEMES) and (other := _OTHER.match(text)):
        raise InputError(f"{other[0]} is no store: give a folder, or postgresql://user@host/database")
    return text.startswith(_SCHEMES)


def shown(where: str | Path) -> str:
    """What messages call a store: its folder, or its address without what is secret."""
    return Address(str(where)).name if is_address(where) else str(where)


class Address:
    """Where a store in PostgreSQL is.

    Args:
        text: postgresql://user:password@host:port/database?option=value; what is left out is as for `psql`.

    Raises:
        InputError: It is none, or psycopg is not installed.
    """

    def __init__(self, text: str):
        psycopg()
        from psycopg import ProgrammingError, conninfo

        try:
            self._parts = conninfo.conninfo_to_dict(text)
        except ProgrammingError:
            # What libpq says of it may hold any part of it.
            raise InputError(
                "the address of the store is not one that PostgreSQL understands: give "
                "postgresql://user@host/database, with %-codes in place of characters that addresses "
                "use themselves"
            ) from None

    @property
    def parts(self) -> dict[str, Any]:
        """What psycopg is told."""
        return dict(self._parts)

    @cached_property
    def name(self) -> str:
        """The address without its password and options."""
        parts = {key: str(value) for key, value in self._parts.items() if value is not None}
        user = f"{parts['user']}@" if "user" in parts else ""
        port = f":{parts['port']}" if "port" in parts else ""
        return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"

    def plain(self, error: BaseException) -> str:
        """What an error says, in one line, without the password."""
        text = " ".join(str(error).split())[:_SHOWN] or type(error).__name__
        for key in ("password", "sslpassword"):
            if secret := self._parts.get(key):
                for one in (str(secret), unquote(str(secret))):
                    text = text.replace(one, "***")
        return text


def psycopg() -> None:
    """Refuse to go on without the packages that an extra brings.

    Raises:
        InputError: One is not installed.
    """
    for package in ("psycopg", "psycopg_pool"):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"a store in PostgreSQL needs {package}, which is not installed: pip install 'innerloop[postgres]'"
            )
