"""From digits or classes of one kind to those of another: what carries over, measured on the same target tasks."""
