"""What follows from the evidence: ten lines, commands to go on with, and the same for machines."""

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from innerloop.advice import training
from innerloop.advice.class_map import ClassMap
from innerloop.advice.looks import Looks
from innerloop.advice.material import Material
from innerloop.advice.sameness import Sameness
from innerloop.advice.trials import SCORE, Plan, Trial, best_of, table
from innerloop.advice.wrong_labels import WrongLabels
from innerloop.core.interval import Interval
from innerloop.core.names import printable
from innerloop.evaluate.by_shots import ByShots
from innerloop.evaluate.result import spell

Help = Literal["cleaning", "duplicates", "labels", "classes"]
"""What would help more than another method."""
Pays = Literal["here", "shipped", "no", "untried"]
"""here: what was meta-trained on these data is above all else on classes that were held out. shipped: a shipped run,
which was meta-trained on other data, is above all that was not. no: neither is, or neither was there to try and what
is used without it leaves too little to gain. untried: neither was there to try."""
NOTABLE = 0.03
"""Share of wrong labels, at 95% at least, from which cleaning comes first."""
_GOOD, _WORTH = 0.98, 0.01
"""Accuracy that is good enough, and what ten more labels of each class must bring to be worth it."""
_FINE = 0.9
"""Accuracy from which nothing is to be done, where nothing was noticed."""
_KNOWN = 0.5
"""Share of the wrong answers of examples as they are, up to which an encoder that leaves no more knows the data."""
TRAINS = 4
"""Classes from which `innerloop train` has two to train on."""
_FILE, _RUN = "classes.fewshot", "runs/advised"


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What was found."""

    looks: Looks
    copies: Sameness
    wrong: WrongLabels
    map: ClassMap
    plan: Plan
    trials: tuple[Trial, ...]
    use: Trial
    """The simplest of the best that there is a command for."""
    new_plan: Plan | None
    new_trials: tuple[Trial, ...]
    """On classes that were held out, those that were meta-trained on the others last; empty: none was."""
    untried: str | None
    """Why nothing was meta-trained."""
    by_shots: ByShots
    """What labels buy with what is to be used."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Advice:
    """What to do, and why."""

    material: Material
    """What was tried on."""
    looked: Material
    """The same with second copies in a class."""
    evidence: Evidence
    seed: int
    episodes: int
    seconds: float
    """Seconds of a processor; not part of what a seed repeats."""

    @property
    def trained(self) -> Trial | None:
        """The best of what was meta-trained here, on classes that were held out."""
        own = [trial for trial in self.evidence.new_trials if trial.candidate.source is None and _meta(trial)]
        return best_of(own) if own else None

    @property
    def pays(self) -> Pays:
        """Whether meta-learning does."""
        evidence, own = self.evidence, self.trained
        if own is not None and all(own.better(one) for one in evidence.new_trials if not _own(one)):
            return "here"
        shipped = [trial for trial in evidence.trials if _meta(trial)]
        others = [trial for trial in evidence.trials if not _meta(trial)]
        if any(all(one.better(other) for other in others) for one in shipped):
            return "shipped"
        return "no" if shipped or own is not None or self.enough is not None else "untried"

    @property
    def enough(self) -> Trial | None:
        """What leaves meta-learning too little to gain: the best without it, or an encoder that knows such pictures.

        Meta-training here begins with small grey pictures, not with the encoder, and would have to learn from some
        classes what that brings from thousands. Texts are meta-trained on rows of the encoder, and lose nothing.
        """
        plain, *_ = others = [trial for trial in self.evidence.trials if not _meta(trial)]
        top = max(others, key=lambda trial: trial.accuracy.mean)
        if top.accuracy.mean >= _FINE:
            return top
        if self.material.kind != "pictures" or top.candidate.family != "encoder" or not top.better(plain):
            return None
        return top if 1 - top.accuracy.mean <= _KNOWN * (1 - plain.accuracy.mean) else None

    @property
    def helps(self) -> tuple[Help, ...]:
        """What would help, the first most."""
        evidence = self.evidence
        helps: list[Help] = []
        if evidence.wrong.low >= NOTABLE:
            helps.append("cleaning")
        if evidence.copies.across:
            helps.append("duplicates")
        # What is reached of what right labels allow.
        reached = evidence.use.accuracy.mean / (1 - (evidence.wrong.share or 0.0) * ("cleaning" in helps))
        if reached >= _GOOD:
            return tuple(helps)
        gain = self._gain
        if gain is not None and gain.mean >= _WORTH and gain.mean - gain.ci95 > 0:
            helps.append("labels")
        few = evidence.looks.classes < training.FEWEST_CLASSES
        if few and not self.material.published and reached < _FINE and (self.pays != "no" or self.enough is None):
            helps.append("classes")
        return tuple(helps)

    @property
    def _gain(self) -> Interval | None:
        """What ten more labels of each class would bring; what the last ones brought where nothing can be forecast."""
        gain = self.evidence.by_shots.forecast().gain
        if gain is None and self.evidence.by_shots.gains:
            return self.evidence.by_shots.gains[-1].difference
        return gain

    @property
    def use(self) -> Trial:
        """What to use: what was meta-trained here where that pays, else the best of what there is."""
        own = self.trained
        return own if own is not None and self.pays == "here" else self.evidence.use

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type to go on."""
        return tuple(self._commands())

    def _commands(self) -> Iterator[str]:
        data, source = shlex.quote(self.material.data) + _columns(self.material), self.use.candidate.source
        if self.evidence.wrong.low >= NOTABLE or self.evidence.copies.across:
            yield f"innerloop advise {data} --out advice"
        if self.pays == "here":
            shots, queries = training.sizes(self.evidence.looks.fewest)
            yield f"innerloop train {self._recipe()} --data {data} --shots {shots} --queries {queries} --out {_RUN}"
            yield f"innerloop test {_RUN} --queries {queries}"
        elif self.material.published:
            yield f"innerloop train protonet --data {data} --out {_RUN}"
            yield f"innerloop test {_RUN}"
        elif source is None and self.trains:
            # A centroid of the examples as they are has nothing to train: any task that there is will do.
            yield f"innerloop train nearest_centroid --data {data} --ways 2 --queries 1 --out {_RUN}"
        elif source is None:
            yield "in Python: innerloop.FewShotClassifier().fit(x, y)"
            return
        if not self.material.published:
            taught = _RUN if self.pays == "here" or source is None else self.use.candidate.adapt()
            yield f"innerloop adapt {taught} {data} --out {_FILE}"
            yield f"innerloop evaluate {_FILE}"

    def _recipe(self) -> str:
        """The learner that was meta-trained here, with what it began with."""
        use = self.use.candidate
        known = (one for drawings in (True, False) for one in training.recipes(use.rows.shape[1:], drawings))
        recipe = next(one for one in known if one.name == use.name)
        words = [recipe.learner]
        words += [] if recipe.start is None else ["--start", recipe.start]
        words += [] if self.encoder is None else ["--encoder", self.encoder]
        return " ".join(words)

    @property
    def trains(self) -> bool:
        """Whether `innerloop train` takes the data."""
        return self.material.kind != "texts" and len(self.material.names) >= TRAINS

    @property
    def encoder(self) -> str | None:
        """What made the rows that texts were meta-trained on."""
        if self.material.kind != "texts":
            return None
        heads = [trial for trial in self.evidence.trials if trial.candidate.head == "centroid"]
        return max(heads, key=lambda trial: trial.accuracy.mean).candidate.source if heads else None

    @property
    def lines(self) -> tuple[str, ...]:
        """The advice in ten lines, without the commands."""
        evidence = self.evidence
        return (
            f"data: {evidence.looks}",
            f"use: {self._use()}",
            f"expect: {self._expect()}",
            f"beside it: {self._beside()}",
            f"meta-learning: {self._meta()}",
            f"more labels: with {evidence.use.candidate.name}, {evidence.by_shots.outlook}",
            f"classes: {evidence.map}{self._classes()}",
            f"labels: {self._labels()}",
            f"copies: {self._copies()}",
            f"first: {self._first()}",
        )

    def _use(self) -> str:
        name, plain = self.use.candidate.name, self.evidence.trials[0]
        if self.pays == "here":
            return f"{name}: meta-train on these data, and teach the run"
        if self.use is not plain and not self.use.better(plain):
            return f"{name}; {plain.candidate.name} is as good on these episodes"
        return name

    def _expect(self) -> str:
        here = self.pays == "here" and self.evidence.new_plan is not None
        plan = self.evidence.new_plan if here else self.evidence.plan
        what = "; of classes that nothing was trained on" if here else ""
        return f"{spell(*self.use.accuracy, SCORE)} on examples like these ({plan}{what})"

    def _beside(self) -> str:
        trials = self.evidence.new_trials if self.pays == "here" else self.evidence.trials
        rows = sorted((t for t in trials if t is not self.use), key=lambda t: -t.accuracy.mean)
        shown = [f"{t.candidate.name} {spell(*t.over(self.use), SCORE, True)}" for t in rows[:4]]
        return ("; ".join(shown) or "nothing else was there to try") + " (paired)"

    def _meta(self) -> str:
        evidence, own, pays, enough = self.evidence, self.trained, self.pays, self.enough
        tried = f"; none was trained here: {evidence.untried}" if evidence.untried else ""
        if pays == "no" and own is None and enough is not None:
            tried = f"{self._left(enough)}{tried}"
        if own is not None:
            rivals = [t for t in evidence.new_trials if not _own(t)]
            rival = max(rivals, key=lambda t: t.accuracy.mean)
            gap = spell(*own.over(rival), SCORE, True)
            tried = f"; trained here for {training.budget(own.candidate.rows)}, on {evidence.new_plan}: {gap} against "
            tried += rival.candidate.name
        words = {
            "here": "pays: train on your classes, which helps with new ones, too",
            "shipped": "pays as it is shipped",
            "no": "does not pay here",
            "untried": "was not tried",
        }
        return words[pays] + tried

    def _left(self, enough: Trial) -> str:
        """What is left to gain."""
        name, plain = enough.candidate.name, self.evidence.trials[0]
        if enough.accuracy.mean >= _FINE:
            return f": {name} answers {100 * enough.accuracy.mean:.0f}% right without it"
        wrong, before = (f"{100 * (1 - trial.accuracy.mean):.0f}%" for trial in (enough, plain))
        return (
            f": {name} leaves {wrong} wrong where {plain.candidate.name} leaves {before}, and a training on some "
            "classes would begin without it"
        )

    def _classes(self) -> str:
        few = "classes" in self.helps
        count, need = self.evidence.looks.classes, training.FEWEST_CLASSES
        return f". Too few to meta-train on: {count} of {need}, and more would allow it" if few else ""

    def _labels(self) -> str:
        wrong = self.evidence.wrong
        if wrong.share is None:
            return "whether some are wrong cannot be told: neighbours do not tell these classes apart"
        share, low, high = (100 * value for value in (wrong.share, wrong.low, wrong.high))
        words = f"about {share:.0f}% look wrong ({low:.0f} to {high:.0f}%)"
        if "cleaning" in self.helps:
            worst = ", ".join(printable(self.material.called(i))[:40] for i in wrong.suspects[:3])
            return f"{words}: look through the {len(wrong.suspects)} that --out or --json list, first {worst}"
        return words

    def _copies(self) -> str:
        copies = self.evidence.copies
        across = f"{len(copies.across)} pairs of the same example in two classes"
        if copies.across:
            first = copies.across[0]
            pair = " = ".join(printable(self.looked.called(i))[:40] for i in first[:2])
            across += f", which cannot both be right (first {pair})"
        return f"{across}; {len(copies.within)} pairs in one class"

    def _first(self) -> str:
        words: dict[Help, str] = {
            "cleaning": "correct wrong labels",
            "duplicates": "take examples out of the class that they do not belong to",
            "labels": "label more examples of each class",
            "classes": "collect more classes",
        }
        todo = [words[one] for one in self.helps]
        uneven = self.evidence.looks.uneven and "labels" in self.helps
        more = f" (fewest: {printable(self.evidence.looks.smallest)}, {self.evidence.looks.fewest})" if uneven else ""
        if todo:
            return "; then ".join(todo) + more
        if self.use.accuracy.mean >= _FINE:
            return "nothing more is needed before it is used"
        return "nothing that was looked for would help: look whether the examples show what their classes differ in"

    def __str__(self) -> str:
        notes = [f"note: {note}" for note in self.evidence.notes]
        return "\n".join([*self.lines, *notes, "go on with:", *(f"  {one}" for one in self.commands)])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the same for the same seed."""
        evidence, accuracy = self.evidence, self.use.accuracy
        return {
            "data": self.material.data,
            "seed": self.seed,
            "use": self.use.candidate.name,
            "accuracy": {"mean": accuracy.mean, "ci95": accuracy.ci95},
            "pays": self.pays,
            "helps": list(self.helps),
            "lines": list(self.lines),
            "notes": list(evidence.notes),
            "commands": list(self.commands),
            "looks": evidence.looks.to_json(),
            "labels": evidence.wrong.to_json(self.material),
            "copies": evidence.copies.to_json(self.looked),
            "map": evidence.map.to_json(),
            "episodes": asdict(evidence.plan),
            "tried": [trial.to_json(evidence.use) for trial in evidence.trials],
            "new_classes": self._new(),
            "by_shots": evidence.by_shots.to_json(),
        }

    def _new(self) -> dict[str, Any]:
        evidence, own = self.evidence, self.trained
        if evidence.new_plan is None or own is None:
            return {"untried": evidence.untried}
        rows = [trial.to_json(own) for trial in evidence.new_trials]
        return {"episodes": asdict(evidence.new_plan), "tried": rows}

    def tables(self) -> dict[str, list[list[str]]]:
        """What was tried, as tables by their title."""
        evidence, own = self.evidence, self.trained
        tables = {str(evidence.plan): table(evidence.trials, evidence.use)}
        if evidence.new_plan is not None and own is not None:
            tables[f"{evidence.new_plan}, of classes that nothing was trained on"] = table(evidence.new_trials, own)
        return tables


def _meta(trial: Trial) -> bool:
    return trial.candidate.family == "meta"


def _own(trial: Trial) -> bool:
    """Whether it was meta-trained here."""
    return _meta(trial) and trial.candidate.source is None


def _columns(material: Material) -> str:
    """Options that say how the table was read, where they are not the usual ones."""
    values = ((f.name, getattr(material.table, f.name), f.default) for f in fields(material.table))
    return "".join(f" --{name.replace('_', '-')} {shlex.quote(str(v))}" for name, v, usual in values if v != usual)
