"""Honest measurement: frozen protocols, intervals over tasks, comparison on the same episodes, audits."""

from innerloop.evaluate.audit import Audit, audit
from innerloop.evaluate.check import Check
from innerloop.evaluate.compare import Comparison, compare
from innerloop.evaluate.meta_test import meta_test
from innerloop.evaluate.protocol import Protocol
from innerloop.evaluate.result import Result

__all__ = ["Audit", "Check", "Comparison", "Protocol", "Result", "audit", "compare", "meta_test"]
