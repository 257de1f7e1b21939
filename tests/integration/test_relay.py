"""What goes in comes out: every kind and size of message, both ways, over a quiet link."""

from __future__ import annotations

import os
import pathlib
import random
import stat
from typing import Union

import pytest

from frames import BINARY, CONTINUATION, PING, PONG, TEXT, encode
from messages import Message, check_delivery, numbered
from polling import wait_until
from raw_peers import RawServerConnection
from scene import Scene
from wire import UP

SIZES = [0, 1, 125, 126, 65535, 65536, 10 * 1024 * 1024]
PAIRS = [("websockets", "node"), ("node", "websockets")]


def text_of(size: int) -> str:
    """ASCII, so that characters are bytes, and not the same everywhere."""
    return ("".join(chr(33 + n % 90) for n in range(997)) * (size // 997 + 1))[:size]


@pytest.mark.parametrize("server_kind,client_kind", PAIRS)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_there_and_back(
    scene: Scene, server_kind: str, client_kind: str, size: int
) -> None:
    """A text and a binary message of each size reach the server and come back unchanged."""
    server = scene.server(server_kind, echo=True)
    kept = scene.keep(server.url)
    client = scene.client(kept.url, client_kind)
    sent: list[Union[str, bytes]] = [text_of(size), os.urandom(size)]
    for data in sent:
        client.send(data)
    wait_until(lambda: len(client.messages) == 2, "both echoes")
    expected = [Message.of(data) for data in sent]
    wait_until(lambda: server.messages == expected, "the server's report")  # Node writes it apart
    assert client.messages == expected
    assert len(server.conversations) == 1


@pytest.mark.parametrize("server_kind,client_kind", PAIRS)
def test_fragments_arrive_as_one_message(
    scene: Scene, server_kind: str, client_kind: str
) -> None:
    """A message sent in fragments, by either side, arrives whole; empty fragments count as such."""
    server = scene.server(server_kind)
    kept = scene.keep(server.url)
    client = scene.client(kept.url, client_kind)
    kept.wait_open(server)
    parts = ["Zwölf ", "", "Boxkämpfer ", "jagen 🥊", ""]
    blobs = [os.urandom(size) for size in (1, 0, 70_000, 125)]
    client.send_fragments(parts)
    client.send_fragments(blobs)
    server.send_fragments(parts)
    server.send_fragments(blobs)
    expected = [Message.of("".join(parts)), Message.of(b"".join(blobs))]
    wait_until(lambda: len(server.messages) == 2, "both messages at the server")
    wait_until(lambda: len(client.messages) == 2, "both messages at the client")
    assert server.messages == expected
    assert client.messages == expected


def test_text_split_inside_a_character(scene: Scene) -> None:
    """UTF-8 may be cut between any two fragments, with control frames in between."""
    received: list[bytes] = []

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        character = "🥊".encode()
        connection.send(TEXT, character[:1], fin=False)
        connection.send(PING, b"between")
        connection.send(CONTINUATION, character[1:3], fin=False)
        connection.send(CONTINUATION, character[3:])
        while True:
            frame = connection.read()
            if frame.opcode == PONG:
                received.append(frame.payload)
            elif frame.opcode == PING:
                connection.pong(frame)

    server = scene.raw_server(script)
    client = scene.websockets_client(scene.keep(server.url).url)
    wait_until(lambda: client.texts == ["🥊"], "the message")
    wait_until(lambda: received == [b"between"], "the Pong")


def test_one_byte_at_a_time(scene: Scene) -> None:
    """A client whose frames come byte by byte is understood, a ragged upstream too."""
    server = scene.websockets_server(echo=True)
    wire = scene.wire(server, seed=11, ragged=True)
    kept = scene.keep(wire.url)
    client = scene.raw_client(kept.port)
    for byte in client.request():
        client.write(bytes([byte]))
    assert client.read_response().status == 101
    for size in (0, 5, 126, 3000):
        payload = os.urandom(size)
        for byte in encode(BINARY, payload, masked=True):
            client.write(bytes([byte]))
        assert client.read_until(BINARY).payload == payload


def test_many_messages_keep_their_order(scene: Scene) -> None:
    """20,000 messages of mixed sizes arrive in order, once, on one connection."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    client = scene.websockets_client(kept.url)
    sizes = random.Random(5)
    messages = [numbered(n, sizes.choice((8, 60, 126, 1000, 5000))) for n in range(20_000)]
    client.send_many(messages)
    wait_until(lambda: len(server.messages) >= len(messages), "all messages", 60)
    assert check_delivery(server.numbers_by_connection, len(messages)).repeated == 0
    assert [m.size for m in server.messages] == [len(m) for m in messages]
    assert len(server.conversations) == 1


def test_client_frames_upstream_are_masked_afresh(scene: Scene) -> None:
    """Each frame to the upstream has a mask of its own: equal messages differ on the wire."""
    heads: list[bytes] = []

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        while len(heads) < 200:
            first, second = connection.reader.exactly(2)
            assert second & 0x80 and second & 0x7F <= 125
            key = connection.reader.exactly(4)
            connection.reader.exactly(second & 0x7F)
            if first & 0x0F == TEXT:
                heads.append(key)

    server = scene.raw_server(script)
    kept = scene.keep(server.url, delivery={"acknowledge": "sent"})
    client = scene.websockets_client(kept.url)
    client.send_many(["the same"] * 200)
    wait_until(lambda: len(heads) == 200, "200 frames")
    assert len(set(heads)) >= 195


def test_each_client_has_an_upstream_of_its_own(scene: Scene) -> None:
    """Twenty clients of one link do not see each other's messages."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url)
    clients = [scene.websockets_client(kept.url) for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(f"client {number}")
    for number, client in enumerate(clients):
        wait_until(lambda: client.messages, f"the echo of client {number}")
        assert client.texts == [f"client {number}"]
    assert len(server.conversations) == 20


def test_several_listeners_and_links(scene: Scene, tmp_path: pathlib.Path) -> None:
    """A link listens on several addresses, Unix sockets among them, and links are apart."""
    first = scene.websockets_server()
    second = scene.node_server()
    path = tmp_path / "game.sock"
    port = scene.port()
    listen = [f"ws://127.0.0.1:{port}", f"ws+unix:{path}"]
    game = scene.link(first.url, listen=listen, client={"mode": "0600"})
    chat = scene.link(second.url, name="chat")
    daemon = scene.start(game, chat)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {e["address"] for e in daemon.find("listening", link="game")} == set(listen)
    over_unix = scene.websockets_client("ws://localhost/", unix_path=str(path))
    over_tcp = scene.websockets_client(listen[0])
    other = scene.websockets_client(chat["listen"])
    over_unix.send("unix")
    over_tcp.send("tcp")
    other.send("other")
    wait_until(lambda: {m.text for m in first.messages} == {"unix", "tcp"}, "both at game")
    wait_until(lambda: [m.text for m in second.messages] == ["other"], "one at chat")


def test_upstream_gets_a_proper_handshake(scene: Scene) -> None:
    """The upstream's request has its own Host, version 13, the configured headers and no Origin."""
    server = scene.websockets_server()
    kept = scene.keep(
        server.url + "ws?v=1",
        upstream={"headers": {"Authorization": "Bearer abc"}},
    )
    scene.websockets_client(kept.url + "/ignored", headers={"X-Other": "8", "Cookie": "a=b"})
    kept.wait_open(server)
    headers = server.latest.headers
    assert server.latest.path == "/ws?v=1"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["sec-websocket-version"] == "13"
    assert headers["authorization"] == "Bearer abc"
    assert not {"x-other", "cookie", "origin"} & set(headers)


def test_descriptors_come_back(scene: Scene) -> None:
    """A hundred sessions that came and went leave no descriptor behind."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(wire.url)
    scene.websockets_client(kept.url).close()
    kept.daemon.wait_for("session-end")
    wait_until(lambda: not wire.live, "the first upstream to end")
    before = kept.daemon.descriptor_count
    for _ in range(100):
        client = scene.websockets_client(kept.url)
        client.send("hello")
        client.close()
    kept.daemon.wait_for("session-end", 101)
    wait_until(lambda: kept.daemon.descriptor_count <= before, "the descriptors to come back")
    assert len(server.messages) == 100
    assert wire.forwarded_bytes(UP) > 0
