"""An audit of a learner with default networks, of a network of one's own inside a learner, or of a run."""

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from innerloop.audit.check_plans import PLANS
from innerloop.core import tree
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import is_folder, no_run
from innerloop.core.importing import find, is_import_path
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.nearest import nearest
from innerloop.core.networks import Encoder, Whole, network_fields, roles
from innerloop.core.types import Sampler
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import read_config
from innerloop.evaluate import Audit, audit
from innerloop.learners import catalogue
from innerloop.problems import kind_of, of_record
from innerloop.problems.base import Problem
from innerloop.problems.classes import Classes
from innerloop.problems.own_networks import check_outputs
from innerloop.runs.defaults import defaults, learner_class
from innerloop.runs.measure import MetaTestOptions, tasks_of, unseen


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """What is audited, and on which tasks; a run is audited on its own."""

    data: str | None = None
    """The data set of the tasks; None: kanji."""
    ways: int | None = None
    """Classes of a task; None: 5."""
    shots: int | None = None
    """Labelled examples of each class; None: 1."""
    queries: int | None = None
    """Scored examples of each class; None: 5."""
    learner: str | None = None
    """For a network: the learner that holds it. maml needs one output a class, protonet takes any features."""
    inner_lr: float = 0.1
    """For a network in a learner that descends: its step size."""
    inner_steps: int = 2
    """For a network in a learner that descends: how many steps."""
    plans: tuple[str, ...] = PLANS
    """Ways of running that are compared with the loop; compile may take minutes."""


def audit_any(
    subject: str,
    options: AuditOptions | None = None,
    context: Context = Context(),
) -> Audit:
    """Audit what a person named: a run folder, a learner, or the import path of a network or learner of one's own.

    Raises:
        InputError: It is none of these, or does not fit the tasks.
    """
    options = AuditOptions() if options is None else options
    # A folder first: one that is called like a learner was put there by the person.
    if is_folder(Path(subject)):
        return audit_run(subject, options, context)
    if subject in catalogue():
        return audit_learner(subject, options, context)
    if is_import_path(subject):
        return audit_own(subject, options, context)
    if "/" in subject:  # a path: learners are called otherwise
        raise no_run(subject)
    raise InputError(
        f"there is no run folder and no learner '{subject}' (a network of your own is named as "
        f"package.module:attribute){nearest(subject, catalogue())}"
    )


def audit_learner(name: str, options: AuditOptions | None = None, context: Context = Context()) -> Audit:
    """Audit a learner before any training, on the tasks that `build` would train it on.

    Args:
        name: In the catalogue.
        options: Which tasks.
        context: Where data sets lie.
    """
    options = AuditOptions() if options is None else options
    usual = defaults(name, options.data)
    task = usual.task.changed(_chosen(options, "ways", "shots", "queries"))
    material = task.load(context)
    learner = task.learner(learner_class(name), usual.fields, usual.network, material)
    sampler = task.episodes(material, "train", 0)  # what it is used for: plain batches have no support
    return audit(learner, None, sampler, task.splits(material), plans=options.plans)


def audit_run(
    run: str | Path,
    options: AuditOptions | None = None,
    context: Context = Context(),
) -> Audit:
    """Audit a trained run: its learner and network as they are, its tasks, the splits of its data.

    Raises:
        InputError: Other tasks were asked for; or none, for a run that does not say what it was trained on.
    """
    options = AuditOptions() if options is None else options
    chosen = _chosen(options, "data", "ways", "shots", "queries")
    config = read_config(run)
    task = (config.get("record") or {}).get("task")
    # On other tasks an audit would say little about what was trained.
    if chosen and task:
        raise InputError(f"a run is audited on tasks like its own: leave out {', '.join(f'--{k}' for k in chosen)}")
    learner, params = load_run(run, context.allow)
    asked = MetaTestOptions(**chosen)
    sampler = unseen(config, asked, context)
    # The splits of training: what is looked for is a class, or an example, that is in two of them.
    problem = of_record(task) if task else tasks_of(config, asked)
    return audit(learner, params, sampler, problem.splits(problem.load(context)), plans=options.plans)


def audit_own(path: str, options: AuditOptions | None = None, context: Context = Context()) -> Audit:
    """Audit a network of one's own inside a learner, or a learner of one's own.

    Args:
        path: `package.module:attribute`; importing it runs its code.
        options: Which tasks, and which learner holds a network.
        context: Where data sets lie.

    Raises:
        InputError: It cannot be imported, or its outputs do not fit the learner and the tasks.
    """
    options = AuditOptions() if options is None else options
    subject = find(path)
    data = Classes.usual_data if options.data is None else options.data
    problem = kind_of(data)(data=data).changed(_chosen(options, "ways", "shots", "queries"))
    material = problem.load(context)
    sampler = problem.episodes(material, "train", 0)
    if not isinstance(subject, Learner):
        subject = _around(subject, path, options, problem, material, sampler)
    return audit(subject, None, sampler, problem.splits(material), plans=options.plans)


def _chosen(options: AuditOptions, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _around(
    model: Model, path: str, options: AuditOptions, problem: Problem, material: Any, sampler: Sampler
) -> Learner:
    """The learner that holds a network."""
    cls = None if options.learner is None else learner_class(options.learner)
    field = None if cls is None else _only_network(cls)
    if cls is None or field is None:
        others = ", ".join(name for name, kind in catalogue().items() if _only_network(kind))
        wrong = "a network is audited inside a learner" if cls is None else f"{options.learner} holds no single network"
        raise InputError(f"{wrong}: choose one of {others}")
    # Learners that do not descend have no rate and no steps.
    has = {f.name for f in fields(cls)}
    # A whole network answers by itself, one output a class; features may be as many as they like.
    outputs = problem.outputs(material) if isinstance(roles(cls)[field], Whole) else None
    others = "audit tasks of {0} classes with --ways {0}, or if these are features, use --learner protonet"
    support = tree.slice(sampler.episodes(0, 1), 0).support
    check_outputs(model, path, support.x, outputs, str(options.learner), others if problem.score.of_classes else None)
    values: dict[str, Any] = {k: getattr(options, k) for k in ("inner_lr", "inner_steps") if k in has}
    return cls(**{field: model, **values, **problem.prescribed()})


def _only_network(cls: type[Learner]) -> str | None:
    """The field of a network that takes the examples, of a learner that needs no other one."""
    declared, networks = roles(cls), network_fields(cls)
    first = [k for k, r in declared.items() if isinstance(r, Whole) or r == Encoder()]
    # A network with a default needs nothing from the person.
    others = [
        k for k, f in networks.items() if k not in first and f.default is MISSING and f.default_factory is MISSING
    ]
    return first[0] if len(first) == 1 and not others else None
