"""Kinds of problem, and the networks that learners get for their data."""
