"""Uses built on taught tasks, a folder each, none of which knows another."""
