"""A run that teaching starts from: what it changes, and where it does not fit."""

from dataclasses import replace

import pytest

from innerloop.core.errors import InputError
from innerloop.encoders.module import Own
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.priors import begun
from innerloop.fewshot.sources import source
from tests.fewshot.test_heads import Words, words
from tests.fewshot.test_mapped import mapped

ENCODER = Own("words", Words())
SOURCE, RUN = replace(words(), encoder=ENCODER), replace(mapped(), encoder=ENCODER)


def test_a_task_that_starts_from_a_run_is_a_task_of_that_run():
    assert begun(SOURCE, "p", lambda name: RUN) is RUN
    assert begun(SOURCE, None, source) is SOURCE is begun(SOURCE, "none", source)


@pytest.mark.parametrize(
    ("about", "prior", "said"),
    [
        (SOURCE, "polarity", "has learned of rows of use-multilingual, and 'words' makes others"),
        (SOURCE, "kanji-protonet", "is no run over the rows of an encoder"),
        (SOURCE, "polarty", "did you mean 'polarity'"),
        (SOURCE, 3, "is the name of a run"),
        (RUN, "polarity", "is a run over rows of words itself"),
        (None, "polarity", "makes no rows"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(about, prior, said):
    with pytest.raises(InputError, match=said):
        FewShotClassifier(about, prior=prior).fit([[0.0, 1.0], [1.0, 0.0]], ["a", "b"])
