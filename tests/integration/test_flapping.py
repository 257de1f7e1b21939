"""An upstream that cannot be kept is not hammered."""

from __future__ import annotations

from typing import Callable

import pytest

from frames import PING
from polling import let_time_pass, wait_until
from raw_peers import RawServer, RawServerConnection
from scene import Scene

ATTEMPTS_MAX = 12
SPAN_S = 10


def accept_and_reset(connection: RawServerConnection) -> None:
    connection.reset()


def refuse(connection: RawServerConnection) -> None:
    connection.read_head()
    connection.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")


def open_and_reset(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.wait_flushed()
    connection.reset()


def open_and_close(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.send_close(1012, "again")
    connection.read_to_end()


def deliver_and_reset(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.send_text("a message, so there was progress")
    connection.wait_flushed()
    connection.reset()


def acknowledge_and_reset(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.pong(connection.read_until(PING))
    connection.wait_flushed()
    connection.reset()


FLAPPERS: list[Callable[[RawServerConnection], None]] = [
    accept_and_reset,
    refuse,
    open_and_reset,
    open_and_close,
    deliver_and_reset,
    acknowledge_and_reset,
]


@pytest.mark.slow(12)
def test_flapping_backs_off(scene: Scene) -> None:
    """With default settings no kind of flapping upstream sees more than 12 attempts in 10 s."""
    servers: list[RawServer] = [scene.raw_server(script) for script in FLAPPERS]
    links = [
        scene.link(server.url, name=script.__name__.replace("_", "-"), quick=False)
        for server, script in zip(servers, FLAPPERS)
    ]
    scene.start(*links)
    clients = [scene.raw_client(int(link["listen"].rsplit(":", 1)[1])) for link in links]
    for client in clients:
        client.handshake()
        client.send_text("please")
    wait_until(lambda: all(server.accepted for server in servers), "a first attempt at each")
    let_time_pass(SPAN_S)
    attempts = {s.__name__: len(server.accepted) for s, server in zip(FLAPPERS, servers)}
    assert max(attempts.values()) <= ATTEMPTS_MAX, attempts
    assert min(attempts.values()) >= 2, attempts


def test_refused_connections_back_off(scene: Scene) -> None:
    """The delays to a refusing upstream grow and are bounded by max_delay."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        reconnect={
            "initial_delay": "100ms",
            "max_delay": "800ms",
            "multiplier": 2,
            "jitter": "none",
        },
    )
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 6, cause="tcp-refused")
    delays = [move["delay_ms"] for move in kept.daemon.moves(to="waiting")][:6]
    assert delays == [100, 200, 400, 800, 800, 800]


def test_full_jitter_spreads(scene: Scene) -> None:
    """With full jitter delays differ, and none is above the bound of its attempt."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        reconnect={"initial_delay": "200ms", "max_delay": "200ms"},
    )
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 12, cause="tcp-refused")
    delays = [move["delay_ms"] for move in kept.daemon.moves(to="waiting")]
    assert max(delays) <= 200
    assert len(set(delays)) > 4


def test_first_retry_may_be_immediate(scene: Scene) -> None:
    """`initial_delay: 0ms` makes only the first retry immediate."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        reconnect={"initial_delay": "0ms", "max_delay": "30s", "jitter": "none"},
    )
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 4, cause="tcp-refused")
    delays = [move["delay_ms"] for move in kept.daemon.moves(to="waiting")][:4]
    assert delays == [0, 100, 200, 400]


def test_give_up_after(scene: Scene) -> None:
    """After give_up_after without an open connection the client is closed, and told why."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        reconnect={"initial_delay": "50ms", "max_delay": "200ms", "give_up_after": "2s"},
    )
    client = scene.client(kept.url)
    client.send("never")
    assert client.wait_closed() == (1014, "wskeep: gave-up")
    end = kept.daemon.wait_for("session-end", cause="gave-up")
    assert end["given_up"] == 1
    assert len(kept.daemon.moves(to="waiting", cause="tcp-refused")) >= 3
