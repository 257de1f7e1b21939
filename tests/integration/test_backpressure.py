"""Whoever reads slowly holds the other side back; memory stays within its bounds."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from frames import BINARY, encode
from messages import check_delivery, noise, numbered
from polling import wait_until, wait_until_still
from raw_peers import RawServerConnection, answer_pings
from scene import Kept, Scene
from wskeepd_process import is_sanitized

MIB = 1024 * 1024

#: The program itself, its shared buffers, and what malloc keeps.
SLACK_BYTES = 48 * MIB


def check_memory(kept: Kept, bound_bytes: int) -> None:
    if not is_sanitized():
        assert kept.daemon.resident_bytes_max <= bound_bytes + SLACK_BYTES


#: A server that answers Pings only when it has written all of its 200 MiB may take its time.
PATIENT = {"ack_timeout": "300s"}

SIZE, PUSHED, COUNT = 65536, 3200, 100_000  # 200 MiB down, 100,000 messages up


def push_then_read(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.socket.settimeout(120)
    for number in range(PUSHED):
        connection.send_text(numbered(number, SIZE))
    connection.serve_to_end(answer_pings)


def pushing_server(scene: Scene, kind: str) -> Any:
    """Node's ws queues what it cannot write and reads on; a raw one reads when all is written."""
    if kind == "raw":
        return scene.raw_server(push_then_read)
    return scene.node_server(push={"count": PUSHED, "size": SIZE})


def is_mutual_stall(kept: Kept) -> bool:
    return any(event.get("cause") == "mutual-stall" for event in kept.daemon.events)


@pytest.mark.slow(25)
@pytest.mark.parametrize("server_kind", ["node", "raw"])
def test_client_writes_all_before_it_reads(scene: Scene, server_kind: str) -> None:
    """With room for 100,000 messages in the outbox, all of them and 200 MiB down arrive."""
    server = pushing_server(scene, server_kind)
    kept = scene.keep(server.url, delivery={"max_messages": COUNT, **PATIENT})
    client = scene.websockets_client(kept.url, reading=False)
    client.send_many([numbered(number, 20) for number in range(COUNT)]).result(120)
    client.read()
    wait_until(
        lambda: len(client.messages) == PUSHED,
        lambda: f"the server's messages, not {len(client.messages)}; log:\n{kept.daemon.tail()}",
        120,
    )
    wait_until(lambda: len(server.messages) == COUNT, "the client's messages", 120)
    assert check_delivery(server.numbers_by_connection, COUNT).repeated == 0
    assert client.numbers == list(range(PUSHED))
    assert {m.size for m in client.messages} == {SIZE}
    assert len(server.conversations) == 1
    check_memory(kept, 2 * 64 * MIB)


@pytest.mark.slow(15)
@pytest.mark.parametrize("server_kind", ["node", "raw"])
def test_everything_or_a_named_stall(scene: Scene, server_kind: str) -> None:
    """With the default bounds it is everything both ways or a named mutual-stall, never a hang."""
    server = pushing_server(scene, server_kind)
    kept = scene.keep(
        server.url,
        heartbeat={"stall_timeout": "20s"},  # Node's event loop may stand still for seconds
        session={"drain_timeout": "20s"},
        delivery=PATIENT,
    )
    client = scene.websockets_client(kept.url, reading=False)
    writing = client.send_many([numbered(number, 20) for number in range(COUNT)])
    wait_until(
        lambda: writing.done() or is_mutual_stall(kept),
        "the client to have written, or a mutual-stall",
        120,
    )
    client.read()
    wait_until(
        lambda: is_mutual_stall(kept)
        or (len(client.messages) == PUSHED and len(server.messages) == COUNT),
        lambda: f"all messages, not {len(client.messages)} down, {len(server.messages)} up; "
        f"log:\n{kept.daemon.tail()}",
        120,
    )
    assert len(server.conversations) == 1, kept.daemon.tail()
    if is_mutual_stall(kept):
        code, _ = client.wait_closed(120)
        assert code == 1013
    else:
        check_delivery(server.numbers_by_connection, COUNT)
    assert client.numbers == list(range(len(client.messages)))
    check_memory(kept, 2 * 64 * MIB)


