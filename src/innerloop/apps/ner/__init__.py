"""Tagging of entities, such as persons and places, from a handful of sentences."""
