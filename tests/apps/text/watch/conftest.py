from collections.abc import Callable, Iterator

import pytest

from innerloop.apps.text.watch.state import State


@pytest.fixture
def opened(tmp_path) -> Iterator[Callable[..., State]]:
    """States by their name, closed when the test ends."""
    found: list[State] = []

    def open_state(name: str = "w", record: dict | None = None) -> State:
        found.append(State(tmp_path / f"{name}.sqlite", record or {"input": "x"}))
        found[-1].connection.execute("PRAGMA synchronous = OFF")  # nothing here pulls the plug
        return found[-1]

    yield open_state
    for state in found:
        state.close()


@pytest.fixture
def state(opened) -> State:
    return opened()
