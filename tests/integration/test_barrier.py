"""Only the Pong that answers its own Ping acknowledges; a server without Pongs has a name."""

from __future__ import annotations

import itertools
import threading
from typing import Any, Callable, Optional

import pytest

from frames import PONG, Frame
from messages import check_delivery, numbered
from polling import DEADLINE_S, wait_until
from raw_peers import RawServer, RawServerConnection, ignore_pings
from scene import Kept, Scene

COUNT = 30

Answer = Callable[[RawServerConnection, Frame], None]


def streaming_server(
    scene: Scene, answer: Answer, may_open: Optional[threading.Event] = None
) -> RawServer:
    """It sends a message every now and then, so that it is plainly alive, and answers Pings so."""

    def script(connection: RawServerConnection) -> None:
        if may_open is not None:
            may_open.wait(DEADLINE_S)
        connection.upgrade()
        over = threading.Event()

        def stream() -> None:
            try:
                for number in itertools.count():
                    connection.send_text(f"tick {number}")
                    if over.wait(0.1):
                        return
            except OSError:
                return

        streamer = threading.Thread(target=stream, daemon=True)
        streamer.start()
        try:
            connection.serve_to_end(answer)
        finally:
            over.set()
            streamer.join()

    return scene.raw_server(script)


def keep(scene: Scene, server: RawServer, **delivery: Any) -> Kept:
    """A late Pong may come as long as it likes: nothing here is about drain_timeout."""
    return scene.keep(
        server.url,
        delivery={"ack_timeout": "1s", **delivery},
        session={"drain_timeout": "30s"},
    )


def send_all(client: Any, count: int = COUNT) -> None:
    for number in range(count):
        client.send(numbered(number))


class WrongPongs:
    """Ways to answer that match no Ping in flight on this connection."""

    def __init__(self) -> None:
        self._first_ping = b""
        self._lock = threading.Lock()

    def empty(self, connection: RawServerConnection, ping: Frame) -> None:
        connection.send(PONG)

    def shortened(self, connection: RawServerConnection, ping: Frame) -> None:
        connection.send(PONG, ping.payload[:-1])

    def lengthened(self, connection: RawServerConnection, ping: Frame) -> None:
        connection.send(PONG, ping.payload + b"\0")

    def one_bit_off(self, connection: RawServerConnection, ping: Frame) -> None:
        connection.send(PONG, ping.payload[:-1] + bytes([ping.payload[-1] ^ 1]))

    def other_nonce(self, connection: RawServerConnection, ping: Frame) -> None:
        connection.send(PONG, bytes([ping.payload[0] ^ 1]) + ping.payload[1:])

    def of_an_old_connection(self, connection: RawServerConnection, ping: Frame) -> None:
        with self._lock:
            self._first_ping = self._first_ping or ping.payload
        if connection.number > 1:
            connection.send(PONG, self._first_ping)

    def nothing(self, connection: RawServerConnection, ping: Frame) -> None:
        ignore_pings(connection, ping)


@pytest.mark.parametrize(
    "answer",
    [
        "nothing",
        "empty",
        "shortened",
        "lengthened",
        "one_bit_off",
        "other_nonce",
        "of_an_old_connection",
    ],
)
def test_wrong_pongs_acknowledge_nothing(scene: Scene, answer: str) -> None:
    """Without a matching Pong every connection gets all messages again, and the end is named."""
    may_open = threading.Event()
    server = streaming_server(scene, getattr(WrongPongs(), answer), may_open)
    kept = keep(scene, server)
    client = scene.client(kept.url)
    send_all(client)
    client.ping()  # all of them wait for the first connection
    may_open.set()
    assert client.wait_closed(60) == (1014, "wskeep: pong-unsupported")
    assert len(server.conversations) == 3
    for conversation in server.conversations:
        assert conversation.numbers == list(range(COUNT))
    end = kept.daemon.wait_for("session-end", cause="pong-unsupported")
    assert end["given_up"] == COUNT
    given_up = kept.daemon.wait_for("given-up", session=end["session"])
    assert given_up["count"] == COUNT and given_up["bytes"] == COUNT * 8
    assert len(kept.daemon.moves(from_="open", to="waiting", cause="ack-timeout")) >= 2
    assert client.texts[0] == "tick 0"


def test_every_third_pong_is_enough(scene: Scene) -> None:
    """A server that answers every third Ping loses nothing and keeps its one connection."""
    pings = itertools.count(1)

    def every_third(connection: RawServerConnection, ping: Frame) -> None:
        if next(pings) % 3 == 0:
            connection.pong(ping)

    server = streaming_server(scene, every_third)
    kept = keep(scene, server, ack_timeout="4s")
    client = scene.client(kept.url)
    send_all(client, 200)
    assert client.close(3001, "done") == (3001, "done")
    assert check_delivery(server.numbers_by_connection, 200).repeated == 0
    assert len(server.conversations) == 1


