"""A taught task: what learned, from which examples, version by version, and what it answers."""
