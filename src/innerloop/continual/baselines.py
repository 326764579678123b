"""What stands beside a run on its stream, in folders inside of the run's: the same stream, learned otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from innerloop.continual.build import FollowOptions, Options, build, own_fields
from innerloop.continual.streams import of_record
from innerloop.core.config import decode
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.online import OnlineLearner
from innerloop.problems.networks import NetworkOptions
from innerloop.runs.defaults import learner_class

PLAIN, MIXED = "fine_tune_online", "i.i.d."
_FOLDERS = {PLAIN: "fine-tuning", MIXED: "shuffled"}


def followed(run: Path, config: Mapping[str, Any], context: Context) -> dict[str, Path]:
    """Have the baselines of a run follow its stream to the end, or find that they have.

    Plain fine-tuning; fine-tuning on the same rows in random order, where that is another stream; and the learner
    without what it is about, as its class declares.

    Args:
        run: The folder.
        config: Its `config.json`.
        context: Where data sets lie.

    Returns:
        Their folders by their names.
    """
    folders = {}
    for name, options in _beside(run, asked(config)).items():
        folders[name] = run / "baselines" / _FOLDERS.get(name, name.replace(" ", "-"))
        build(options, context).learn(folders[name])
    return folders


def asked(config: Mapping[str, Any]) -> Options:
    """The options that a run on a stream was built from.

    Raises:
        InputError: Its record is damaged.
    """
    record, train = config["record"], config["train"] or {}
    try:
        known = {name: decode(value) for name, value in own_fields(config).items() if _plain(value)}
        network = NetworkOptions(**record["network"])
        follow = FollowOptions(seed=train["seed"], room=record["room"], curve_every=train["curve_every"])
        return Options(
            learner=record["learner"], stream=of_record(record["options"]), network=network, fields=known, follow=follow
        )
    except (TypeError, LookupError) as error:
        raise InputError(f"the config.json of this run is damaged ({error}): restore it, or train again") from error


def _plain(value: Any) -> bool:
    return not isinstance(value, dict) or set(value) == {"tuple"}


def _beside(run: Path, own: Options) -> dict[str, Options]:
    mixed, cls = own.stream.shuffled(), learner_class(own.learner)
    if own.network.start is not None:  # the run has the parameters that it was begun with
        own = replace(own, network=replace(own.network, start=str(run)))
    # With its own rate: what differs is how it learns, not how fast.
    plain = replace(own, learner=PLAIN, fields={k: v for k, v in own.fields.items() if k == "inner_lr"})
    if mixed is not None:
        plain = replace(plain, follow=replace(plain.follow, curve_every=0))
    beside = {PLAIN: plain}
    if mixed is not None:
        beside[MIXED] = replace(plain, stream=mixed)
    for name, fields in (cls.controls if issubclass(cls, OnlineLearner) else {}).items():
        beside[name] = replace(own, fields={**own.fields, **fields})
    return {name: options for name, options in beside.items() if not _same(options, own)}


def _same(options: Options, own: Options) -> bool:
    """Whether it is the run itself that would stand beside it; a run's record has all of its fields."""
    alike = (options.learner, options.stream) == (own.learner, own.stream)
    return alike and all(own.fields.get(name) == value for name, value in options.fields.items())
