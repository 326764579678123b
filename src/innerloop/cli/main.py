"""`innerloop <verb> ...`: finds the verb, runs it, turns errors into one message and an exit status.

0: done. 1: it failed, or an audit found something. 2: something impossible was asked for. 130: interrupted.
"""

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from innerloop.cli import early
from innerloop.core import allocator
from innerloop.core.complaints import complain, restored
from innerloop.core.errors import InnerloopError, InputError
from innerloop.core.names import printable

GROUPS = {
    "Begin": {
        "quickstart": "train, test, adapt and predict on embedded data: the whole library in three minutes",
        "list": "the learners, the data sets, and what `adapt` takes without training",
        "data": "draw, download or read a data set, and describe it",
        "advise": "what to use for labelled data, what to expect, what would help, and the commands to go on",
        "completion": "a script that completes these commands and their options in bash or zsh",
    },
    "Learn: runs, meta-trained and measured on unseen tasks": {
        "train": "meta-train a learner, or go on with a run",
        "test": "meta-test a run on unseen tasks, beside the honest baselines",
        "compare": "runs on the same unseen tasks, in one table with paired differences, time and memory",
        "verify": "tell pairs of one class from pairs of two, of unseen classes",
        "play": "what an agent does on an unseen task before and after adaptation, as an animation on one page",
        "follow": "predict a stream whose constants change, adapting to its last moments",
        "generate": "further examples of classes, from a few pictures of each: a sheet, arrays or pictures",
    },
    "Use: tasks, taught a few examples and put to work": {
        "adapt": "teach new classes to a run or an encoder, from a few pictures, texts or rows each",
        "predict": "name the class of pictures, texts or rows, with what `adapt` wrote",
        "evaluate": "how good a file of `adapt` is, on labelled examples or by cross-validation on its own",
        "suggest": "which of many examples without labels to label next, so that a file of `adapt` learns most",
        "add": "teach a file of `adapt` more examples or more classes",
        "drop": "take a class out of a file of `adapt`",
        "undo": "take a file of `adapt` back to an earlier version",
        "show": "what is in a file of `adapt`, with its versions",
    },
    "Serve": {
        "serve": "a service with a page: make tasks, teach them, ask them, go back; `serve keys|backup|migrate|copy`",
        "export": "write a file of `adapt` as one ONNX or pt2 graph, checked against the original",
        "push": "put a file of `adapt` or a run on the Hugging Face Hub, with a card",
        "pull": "fetch one from there, by a revision and a hash",
    },
    "Applications": {
        "watch": "label a stream of texts by files of `adapt`, and alert where the share of a label rises",
        "ner": "entities in sentences: adapt to a few tagged ones, predict, report, add, drop, undo, train, test",
        "recommend": "items to somebody who has rated a few, with reasons; or which to ask about next",
        "support": "a support desk on a task of texts: replies by intent, quotes from documents, or a hand-over",
    },
    "Lab": {
        "tune": "search the hyper-parameters of a learner on validation tasks; test the winner once",
        "reproduce": "train and test what papers report, and write our numbers beside theirs",
        "transfer": "learn on one data set and use it on another: every way of learning, on the same target tasks",
        "audit": "look for the mistakes that make numbers in meta-learning wrong",
    },
}
_LINES = "\n\t"
_PLAIN = warnings.formatwarning
VERBS = [verb for verbs in GROUPS.values() for verb in verbs]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    with contextlib.suppress(AttributeError, ValueError):  # what stands in for it in tests cannot be told
        # Names and texts hold any character; where the output cannot, they are escaped instead of ending it.
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"innerloop {version('innerloop')}")
        return 0
    warnings.formatwarning = _line
    with restored():
        return _ended(words)


def _ended(words: list[str]) -> int:
    """Run a verb; the exit status, with one message for whatever stopped it."""
    try:
        if words[0] not in VERBS:
            from innerloop.core.nearest import nearest

            raise InputError(f"there is no command '{words[0]}'{nearest(words[0], VERBS)}")
        early.refuse(words[0], words[1:])
        allocator.keep_memory()  # before torch is there
        return importlib.import_module(f"innerloop.cli.{words[0]}").run(words[1:])
    except InnerloopError as error:
        complain(str(error))
        return error.code
    except KeyboardInterrupt as stop:  # the engine saved the run first and says so
        complain(f"{stop}; the same command resumes" if str(stop) else "interrupted")
        return 130
    except MemoryError:
        complain("there is not enough memory for this: give less at once, or take a larger machine")
        return 1
    except BrokenPipeError:  # `| head` has read enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of a file that nobody foresaw: a disk that fails, a name that is too long
        place = "" if error.filename is None else f" {error.filename}"
        complain(printable(f"cannot read or write{place}: {error.strerror or error}"))
        return InputError.code
    except SystemExit as leaving:  # --help and usage errors of a verb
        return leaving.code if isinstance(leaving.code, int) else 2


def _line(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """A warning as people read it: one line, without the place in the code where that is of this package."""
    if issubclass(category, UserWarning) and f"{os.sep}innerloop{os.sep}" in filename:
        return f"innerloop: {printable(str(message), keep=_LINES)}\n"
    return _PLAIN(message, category, filename, lineno, line)


def _usage() -> str:
    verbs = "\n\n".join(
        f"{title}:\n" + "\n".join(f"  {verb:<11} {about}" for verb, about in verbs.items())
        for title, verbs in GROUPS.items()
    )
    start = "usage: innerloop <command> ...\n\nLearn from a handful of examples."
    return f"{start}\n\n{verbs}\n\n`innerloop <command> --help` says more."


if __name__ == "__main__":
    sys.exit(main())
