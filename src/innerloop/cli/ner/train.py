"""`innerloop ner train <learner>`."""

from innerloop.cli import train


def run(argv: list[str]) -> int:
    """Meta-train a learner on tagging tasks: `innerloop train` on CrossNER, unless other data are named."""
    named = any(word == "--data" or word.startswith("--data=") for word in argv)
    return train.run(argv if named or not argv or argv[0].startswith("-") else [*argv, "--data", "crossner"])
