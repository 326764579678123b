"""Sentences put to work: the support desk and the watch."""
