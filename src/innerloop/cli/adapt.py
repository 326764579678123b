"""`innerloop adapt <source> <data>`."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from innerloop.cli.options import Common, completed, emit, parse, print
from innerloop.fewshot import source_names
from innerloop.fewshot.examples import listed
from innerloop.fewshot.settings import SECONDS, Head, Names
from innerloop.tasks.columns import TableOptions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop adapt`."""

    source: tyro.conf.Positional[str]
    """A run folder, a shipped run or a frozen encoder (`innerloop list` names them), package.module:attribute of a
    network of your own, or hf: and the folder or name of a model that sentence-transformers or transformers read."""
    data: tyro.conf.Positional[str | None] = None
    """Folder with a sub-folder of examples for each class, a table (.csv, .tsv, .json, .jsonl, .xlsx, .parquet)
    with text (or path) and label, an npz file with x and y, or - for standard input. Classes may have different numbers
    of examples. It may be left out where --classes are given."""
    out: str
    """The file to write, by custom `<name>.fewshot`."""
    strangers: Annotated[float | None, tyro.conf.arg(aliases=("--reject",))] = None
    """Answer "none of these" where no class is near enough, so that this share of examples of no class, such as 0.05,
    is still taken for one."""
    coverage: float | None = None
    """In place of --strangers: answer "none of these" as often as leaves this share of examples of the classes, such as
    0.9, an answer."""
    head: Head | None = None
    """What is fitted to the rows of a frozen encoder, or to those that the map of a run such as intents makes:
    centroid, ridge, linear or random_projection; own: the run's learner; auto: which is best, random_projection apart,
    by examples held out. Without it: auto for encoders of texts and pictures and for intents, own for other runs."""
    classes: str | None = None
    """Names of classes, with commas between them, that an encoder of texts learns without examples, or besides them."""
    names: Names | None = None
    """Whether an encoder of texts learns from the names of classes as from examples; auto, which is usual: where the
    examples show that they mean something."""
    descriptions: str | None = None
    """A table with label and text, which says what classes are; it is read with their names."""
    tune_encoder: float | None = None
    """Seconds, 300 where none are given, in which the last blocks of the encoder (of a run: its encoder) are tuned to
    the examples, if that is clearly better on some of them that are held out; otherwise it stays as it comes."""
    budget: int | None = None
    """How many examples of each class stay, a uniform sample of all that it is taught, so that a file that is taught
    for months does not grow; without it, all of them."""
    prior: str | None = None
    """A run over the rows of the encoder that the source is, which teaching starts from in place of these rows:
    use-multilingual and --prior polarity for moods; none, as without it: the rows as they are."""
    download: bool = False
    """Fetch a source that begins with hf: into the cache of this machine first; nothing else asks the network."""
    table: TableOptions = field(default_factory=TableOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Teach new classes from a few examples each, and keep what was learned in one portable file."""
    argv = completed(argv, "--tune-encoder", SECONDS)
    options = parse(Command, argv, "adapt", run.__doc__ or "")
    source_names.check(options.source)
    from innerloop.fewshot.commands import adapt
    from innerloop.fewshot.summaries import describe

    if options.tune_encoder is not None:
        print(f"tuning the encoder takes up to {options.tune_encoder:g} s", stderr=True)
    summary = adapt(
        options.source,
        options.data,
        options.out,
        options.strangers,
        options.common,
        options.head,
        options.table,
        classes=listed(options.classes),
        names=options.names,
        descriptions=options.descriptions,
        download=options.download,
        coverage=options.coverage,
        tune_encoder=options.tune_encoder,
        budget=options.budget,
        prior=options.prior,
    )
    if options.common.json:
        emit(summary)
        return 0
    print(f"learned {len(summary['examples'])} classes in {summary['seconds']:.2f} s: {describe(summary)}")
    for key in ("head", "names", "tuning", "budget"):
        if summary[key] is not None:
            print(f"{key}: {summary[key]['reason']}")
    print(f"kept in {summary['file']}; next: innerloop predict {summary['file']} <examples>")
    return 0
