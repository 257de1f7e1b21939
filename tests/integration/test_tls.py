"""TLS on both sides: nothing else is different with it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Callable

import pytest

from certificates import Authority, Identity
from frames import CLOSE, PONG, Frame
from messages import check_delivery, noise, numbered
from polling import wait_until, wait_until_still
from raw_peers import RawServerConnection, answer_pings
from scene import Kept, Scene
from tls_peers import secure_server, wait_for_end
from tls_scene import (  # noqa: F401
    MIB,
    VERSIONS,
    VERSION_NAMES,
    authority,
    client_of,
    folder,
    identity,
    keep,
    keep_listening,
    server_of,
    version_id,
)
from wskeepd_process import is_sanitized


# ---- messages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("kind", ["websockets", "node"])
def test_messages_pass_both_ways(
    scene: Scene, authority: Authority, identity: Identity, kind: str, version: ssl.TLSVersion
) -> None:
    """Every size arrives whole, each way, in either version of TLS."""
    server = server_of(scene, kind, identity, version, echo=True)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    sent = [noise(size) for size in (0, 1, 125, 126, 16383, 16384, 16385, 65536, 1_000_000)]
    for text in sent:
        client.send(text)
    client.send(b"\0\xff" * 5000)
    wait_until(lambda: len(client.messages) == len(sent) + 1, "the echoes")
    assert client.messages == server.messages
    assert [m.size for m in client.messages] == [len(text) for text in sent] + [10000]
    assert kept.daemon.wait_for("secured")["tls_version"] == VERSION_NAMES[version]


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("kind", ["websockets", "node"])
def test_clients_use_tls(
    scene: Scene, authority: Authority, identity: Identity, kind: str, version: ssl.TLSVersion
) -> None:
    server = scene.websockets_server(echo=True)
    kept = keep_listening(scene, identity, server.url)
    if kind == "websockets":
        context = authority.client_context()
        context.minimum_version = context.maximum_version = version
        client: Any = scene.websockets_client(kept.url, tls=context)
    else:
        client = client_of(scene, kept, kind, authority)
    for size in (0, 1, 16384, 16385, 1_000_000):
        client.send(noise(size))
    wait_until(lambda: len(client.messages) == 5, "the echoes")
    assert client.messages == server.messages
    assert client.close() == (1000, "")
    assert kept.daemon.wait_for("session-end")["given_up"] == 0


@pytest.mark.parametrize("up,down", [("wss", "wss"), ("wss", "ws"), ("ws", "wss")])
def test_large_messages(
    scene: Scene, authority: Authority, identity: Identity, up: str, down: str
) -> None:
    """15 MiB in one message, there and back."""
    server = server_of(scene, "websockets", identity, echo=True) if up == "wss" else (
        scene.websockets_server(echo=True)
    )
    if down == "wss":
        upstream = {"tls": {"ca": authority.cert}} if up == "wss" else {}
        kept = keep_listening(scene, identity, server.url, upstream=upstream)
        client = client_of(scene, kept, "websockets", authority)
    else:
        kept = keep(scene, authority, server.port)
        client = scene.client(kept.url)
    for number in range(3):
        client.send(numbered(number, 15 * MIB))
    wait_until(lambda: len(client.messages) == 3, "the echoes", 120)
    assert client.messages == server.messages
    assert client.numbers == [0, 1, 2]


def test_small_messages_share_records(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """What is sent in one turn is one record, or as few as hold it: each costs 22 bytes."""
    count, size = 1000, 10
    server = server_of(scene, "websockets", identity)
    wire = scene.wire(server)
    kept = keep(scene, authority, wire.port)
    client = scene.raw_client(kept.port)
    client.handshake()
    kept.wait_open(server)
    before = wire.forwarded_bytes("up")
    client.write(b"".join(b"\x82\x8a\0\0\0\0" + b"%010d" % n for n in range(count)))
    wait_until(lambda: len(server.messages) == count, "the messages")
    wire.settle()
    sent = wire.forwarded_bytes("up") - before
    assert count * (size + 6) < sent < count * (size + 6) * 1.2


# ---- breaks -----------------------------------------------------------------------------------


@dataclass
class Stage:
    server: Any
    wire: Any
    kept: Kept


def lose_what_is_held(stage: Stage) -> None:
    stage.wire.reset()
    stage.wire.flow()


BREAKS: dict[str, tuple[Callable[[Stage], None], Callable[[Stage], None], dict[str, Any]]] = {
    "reset": (lambda s: s.wire.reset(), lambda s: None, {"cause": "tcp-reset"}),
    "fin": (lambda s: s.wire.cut(), lambda s: None, {"cause": "tcp-eof"}),
    "interrupted": (
        lambda s: s.server.close(1000, "interrupted"),
        lambda s: None,
        {"cause": "closed", "code": 1000},
    ),
    "silence": (lambda s: s.wire.stall(), lose_what_is_held, {"cause": "heartbeat-timeout"}),
}


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("kind", ["websockets", "node"])
@pytest.mark.parametrize("name", BREAKS)
def test_client_stays_through(
    scene: Scene,
    authority: Authority,
    identity: Identity,
    name: str,
    kind: str,
    version: ssl.TLSVersion,
) -> None:
    """Nothing is lost in a break of a TLS connection, and its session is resumed."""
    strike, mend, expect = BREAKS[name]
    server = server_of(scene, kind, identity, version)
    wire = scene.wire(server, seed=7, ragged=True)
    kept = keep(
        scene,
        authority,
        wire.port,
        upstream={"connect_timeout": "1s"},
        heartbeat={"interval": "500ms", "timeout": "2s"},
    )
    stage = Stage(server, wire, kept)
    client = scene.client(kept.url)
    kept.wait_open(server)
    for number in range(20):
        client.send(numbered(number, 2000))
    wait_until(lambda: server.messages, "a message")
    strike(stage)
    for number in range(20, 40):
        client.send(numbered(number, 2000))
    kept.daemon.wait_for_move("waiting", from_="open", **expect)
    mend(stage)
    for number in range(40, 60):
        client.send(numbered(number, 2000))
    wait_until(lambda: server.numbers_seen >= set(range(60)), "60 messages")
    check_delivery(server.numbers_by_connection, 60)
    server.send("after")
    wait_until(lambda: client.messages, "a message from the server")
    assert client.texts == ["after"]
    kept.daemon.wait_for("secured", tls_session="resumed")


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
def test_last_words_before_a_reset(
    scene: Scene, authority: Authority, identity: Identity, version: ssl.TLSVersion
) -> None:
    """20 messages, a Pong and Close 4001 count although a reset follows while wskeepd writes."""
    acknowledged: list[int] = []
    context = identity.server_context(version)

    def script(connection: RawServerConnection) -> None:
        secure_server(connection, context)
        connection.upgrade()

        def last_words(connection: RawServerConnection, ping: Frame) -> None:
            messages = len(connection.conversation.messages)
            if messages < 3:
                connection.pong(ping)
                return
            acknowledged.append(messages)
            for number in range(20):
                connection.send_text(numbered(number))
            connection.send(PONG, ping.payload)
            connection.send_close(4001, "bye")
            connection.wait_flushed()
            connection.reset()

        connection.serve(last_words)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    client.send_many([numbered(number, 500_000) for number in range(60)])
    assert client.wait_closed() == (4001, "bye")
    assert client.numbers == list(range(20))
    end = kept.daemon.wait_for("session-end")
    assert (end["cause"], end["received"]) == ("closed", 20)
    assert end["given_up"] <= 60 - acknowledged[0]
    assert len(server.conversations) == 1


def test_last_message_and_close_notify_in_one_piece(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """A server that says goodbye and waits for ours: the end is seen without another byte."""
    context = identity.server_context()
    answers: list[str] = []

    def script(connection: RawServerConnection) -> None:
        sock = secure_server(connection, context)
        connection.upgrade()
        if connection.number > 1:
            connection.serve_to_end(answer_pings)
            return
        connection.send_text("last")
        sock.settimeout(20)
        sock.unwrap()  # returns when wskeepd has said goodbye as well
        answers.append("goodbye")

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port, heartbeat={"interval": "never"})
    client = scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="tcp-eof", from_="open")
    wait_until(lambda: client.texts == ["last"], "the message")
    wait_until(lambda: answers == ["goodbye"], "our goodbye")


def test_garbage_on_an_open_connection(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """What came before it counts, nothing after; then there is a new connection."""
    context = identity.server_context()

    def script(connection: RawServerConnection) -> None:
        raw = connection.socket.dup()
        secure_server(connection, context)
        connection.upgrade()
        if connection.number == 1:
            connection.send_text("good")
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x81\x04evil" * 5 + b"xx")
            wait_for_end(raw)
        raw.close()
        connection.send_text("again")
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = keep(
        scene,
        authority,
        server.port,
        close_rules=[{"cause": "tls-failed", "then": "reconnect"}],
    )
    client = scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="tls-failed", from_="open")
    assert move["why"] == "decryption failed or bad record mac"
    wait_until(lambda: client.texts == ["good", "again"], lambda: str(client.texts))


def test_end_is_not_cut_short(scene: Scene, authority: Authority, identity: Identity) -> None:
    """After our Close comes close_notify, then the end of TCP."""
    ends: list[object] = []
    context = identity.server_context()

    def script(connection: RawServerConnection) -> None:
        sock = secure_server(connection, context)
        connection.upgrade()
        close = connection.serve(answer_pings)
        connection.send(CLOSE, close.payload)
        try:
            ends.append(sock.recv(1))
        except OSError as error:
            ends.append(error)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    client.send("x")
    assert client.close(1000, "done") == (1000, "done")
    wait_until(lambda: ends, "the end")
    assert ends == [b""]  # an end without close_notify raises


@pytest.mark.slow(14)
def test_many_reconnections(scene: Scene, authority: Authority, identity: Identity) -> None:
    """100 reconnections: no growth of descriptors or memory."""
    server = server_of(scene, "websockets", identity)
    wire = scene.wire(server)
    kept = keep(
        scene,
        authority,
        wire.port,
        reconnect={"initial_delay": "0ms", "max_delay": "100ms", "jitter": "none"},
    )
    client = scene.client(kept.url)
    descriptors, memory = 0, 0
    for number in range(100):
        kept.wait_open(server)
        if number == 30:
            descriptors, memory = kept.daemon.descriptor_count, kept.daemon.resident_bytes
        wire.reset() if number % 2 else wire.cut()
        kept.daemon.wait_for_move("waiting", number + 1)
    kept.wait_open(server)
    client.send("x")
    wait_until(lambda: server.messages, "the message")
    assert kept.daemon.descriptor_count <= descriptors + 1
    if not is_sanitized():
        assert kept.daemon.resident_bytes - memory < 256 * 1024
    assert len(kept.daemon.find("secured", tls_session="resumed")) >= 99


# ---- backpressure -----------------------------------------------------------------------------


@pytest.mark.slow(10)
def test_client_that_does_not_read(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """It holds the server back through TLS on both sides, in bounded memory; then all arrives."""
    count, size = 1500, 65536
    server = server_of(scene, "node", identity, push={"count": count, "size": size})
    kept = keep_listening(
        scene,
        identity,
        server.url,
        upstream={"tls": {"ca": authority.cert}, "max_message": "1MiB"},
        delivery={"inbox_max_bytes": "4MiB"},
    )
    client = client_of(scene, kept, "websockets", authority, reading=False)
    kept.wait_open(server)
    wait_until_still(lambda: kept.daemon.resident_bytes, 0.5)
    if not is_sanitized():
        assert kept.daemon.resident_bytes_max < 32 * MIB
    client.send("meanwhile")
    wait_until(lambda: server.messages, "the other direction")
    client.read()
    wait_until(lambda: len(client.messages) == count, "all messages", 120)
    assert client.numbers == list(range(count))


@pytest.mark.slow(10)
def test_server_that_does_not_read(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """It holds the client back, too."""
    count, size = 2500, 65536  # more than the kernel holds on both legs
    server = server_of(scene, "node", identity)
    kept = keep_listening(
        scene,
        identity,
        server.url,
        upstream={"tls": {"ca": authority.cert}},
        client={"max_message": "1MiB"},
        delivery={"max_bytes": "4MiB", "window_bytes": "64MiB", "ack_timeout": "300s"},
        heartbeat={"interval": "never", "stall_timeout": "never"},
    )
    client = client_of(scene, kept, "websockets", authority)
    kept.wait_open(server)
    wait_until(lambda: server.is_connected, "the connection")
    server.read(False)
    client.send_many([numbered(number, size) for number in range(count)])
    wait_until_still(lambda: client.sent_count, 0.5)
    assert client.sent_count < count
    if not is_sanitized():
        assert kept.daemon.resident_bytes_max < 32 * MIB
    server.send("meanwhile")
    wait_until(lambda: client.messages, "the other direction")
    server.read(True)
    wait_until(lambda: len(server.messages) == count, "all messages", 120)
    assert check_delivery(server.numbers_by_connection, count).repeated == 0


# ---- memory -----------------------------------------------------------------------------------


@pytest.mark.slow(5)
def test_idle_pairs_cost_little(
    scene: Scene, authority: Authority, identity: Identity, record_property: Any
) -> None:
    """A client and its upstream, both with TLS, at rest."""
    count = 100
    server = server_of(scene, "websockets", identity)
    kept = keep_listening(
        scene,
        identity,
        server.url,
        upstream={"tls": {"ca": authority.cert}, "compression": "off"},  # it has a cost of its own
    )

    def connect(number: int) -> None:
        client = client_of(scene, kept, "websockets", authority)
        client.send("x" * 1000)

    for number in range(10):
        connect(number)
    wait_until(lambda: len(server.messages) == 10, "ten messages")
    wait_until_still(lambda: kept.daemon.resident_bytes, 0.3)
    before = kept.daemon.resident_bytes
    for number in range(count):
        connect(number)
    wait_until(lambda: len(server.messages) == 10 + count, "the messages")
    wait_until_still(lambda: kept.daemon.resident_bytes, 0.3)
    each = (kept.daemon.resident_bytes - before) // count
    record_property("bytes_of_an_idle_pair", each)
    print(f"an idle TLS pair: {each} bytes")
    if not is_sanitized():
        assert each < 80 * 1024
