"""Learners put to work."""
