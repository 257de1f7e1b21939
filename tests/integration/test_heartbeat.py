"""Quiet links are kept open, and dead ones are noticed, on both sides."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from frames import CLOSE, PING, PONG, TEXT
from messages import noise, numbered
from polling import wait_until
from raw_peers import RawServerConnection, answer_pings
from scene import Scene

CLIENTS = ["websockets", "node"]
FAST = {"interval": "200ms", "timeout": "400ms"}  #: where the peer shall be found dead
LIVELY = {"interval": "200ms", "timeout": "5s"}  #: where it shall not, on a busy machine either


@pytest.mark.parametrize("ways", ["both", "down"])
@pytest.mark.parametrize("server_kind", ["websockets", "node"])
def test_silent_upstream_is_noticed(scene: Scene, server_kind: str, ways: str) -> None:
    """A peer that falls silent without closing is left after interval and timeout."""
    server = scene.server(server_kind)
    wire = scene.wire(server)
    kept = scene.keep(wire.url, heartbeat=FAST)
    client = scene.client(kept.url)
    kept.wait_open(server)
    wire.stall(up=ways == "both")
    kept.daemon.wait_for_move("waiting", from_="open", cause="heartbeat-timeout")
    wire.reset()
    wire.flow()
    client.send("after")
    wait_until(lambda: [m.text for m in server.messages] == ["after"], "the message")
    assert client.is_open


@pytest.mark.parametrize("traffic", ["none", "only from the server", "only from the client"])
def test_server_that_cuts_idle_clients(scene: Scene, traffic: str) -> None:
    """Pings go out on a quiet link, and when one direction alone is quiet: it is never cut."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        over = threading.Event()

        def stream() -> None:
            try:
                while not over.wait(0.05):
                    connection.send_text("tick")
            except OSError:
                pass

        if traffic == "only from the server":
            threading.Thread(target=stream, daemon=True).start()
        connection.socket.settimeout(2)  # idle for so long, and it is cut
        try:
            connection.serve_to_end(answer_pings)
        except socket.timeout:
            connection.send_close(1000, "")
        finally:
            over.set()

    server = scene.raw_server(script)
    kept = scene.keep(server.url, heartbeat=LIVELY)
    client = scene.client(kept.url)
    kept.wait_open(server)

    def enough() -> bool:
        if traffic == "only from the client":
            client.send("tock")
        return server.latest.pings >= 20

    wait_until(enough, "20 Pings")
    assert len(server.conversations) == 1 and server.is_connected
    assert client.is_open


def test_upstream_ping_is_answered(scene: Scene) -> None:
    """The upstream's Pings are answered with their payload, in order, up to 125 bytes."""
    pongs: list[bytes] = []
    payloads = [b"", b"a", b"x" * 125]

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        for payload in payloads:
            connection.send(PING, payload)
        while True:
            frame = connection.read()
            if frame.opcode == PONG:
                pongs.append(frame.payload)

    server = scene.raw_server(script)
    kept = scene.keep(server.url)
    scene.client(kept.url)
    wait_until(lambda: len(pongs) == 3, "the Pongs")
    assert pongs == payloads


@pytest.mark.parametrize("client_kind", CLIENTS)
def test_upstream_ping_is_answered_while_the_client_is_slow(
    scene: Scene, client_kind: str
) -> None:
    """A client that does not read does not keep wskeepd from answering the upstream's Ping."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    client = scene.client(kept.url, client_kind, reading=False)
    kept.wait_open(server)
    server.send_many([noise(100_000)] * 100).result(30)
    server.ping(b"are you there")
    client.read()
    wait_until(lambda: len(client.messages) == 100, "the messages")


@pytest.mark.parametrize("upstream", ["there", "away"])
def test_client_ping_is_answered_with_its_payload(scene: Scene, upstream: str) -> None:
    """The client's Ping is answered by wskeepd, whether the upstream is there or not."""
    server = scene.websockets_server()
    url = server.url if upstream == "there" else f"ws://127.0.0.1:{scene.port()}/"
    kept = scene.keep(url)
    raw = scene.raw_client(kept.port)
    raw.handshake()
    for payload in (b"", b"hello", b"x" * 125):
        raw.send_text("before")
        raw.send(PING, payload)
        assert raw.read_until(PONG).payload == payload
    if upstream == "there":
        wait_until(lambda: len(server.messages) == 3, "the messages before the Pings")


def test_client_ping_is_a_barrier(scene: Scene) -> None:
    """The Pong to a client comes after everything before its Ping is in the outbox."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        delivery={"max_messages": 10},
    )
    raw = scene.raw_client(kept.port)
    raw.handshake()
    for number in range(11):
        raw.send_text(numbered(number))
    raw.send(PING, b"after the eleventh")
    other = scene.websockets_client(kept.url)
    other.ping()
    raw.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):  # the eleventh message does not fit
        raw.read_until(PONG)


@pytest.mark.parametrize("client_kind", CLIENTS)
def test_live_client_keeps_its_session(scene: Scene, client_kind: str) -> None:
    """client.heartbeat sends Pings that any WebSocket library answers."""
    server = scene.websockets_server()
    kept = scene.keep(
        server.url, client={"heartbeat": {"interval": "200ms", "timeout": "5s"}}, heartbeat=LIVELY
    )
    client = scene.client(kept.url, client_kind)
    kept.wait_open(server)
    wait_until(lambda: server.latest.pings >= 15, "3 s of quiet")
    assert client.is_open
    assert kept.daemon.find("session-end") == []


def test_dead_client_is_noticed(scene: Scene) -> None:
    """A client that answers no Ping is lost: its TCP ends, and so does its session."""
    server = scene.websockets_server()
    kept = scene.keep(
        server.url, client={"heartbeat": {"interval": "200ms", "timeout": "400ms"}}
    )
    raw = scene.raw_client(kept.port)
    raw.handshake()
    raw.send_text("last")
    frames = raw.read_to_end()
    assert [f.opcode for f in frames if f.opcode not in (PING, CLOSE)] == []
    assert any(f.opcode == PING for f in frames)
    end = kept.daemon.wait_for("session-end")
    assert end["cause"] in ("client-lost", "heartbeat-timeout")
    wait_until(lambda: not server.is_connected, "the upstream to end")
    assert [m.text for m in server.messages] == ["last"]
    assert server.latest.close_code == 1006


def test_client_heartbeat_may_be_off(scene: Scene) -> None:
    """`interval: never` sends a client no Ping."""
    server = scene.websockets_server()
    kept = scene.keep(server.url, client={"heartbeat": {"interval": "never"}}, heartbeat=LIVELY)
    raw = scene.raw_client(kept.port)
    raw.handshake()
    kept.wait_open(server)
    wait_until(lambda: server.latest.pings >= 10, "2 s of quiet")
    server.send("end")
    frame: Any = raw.read()
    assert (frame.opcode, frame.payload) == (TEXT, b"end")