def test_mutual_stall_is_named(scene: Scene) -> None:
    """Two sides that never read end as `mutual-stall`, and the client is closed with 1013."""
    over = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.socket.settimeout(120)
        while not over.is_set():
            connection.send_text(noise(65536))

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        client={"max_message": "1MiB"},
        upstream={"max_message": "1MiB"},
        heartbeat={"stall_timeout": "2s"},
        session={"drain_timeout": "20s"},
        delivery={"max_bytes": "1MiB", "inbox_max_bytes": "1MiB", "ack_timeout": "300s"},
    )
    client = scene.websockets_client(kept.url, reading=False)
    client.send_many([noise(65536)] * 1000)
    wait_until(
        lambda: is_mutual_stall(kept),
        lambda: f"a mutual-stall; log:\n{kept.daemon.tail()}",
        60,
    )
    client.read()
    code, _ = client.wait_closed(60)
    over.set()
    assert code == 1013
    kept.daemon.wait_for("session-end", cause="mutual-stall")
    check_memory(kept, 2 * MIB)


@pytest.mark.parametrize("client_kind", ["websockets", "node"])
def test_slow_client_holds_the_server_back(scene: Scene, client_kind: str) -> None:
    """A client that does not read stops the server; later it gets everything, in order."""
    size, count = 65536, 1600
    server = scene.websockets_server()
    kept = scene.keep(server.url, delivery={"inbox_max_bytes": "16MiB"})
    client = scene.client(kept.url, client_kind, reading=False)
    kept.wait_open(server)
    pushing = server.send_many([numbered(number, size) for number in range(count)])
    wait_until_still(lambda: kept.daemon.resident_bytes)
    assert not pushing.done()
    client.send("the way up is free")
    wait_until(lambda: server.messages, "the client's message")
    client.read()
    wait_until(lambda: len(client.messages) == count, "all messages", 60)
    assert client.numbers == list(range(count))
    assert len(server.conversations) == 1
    check_memory(kept, 16 * MIB)


def test_slow_server_holds_the_client_back(scene: Scene) -> None:
    """A server that does not read stops the client; later it gets everything, once."""
    size, count = 65536, 1600
    may_read = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        may_read.wait(60)
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = scene.keep(server.url, delivery={"max_bytes": "32MiB"})
    client = scene.websockets_client(kept.url)
    writing = client.send_many([numbered(number, size) for number in range(count)])
    wait_until_still(lambda: client.sent_count)
    assert not writing.done()
    may_read.set()
    wait_until(lambda: len(server.messages) == count, "all messages", 60)
    assert check_delivery(server.numbers_by_connection, count).repeated == 0
    assert len(server.conversations) == 1
    check_memory(kept, 32 * MIB)


@pytest.mark.parametrize("limit", [{"max_messages": 50}, {"max_bytes": "16MiB"}], ids=str)
def test_full_outbox_pauses_and_drains(scene: Scene, limit: dict[str, Any]) -> None:
    """At the outbox's limit the client is not read, nothing is lost, and all of it drains."""
    size, count = 65536, 1000
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    kept = scene.keep(wire.url, listen=scene.unix_listen(), delivery=limit)
    client = scene.websockets_client(kept.url)
    writing = client.send_many([numbered(number, size) for number in range(count)])
    wait_until_still(lambda: client.sent_count)
    assert not writing.done()
    assert client.sent_count >= 50
    wire.open_listener()
    wait_until(lambda: len(server.messages) == count, "all messages", 60)
    assert check_delivery(server.numbers_by_connection, count).repeated == 0
    assert client.close() == (1000, "")
    check_memory(kept, 16 * MIB)


def test_drop_oldest(scene: Scene) -> None:
    """`overflow: drop-oldest` keeps the newest messages, and counts the others."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    kept = scene.keep(wire.url, delivery={"max_messages": 100, "overflow": "drop-oldest"})
    client = scene.websockets_client(kept.url)
    for number in range(250):
        client.send(numbered(number))
    client.ping()
    wire.open_listener()
    wait_until(lambda: len(server.messages) >= 100, "the newest messages")
    assert client.close() == (1000, "")
    assert server.numbers_by_connection == [list(range(150, 250))]
    dropped = kept.daemon.find("given-up", cause="overflow")
    assert sum(event["count"] for event in dropped) == 150
    assert sum(event["bytes"] for event in dropped) == 150 * 8
    assert kept.daemon.wait_for("session-end")["given_up"] == 150


def test_overflow_close(scene: Scene) -> None:
    """`overflow: close` ends the client with 1013."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        delivery={"max_messages": 100, "overflow": "close"},
    )
    client = scene.websockets_client(kept.url)
    client.send_many([numbered(number) for number in range(250)])
    code, _ = client.wait_closed()
    assert code == 1013
    assert kept.daemon.wait_for("session-end")["cause"] == "overflow"


