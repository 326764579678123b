"""Uses built on taught tasks, a folder each."""
