"""`innerloop ner <verb>`: entities in sentences, from a handful of tagged ones."""

import importlib

from innerloop.cli.options import print
from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest

VERBS = {
    "adapt": "teach types of entities from a few tagged sentences, to a .fewshot file",
    "predict": "tag texts with such a file",
    "report": "predicted entities against true ones: tables, what goes wrong, mistakes in their sentences",
    "add": "teach a file more tagged sentences",
    "drop": "take a type out of a file",
    "undo": "take a file back to an earlier version",
    "show": "what is in a file, with its versions",
    "train": "meta-train a learner on tagging tasks",
    "test": "meta-test a run on tagging tasks of an unseen domain, with and without Viterbi decoding",
}


def run(argv: list[str]) -> int:
    """Find the verb and run it.

    Raises:
        InputError: There is none of that name.
    """
    if not argv or argv[0] in ("-h", "--help"):
        lines = "\n".join(f"  {verb:<8} {about}" for verb, about in VERBS.items())
        end = "`innerloop ner <verb> --help` says more; `innerloop serve` serves such a file with a page."
        print(f"usage: innerloop ner <verb> ...\n\nFind entities in sentences.\n\n{lines}\n\n{end}", stderr=not argv)
        return 0 if argv else 2
    if argv[0] not in VERBS:
        raise InputError(f"there is no command 'ner {argv[0]}'{nearest(argv[0], list(VERBS))}")
    return importlib.import_module(f"innerloop.cli.ner.{argv[0]}").run(argv[1:])
