"""Dockerfile, compose file and chart."""
