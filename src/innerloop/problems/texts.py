"""Classes of texts, such as intents: a frozen encoder makes rows of them, which the learner is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import is_folder
from innerloop.core.learner import Learner
from innerloop.core.sensible import Sensible
from innerloop.core.types import Params, Sampler
from innerloop.encoders import text_cache
from innerloop.problems.base import Problem, first_line
from innerloop.problems.classes import Classes
from innerloop.tasks import Pool, Splits, tables, texts
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.entities.files import is_tagged
from innerloop.tasks.pool import from_rows
from innerloop.tasks.ratings import is_ratings


@dataclass(frozen=True, kw_only=True)
class TextClasses(Classes):
    """What a task is."""

    usual_for = ()

    data: str = "clinc150"
    """A data set (see `innerloop list`), several joined by plus signs, or a table of texts and their classes: .csv,
    .tsv, .json, .jsonl, .xlsx, .parquet."""
    encoder: str = "use-multilingual"
    """The frozen network that turns texts into rows (see `innerloop list`)."""
    text_column: str | None = None
    """Column of a table that holds the texts; None: the one that is called text, or the only one that looks so."""
    label_column: str | None = None
    """Column that holds the classes; None: the one that is called label, or the only one whose values come again."""
    encoding: str | None = None
    """What a table is in; None: UTF-8, UTF-16, GB18030 or Windows-1252, as its bytes say."""

    @classmethod
    def claims(cls, data: str) -> bool:
        path = Path(data)
        if texts.parts(data):
            return True
        other = is_tagged(path) or is_ratings(path)
        return tables.is_table(path) and not is_folder(path) and not other

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return {name: first_line(texts.module(name).__doc__) for name in texts.names()}

    @classmethod
    def usual(cls, data: str) -> Sensible:
        return Sensible(network={"width": 256})  # half of the rows' length; with 64 the frozen rows alone are better

    @classmethod
    def after(cls, trained: Problem, data: str) -> Self:
        problem = super().after(trained, data)
        # Another table has other columns.
        return problem if data == trained.data else replace(problem, text_column=None, label_column=None, encoding=None)

    def check(self) -> None:
        super().check()
        if self.unsupervised:
            raise InputError("unsupervised tasks are of distorted pictures, which texts are not: leave it out")

    def load(self, context: Context) -> Splits:
        """Texts as rows; encoded once and kept in the user's cache folder."""
        text_cache.check(self.encoder)
        table = TableOptions(text_column=self.text_column, label_column=self.label_column, encoding=self.encoding)
        splits = texts.load(self.data, context, self.split_scheme, table)
        pools = (
            self._pool(context, splits.dataset, name, getattr(splits, name)) for name in ("train", "validation", "test")
        )
        return self._with_rotations(Splits(**{pool.split: pool for pool in pools}))

    def record(self, material: Splits) -> dict[str, Any]:
        about, parts = super().record(material) | {"encoder": self.encoder}, texts.parts(self.data)
        if len(parts) < 2:
            return about
        seen = [{"data": name, "split_scheme": self.split_scheme, "dataset": name} for name in parts]
        return about | {"joined": seen}  # each is tested on by its own name, too

    def pictures(self, learner: Learner, params: Params, sampler: Sampler, count: int) -> list[Any]:
        return []  # tasks hold rows, of which nobody sees what they were

    def raw(self, shape: Sequence[int], preprocessing: Mapping[str, Any] | None = None) -> str:
        return self.encoder

    def _pool(self, context: Context, dataset: str, split: str, part: texts.Texts) -> Pool:
        rows = text_cache.rows_of(part.texts, self.encoder, context)
        names = sorted(set(part.labels))
        index = {name: i for i, name in enumerate(names)}
        return from_rows(
            from_numpy(rows),
            [index[label] for label in part.labels],
            names,
            groups=[part.groups[name] for name in names] if part.groups else (),
            dataset=dataset,
            split=split,
        )