def test_inbox_overflow_close(scene: Scene) -> None:
    """`inbox_overflow: close` ends a client that does not read with 1013."""
    server = scene.websockets_server()
    kept = scene.keep(
        server.url,
        upstream={"max_message": "1MiB"},
        session={"drain_timeout": "20s"},
        delivery={"inbox_max_bytes": "1MiB", "inbox_overflow": "close"},
    )
    client = scene.websockets_client(kept.url, reading=False)
    kept.wait_open(server)
    server.send_many([noise(65536)] * 1000)
    wait_until(
        lambda: any(e.get("cause") == "overflow" for e in kept.daemon.events), "an overflow"
    )
    client.read()
    code, _ = client.wait_closed()
    assert code == 1013
    wait_until(lambda: not server.is_connected, "the upstream to end")


def test_memory_max_bounds_all_sessions(scene: Scene) -> None:
    """memory_max pauses clients whose own limits are not reached, and lets all of it through."""
    size, count, clients_count = 65536, 500, 4  # each alone has more than memory_max
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    link = scene.link(wire.url, listen=scene.unix_listen())
    daemon = scene.start(link, memory_max="16MiB")
    kept = Kept(daemon, link)
    clients = [scene.websockets_client(kept.url) for _ in range(clients_count)]
    messages = [numbered(number, size) for number in range(count)]
    writing = [client.send_many(messages) for client in clients]
    wait_until_still(lambda: [client.sent_count for client in clients])
    assert not any(future.done() for future in writing)
    assert sum(client.sent_count for client in clients) * size >= 14 * MIB
    wire.open_listener()
    wait_until(lambda: len(server.messages) == clients_count * count, "all messages", 60)
    for conversation in server.conversations:
        assert conversation.numbers == list(range(count))
    check_memory(kept, 16 * MIB)


def test_what_waits_for_a_client_counts(scene: Scene) -> None:
    """What one client does not read fills memory_max: a message of another finds no room."""

    def push(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.write(encode(BINARY, bytes(1000)) * 16_384)  # four times memory_max
        connection.serve_to_end(answer_pings)

    slow = scene.link(
        scene.raw_server(push).url, name="slow", listen=scene.unix_listen(), delivery=PATIENT
    )
    quick = scene.link(
        scene.websockets_server(echo=True).url, name="quick", delivery={"overflow": "close"}
    )
    daemon = scene.start(slow, quick, memory_max="4MiB", workers=1)  # two tell each other now and then
    reader = scene.websockets_client(Kept(daemon, slow).url, reading=False)
    client = scene.raw_client(Kept(daemon, quick).port)
    client.handshake()

    def is_turned_away() -> bool:
        with contextlib.suppress(OSError):  # it may be, meanwhile
            client.send(BINARY, bytes(2000))  # more than the pushed ones can leave
        return bool(daemon.find("session-end", link="quick", cause="overflow"))

    wait_until(is_turned_away, daemon.tail)
    reader.read()
    wait_until(lambda: len(reader.messages) == 16_384, "all that waited")


def test_client_that_never_reads_disturbs_nobody(scene: Scene) -> None:
    """While one client is held back, another one's messages go both ways."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(
        server.url, listen=scene.unix_listen(), delivery={"inbox_max_bytes": "16MiB"}
    )
    slow = scene.websockets_client(kept.url, reading=False)
    writing = slow.send_many([noise(65536)] * 4000)  # more than both and TCP between them hold
    wait_until_still(lambda: slow.sent_count)
    assert not writing.done()
    quick = scene.websockets_client(kept.url)
    for number in range(100):
        quick.send(numbered(number))
    wait_until(lambda: len(quick.messages) == 100, "the quick client's echoes")
    assert quick.numbers == list(range(100))
