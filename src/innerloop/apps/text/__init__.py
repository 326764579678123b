"""Uses of taught tasks of texts."""
