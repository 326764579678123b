"""`innerloop ner train <learner>`."""

from dataclasses import dataclass

import tyro

from innerloop.cli import train
from innerloop.core.errors import InputError
from innerloop.problems.entities import Entities


@dataclass
class _Data:
    data: str | None = None


def run(argv: list[str]) -> int:
    """Meta-train a learner on tagging tasks: `innerloop train` on CrossNER, unless other data are named."""
    if not argv or argv[0].startswith("-"):
        return train.run(argv)
    data = tyro.cli(_Data, args=argv[1:], return_unknown_args=True, add_help=False)[0].data
    if data is not None and not Entities.claims(data):
        raise InputError(f"{data} has no tagged sentences: `innerloop train {argv[0]} --data {data}` trains on it")
    return train.run(argv if data is not None else [*argv, "--data", "crossner"])
