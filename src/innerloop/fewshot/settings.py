"""Settings of a task that are words, apart from what they do: reading options takes no torch."""

from typing import Literal

Head = Literal["auto", "centroid", "linear", "own", "random_projection", "ridge"]
"""What is fitted to the rows of a frozen encoder, or to those that the map of a run makes; own: the run's learner."""
SECONDS = 300.0
"""How long tuning an encoder may take where nobody says it."""
Names = Literal["auto", "on", "off"]
"""Whether the names of classes are learned from."""
