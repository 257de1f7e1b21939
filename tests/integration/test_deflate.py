"""permessage-deflate (RFC 7692) on both legs: with independent peers, and with those who break it."""

from __future__ import annotations

import random
import threading
import time
import zlib
from typing import Any, Optional

import pytest
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode
from messages import Message, check_delivery, noise
from polling import wait_until
from raw_peers import RawClient, RawServerConnection
from scene import Kept, Scene
from wskeepd_process import is_sanitized

MIB = 1024 * 1024
OURS = "permessage-deflate"
OFFER = "permessage-deflate; client_max_window_bits"
RSV1 = 4


def sentence(size: int, seed: int) -> str:
    """Text as applications send it: it shrinks to about a third."""
    chance = random.Random(seed)
    words = []
    length = 0
    while length < size:
        word = f'{{"symbol":"S{chance.randrange(500)}","price":{chance.randrange(90000) / 100}}},'
        words.append(word)
        length += len(word)
    return "".join(words)[:size]


def incompressible(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def numbered_sentence(number: int, size: int) -> str:
    return f"{number:08d}" + sentence(size - 8, number)


class Packer:
    """The deflating half of a peer."""

    def __init__(self, bits: int = 15, level: int = 6) -> None:
        self._stream = zlib.compressobj(level, zlib.DEFLATED, -bits)

    def __call__(self, data: bytes) -> bytes:
        packed = self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        assert packed.endswith(b"\0\0\xff\xff")
        return packed[:-4]


class Unpacker:
    """The inflating half of a peer, with no more window than was agreed on."""

    def __init__(self, bits: int = 15) -> None:
        self._stream = zlib.decompressobj(-bits)

    def __call__(self, data: bytes) -> bytes:
        done = bytearray()
        rest = data + b"\0\0\xff\xff"
        while rest:  # so little at a time that the window has to do
            done += self._stream.decompress(rest, 1)
            rest = self._stream.unconsumed_tail
            if not rest:
                while more := self._stream.decompress(b"", 1):
                    done += more
        return bytes(done)


def packed(data: bytes) -> bytes:
    return Packer()(data)


# ---- with libraries ---------------------------------------------------------------------------

SIZES = (1, 100, 127, 128, 129, 300, 1023, 1024, 4000, 17000, 70_000, 300_000)

WEBSOCKETS_SERVERS: dict[str, Any] = {
    "as it is": True,
    "no takeover": ServerPerMessageDeflateFactory(
        server_no_context_takeover=True, client_no_context_takeover=True
    ),
    "small windows": ServerPerMessageDeflateFactory(
        server_max_window_bits=9, client_max_window_bits=9
    ),
    "server forgets": ServerPerMessageDeflateFactory(server_no_context_takeover=True),
    "client forgets": ServerPerMessageDeflateFactory(
        client_no_context_takeover=True, client_max_window_bits=12
    ),
}

NODE_OPTIONS: dict[str, Any] = {
    "as it is": True,
    "everything": {"threshold": 0},
    "no takeover": {
        "threshold": 0,
        "serverNoContextTakeover": True,
        "clientNoContextTakeover": True,
    },
    "windows of 8": {"threshold": 0, "serverMaxWindowBits": 8, "clientMaxWindowBits": 8},
    "windows of 10 and 11": {"threshold": 0, "serverMaxWindowBits": 10, "clientMaxWindowBits": 11},
    "off": False,
}


def check_both_ways(kept: Kept, scene: Scene, server: Any, client: Any) -> None:
    """The same messages in all sizes, text and binary, come back from an echoing server."""
    kept.wait_open(server)
    sent: list[Any] = []
    for size in SIZES:
        sent += [sentence(size, size), sentence(size, size).encode(), incompressible(size)]
    sent += [bytes(5000), "", b""]
    sent += [sentence(200 + number, number % 7) for number in range(300)]
    for data in sent:
        client.send(data)
    wait_until(
        lambda: len(client.messages) == len(sent),
        lambda: f"{len(client.messages)} of {len(sent)}; log:\n{kept.daemon.tail()}",
        120,
    )
    assert client.messages == [Message.of(data) for data in sent]
    wait_until(lambda: server.messages == client.messages, "the server's report")  # Node writes it apart
    assert len(server.conversations) == 1


@pytest.mark.parametrize("name", WEBSOCKETS_SERVERS)
def test_websockets_server(scene: Scene, name: str) -> None:
    """python's websockets upstream, in each of its ways; the client's side is plain."""
    server = scene.websockets_server(echo=True, deflate=WEBSOCKETS_SERVERS[name])
    kept = scene.keep(server.url)
    client = scene.websockets_client(kept.url, deflate=True)
    assert client.extensions == ""  # it offers; off is the default
    check_both_ways(kept, scene, server, client)
    assert server.conversations[0].headers["sec-websocket-extensions"] == OFFER


@pytest.mark.parametrize("name", NODE_OPTIONS)
def test_node_server(scene: Scene, name: str) -> None:
    """Node's ws upstream, in each of its ways."""
    server = scene.node_server(echo=True, deflate=NODE_OPTIONS[name])
    kept = scene.keep(server.url)
    check_both_ways(kept, scene, server, scene.websockets_client(kept.url))


CLIENTS: dict[str, tuple[str, Any]] = {
    "websockets as it is": ("websockets", True),
    "websockets, no takeover": (
        "websockets",
        ClientPerMessageDeflateFactory(
            server_no_context_takeover=True, client_no_context_takeover=True
        ),
    ),
    "websockets, small windows": (
        "websockets",
        ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
    ),
    "node as it is": ("node", True),
    "node, everything": ("node", {"threshold": 0}),
    "node, no takeover": (
        "node",
        {"threshold": 0, "serverNoContextTakeover": True, "clientNoContextTakeover": True},
    ),
    "node, windows of 8 and 10": (
        "node",
        {"threshold": 0, "serverMaxWindowBits": 8, "clientMaxWindowBits": 10},
    ),
}


@pytest.mark.parametrize("upstream", ["offer", "off"])
@pytest.mark.parametrize("name", CLIENTS)
def test_clients(scene: Scene, name: str, upstream: str) -> None:
    """Clients that offer it, and are accepted; the two sides know nothing of each other."""
    kind, deflate = CLIENTS[name]
    server = scene.websockets_server(echo=True, deflate=True)
    kept = scene.keep(
        server.url, client={"compression": "accept"}, upstream={"compression": upstream}
    )
    client = scene.client(kept.url, kind, deflate=deflate)
    assert client.extensions == OURS
    check_both_ways(kept, scene, server, client)
    asked = server.conversations[0].headers.get("sec-websocket-extensions")
    assert asked == (OFFER if upstream == "offer" else None)


@pytest.mark.slow(10)
@pytest.mark.parametrize("size", [100_000, 16 * MIB])
def test_large_messages_while_the_server_does_not_read(scene: Scene, size: int) -> None:
    """Frames that are made whole, and written in pieces whenever there is room."""
    server = scene.websockets_server(reading=False, deflate=True)
    kept = scene.keep(server.url, heartbeat={"timeout": "60s"}, delivery={"ack_timeout": "120s"})
    client = scene.websockets_client(kept.url)
    kept.wait_open(server)
    count = 64 * MIB // size
    messages = [f"{n:08d}" + noise(size // 2, n) + sentence(size // 2 - 8, n) for n in range(count)]
    writing = client.send_many(messages)
    wait_until(lambda: client.sent_count >= min(2, count), "some to be sent", 60)
    server.read()
    wait_until(lambda: len(server.messages) == count, "all messages", 120)
    writing.result(60)
    assert check_delivery(server.numbers_by_connection, count).connections == 1
    assert {m.size for m in server.messages} == {size}


# ---- what goes upstream, byte by byte ---------------------------------------------------------


class Deflating:
    """A raw server that agrees with these words, and keeps what comes."""

    def __init__(self, scene: Scene, extensions: Optional[str], pongs: bool = True) -> None:
        self.frames: list[Any] = []  #: data frames
        self.connections: list[RawServerConnection] = []

        def script(connection: RawServerConnection) -> None:
            connection.upgrade(extensions=extensions)
            self.connections.append(connection)
            while True:
                frame = connection.read()
                if frame.opcode == PING and pongs:
                    connection.pong(frame)
                elif frame.opcode == CLOSE:
                    connection.send(CLOSE, frame.payload)
                elif frame.opcode not in (PING, PONG):
                    self.frames.append(frame)

        self.server = scene.raw_server(script)

    def wait(self, count: int) -> list[Any]:
        wait_until(lambda: len(self.frames) >= count, f"{count} messages")
        return self.frames


@pytest.mark.parametrize("bits", [*range(8, 16)])
@pytest.mark.parametrize("forgets", [False, True])
def test_what_we_send_keeps_to_the_window_and_the_context(
    scene: Scene, bits: int, forgets: bool
) -> None:
    """A server that has agreed on 2^bits bytes needs no more, and no memory where we gave ours up."""
    answer = f"{OURS}; client_max_window_bits={bits}"
    upstream = Deflating(scene, answer + ("; client_no_context_takeover" if forgets else ""))
    kept = scene.keep(upstream.server.url)
    client = scene.websockets_client(kept.url)
    sent = [sentence(200 + 50 * number, number % 5).encode() for number in range(80)]
    sent += [incompressible(2000), *sent[:3], b"short", incompressible(200_000)]
    sent += [incompressible(2000), sentence(300_000, 1).encode(), sent[0]]
    for data in sent:
        client.send(data)
    frames = upstream.wait(len(sent))
    unpack = Unpacker(bits)
    for data, frame in zip(sent, frames):
        assert frame.masked and frame.fin and frame.opcode == BINARY
        if frame.rsv == RSV1:
            assert len(frame.payload) < len(data)
            if forgets:
                unpack = Unpacker(bits)
            assert unpack(frame.payload) == data
        else:
            assert frame.rsv == 0
            assert frame.payload == data
    plain = [len(data) for data, frame in zip(sent, frames) if frame.rsv == 0]
    assert plain == [2000, 5, 200_000, 2000]


def test_without_the_extension_nothing_is_deflated(scene: Scene) -> None:
    """It was offered, and the server said nothing."""
    upstream = Deflating(scene, None)
    kept = scene.keep(upstream.server.url)
    client = scene.websockets_client(kept.url)
    client.send(sentence(5000, 1))
    (frame,) = upstream.wait(1)
    assert frame.rsv == 0 and frame.payload.decode() == sentence(5000, 1)
    assert upstream.connections[0].head.headers["sec-websocket-extensions"] == OFFER


def test_each_connection_is_deflated_anew(scene: Scene) -> None:
    """After a break everything is sent again, for a server that knows nothing of before."""
    upstream = Deflating(scene, OURS, pongs=False)
    kept = scene.keep(upstream.server.url)
    client = scene.websockets_client(kept.url)
    sent = [numbered_sentence(number, 400) for number in range(20)]
    for text in sent:
        client.send(text)
    upstream.wait(len(sent))
    for connection in range(1, 4):
        upstream.frames.clear()
        upstream.connections[-1].reset()
        upstream.connections[-1].close()
        wait_until(lambda: len(upstream.connections) > connection, "another connection")
        frames = upstream.wait(len(sent))
        unpack = Unpacker()
        assert [unpack(frame.payload).decode() for frame in frames] == sent
        assert {frame.rsv for frame in frames} == {RSV1}
        assert len(frames[1].payload) < len(frames[0].payload)


@pytest.mark.slow(6)
def test_a_quiet_connection_forgets(scene: Scene) -> None:
    """After 5 s without a message the compressor's memory was given back: it begins anew."""
    upstream = Deflating(scene, OURS)
    kept = scene.keep(upstream.server.url)
    client = scene.websockets_client(kept.url)
    text = sentence(1000, 1)
    client.send(text)
    client.send(text)
    first, second = upstream.wait(2)
    assert len(second.payload) < len(first.payload) // 4  # it refers to the first
    quiet_until = time.monotonic() + 5.5
    wait_until(lambda: time.monotonic() > quiet_until, "quiet")
    client.send(text)
    third = upstream.wait(3)[2]
    assert Unpacker()(third.payload).decode() == text
    unpack = Unpacker()
    assert [unpack(frame.payload).decode() for frame in upstream.frames] == [text] * 3


# ---- answers and offers that are wrong --------------------------------------------------------


@pytest.mark.slow(8)
def test_an_answer_that_was_not_offered_is_none(scene: Scene) -> None:
    """Values out of range, duplicates, quotes and others: http-malformed, or an open link.

    (Every value from 0 to 99: deflate_offer_test.)
    """
    right = [OURS, *(f"{OURS}; client_max_window_bits={bits}" for bits in range(8, 16))]
    right += [f'{OURS}; server_max_window_bits="{bits}"' for bits in range(8, 16)]
    wrong = [
        f"{OURS}; {side}_max_window_bits={bits}"
        for side in ("client", "server")
        for bits in (0, 1, 7, 16, 99)
    ]
    wrong += [f"{OURS}, {OURS}", "other", f"{OURS}; other", f"{OURS};", f"{OURS}=1", ""]
    wrong += [f"{OURS}; server_max_window_bits", f"{OURS}; client_max_window_bits"]
    wrong += [f"{OURS}; client_max_window_bits=9; client_max_window_bits=9"]
    wrong += [f"{OURS}; server_no_context_takeover; server_no_context_takeover"]
    wrong += [f"{OURS}; server_no_context_takeover=1", f'{OURS}; client_max_window_bits="9']
    wrong += [f"{OURS}; client_max_window_bits=010", f"{OURS}; client_max_window_bits=\"8 \""]
    answers = [*wrong, *right]
    opened: list[str] = []
    asked: list[str] = []

    def script(connection: RawServerConnection) -> None:
        answer = answers[connection.number - 1] if connection.number <= len(answers) else OURS
        connection.upgrade(extensions=answer)
        asked.append(answer)
        if answer in right:
            connection.send_text("hello")  # only an open connection takes it
            connection.wait_flushed()
            opened.append(answer)
            connection.send_close(1012)
        connection.read_to_end()

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        reconnect={"initial_delay": "1ms", "max_delay": "100ms", "jitter": "none"},
    )
    client = scene.websockets_client(kept.url)
    wait_until(
        lambda: len(opened) >= len(right),
        lambda: f"all answers; {len(asked)} of {len(answers)}",
        120,
    )
    wait_until(lambda: len(client.texts) >= len(right), "what they said")
    lost = [m for m in kept.daemon.moves() if m.get("cause") == "http-malformed"]
    assert len(lost) == len(wrong)
    assert set(opened[: len(right)]) <= set(right)


@pytest.mark.parametrize(
    "offer, answer",
    [
        (OFFER, OURS),
        (f"{OURS}; server_max_window_bits=16, {OFFER}", OURS),
        (f"x; y=1, {OURS}; server_max_window_bits=9, {OURS}", f"{OURS}; server_max_window_bits=9"),
        (f"{OURS}; unknown", None),
        (f"{OURS}; server_max_window_bits=7", None),
        (f"{OURS}; client_max_window_bits; client_max_window_bits", None),
        ("x-webkit-deflate-frame", None),
    ],
)
def test_a_clients_offers(scene: Scene, offer: str, answer: Optional[str]) -> None:
    """The first that can be accepted is; and what was not agreed on is not sent."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url, client={"compression": "accept"})
    client = scene.raw_client(kept.port)
    client.write(RawClient.request(extra=(f"Sec-WebSocket-Extensions: {offer}",)))
    head = client.read_response()
    assert head.status == 101
    assert head.headers.get("sec-websocket-extensions") == answer
    kept.wait_open(server)
    text = sentence(3000, 1)
    client.send_text(text)
    frame = client.read_until(TEXT)
    assert frame.rsv == (RSV1 if answer else 0)
    assert (Unpacker()(frame.payload) if answer else frame.payload).decode() == text


@pytest.mark.parametrize("compression", ["accept", "off"])
def test_a_client_whose_offer_is_no_list(scene: Scene, compression: str) -> None:
    """RFC 6455 9.1: malformed is malformed, also where nobody wants it."""
    kept = scene.keep("ws://127.0.0.1:9/", client={"compression": compression})
    client = scene.raw_client(kept.port)
    client.write(RawClient.request(extra=(f"Sec-WebSocket-Extensions: {OURS};",)))
    assert client.read_response().status == 400


# ---- messages that are wrong ------------------------------------------------------------------

#: what is sent: frames of (opcode, payload, fin, rsv); how it ends.
WRONG: dict[str, tuple[list[tuple[int, bytes, bool, int]], int]] = {
    "garbage": ([(TEXT, b"\xff" * 50, True, RSV1)], 1007),
    "nothing at all": ([(TEXT, b"", True, RSV1)], 1007),
    "cut": ([(TEXT, packed(b"hello, hello, hello")[:-3], True, RSV1)], 1007),
    "its tail was not taken off": ([(TEXT, packed(b"hello") + b"\0\0\xff\xff", True, RSV1)], 1007),
    "garbage behind a final block": ([(TEXT, b"\xf3H\xcd\xc9\xc9\x07\0\xff\xff", True, RSV1)], 1007),
    "no UTF-8": ([(TEXT, packed(b"abc\xff"), True, RSV1)], 1007),
    "half a character": ([(TEXT, packed(b"abc\xc3"), True, RSV1)], 1007),
    "no UTF-8, and more to come": ([(TEXT, packed(b"abc\xff" * 99), False, RSV1)], 1007),
    "a marked Ping": ([(PING, b"", True, RSV1)], 1002),
    "a marked continuation": (
        [(TEXT, packed(b"hello"), False, RSV1), (CONTINUATION, b"\0", True, RSV1)],
        1002,
    ),
    "a continuation of a plain message is marked": (
        [(TEXT, b"hello", False, 0), (CONTINUATION, b"\0", True, RSV1)],
        1002,
    ),
    "RSV2": ([(TEXT, packed(b"hello"), True, RSV1 | 2)], 1002),
    "one byte too much": ([(BINARY, packed(bytes(64 * 1024 + 1)), True, RSV1)], 1009),
    "too much in parts": (
        [
            (BINARY, packed(bytes(64 * 1024 + 1))[:20], False, RSV1),
            (CONTINUATION, packed(bytes(64 * 1024 + 1))[20:], False, 0),
        ],
        1009,
    ),
    "nothing for ever": (
        [(BINARY, b"\0\0\0\xff\xff" * 15000, False, RSV1)]
        + [(CONTINUATION, b"\0\0\0\xff\xff" * 15000, False, 0)] * 3,
        1009,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_is_wrong(scene: Scene, name: str) -> None:
    """It gets a Close with the code, and the client 1014 with the cause."""
    frames, code = WRONG[name]
    codes: list[int] = []

    def script(connection: RawServerConnection) -> None:
        connection.upgrade(extensions=OURS)
        connection.send(BINARY, packed(bytes(64 * 1024)), rsv=RSV1)  # as much as there may be
        for opcode, payload, fin, rsv in frames:
            connection.send(opcode, payload, fin=fin, rsv=rsv)
        codes.append(connection.read_until(CLOSE).close_code)

    server = scene.raw_server(script)
    kept = scene.keep(server.url, upstream={"max_message": "64KiB"})
    client = scene.websockets_client(kept.url)
    cause = "message-too-big" if code == 1009 else "protocol-error"
    assert client.wait_closed() == (1014, f"wskeep: {cause}")
    wait_until(lambda: codes, "the server's Close")
    assert codes == [code]
    assert [m.size for m in client.messages] == [64 * 1024]


@pytest.mark.parametrize("name", WRONG)
def test_a_client_that_is_wrong(scene: Scene, name: str) -> None:
    frames, code = WRONG[name]
    server = scene.websockets_server()
    kept = scene.keep(server.url, client={"compression": "accept", "max_message": "64KiB"})
    client = scene.raw_client(kept.port)
    client.write(RawClient.request(extra=(f"Sec-WebSocket-Extensions: {OFFER}",)))
    assert client.read_response().status == 101
    client.send(BINARY, packed(bytes(64 * 1024)), rsv=RSV1)
    for opcode, payload, fin, rsv in frames:
        client.send(opcode, payload, fin=fin, rsv=rsv)
    assert client.read_until(CLOSE).close_code == code
    wait_until(lambda: len(server.messages) == 1, "what was right")


@pytest.mark.parametrize("with_answer", [False, True])
def test_small_bombs_wait_outside(scene: Scene, tmp_path: Any, with_answer: bool) -> None:
    """Messages of 64 KiB from 80 bytes each, and nobody reads: one read of them may come in, also
    when they come with the answer to the handshake."""
    bombs = encode(BINARY, packed(bytes(64 * 1024)), rsv=RSV1) * 60_000
    socket_path = tmp_path / "s"

    def script(connection: RawServerConnection) -> None:
        connection.socket.settimeout(120)
        connection.upgrade(
            extensions=f"{OURS}; server_no_context_takeover",
            behind=bombs if with_answer else b"",
        )
        if not with_answer:
            connection.write(bombs)
        connection.read_to_end()

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        listen=f"ws+unix:{socket_path}",
        upstream={"max_message": "1MiB"},
        client={"max_message": "1MiB"},
        delivery={"inbox_max_bytes": "1MiB", "max_bytes": "1MiB"},
        heartbeat={"stall_timeout": "never"},
    )
    client = scene.raw_client(str(socket_path))
    before = kept.daemon.resident_bytes
    client.write(RawClient.request())
    assert client.read_response().status == 101
    kept.wait_open(server)
    wait_until(lambda: kept.daemon.resident_bytes > before + MIB, "its inbox to fill")
    for _ in range(800):  # and while some are taken
        client.read_until(BINARY)
    if not is_sanitized():  # whose freed memory stays for a while
        assert kept.daemon.resident_bytes_max < before + (1 + 17 + 4) * MIB


def test_final_blocks_and_empty_ones_pass(scene: Scene) -> None:
    """RFC 7692 7.2.3.4 and 7.2.3.6: unusual, and right."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade(extensions=OURS)
        for payload in (b"\xf3H\xcd\xc9\xc9\x07\0\0", b"\xf3H\xcd\xc9\xc9\x07\0", b"\0"):
            connection.send(TEXT, payload, rsv=RSV1)
        connection.send(TEXT, b"", fin=False, rsv=RSV1)
        connection.send(PING, b"between")
        connection.send(CONTINUATION, packed(b"late"))
        connection.send_text("plain")
        connection.read_to_end()

    server = scene.raw_server(script)
    kept = scene.keep(server.url)
    client = scene.websockets_client(kept.url)
    wait_until(lambda: len(client.messages) == 5, "five messages")
    assert client.texts == ["Hello", "Hello", "", "late", "plain"]


# ---- a bomb -----------------------------------------------------------------------------------


def bomb_frames(total: int, in_parts: bool, masked: bool) -> list[bytes]:
    """zeros, deflated 1030 to 1."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = stream.compress(bytes(8 * MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    pieces = [block] * (total // (8 * MIB)) + [b"\0"]
    if not in_parts:
        return [encode(BINARY, b"".join(pieces), masked=masked, rsv=RSV1)]
    frames = [encode(BINARY, pieces[0], fin=False, masked=masked, rsv=RSV1)]
    return frames + [encode(CONTINUATION, piece, fin=False, masked=masked) for piece in pieces[1:]]


@pytest.mark.slow(20)
@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("side", ["upstream", "client"])
def test_a_bomb_costs_no_more_than_the_limit(scene: Scene, side: str, in_parts: bool) -> None:
    """1 GiB of zeros in a MiB: 1009, and the memory of one message that may be."""
    limit = 16 * MIB
    frames = bomb_frames(1024 * MIB, in_parts, side == "client")
    begin = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade(extensions=OURS)
        connection.send(BINARY, packed(b"warm" * 5000), rsv=RSV1)
        if side == "upstream":
            begin.wait(60)
            for frame in frames:
                connection.write(frame)
        while connection.read().opcode != CLOSE:
            pass

    server = scene.raw_server(script)
    kept = scene.keep(server.url, client={"compression": "accept"})
    client = scene.raw_client(kept.port)
    client.write(RawClient.request(extra=(f"Sec-WebSocket-Extensions: {OFFER}",)))
    assert client.read_response().status == 101
    client.read_until(BINARY)
    client.send(BINARY, packed(noise(300_000).encode()), rsv=RSV1)  # buffers are used once
    client.send(PING)
    client.read_until(PONG)
    other = scene.raw_client(kept.port)  # and so is the code for one that is wrong
    other.write(RawClient.request(extra=(f"Sec-WebSocket-Extensions: {OFFER}",)))
    assert other.read_response().status == 101
    other.send(BINARY, b"\xff" * 9, rsv=RSV1)
    assert other.read_until(CLOSE).close_code == 1007
    before = kept.daemon.resident_bytes_max
    if side == "upstream":
        begin.set()
    else:
        try:
            for frame in frames:
                client.write(frame)
        except OSError:
            pass  # it was closed before all of it was written
    close = client.read_until(CLOSE)
    assert close.close_code == (1009 if side == "client" else 1014)
    assert "too" in close.close_reason
    grown = kept.daemon.resident_bytes_max - before
    if not is_sanitized():  # to the byte: message_deflate_test; a kernel counts in batches
        assert grown < limit + MIB // 2
