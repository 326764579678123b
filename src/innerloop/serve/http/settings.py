"""`innerloop.service.settings`, by the name that it had in release 0.1.0."""

from innerloop.service.settings import Settings

__all__ = ["Settings"]
