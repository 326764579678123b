import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from innerloop.core.context import Context

THREADS = os.environ.get("INNERLOOP_TEST_THREADS", "1")
torch.set_num_threads(int(THREADS))
# Programs that tests start as well: two workers whose programs each take all cores wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", THREADS)
settings.register_profile("innerloop", deadline=None, print_blob=True)
settings.load_profile("innerloop")


@pytest.fixture(scope="session", autouse=True)
def plans_of_these_tests(tmp_path_factory) -> Iterator[None]:
    """What `plan="auto"` chose in other runs is not remembered here."""
    folder = tmp_path_factory.mktemp("plans")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("innerloop.core.kept.cache_folder", lambda root: folder)
        yield


@pytest.fixture
def soon_calibrated(monkeypatch) -> None:
    """Runs are calibrated on 16 tasks instead of up to 400, where nothing is asked about their probabilities."""
    from innerloop.runs import calibrate

    monkeypatch.setattr(calibrate, "keep", functools.partial(calibrate.keep, episodes=16))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; tests that need it are skipped where there is none."""
    named = os.environ.get("INNERLOOP_DATA")
    root = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (root / "omniglot").is_dir():
        pytest.skip(f"no data sets in {root}: set INNERLOOP_DATA to the folder that holds omniglot/")
    return root


@pytest.fixture(scope="session")
def context(data_root) -> Context:
    """Real data sets, for what takes a context."""
    return Context(data_root=data_root)
