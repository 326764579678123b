"""Cards of what is shared: what was taught to what, what was measured, how it is used, and what is in the files."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from innerloop.core.names import printable
from innerloop.engine import checkpoint
from innerloop.evaluate import kept
from innerloop.fewshot import container
from innerloop.fewshot.history import History

_PIPELINES = {
    "pictures": "image-classification",
    "texts": "text-classification",
    "sounds": "audio-classification",
    "features": "tabular-classification",
    "words": "token-classification",
}


def of_file(path: Path, repository: str, sha256: str) -> str:
    """The card of a `.fewshot` file.

    Args:
        path: The file.
        repository: Where it is shared.
        sha256: Of what is shared.

    Raises:
        InputError: It cannot be read.
    """
    kind = container.kind_of(path)
    about, tensors = container.read(path, "tagger" if kind == "tagger" else "classifier")
    with container.naming(path):
        source, tagger = about["source"], kind == "tagger"
        rows = len(about["examples"]) if tagger else len(tensors["rows"])
        counts = {label: len(places) for label, places in History.from_json(about["history"], rows).members().items()}
        encoder = source["encoder"] if isinstance(source["encoder"], str) else None
        read_by = f", with the encoder `{_plain(encoder)}`" if encoder and encoder != source["name"] else ""
        what, one = ("tagger of words", "type") if tagger else ("classifier", "class")
        lines = [
            f"A few-shot {what}, which `{_plain(source['name'])}`{read_by} was taught {sum(counts.values())} examples "
            f"of {len(counts)} {'types' if tagger else 'classes'} with [innerloop](https://pypi.org/project/innerloop/).",
            "",
            f"| {one} | examples |",
            "| --- | --- |",
            *(f"| {_cell(label)} | {count} |" for label, count in counts.items()),
        ]
        verb = "ner predict" if tagger else "predict"
        use = [f"innerloop pull {repository}", f"innerloop {verb} {path.name} ..."]
        inside = "The examples that it was taught are in the file, as the rows that it learns from"
        inside += (
            ", and their texts." if tagger else "; rows of a frozen encoder can tell much of what they were made of."
        )
        return _card(repository, "words" if tagger else source["kind"], lines, use, inside, sha256)


def of_run(run: Path, repository: str, sha256: str) -> str:
    """The card of a run folder; arguments as of `of_file`.

    Raises:
        InputError: It cannot be read.
    """
    config = checkpoint.read_config(run)
    record, train = config.get("record") or {}, config.get("train") or {}
    task = record.get("task")
    data = (task.get("data") if isinstance(task, dict) else None) or record.get("dataset")
    named = record.get("learner") or "a learner"
    lines = [
        f"A run of [innerloop](https://pypi.org/project/innerloop/): `{_plain(named)}`, meta-trained"
        + (f" on `{_plain(data)}`" if data else "")
        + (f" for {train['steps']:,} steps." if isinstance(train.get("steps"), int) else "."),
    ]
    tests = [one for one in kept.results(run) if one.result is not None]
    if tests:
        lines += ["", "| tested on unseen tasks | |", "| --- | --- |"]
        lines += [f"| {_cell(one.named(one.result.learner))} | {_cell(one.result)} |" for one in tests if one.result]
    else:
        lines += ["", "It was not tested."]
    use = [f"innerloop pull {repository} --out mine", "innerloop adapt mine examples/ --out task.fewshot"]
    kind = "pictures" if isinstance(record.get("preprocessing"), dict) else None
    return _card(repository, kind, lines, use, "Weights and settings alone; no example is in it.", sha256)


def _card(repository: str, kind: str | None, lines: list[str], use: list[str], inside: str, sha256: str) -> str:
    head: dict[str, Any] = {"library_name": "innerloop", "tags": ["innerloop", "few-shot-learning", "meta-learning"]}
    if kind in _PIPELINES:
        head["pipeline_tag"] = _PIPELINES[kind]
    return "\n".join(
        [
            *_front(head),
            f"# {repository.rpartition('/')[2]}",
            "",
            *lines,
            "",
            "## Use",
            "",
            "```console",
            "$ pip install 'innerloop[hub]'",
            *(f"$ {line}" for line in use),
            "```",
            "",
            "## What is in it",
            "",
            f"{inside} Weights are safetensors: reading them runs no code.",
            "",
            f"sha256 of the files but for this page: `{sha256}` (`innerloop pull {repository} --sha256 {sha256}` takes "
            "these and no others).",
            "",
        ]
    )


def _front(head: Mapping[str, Any]) -> list[str]:
    # Every JSON value is one of YAML.
    return ["---", *(f"{name}: {json.dumps(value)}" for name, value in head.items()), "---", ""]


def _plain(value: Any) -> str:
    text = str(value)
    # Where a run lies on somebody's machine is no business of who reads the card.
    text = PurePath(text).name if text.startswith(("/", "~", ".")) or "\\" in text else text
    return printable(text).replace("`", "'")[:200]


def _cell(value: Any) -> str:
    # What others read must not become a link, a picture or markup of theirs.
    text = _plain(value)
    return "".join(f"\\{c}" if c in r"\|[]<>*_#!" else c for c in text)
