"""The tests' own tools do what they say: client, wire and server without wskeepd in between."""

from __future__ import annotations

import os
import time
import zlib

import pytest

from frames import CLOSE, PING, PONG, TEXT, Frame, FrameReader, encode
from messages import Message, check_delivery, numbered
from polling import wait_until, wait_until_still
from raw_peers import RawServerConnection, answer_pings
from scene import Scene
from websockets_peers import Refused
from wire import DOWN, UP

pytestmark = pytest.mark.no_daemon

SERVERS = ["websockets", "node"]
CLIENTS = ["websockets", "node"]


@pytest.mark.parametrize("server_kind", SERVERS)
@pytest.mark.parametrize("client_kind", CLIENTS)
def test_peers_speak_through_a_ragged_wire(
    scene: Scene, server_kind: str, client_kind: str
) -> None:
    """Text, binary, fragments, Pings and Closes cross a wire that splits bytes anywhere."""
    server = scene.server(server_kind, echo=True)
    wire = scene.wire(server, seed=7, ragged=True)
    client = scene.client(wire.url + "a?b=c", client_kind)
    binary = os.urandom(100_000)
    client.send("one")
    client.send(binary)
    client.send_fragments(["tw", "", "o"])
    wait_until(lambda: len(client.messages) == 3, "three echoes")
    wait_until(lambda: server.messages == client.messages, "the server's report")  # Node writes it apart
    assert [m.kind for m in client.messages] == ["text", "binary", "text"]
    assert client.messages[1].size == len(binary)
    assert client.messages[2].text == "two"
    assert server.latest.path == "/a?b=c"
    assert server.latest.headers["host"] == f"127.0.0.1:{wire.port}"
    client.ping()
    wait_until(lambda: server.has_acknowledged_all, "the Ping to be counted")
    server.ping(b"hello")
    server.send_fragments(["thr", "ee"])
    wait_until(lambda: len(client.messages) == 4, "a fragmented message")
    assert client.messages[3].text == "three"
    server.close(4001, "bye")
    assert client.wait_closed() == (4001, "bye")
    wait_until(lambda: not server.is_connected, "the server's side to end")


@pytest.mark.parametrize("server_kind", SERVERS)
@pytest.mark.parametrize("client_kind", CLIENTS)
def test_closes_show_their_code(scene: Scene, server_kind: str, client_kind: str) -> None:
    """An empty Close reads as 1005 on both sides, and a client's code reaches the server."""
    server = scene.server(server_kind)
    client = scene.client(server.url, client_kind)
    server.close_empty()
    assert client.wait_closed() == (1005, "")
    client = scene.client(server.url, client_kind)
    client.start_close_empty()
    assert client.wait_closed()[0] == 1005
    wait_until(lambda: server.latest.close_code == 1005, "the server to see 1005")
    client = scene.client(server.url, client_kind)
    assert client.close(3001, "done")[0] == 3001
    wait_until(lambda: server.latest.close_code == 3001, "the server to see 3001")
    assert server.latest.close_reason == "done"


@pytest.mark.parametrize("server_kind", SERVERS)
def test_servers_refuse_with_a_status(scene: Scene, server_kind: str) -> None:
    """answer_with() refuses upgrades until it is taken back."""
    server = scene.server(server_kind, subprotocols=["b"])
    for client_kind in CLIENTS:
        server.answer_with(503)
        with pytest.raises(Refused) as refused:
            scene.client(server.url, client_kind)
        assert refused.value.status == 503
        server.answer_with(None)
        client = scene.client(server.url, client_kind, subprotocols=["a", "b"])
        assert client.subprotocol == "b"
    assert server.requests == 4


@pytest.mark.parametrize("server_kind", SERVERS)
def test_cut_shows_as_fin(scene: Scene, server_kind: str) -> None:
    """cut() ends both sides with FIN and no Close."""
    server = scene.server(server_kind)
    wire = scene.wire(server)
    raw = scene.raw_client(wire.port)
    raw.handshake()
    wait_until(lambda: server.is_connected, "the connection")
    wire.cut()
    with pytest.raises(EOFError):
        raw.read()
    wait_until(lambda: server.latest.close_code == 1006, "the server to see 1006")
    assert not wire.live


