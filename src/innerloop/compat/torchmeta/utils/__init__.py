"""Loaders of batches of tasks, in `data`."""
