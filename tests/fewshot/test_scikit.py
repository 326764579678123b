"""The classifier among scikit-learn's estimators, on feature arrays."""

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from innerloop.fewshot.classifier import NONE, FewShotClassifier  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # it does not inherit from BaseEstimator: scikit-learn is optional
    # scikit-learn itself skips check_array_api_input (needs SCIPY_ARRAY_API).
    checks = parametrize_with_checks(
        [FewShotClassifier()],
        expected_failed_checks=lambda _: {
            "check_sample_weight_equivalence_on_dense_data": "probabilities are calibrated on examples held out, of "
            "which copies would have been learned from; what is learned is the same (tests/fewshot/test_weights.py)",
        },
    )


def iris() -> Any:
    """[150, 4] features and [150] classes; pandas' types among those of the function help nobody here."""
    return load_iris(return_X_y=True)


@checks
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_estimator(estimator, check):
    check(estimator)


def test_a_row_alone_is_answered_as_among_others():
    x, y = iris()
    fitted = FewShotClassifier().fit(x, y)
    rows = np.concatenate([fitted.predict_proba(row[None]) for row in x])
    assert np.abs(rows - fitted.predict_proba(x)).max() < 1e-4


def test_it_works_inside_pipelines_searches_and_cross_validation():
    x, y = iris()
    pipeline = make_pipeline(StandardScaler(), FewShotClassifier())
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.8
    search = GridSearchCV(FewShotClassifier(), {"reject": [None, 0.05]}, cv=3).fit(x, y)
    assert search.best_params_["reject"] is None, "an iris that is refused is not named"


def test_parameters_are_kept_as_they_are():
    made = FewShotClassifier("runs/none", reject=0.1, allow=("mine",))
    copy: Any = clone(made)
    assert (
        copy.get_params()
        == made.get_params()
        == {"source": "runs/none", "reject": 0.1, "allow": ("mine",)}
        | {"head": None, "names": None, "descriptions": None, "coverage": None, "tune_encoder": None, "budget": None}
        | {"prior": None}
    )
    assert repr(made) == "FewShotClassifier(source='runs/none', reject=0.1, allow=('mine',))"
    assert repr(FewShotClassifier()) == "FewShotClassifier()"
    with pytest.raises(ValueError, match="source, reject, allow"):
        made.set_params(rejekt=0.1)


@pytest.mark.exact
def test_a_fitted_one_is_pickled_with_all_it_knows():
    x, y = iris()
    fitted = FewShotClassifier(reject=0.05).fit(x, np.asarray(["a", "b", "c"])[y])
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict(x), fitted.predict(x)) and NONE in fitted.predict(x)
    assert again.history == fitted.history


def test_scikit_learn_is_not_needed():
    code = """
import sys
sys.modules["sklearn"] = None
import numpy as np
from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
x = np.eye(4).repeat(3, 0)
c = FewShotClassifier()
try:
    c.predict(x)
except InputError as error:
    assert "call fit first" in str(error)
assert c.fit(x, np.arange(4).repeat(3)).score(x, np.arange(4).repeat(3)) == 1
"""
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True).returncode == 0