@pytest.mark.parametrize("server_kind", SERVERS)
def test_reset_shows_as_rst(scene: Scene, server_kind: str) -> None:
    """reset() ends both sides with RST, and new connections work again."""
    server = scene.server(server_kind)
    wire = scene.wire(server)
    raw = scene.raw_client(wire.port)
    raw.handshake()
    wait_until(lambda: server.is_connected, "the connection")
    wire.reset()
    with pytest.raises(ConnectionResetError):
        raw.read()
    wait_until(lambda: server.latest.close_code == 1006, "the server to see 1006")
    scene.raw_client(wire.port).handshake()
    assert wire.attempts == 2


def test_stall_holds_bytes_and_flow_lets_them_go(scene: Scene) -> None:
    """A stalled wire keeps connections open, passes nothing on, and loses nothing."""
    server = scene.websockets_server(echo=True)
    wire = scene.wire(server)
    client = scene.websockets_client(wire.url)
    wire.stall(up=False, down=True)
    client.send("up only")
    wait_until(lambda: server.messages, "the way up to be open")
    assert client.messages == []
    wire.stall()
    client.send("held")
    wait_until_still(lambda: wire.forwarded_bytes(UP), 0.2)
    assert len(server.messages) == 1
    wire.flow()
    wait_until(lambda: client.texts == ["up only", "held"], "both echoes")


def test_refuse_and_come_back(scene: Scene) -> None:
    """A refusing wire has no listener; afterwards it has the same port."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    with pytest.raises(ConnectionRefusedError):
        scene.raw_client(wire.port)
    wire.open_listener()
    scene.raw_client(wire.port).handshake()


def test_mute_accepts_and_never_answers(scene: Scene) -> None:
    """A muted wire accepts, and the server hears of nothing."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.mute()
    raw = scene.raw_client(wire.port)
    raw.write(raw.request())
    wait_until(lambda: wire.attempts == 1, "the attempt to be counted")
    raw.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        raw.read_response()
    assert server.requests == 0
    wire.reset()
    wire.mute(False)
    scene.raw_client(wire.port).handshake()


def test_throttle_keeps_its_rate(scene: Scene) -> None:
    """200 kB at 200 kB/s take one second, with the wire's receive buffer bounded or not."""
    for receive_buffer_bytes in (None, 65536):
        server = scene.websockets_server()
        wire = scene.wire(server, receive_buffer_bytes=receive_buffer_bytes)
        wire.throttle(up=200_000)
        client = scene.websockets_client(wire.url)
        began = time.monotonic()
        client.send(os.urandom(200_000))
        wait_until(lambda: server.messages, "the message")
        assert time.monotonic() - began >= 0.95


def test_delay_holds_back(scene: Scene) -> None:
    """With a delay of 0.2 s a round trip takes at least 0.4 s."""
    server = scene.websockets_server(echo=True)
    wire = scene.wire(server)
    client = scene.websockets_client(wire.url)
    wire.delay(0.2)
    began = time.monotonic()
    client.send("there and back")
    wait_until(lambda: client.messages, "the echo")
    assert time.monotonic() - began >= 0.4


def test_reset_after_bytes_and_seconds(scene: Scene) -> None:
    """Connections end with RST after so many bytes, or after so long."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.reset_after(up_bytes=50_000)
    client = scene.websockets_client(wire.url)
    client.send(os.urandom(200_000))
    assert client.wait_closed() == (1006, "")
    assert server.messages == []
    assert 50_000 <= wire.forwarded_bytes(UP) <= 50_000 + 16384
    wire.reset_after(seconds=0.3)
    client = scene.websockets_client(wire.url)
    assert client.wait_closed() == (1006, "")


def test_counts_bytes_both_ways(scene: Scene) -> None:
    """forwarded_bytes() counts payload and framing, each way."""
    server = scene.websockets_server(echo=True)
    wire = scene.wire(server)
    client = scene.raw_client(wire.port)
    client.handshake()
    wire.settle()
    up, down = wire.forwarded_bytes(UP), wire.forwarded_bytes(DOWN)
    client.send(TEXT, b"x" * 1000)
    assert client.read().payload == b"x" * 1000
    wire.settle()
    assert wire.forwarded_bytes(UP) - up == 4 + 4 + 1000
    assert wire.forwarded_bytes(DOWN) - down == 4 + 1000


def test_raw_server_runs_its_script(scene: Scene) -> None:
    """A raw server decides itself about Pongs, and a real client can talk to it."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.send_text("hello")
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    client = scene.websockets_client(server.url)
    client.send("one")
    client.ping()
    assert client.close(3005, "enough") == (3005, "enough")
    assert client.texts == ["hello"]
    wait_until(lambda: server.latest.close_code == 3005, "the script to end")
    assert server.latest.texts == ["one"]
    assert server.latest.pings == 1


