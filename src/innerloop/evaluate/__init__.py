"""Honest measurement: frozen protocols, intervals over tasks, comparison on the same episodes."""

import importlib
from typing import TYPE_CHECKING, Any

from innerloop.evaluate.compare import Comparison, compare
from innerloop.evaluate.meta_test import meta_test
from innerloop.evaluate.protocol import Protocol
from innerloop.evaluate.result import Result

if TYPE_CHECKING:
    from innerloop.audit import Audit, Check, audit

__all__ = ["Audit", "Check", "Comparison", "Protocol", "Result", "audit", "compare", "meta_test"]


def __getattr__(name: str) -> Any:
    """The audit, which lived here and is public by these names, from the room above that it has now."""
    if name in ("Audit", "Check", "audit"):
        return getattr(importlib.import_module("innerloop.audit"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
