"""`innerloop tune <learner>`."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from inspect import cleandoc
from typing import Any

import tyro

from innerloop.cli.fields import chosen, learner_options, together
from innerloop.cli.options import Common, emit, flags, parse, print, with_data
from innerloop.core.nearest import RENAMED_LEARNERS
from innerloop.runs import defaults
from innerloop.runs.defaults import learner_class
from innerloop.studies.final import finish
from innerloop.studies.page import write_page
from innerloop.studies.settings import StudyOptions
from innerloop.studies.space import space_of
from innerloop.studies.study import tune


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """Where the study is kept."""

    out: str | None = None
    """Its folder; asked for again, it goes on. None: studies/<learner>."""
    show_space: bool = False
    """Print what would be searched, and do nothing."""


@dataclass
class _Data:
    data: str | None = None


def run(argv: list[str]) -> int:
    """Search the hyper-parameters of a learner on meta-validation tasks, by trials that are runs of their own.

    The first trial has the defaults. The winner is trained again with other seeds and meta-tested once.
    """
    if not argv or argv[0].startswith("-"):
        asked = bool(argv) and argv[0] in ("-h", "--help")
        more = "`innerloop tune <learner> --help` lists its options, `innerloop list` the learners."
        print(f"usage: innerloop tune <learner> [options]\n\n{cleandoc(run.__doc__ or '')}\n\n{more}", stderr=not asked)
        sys.exit(0 if asked else 2)
    learner = argv[0].replace("-", "_")
    learner = RENAMED_LEARNERS.get(learner, learner)
    argv = with_data(argv)
    named = tyro.cli(_Data, args=argv[1:], return_unknown_args=True, add_help=False)[0]
    command = _command(learner, named.data, flags(argv))
    parsed = parse(type(command), argv[1:], f"tune {argv[0]}", run.__doc__ or "", command)
    options, settings, common = chosen(learner, parsed), parsed.study, parsed.common
    if parsed.place.show_space:
        space = space_of(options, settings.space, common.allow)
        if common.json:
            emit({"learner": learner, "space": space.to_json()})
        else:
            print(str(space))
        return 0
    tell = partial(print, stderr=True)
    study = tune(options, settings, parsed.place.out or f"studies/{learner}", common, progress=tell)
    result = finish(study, common, tell)
    page = write_page(study, result)
    if common.json:
        emit(result.to_json() | {"study": str(study.out), "report": page and str(page)})
    else:
        print(f"{result}\nstudy: {study.out}" + (f"\nreport: {page}" if page else ""))
    return 0


def _command(learner: str, data: str | None, among: Collection[str]) -> Any:
    usual = defaults(learner, data, among)
    cls = learner_class(learner)
    parts: dict[str, Any] = {"task": usual.task, "learner": learner_options(cls, usual.fields)}
    parts |= {"network": usual.network, "train": usual.train}
    parts |= {"study": StudyOptions(), "place": PlaceOptions(), "common": Common()}
    return together(cls, usual.fields, parts)
