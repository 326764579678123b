"""What teaching starts from: a run that has learned of the rows of a source, in place of these rows as they are."""

from collections.abc import Callable

from innerloop.core.errors import InputError
from innerloop.encoders.base import content_of
from innerloop.fewshot.sources import Source

NOTHING = "none"
"""What is said for no prior."""


def begun(about: Source, prior: str | None, find: Callable[[str], Source]) -> Source:
    """What a task of a source is taught to.

    Args:
        about: The source, an encoder.
        prior: A run over its rows, such as `polarity`; "none", or None: there is none.
        find: Looks up a source by its name.

    Raises:
        InputError: The prior is no run over rows, or over those of another encoder; or the source is a run itself.
    """
    if prior is None or prior == NOTHING:
        return about
    if not isinstance(prior, str):
        raise InputError(f"a prior is the name of a run, such as polarity, or none; got {type(prior).__name__}")
    if about.encoder is None or about.encoder_name is not None:
        what = "makes no rows" if about.encoder is None else f"is a run over rows of {about.encoder_name} itself"
        raise InputError(
            f"'{about.name}' {what}, so that it cannot start from '{prior}': name the encoder as the source, such as "
            "use-multilingual, or leave the prior out"
        )
    run = find(prior)
    if run.encoder is None or run.encoder_name is None:
        raise InputError(
            f"'{prior}' is no run over the rows of an encoder: a prior is one, such as polarity or intents"
        )
    if run.encoder is not about.encoder and (
        run.encoder_name != about.name or content_of(run.encoder) != content_of(about.encoder)
    ):
        raise InputError(
            f"'{prior}' has learned of rows of {run.encoder_name}, and '{about.name}' makes others: name that as the "
            "source, or train a run on these (innerloop train protonet --encoder ...)"
        )
    return run
