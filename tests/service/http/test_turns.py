import asyncio
import threading
import time
from typing import Any

from innerloop.service.http import turns
from innerloop.service.http.adapted import Raw
from innerloop.service.http.turns import Turns
from innerloop.service.limits import Limits
from tests.service.http.test_locked import locked
from tests.service.served import serving, teach


def test_one_client_leaves_room_for_another():
    async def ask():
        places = Turns()
        many = [places.of("many") for _ in range(100)]
        begun = [asyncio.create_task(turn.begin()) for turn in many]
        await asyncio.sleep(0.01)
        assert sum(task.done() for task in begun) == turns._AT_ONCE
        await asyncio.wait_for(places.of("other").begin(), 1)
        for turn, task in zip(many, begun, strict=True):
            await asyncio.wait_for(task, 1)
            await turn.begin()  # once is enough
            turn.end()
            turn.end()
        await many[0].begin()
        assert not many[0]._held, "it is over"

    asyncio.run(ask())


def test_clients_that_went_are_forgotten():
    async def ask():
        places = Turns()
        for i in range(1000):
            turn = places.of(f"{i}")
            await turn.begin()
            turn.end()
        return len(places._places)

    assert asyncio.run(ask()) == 1


def test_who_gives_up_waiting_takes_no_place(monkeypatch):
    monkeypatch.setattr(turns, "_AT_ONCE", 1)

    async def ask():
        places = Turns()
        first, second, third = (places.of("a") for _ in range(3))
        await first.begin()
        waiting = asyncio.create_task(second.begin())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        second.end()
        first.end()
        await asyncio.wait_for(third.begin(), 1)

    asyncio.run(ask())


def test_the_turn_is_over_while_the_batcher_works(tmp_path):
    with serving(tmp_path) as client:
        app: Any = client.app
        service, held = app.state.service, []

        async def ask():
            turn = Turns().of("a")
            await turn.begin()
            raw = [Raw("texts", "a", "a")]
            await service.together("q", raw, raw, lambda items: [held.append(turn._held)] * len(items))

        asyncio.run(ask())
    assert held == [False]


def test_a_body_that_nobody_reads_is_no_way_around(tmp_path, monkeypatch):
    begun = []
    begin = turns.Turn.begin

    async def counting(turn):
        begun.append(turn)
        await begin(turn)

    monkeypatch.setattr(turns.Turn, "begin", counting)
    with serving(tmp_path) as client:
        for n, method in enumerate(("GET", "DELETE"), 1):
            client.request(method, "/api/tasks/none", content=b"x")
            assert len(begun) == n
        assert client.get("/healthz").status_code == 200
        assert len(begun) == 2, "health waits for nobody's work"


def test_who_waits_to_change_the_store_goes_on_looking(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "_AT_ONCE", 1)
    with serving(tmp_path, limits=Limits(store_seconds=60.0)) as client:
        teach(client)
        with locked(tmp_path):
            thread = threading.Thread(target=client.delete, args=("/api/tasks/t/examples/1",))
            thread.start()
            time.sleep(0.2)
            assert client.get("/api/tasks/t").status_code == 200
            assert thread.is_alive(), "it waits for the lock, which lasts"
        thread.join()


def test_every_request_gives_its_turn_back(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "_AT_ONCE", 1)
    with serving(tmp_path) as client:
        for _ in range(3):
            assert client.get("/api/tasks").status_code == 200
            assert client.get("/api/tasks/none").status_code == 404
            assert client.post("/api/tasks", json={"name": "?"}).status_code == 422
            assert client.post("/api/tasks", content=b"", headers={"Content-Length": "0"}).status_code == 422
            assert client.post("/api/tasks/t/predict", json={"texts": ["a"]}).status_code == 404
            assert client.post("/api/tasks/t/predict", content=iter([b"{", b"}"])).status_code == 422
