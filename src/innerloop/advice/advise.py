"""Look at labelled data, try on held-out episodes what could be used for them, and say what follows."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from innerloop.advice import candidates, training
from innerloop.advice.candidates import Candidate
from innerloop.advice.class_map import class_map
from innerloop.advice.looks import look
from innerloop.advice.material import Material, drawn_classes, read
from innerloop.advice.sameness import Sameness, sameness
from innerloop.advice.trials import Plan, Trial, best_of, curve, plan_for, tried
from innerloop.advice.verdict import TRAINS, Advice, Evidence
from innerloop.advice.wrong_labels import WrongLabels, wrong_labels
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.names import printable
from innerloop.tasks import tables
from innerloop.tasks.columns import TableOptions

EPISODES = 30
_CLASSES, _EACH = 40, 30
_MOST = {"pictures": 800, "texts": 1_200}
_MOST_OTHERS = 4_000
_MOST_TRAINED = 8_000
"""Examples that are meta-trained on, where that takes no encoder."""
_NEW_WAYS, _NEW_SHOTS = 5, 5
"""Tasks of classes that were held out."""
_THIN = 2
"""Classes of fewer than the median of examples over this are not asked."""

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class AdviceOptions:
    """What may be chosen."""

    seed: int = 0
    """Decides everything that is drawn: the same seed gives the same advice."""
    episodes: int = EPISODES
    """Held-out tasks that everything is tried on."""
    train: bool = True
    """Whether short meta-trainings are tried where there are classes enough: most of the time that it takes."""


def advise(
    data: str,
    options: AdviceOptions = AdviceOptions(),
    context: Context = Context(),
    table: TableOptions = TableOptions(),
    progress: Progress = lambda stage: None,
) -> Advice:
    """Advise on labelled data.

    Args:
        data: A folder or zip with a sub-folder of pictures, sounds or `.txt` files for each class, an `.npz` of arrays,
            a table of texts, or a data set by name.
        options: What may be chosen.
        context: Where data sets lie.
        table: How a table is read.
        progress: Called with what is being done.

    Raises:
        InputError: It cannot be read, or holds fewer than two classes of two examples.
    """
    if options.episodes < 2:
        raise InputError(f"advice takes 2 or more episodes, got {options.episodes}")
    started = time.process_time()
    progress("reading")
    material = read(data, context, table)
    looks = look(material)
    asked, notes = _asked(material)
    whole, sample = _samples(asked, options.seed)
    if len(sample) < len(asked):
        notes.append(
            f"looked at {len(sample):,} of {len(asked):,} examples, and at {len(sample.names)} of {len(asked.names)} "
            "classes"
        )
    progress("encoding")
    first = candidates.plain(sample)
    ways = plan_for(sample.counts, options.episodes, options.seed).ways
    others = candidates.of_sources(sample, first.rows if first.drawings else None, ways)
    copies = sameness(sample, _best_rows(others, first), first.rows)
    looked, clean = sample, _without_copies(sample, copies)
    every, sample = [_of(one, clean) for one in (first, *others)], sample.at(clean)
    plan = plan_for(sample.counts, options.episodes, options.seed)
    progress("trying what there is")
    trials = tried(every, sample.labels, sample.names, plan)
    encoders = [trial for trial in trials if trial.candidate.family == "encoder"]
    best = max(encoders, key=lambda trial: trial.accuracy.mean).candidate if encoders else every[0]
    if encoders:
        every.append(candidates.linear(best))
        trials += tried(every[-1:], sample.labels, sample.names, plan)
    use, rows = _usable(trials, sample), best.rows
    held, new, untried = _trained(whole, sample, every, trials, options, context, progress)
    progress("counting what labels buy")
    half = replace(plan, episodes=max(2, plan.episodes // 2))
    evidence = Evidence(
        looks=looks,
        copies=copies,
        wrong=_wrong(sample, rows, copies, clean),
        map=class_map(rows, sample.labels, sample.names, held),
        plan=plan,
        trials=tuple(trials),
        use=use,
        new_plan=None if new is None else new[0],
        new_trials=() if new is None else tuple(new[1]),
        untried=untried,
        by_shots=curve(use.candidate, sample.labels, sample.names, half),
        notes=tuple(notes),
    )
    return Advice(
        material=sample,
        looked=looked,
        evidence=evidence,
        seed=options.seed,
        episodes=options.episodes,
        seconds=time.process_time() - started,
    )


def _asked(material: Material) -> tuple[Material, list[str]]:
    """The classes that can be asked, and what is to be said of the others.

    Raises:
        InputError: There are fewer than two.
    """
    counts, notes = material.counts, []
    if len(counts) < 2:
        raise InputError(
            f"{material.data} has one class, '{printable(material.names[0])}', and there is nothing to tell it from: "
            "give two or more"
        )
    several = int((counts > 1).sum())
    if several < 2:
        what = "every class has one example" if several == 0 else "one class alone has two examples"
        raise InputError(
            f"{what} in {material.data}, so that none can be held out to ask: label a second example of two "
            "classes or more (`innerloop adapt` takes them as they are)"
        )
    least = max(2, int(counts[counts > 1].median()) // _THIN)
    kept = (counts >= least).nonzero().flatten().tolist()
    if len(kept) < 2:
        kept = counts.argsort(descending=True, stable=True)[:2].sort().values.tolist()
    if left := len(counts) - len(kept):
        thin = [printable(name) for c, name in enumerate(material.names) if c not in kept][:5]
        notes.append(
            f"{left} classes of fewer than {least} examples were not asked ({', '.join(thin)}{', ...' * (left > 5)}): "
            "label more of these first"
        )
    return material.of_classes(kept), notes


def _samples(material: Material, seed: int) -> tuple[Material, Material]:
    """What is meta-trained on, and what is looked at, which has the classes that are held out from training first."""
    if material.kind == "texts":  # which an encoder reads before they are trained on: the same are looked at
        some = drawn_classes(len(material.names), _CLASSES, seed)
        sample = material.of_classes(some).sampled(_each(material, len(some)), seed)
        return sample, sample
    whole = material
    if len(whole) > _MOST_TRAINED:
        each = max(training.FEWEST_EXAMPLES, min(_EACH, _MOST_TRAINED // len(whole.names)))
        whole = whole.sampled(each, seed)
    held = training.held_out(whole) if training.refusal(whole) is None and not whole.published else []
    some = [held[i] for i in drawn_classes(len(held), _CLASSES // 2, seed)]
    rest = [c for c in range(len(whole.names)) if c not in held]
    some += [rest[i] for i in drawn_classes(len(rest), _CLASSES - len(some), seed)]
    return whole, whole.of_classes(sorted(some)).sampled(_each(whole, len(some)), seed)


def _each(material: Material, classes: int) -> int:
    """Examples of a class that are looked at."""
    return max(2, min(_EACH, _MOST.get(material.kind, _MOST_OTHERS) // classes))


def _best_rows(others: list[Candidate], first: Candidate) -> Tensor:
    """Rows of the first encoder, where there is one, for copies to be told by."""
    return next((one.rows for one in others if one.family == "encoder"), first.rows)


def _without_copies(material: Material, copies: Sameness) -> Tensor:
    """[kept] places of examples without the second of two of one class, where that leaves the class two."""
    left, kept = material.counts.tolist(), torch.ones(len(material), dtype=torch.bool)
    for twin in copies.within:
        label = int(material.labels[twin.second])
        if kept[twin.second] and left[label] > 2:
            kept[twin.second] = False
            left[label] -= 1
    return kept.nonzero().flatten()


def _of(one: Candidate, places: Tensor) -> Candidate:
    return replace(one, rows=one.rows[places])


def _usable(trials: list[Trial], material: Material) -> Trial:
    """The best that a command can use: weights of letters are to compare with."""
    trains = material.kind != "texts" and len(material.names) >= TRAINS
    usable = [trial for trial in trials if trial.candidate.source is not None or trains]
    return best_of(usable or trials)


def _wrong(sample: Material, rows: Tensor, copies: Sameness, clean: Tensor) -> WrongLabels:
    """Wrong labels, as places in the sample, among examples that are in one class alone."""
    place = {int(i): k for k, i in enumerate(clean)}
    double = {place[i] for twin in copies.across for i in twin[:2] if i in place}
    single = torch.tensor([i for i in range(len(sample)) if i not in double], dtype=torch.int64)
    wrong = wrong_labels(rows[single], sample.labels[single], len(sample.names))
    return replace(wrong, suspects=tuple(int(single[i]) for i in wrong.suspects))


def _trained(
    whole: Material,
    sample: Material,
    every: list[Candidate],
    trials: list[Trial],
    options: AdviceOptions,
    context: Context,
    progress: Progress,
) -> tuple[list[int], tuple[Plan, list[Trial]] | None, str | None]:
    """Meta-train on some classes and try everything on the others.

    Returns:
        The classes of the sample that are held out, what was tried on them, and why nothing was.
    """
    why = training.refusal(whole)
    if why is None and not options.train:
        why = "it was not asked for"
    if why is None and sample.kind == "texts" and not tables.is_table(expanded(sample.data)):
        why = "`innerloop train` reads texts from tables, and these are files: write a table of text and label"
    encoder = None
    if sample.kind == "texts":
        of_encoders = [trial for trial in trials if trial.candidate.head == "centroid"]
        if not of_encoders:
            why = why or "no encoder of texts is installed: pip install 'innerloop[sentences]'"
        else:
            encoder = max(of_encoders, key=lambda trial: trial.accuracy.mean).candidate
    if why is None and sample.published and every[0].rows.shape[1:] != sample_shape(sample):
        why = "pictures as large as these take longer than advice may"
    if why is not None:
        return [], None, why
    out = {whole.names[c] for c in training.held_out(whole)}
    held = [c for c, name in enumerate(sample.names) if name in out]
    within = torch.tensor([int(label) in held for label in sample.labels])
    new = sample.at(within.nonzero().flatten()).of_classes(held)
    order = torch.cat([(sample.labels == c).nonzero().flatten() for c in held])
    plan = plan_for(new.counts, options.episodes, options.seed, _NEW_WAYS, _NEW_SHOTS)
    progress("trying what there is on classes that are held out")
    trials = tried([_of(one, order) for one in every], new.labels, new.names, plan)
    if encoder is not None:
        basis, material = encoder.rows, sample
    else:
        basis, material = (
            candidates.pixels(whole)[0] if sample.kind == "pictures" else torch.as_tensor(whole.raw),
            whole,
        )
    tests = (encoder or every[0]).rows[order]
    for recipe in training.recipes(tests.shape[1:], every[0].drawings):
        progress(f"meta-training: {recipe.name}")
        one = training.trained(recipe, material, basis, options.seed, context)
        trials += tried([replace(one, rows=tests)], new.labels, new.names, plan)
    return held, (plan, trials), None


def sample_shape(material: Material) -> torch.Size | None:
    """Shape of an example that is an array; None: it is none."""
    return material.raw.shape[1:] if isinstance(material.raw, Tensor) else None