def test_raw_server_reset_delivers_what_was_flushed(scene: Scene) -> None:
    """Data that the peer's TCP acknowledged can be read although a RST came after it."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.send_text("last words")
        connection.wait_flushed()
        connection.reset()

    server = scene.raw_server(script)
    raw = scene.raw_client(server.port)
    raw.handshake()
    wait_until(lambda: not server.latest.is_open, "the script to end")
    assert raw.read().payload == b"last words"
    with pytest.raises(ConnectionResetError):
        raw.read()


def test_node_pauses(scene: Scene) -> None:
    """A Node client told not to read holds the server back."""
    server = scene.websockets_server()
    client = scene.node_client(server.url, reading=False)
    wait_until(lambda: server.is_connected, "the connection")
    sending = server.send_many([os.urandom(1 << 20)] * 96)
    wait_until_still(lambda: len(client.messages), 0.5)
    assert not sending.done()
    client.read()
    wait_until(lambda: len(client.messages) == 96, "all messages", 60)


def test_node_pushes_while_it_reads(scene: Scene) -> None:
    """A pushing Node server reads on although nobody takes what it writes."""
    server = scene.node_server(push={"count": 500, "size": 65536})
    client = scene.websockets_client(server.url, reading=False)
    client.send_many([numbered(number) for number in range(1000)]).result(30)
    wait_until(lambda: len(server.messages) == 1000, "the client's messages")
    assert len(client.messages) < 500
    client.read()
    wait_until(lambda: len(client.messages) == 500, "the server's messages")
    assert client.numbers == list(range(500))
    assert {m.size for m in client.messages} == {65536}


def test_frames_round_trip() -> None:
    """What encode() writes FrameReader reads, in every form of the length."""
    for size in (0, 1, 125, 126, 65535, 65536):
        for masked in (False, True):
            payload = os.urandom(size)
            raw = bytearray(encode(TEXT, payload, masked=masked))

            def receive(count: int) -> bytes:
                taken = bytes(raw[:count])
                del raw[:count]
                return taken

            assert FrameReader(receive).frame() == Frame(TEXT, payload, True, masked)
    assert encode(PING, b"a") == b"\x89\x01a"
    assert encode(PONG, b"", fin=False, rsv=4) == b"\x4a\x00"
    assert encode(CLOSE, b"ab", length_form=2) == b"\x88\x7e\x00\x02ab"
    assert encode(TEXT, b"", announced_bytes=1 << 63) == b"\x81\x7f\x80" + b"\0" * 7


def test_delivery_check_finds_gaps_and_disorder() -> None:
    """check_delivery() accepts repeats after a break only, and nothing lost or swapped."""
    assert check_delivery([[0, 1, 2]], 3).repeated == 0
    assert check_delivery([[0, 1], [], [1, 2]], 3).repeated == 1
    assert check_delivery([[0, 1], [0, 1, 2]], 3).repeated == 2
    assert check_delivery([[0, 1], [1, 2]], 3, acknowledged=[1, 3]).repeated == 1
    for wrong in (
        [[0, 2]],
        [[0, 1, 1, 2]],
        [[0, 2, 1]],
        [[0], [2]],
        [[1, 2]],
        [[0, 1]],
        [[0, 1], [1, 1, 2]],
    ):
        with pytest.raises(AssertionError):
            check_delivery(wrong, 3)
    with pytest.raises(AssertionError):
        check_delivery([[0, 1], [0, 1, 2]], 3, acknowledged=[1, 3])


def test_numbered_messages_keep_their_number_at_any_size() -> None:
    """numbered() pads to the size asked for."""
    assert numbered(12) == "00000012"
    assert len(numbered(12, 5000)) == 5000
    assert Message.of(numbered(12, 5000)).number == 12
    assert len(zlib.compress(numbered(12, 50_000).encode())) > 35_000
