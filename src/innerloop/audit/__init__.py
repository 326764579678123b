"""The mistakes that make a number in meta-learning wrong while everything seems to work, looked for one by one."""

from innerloop.audit.audit import Audit, audit
from innerloop.audit.check import Check

__all__ = ["Audit", "Check", "audit"]
