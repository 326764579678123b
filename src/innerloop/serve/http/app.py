"""`innerloop.service.http.app`, by the name that it had in release 0.1.0."""

from innerloop.service.http.app import create

__all__ = ["create"]