def test_late_pongs_count(scene: Scene) -> None:
    """A Pong may come while newer Pings are in flight; it acknowledges what came before its own."""
    held: list[Frame] = []

    def late_by_two(connection: RawServerConnection, ping: Frame) -> None:
        held.append(ping)
        if len(held) > 2:
            connection.pong(held.pop(0))

    server = streaming_server(scene, late_by_two)
    kept = keep(scene, server, ack_timeout="4s")
    client = scene.client(kept.url)
    send_all(client)
    assert client.close(3001, "done") == (3001, "done")
    assert check_delivery(server.numbers_by_connection, COUNT).repeated == 0


def test_pong_that_stops_later_is_an_ack_timeout(scene: Scene) -> None:
    """A server that answered once is not `pong-unsupported`: it is reconnected to for ever."""

    def first_connection_only(connection: RawServerConnection, ping: Frame) -> None:
        if connection.number == 1 and len(connection.conversation.messages) <= 1:
            connection.pong(ping)
        if connection.number > 5:
            connection.pong(ping)

    server = streaming_server(scene, first_connection_only)
    kept = keep(scene, server)
    client = scene.client(kept.url)
    client.send(numbered(0))
    wait_until(lambda: server.has_acknowledged_all, "the first Pong")
    for number in range(1, COUNT):
        client.send(numbered(number))
    kept.daemon.wait_for_move("waiting", 5, cause="ack-timeout")
    wait_until(lambda: server.has_acknowledged_all, "Pongs again")
    assert client.is_open
    assert client.close() == (1000, "")
    for conversation in server.conversations[1:5]:
        assert conversation.numbers[0] == 1
    assert check_delivery(server.numbers_by_connection, COUNT, [1] * 20).repeated > 0


def test_without_pong_sent_goes_on(scene: Scene) -> None:
    """`without_pong: sent` reports it and goes on, counting what is handed to the kernel."""
    server = streaming_server(scene, ignore_pings)
    kept = keep(scene, server, without_pong="sent")
    client = scene.client(kept.url)
    send_all(client)
    wait_until(lambda: len(server.conversations) >= 4, "a fourth connection", 60)
    for number in range(COUNT, COUNT + 10):
        client.send(numbered(number))
    wait_until(lambda: COUNT + 9 in server.numbers_seen, "the later messages")
    check_delivery(server.numbers_by_connection, COUNT + 10)
    assert client.close(3001, "done") == (3001, "done")
    assert any(e.get("cause") == "pong-unsupported" for e in kept.daemon.events)
    assert kept.daemon.find("given-up") == []


def test_acknowledge_sent_repeats_nothing(scene: Scene) -> None:
    """`acknowledge: sent` never repeats, never waits for a Pong, and does not end without one."""
    server = streaming_server(scene, ignore_pings)
    kept = keep(scene, server, acknowledge="sent")
    client = scene.client(kept.url)
    send_all(client)
    wait_until(lambda: len(server.messages) == COUNT, "all messages")
    server.accepted[0].reset()
    kept.daemon.wait_for_move("waiting", cause="tcp-reset")
    for number in range(COUNT, COUNT + 10):
        client.send(numbered(number))
    wait_until(lambda: len(server.messages) == COUNT + 10, "the later messages")
    assert check_delivery(server.numbers_by_connection, COUNT + 10).repeated == 0
    assert client.close(3001, "done") == (3001, "done")
    assert kept.daemon.moves(cause="ack-timeout") == []


def test_ping_carries_the_barrier_not_the_message(scene: Scene) -> None:
    """Pings differ from each other and between connections, and hold nothing of a message."""
    payloads: list[bytes] = []

    def note(connection: RawServerConnection, ping: Frame) -> None:
        payloads.append(ping.payload)
        connection.pong(ping)
        if len(connection.conversation.messages) >= 5:
            connection.reset()

    server = streaming_server(scene, note)
    kept = keep(scene, server, ping_spacing="10ms")
    client = scene.client(kept.url)
    for number in range(20):
        client.send(f"secret {number}")
        wait_until(lambda: len({m.head for m in server.messages}) > number, "the message")
    assert len(set(payloads)) == len(payloads) > 2
    assert all(8 <= len(payload) <= 125 for payload in payloads)
    assert not any(b"secret" in payload for payload in payloads)


def test_window_bounds_what_is_sent_ahead(scene: Scene) -> None:
    """At most window_bytes, or one longer message, are sent beyond the last acknowledged one."""
    may_answer = threading.Event()
    held: list[Frame] = []

    def when_allowed(connection: RawServerConnection, ping: Frame) -> None:
        if may_answer.is_set():
            connection.pong(ping)
        else:
            held.append(ping)

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(when_allowed)

    server = scene.raw_server(script)
    kept = scene.keep(server.url, delivery={"window_bytes": "64KiB"})
    client = scene.client(kept.url)
    client.send_many([numbered(number, 1024) for number in range(500)])
    wait_until(lambda: len(server.messages) >= 60, "the window to fill")
    client.ping()  # the daemon has read much more than the window by now
    wait_until(lambda: held, "a Ping")
    assert len(server.messages) <= 64
    may_answer.set()
    server.accepted[0].pong(held[-1])
    wait_until(lambda: len(server.messages) == 500, "the rest")
    assert check_delivery(server.numbers_by_connection, 500).repeated == 0
