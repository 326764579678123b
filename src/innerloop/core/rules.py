"""Names of the rules that choose what to label next; `evaluate.acquisition`, which follows them, brings torch."""

from typing import Literal

By = Literal["margin", "entropy", "mutual_information"]
"""What is called uncertain: a second class that is nearly as probable as the first, many classes that are, or members
of a learner that are each sure and disagree."""
RULES: tuple[By, ...] = ("margin", "entropy", "mutual_information")
