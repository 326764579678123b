"""`innerloop push <file or run> <user/name>`."""

from dataclasses import asdict, dataclass, field

import tyro

from innerloop.cli.options import Said, emit, parse, print


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop push`."""

    what: tyro.conf.Positional[str]
    """A `.fewshot` file or a run folder."""
    repository: tyro.conf.Positional[str]
    """user/name on the Hugging Face Hub; made where it is not there."""
    public: bool = False
    """Let everybody read it, where it is made, or push to what is public; a `.fewshot` file holds the examples it was
    taught."""
    revision: str | None = None
    """A branch that is there; None: the main one."""
    message: str | None = None
    """What the commit says."""
    common: Said = field(default_factory=Said)


def run(argv: list[str]) -> int:
    """Put a file of `adapt` or a run on the Hugging Face Hub, with a card; log in with `hf auth login` or HF_TOKEN."""
    options = parse(Command, argv, "push", run.__doc__ or "")
    from innerloop.fewshot.shared import push

    done = push(
        options.what,
        options.repository,
        public=options.public,
        revision=options.revision,
        message=options.message,
    )
    if options.common.json:
        emit(asdict(done))
        return 0
    print(f"pushed {', '.join(done.files)} to {done.repository} at {done.revision}")
    if done.left_out:
        print(f"not shared: {', '.join(done.left_out)}", stderr=True)
    print(f"innerloop pull {done.repository} --revision {done.revision} --sha256 {done.sha256}")
    return 0
