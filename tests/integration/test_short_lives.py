"""Links that live shortly, crawl, or belong to a daemon that was asleep still make progress."""

from __future__ import annotations

import os
import signal

import pytest

from frames import Frame
from messages import Message, check_delivery, numbered
from polling import let_time_pass, wait_until
from raw_peers import RawServerConnection
from scene import Scene
from wire import UP

MIB = 1024 * 1024


@pytest.mark.slow(45)
def test_backlog_over_connections_of_three_seconds(scene: Scene) -> None:
    """32 MiB get through connections reset after 3 s at 2 MB/s, with at most twice the bytes."""
    size, count = 16384, 2048
    server = scene.websockets_server()
    wire = scene.wire(server, receive_buffer_bytes=262144)
    wire.refuse()
    kept = scene.keep(wire.url)
    client = scene.client(kept.url)
    client.send_many([numbered(number, size) for number in range(count)])
    kept.daemon.wait_for_move("waiting", cause="tcp-refused")
    wire.throttle(up=2_000_000)
    wire.reset_after(seconds=3)
    wire.open_listener()
    wait_until(lambda: count - 1 in server.numbers_seen, "the last message", 180)
    check_delivery(server.numbers_by_connection, count)
    assert sum(m.size for m in server.messages) <= 2 * size * count
    assert wire.forwarded_bytes(UP) <= 2 * size * count
    assert len(server.conversations) >= 4
    assert client.is_open


@pytest.mark.slow(70)
def test_one_long_message_on_a_slow_link(scene: Scene) -> None:
    """16 MiB at 256 KiB/s with a heartbeat of 1 s cross on one connection, once."""
    server = scene.websockets_server()
    wire = scene.wire(server, receive_buffer_bytes=262144)
    kept = scene.keep(wire.url, heartbeat={"interval": "1s", "timeout": "3s"})
    client = scene.client(kept.url)
    kept.wait_open(server)
    wire.throttle(up=256 * 1024)
    data = os.urandom(16 * MIB)
    client.send(data)
    wait_until(lambda: server.messages, "the message", 180)
    assert client.close(3001, "done") == (3001, "done")
    assert server.messages == [Message.of(data)]
    assert wire.attempts == 1, kept.daemon.tail()
    assert wire.forwarded_bytes(UP) < 17 * MIB


@pytest.mark.slow(65)
def test_stopped_daemon_keeps_its_connection(scene: Scene) -> None:
    """A daemon that was stopped for 60 s holds nothing of that against client or upstream."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(
        wire.url,
        heartbeat={"interval": "1s", "timeout": "10s"},  # a busy machine is no dead peer
        delivery={"ack_timeout": "15s"},
        client={"heartbeat": {"interval": "1s", "timeout": "10s"}},
    )
    client = scene.client(kept.url)
    client.send(numbered(0))
    wait_until(lambda: server.has_acknowledged_all, "the first message")
    kept.daemon.signal(signal.SIGSTOP)
    for number in range(1, 50):
        client.send(numbered(number))
        server.send(numbered(number - 1))
    let_time_pass(60)
    kept.daemon.signal(signal.SIGCONT)
    wait_until(lambda: len(server.messages) == 50, "the client's messages")
    wait_until(lambda: len(client.messages) == 49, "the server's messages")
    assert check_delivery(server.numbers_by_connection, 50).repeated == 0
    assert client.numbers == list(range(49))
    client.send(numbered(50))
    wait_until(
        lambda: len(server.messages) == 51 and server.has_acknowledged_all, "heartbeats again"
    )
    assert wire.attempts == 1
    assert kept.daemon.moves(from_="open") == []
    assert client.is_open


@pytest.mark.parametrize("messages_each", [1, 3])
@pytest.mark.slow(12)
def test_one_message_and_one_round_trip_is_progress(scene: Scene, messages_each: int) -> None:
    """A connection that lives for one message and one Pong moves the outbox forward."""
    def script(connection: RawServerConnection) -> None:
        connection.upgrade()

        def answer_and_reset(connection: RawServerConnection, ping: Frame) -> None:
            connection.pong(ping)
            if len(connection.conversation.messages) >= messages_each:
                connection.wait_flushed()
                connection.reset()

        connection.serve(answer_and_reset)

    server = scene.raw_server(script)
    count = 8
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    for number in range(count):
        client.send(numbered(number, 8192))
    wait_until(lambda: count - 1 in server.numbers_seen, "the last message", 60)
    check_delivery(server.numbers_by_connection, count)
    assert client.is_open
