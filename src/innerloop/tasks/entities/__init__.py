"""Sentences whose words carry types of entities: files, data sets, episodes.

A name is imported when it is asked for: reading a file needs no torch, which takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from innerloop.tasks.entities.domains import Domain, Encoded
    from innerloop.tasks.entities.episodes import EntitySampler
    from innerloop.tasks.entities.sentences import Sentence, Span

_MODULES = {"Domain": "domains", "Encoded": "domains", "EntitySampler": "episodes"}
_MODULES |= {"Sentence": "sentences", "Span": "sentences"}
__all__ = ["Domain", "Encoded", "EntitySampler", "Sentence", "Span"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
