"""`report.html`, what a run did, and pages that compare runs: files that need nothing else."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from innerloop.core import files
from innerloop.core.learner import Learner
from innerloop.core.scores import SCORES, TRAINED, Accuracy, Score, named
from innerloop.core.task_code import Choosing
from innerloop.core.types import Params, Sampler
from innerloop.engine.checkpoint import load, read_config
from innerloop.engine.metrics import read_metrics
from innerloop.evaluate import kept
from innerloop.evaluate.active_curves import ActiveCurves
from innerloop.evaluate.compare import Comparison, comparable, compare
from innerloop.evaluate.gates import Gates, gates
from innerloop.evaluate.optimizer_curves import OptimizerCurves
from innerloop.evaluate.result import ONE_TRAINING, Point, Result, spell
from innerloop.evaluate.shots import ShotCurve
from innerloop.evaluate.uncertainty import Uncertainty, number
from innerloop.report import figures
from innerloop.report.gallery import Shown, gallery
from innerloop.report.learning_curves import learning_curves
from innerloop.tasks.regression import Mixture


class Plot(NamedTuple):
    """A drawing and what it shows, in words."""

    svg: Markup
    alt: str
    caption: str


class Race(NamedTuple):
    """Optimizers on the same functions."""

    curves: OptimizerCurves
    plot: Plot


class Bought(NamedTuple):
    """Labels that were bought one by one."""

    curves: ActiveCurves
    plot: Plot


class Counted(NamedTuple):
    """A score by the number of shots."""

    curve: ShotCurve
    plot: Plot


class Table(NamedTuple):
    """Results under one protocol."""

    comparison: Comparison
    plot: Plot


def write_report(
    run: str | Path,
    results: Sequence[Result] | None = None,
    *,
    sampler: Sampler | None = None,
    pictures: Callable[[Learner, Params, Sampler, int], Sequence[Shown]] = gallery,
    learner: Learner | None = None,
    params: Params | None = None,
    command: str | None = None,
    title: str | None = None,
    episodes: int = 3,
    score: Score | None = None,
    allow: Sequence[str] = (),
) -> Path:
    """Write `report.html` into a run folder. What the run does not have is left out.

    Args:
        run: The run folder, with `config.json`, and `metrics.jsonl` if it was trained.
        results: The first is the headline, the others stand beside it; None: those of the folder, with what must be
            said beside each (`evaluate.kept`).
        sampler: Of meta-test episodes, for the gallery; None leaves it out.
        pictures: Makes the gallery of learner, parameters, sampler and the number of episodes.
        learner: For the gallery; None: as the run saved it.
        params: Its meta-parameters; None: as the run saved them.
        command: What to type to do all this again; None: `command` of the run's record, if it has one.
        title: Of the page; None: the learner and its data.
        episodes: How many the gallery shows.
        score: Of validation, where neither a result nor the log says; None: numbers without a unit.
        allow: Module prefixes besides `innerloop.` that the run may name, as in `engine.load`.

    Returns:
        The file.

    Raises:
        InputError: Not a run folder, or it cannot be written.
    """
    run = Path(run)
    config = read_config(run)
    record = dict(config.get("record") or {})
    command = command or record.pop("command", None)
    own, warnings = True, []
    if results is None:
        saved = kept.results(run)
        own, warnings = any(one.own for one in saved), [one.warning for one in saved if one.warning]
        results = [kept.marked(one) for one in saved if one.result is not None]
    raced = kept.curves(run)
    warnings += [one.warning for one in raced if one.warning]
    races = [_race(one.result, i) for i, one in enumerate(raced) if one.result is not None]
    bought = kept.active(run)
    warnings += [one.warning for one in bought if one.warning]
    counted = kept.by_shots(run)
    warnings += [one.warning for one in counted if one.warning]
    judged = kept.generations(run)
    warnings += [one.warning for one in judged if one.warning]
    shown: Sequence[Shown] = []
    experts = None
    if sampler is not None:
        if learner is None or params is None:
            stored, tensors = load(run, allow)
            learner, params = learner or stored, tensors if params is None else params
        shown = pictures(learner, params, sampler, episodes)
        if isinstance(learner, Choosing) and isinstance(sampler, Mixture):
            experts = _experts(gates(learner, params, sampler))
    settings = {"learner": config["learner"], "training": config.get("train"), "tasks": record}
    name = config["learner"]["class"].rpartition(":")[2]
    head = results[0] if results and own else None  # never a baseline: its number is not the run's
    score = head.protocol.score if head else SCORES["value"] if races else score
    html = (
        environment()
        .get_template("report.html")
        .render(
            title=title or (f"{head.learner}, {head.protocol.task}" if head else name),
            head=head,
            warnings=warnings,
            chance=_chance(head) if head else None,
            spell=spell,
            sure=head.uncertainty if head else None,
            sureness=_sureness(head.uncertainty) if head and head.uncertainty else [],
            number=number,
            learning=_learning(run / "metrics.jsonl", score),
            tables=[_table(group, i) for i, group in enumerate(comparable(results, lambda one: one))],
            races=races,
            bought=[_bought(one.result, i) for i, one in enumerate(bought) if one.result is not None],
            counted=[_counted(one.result, i) for i, one in enumerate(counted) if one.result is not None],
            judged=[one.result for one in judged if one.result is not None],
            curves=[_curve(r, r.curve, i) for i, r in enumerate(results) if r.curve and len(r.curve) > 1],
            experts=experts,
            gallery=shown,
            Markup=Markup,
            sections=[(key, flat(value)) for key, value in settings.items() if value],
            command=command,
        )
    )
    path = run / "report.html"
    files.write(path, html)
    return path


def write_comparison(file: str | Path, comparison: Comparison, command: str | None = None) -> Path:
    """Write one page with a comparison, its figure, and how it was measured.

    Args:
        file: To write; what it holds is replaced.
        comparison: The first row is the headline.
        command: What to type to do all this again.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written.
    """
    results = [row.result for row in comparison.rows]
    # The steps are each learner's own: the table has them.
    rows = [(name, value) for name, value in comparison.protocol.rows() if name != "adaptation steps"]
    html = (
        environment()
        .get_template("compare.html")
        .render(
            title=f"{len(results)} learners, {comparison.protocol.task}",
            comparison=comparison,
            chance=_chance(results[0]),
            plot=_results_plot(results, 0, None),  # without chance, so that near ones can be told apart
            learned=_learned(comparison),
            rows=rows,
            command=command,
        )
    )
    files.write(Path(file), html)
    return Path(file)


def _learned(comparison: Comparison) -> list[Plot]:
    """Learning curves of groups, by steps and by processor seconds."""
    found = comparison.learning
    if found is None:
        return []
    kinds = ((found.by_steps, "meta-steps", False), (found.by_seconds, "processor seconds", True))
    plots = []
    for curves, label, seconds in kinds:
        if curves:
            words = "; ".join(" ".join(row) for row in found.table(seconds))
            svg = learning_curves(f"learned{len(plots)}", curves, found.score, label)
            caption = f"Validation by {label}: mean over seeds, bands are one standard deviation between them."
            plots.append(Plot(Markup(svg), words, caption))
    return plots


def environment() -> Environment:
    """The pages of this room."""
    return Environment(
        loader=PackageLoader("innerloop.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _table(group: Sequence[Result], index: int) -> Table:
    return Table(compare(*group), _results_plot(group, index, _chance(group[0])))


def _race(curves: OptimizerCurves, index: int) -> Race:
    alt = "; ".join(f"{row.name}: sum to {curves.horizons[0]} {row.sums[0].mean:.3g}" for row in curves.rows)
    caption = (
        f"Mean value over {curves.functions} {curves.split} functions of {curves.dataset} with 95% bands; dotted: the "
        "training horizon and its multiples."
    )
    return Race(curves, Plot(Markup(figures.optimizer_curves(f"optimizers{index}", curves)), alt, caption))


def _bought(curves: ActiveCurves, index: int) -> Bought:
    last = curves.labels
    parts = [
        f"{rule.replace('_', ' ')} {spell(*curves.difference(rule, last), Accuracy(), sign=True)}"
        for rule in curves.rules
    ]
    words = f"after {last} label{'s' * (last != 1)}, against random: {', '.join(parts)}"
    caption = f"Accuracy after every label with 95% bands; {words}."
    return Bought(curves, Plot(Markup(figures.active(f"active{index}", curves)), words, caption))


def _counted(curve: ShotCurve, index: int) -> Counted:
    found = curve.by_shots
    words = "; ".join(f"{p.step} shots {spell(p.mean, p.ci95, found.score)}" for p in found.points)
    svg = figures.adaptation(f"shots{index}", found.points, found.score, "shots")
    caption = f"{found.score.label.capitalize()} by the number of shots, with 95% intervals over {found.of}."
    return Counted(curve, Plot(Markup(svg), words, caption))


def _experts(found: Gates) -> Plot:
    alt = "; ".join(
        f"{family}: expert {int(row.argmax()) + 1} has {row.max():.2f}"
        for family, row in zip(found.families, found.shares, strict=True)
    )
    svg = figures.experts("experts", found.families, found.shares.tolist())
    return Plot(Markup(svg), alt, f"Mean share of each expert in the tasks of each family; {found}.")


def _results_plot(results: Sequence[Result], index: int, chance: float | None) -> Plot:
    alt = "; ".join(f"{r.learner}: {r.number}" for r in results)
    svg = figures.results(f"results{index}", results, chance)
    return Plot(Markup(svg), alt, f"Mean and 95% interval over episodes ({ONE_TRAINING}).")


def _sureness(uncertainty: Uncertainty) -> list[Plot]:
    """Reliability as it is and at the temperature, or coverage by level."""
    if uncertainty.levels:
        words = "; ".join(f"{100 * level:g}% intervals hold {100 * c.mean:.1f}%" for level, c, _ in uncertainty.levels)
        caption = f"{words}. Above the dotted line intervals are too wide, below it too narrow."
        return [Plot(Markup(figures.coverage("coverage", uncertainty.levels)), words, caption)]
    plots = []
    for name, bins, scores in (
        ("as they are", uncertainty.bins, uncertainty.scores),
        ("at the temperature", uncertainty.calibrated_bins, uncertainty.calibrated),
    ):
        if bins:
            words = f"Probabilities {name}: calibration error {number('ece', scores['ece'])}"
            svg = figures.reliability(f"sure{len(plots)}", bins)
            plots.append(
                Plot(Markup(svg), words, f"{words}. Below the dotted line it is right less often than it says.")
            )
    return plots


def _curve(result: Result, points: Sequence[Point], index: int) -> Plot:
    score = result.protocol.score
    steps = f"{result.step_name}s"
    svg = figures.adaptation(f"curve{index}", points, score, steps)
    alt = "; ".join(f"after {p.step} {steps} {spell(p.mean, p.ci95, score)}" for p in (points[0], points[-1]))
    return Plot(Markup(svg), f"{result.learner}: {alt}", f"{result.learner} ({result.protocol.task}): {alt}.")


def _learning(path: Path, score: Score | None) -> list[Plot]:
    """Loss and score against the step, from `metrics.jsonl`; a broken last line (a killed run) is left out.

    Training logs the score that goes with its loss, which is drawn where validation is scored by the same.
    """
    training: list[dict[str, Any]] = []
    validation: list[Point] = []
    name: str | None = None
    modes: dict[str, None] = {}  # in the order they come: a run of an earlier release may have gone on in another
    for entry in read_metrics(path):
        step = entry["step"]
        if "validation" in entry:
            validation.append(Point(step, entry["validation"]["mean"], entry["validation"]["ci95"]))
            name = entry["validation"].get("score", name)
            modes |= dict.fromkeys(m for m in [entry["validation"].get("normalisation")] if m)
        elif "loss" in entry:
            training.append(entry)
    plots = []
    losses = [(e["step"], e["loss"]) for e in training]
    if losses:
        last = losses[-1]
        alt = f"meta-training loss, {losses[0][1]:.3g} at step {losses[0][0]} and {last[1]:.3g} at step {last[0]}"
        plots.append(Plot(Markup(figures.learning("loss", losses, "loss on queries")), alt, "Loss on the query sets."))
    score = score if name is None else named(name)
    scores = [(e["step"], e["score"]) for e in training if "score" in e and (score is None or score in TRAINED)]
    if scores or validation:
        label = "score" if score is None else score.label
        svg = figures.learning("score", scores, label, validation, 1 if score is None else score.factor)
        mode = " then ".join(modes) + " " * bool(modes)
        parts = [f"training {_value(scores[-1][1], score)} at step {scores[-1][0]}"] if scores else []
        if validation:
            last = validation[-1]
            parts += [f"{mode}validation " + (f"{last.mean:.3g}" if score is None else spell(*last[1:], score))]
        caption = f"{label.capitalize()} on queries" + (
            f", {mode}validation with 95% intervals." if validation else "."
        )
        plots.append(Plot(Markup(svg), f"{label}: {', '.join(parts)}", caption))
    return plots


def _value(value: float, score: Score | None) -> str:
    """A value without an interval."""
    return f"{100 * value:.1f}%" if score is not None and score.percent else f"{value:.3g}"


def _chance(result: Result) -> float | None:
    ways = result.protocol.sampler.get("ways")
    return 1 / ways if isinstance(ways, int) and result.protocol.score == Accuracy() else None


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Names and values of nested JSON; the encodings of `core.config` read as Python would write them."""
    if isinstance(value, Mapping) and set(value) == {"class", "fields"}:
        own = [(prefix or "class", value["class"].rpartition(":")[2])]
        return own + [row for k, v in value["fields"].items() for row in flat(v, f"{prefix}.{k}" if prefix else k)]
    if isinstance(value, Mapping) and set(value) == {"callable"}:
        return [(prefix, value["callable"].rpartition(":")[2])]
    if isinstance(value, Mapping) and set(value) == {"tuple"}:
        return [(prefix, ", ".join(map(str, value["tuple"])))]
    if isinstance(value, Mapping):
        return [row for k, v in value.items() for row in flat(v, f"{prefix}.{k}" if prefix else str(k))]
    return [(prefix, "none" if value is None else str(value))]
