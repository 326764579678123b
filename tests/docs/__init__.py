"""Blocks of code in the README and the documentation."""
