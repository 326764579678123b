"""`innerloop pull <user/name>`."""

from dataclasses import asdict, dataclass, field

import tyro

from innerloop.cli.options import Said, emit, parse, print


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop pull`."""

    repository: tyro.conf.Positional[str]
    """user/name on the Hugging Face Hub."""
    out: str | None = None
    """Where to; None: its own name, in this folder."""
    revision: str | None = None
    """A branch, a tag or a commit; None: the newest."""
    sha256: str | None = None
    """What `push` printed: other files are refused, also under the same revision."""
    common: Said = field(default_factory=Said)


def run(argv: list[str]) -> int:
    """Fetch a file of `adapt` or a run from the Hugging Face Hub: safetensors and JSON, nothing that runs code."""
    options = parse(Command, argv, "pull", run.__doc__ or "")
    from innerloop.fewshot.shared import pull

    done = pull(options.repository, options.out, revision=options.revision, sha256=options.sha256)
    if options.common.json:
        emit(asdict(done))
        return 0
    print(f"{done.path}: {done.repository} at {done.revision}")
    print(f"sha256 {done.sha256}", stderr=True)
    return 0
