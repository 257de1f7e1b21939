"""Where a break falls decides what is repeated, and nothing else does.

For each direction and each meaning of acknowledged: the upstream connection ends before a message
is sent, after it was, and after it was acknowledged on the wire, in every way a connection ends.
"""

from __future__ import annotations

import subprocess
import threading
from typing import Callable

import pytest

from frames import CLOSE, PING, TEXT
from messages import numbered
from polling import wait_until
from raw_peers import RawServerConnection, answer_pings
from scene import Kept, Scene

POINTS = ["before", "sent", "acknowledged"]


def end_close(connection: RawServerConnection) -> None:
    connection.send_close(1012, "again")
    connection.read_until(CLOSE)


def end_fin(connection: RawServerConnection) -> None:
    connection.fin()
    connection.read_to_end()


def end_rst(connection: RawServerConnection) -> None:
    connection.reset()


def end_silence(connection: RawServerConnection) -> None:
    connection.read_to_end()  # and never answers


def end_kill(connection: RawServerConnection) -> None:
    """The process that holds the socket dies."""
    holder = subprocess.Popen(["sleep", "1000"], pass_fds=[connection.socket.fileno()])
    connection.socket.close()
    holder.kill()
    holder.wait()


ENDS = [end_close, end_fin, end_rst, end_silence, end_kill]


class Bridge:
    """A server whose first connection follows the script, and whose second waits for go."""

    def __init__(self, scene: Scene, acknowledge: str, first: Callable[..., None]) -> None:
        self.go = threading.Event()
        self.may_end = threading.Event()
        self._first = first
        self.server = scene.raw_server(self._serve)
        self.kept: Kept = scene.keep(
            self.server.url,
            delivery={"acknowledge": acknowledge, "ack_timeout": "1s"},
            heartbeat={"interval": "200ms", "timeout": "500ms"},
            upstream={"connect_timeout": "30s"},
        )

    def _serve(self, connection: RawServerConnection) -> None:
        if connection.number == 1:
            connection.upgrade()
            self._first(self, connection)
            return
        self.go.wait(30)
        connection.upgrade()
        if connection.number == 2:
            connection.send_text("down 2")
        connection.serve_to_end(answer_pings)

    def wait_broken(self) -> None:
        """wskeepd knows it."""
        wait_until(
            lambda: [m for m in self.kept.daemon.moves(from_="open") if m["to"] == "waiting"],
            self.kept.daemon.tail,
        )

    def read_to(self, connection: RawServerConnection, opcode: int) -> None:
        """Note messages and answer Pings, up to the first such frame."""
        while True:
            frame = connection.read()
            if frame.opcode == TEXT:
                connection.take(frame)
            elif frame.opcode == PING:
                connection.pong(frame)
            if frame.opcode == opcode:
                return


@pytest.mark.slow(3)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__[4:])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("acknowledge", ["pong", "sent"])
def test_up(
    scene: Scene, acknowledge: str, point: str, end: Callable[[RawServerConnection], None]
) -> None:
    """client -> server: once, or twice when it was sent and its acknowledgement was owed."""

    def first(bridge: Bridge, connection: RawServerConnection) -> None:
        if point == "before":
            end(connection)
            return
        bridge.read_to(connection, TEXT)
        if point == "acknowledged":
            if acknowledge == "pong":
                bridge.read_to(connection, PING)
                connection.send_text("after the Pong")  # read: so was the Pong
            bridge.may_end.wait(30)
        end(connection)

    bridge = Bridge(scene, acknowledge, first)
    client = scene.raw_client(bridge.kept.port)
    client.handshake()
    if point == "before":
        bridge.wait_broken()
    client.send_text(numbered(1))
    if point == "acknowledged" and acknowledge == "pong":
        client.read_until(TEXT)
    bridge.may_end.set()
    if point != "before":
        bridge.wait_broken()
    client.send_text(numbered(2))
    bridge.go.set()
    client.send_close(1000)
    assert client.read_until(CLOSE).close_code == 1000
    was_owed = point == "sent" and acknowledge == "pong"
    wait_until(lambda: 2 in bridge.server.numbers_seen, bridge.kept.daemon.tail)
    numbers = bridge.server.numbers_by_connection
    assert numbers[0] == ([] if point == "before" else [1])
    assert sum(numbers[1:], []) == ([1, 2] if was_owed or point == "before" else [2])
    assert bridge.kept.daemon.wait_for("session-end")["given_up"] == 0


@pytest.mark.slow(3)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__[4:])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("acknowledge", ["pong", "sent"])
def test_down(
    scene: Scene, acknowledge: str, point: str, end: Callable[[RawServerConnection], None]
) -> None:
    """server -> client: once and in order; a gap is counted, whatever was in it."""

    def first(bridge: Bridge, connection: RawServerConnection) -> None:
        if point != "before":
            connection.send_text("down 1")
        if point == "acknowledged" or end in (end_rst, end_kill):
            bridge.may_end.wait(30)  # RST takes what was not read: a gap, and no promise
        end(connection)

    bridge = Bridge(scene, acknowledge, first)
    client = scene.raw_client(bridge.kept.port)
    client.handshake()
    heard = []
    if point != "before":
        heard.append(client.read_until(TEXT).payload)
    bridge.may_end.set()
    bridge.wait_broken()
    bridge.go.set()
    heard.append(client.read_until(TEXT).payload)
    assert heard == ([b"down 2"] if point == "before" else [b"down 1", b"down 2"])
    client.send_close(1000)
    frames = client.read_to_end()
    assert [f.opcode for f in frames if f.opcode in (TEXT, CLOSE)] == [CLOSE]
    assert len(bridge.kept.daemon.find("gap")) == 1
