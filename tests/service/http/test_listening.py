import pickle
import socket
import sys

import pytest

from innerloop.core.errors import InputError
from innerloop.service.http import listening


def test_what_is_taken_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InputError, match=r"cannot listen on 127.0.0.1, port \d+: .*choose another --port"):
            listening.check("127.0.0.1", other.getsockname()[1])
    with pytest.raises(InputError, match=r"cannot listen on 203\.0\.113\.1"):
        listening.check("203.0.113.1", 8000)
    listening.check("127.0.0.1", 0)


def test_where_a_service_on_all_addresses_is_opened():
    assert listening.reached("127.0.0.1") == listening.reached("192.168.1.20") == []
    here, *others = listening.reached("0.0.0.0")
    assert here == "127.0.0.1" and len(others) <= 1 and "0.0.0.0" not in others
    with socket.socket() as other:
        other.bind(((others or [here])[0], 0))  # an address of this machine
    assert listening.reached("::")[0] == "::1"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere workers share one socket")
def test_connections_are_dealt_out_among_workers():
    (given,) = listening.sockets("127.0.0.1", 0)
    workers = [pickle.loads(pickle.dumps(given)) for _ in range(2)]
    for worker in workers:
        worker.listen(64)
        worker.setblocking(False)
    clients = [socket.create_connection(given.getsockname()) for _ in range(32)]
    counts = []
    for worker in workers:
        accepted = []
        while True:
            try:
                accepted.append(worker.accept()[0])
            except BlockingIOError:
                break
        counts.append(len(accepted))
        for connection in accepted:
            connection.close()
    assert sum(counts) == 32 and min(counts) >= 2
    for one in (*clients, *workers, given):
        one.close()
