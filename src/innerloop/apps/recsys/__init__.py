"""Recommendation to people who have rated a few items."""
