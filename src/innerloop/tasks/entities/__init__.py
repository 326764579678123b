"""Sentences whose words carry types of entities: files, data sets, episodes."""
