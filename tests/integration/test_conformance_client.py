"""wskeepd as the client of RFC 6455: a raw upstream speaks to it, before it is an independent echo.

Each row of conformance_cases.py has one answer, to the byte: which messages reach the client and
come back, which Pongs and which Close the upstream gets, and what the client is told of the end.
"""

from __future__ import annotations

import socket
from typing import Iterator

import pytest

from conformance_cases import (
    AFTER_CLOSE,
    CLOSES,
    CONTROL,
    FRAGMENTS,
    LARGE,
    LEGAL_CLOSES,
    LENGTHS,
    LIMITS,
    MASKS,
    MAX_FRAGMENTS,
    MAX_MESSAGE,
    RESERVED,
    ROUNDS,
    UTF8,
    Case,
    Large,
    begins,
    read_answers,
    rows,
    write_in_pieces,
)
from conversation import Conversation
from frames import BINARY, CLOSE, PING, PONG, TEXT, Frame, close_payload, encode
from messages import Message
from polling import DEADLINE_S
from raw_peers import RawServerConnection
from scene import Scene
from websockets_peers import WebsocketsClient
from wskeepd_process import Wskeepd

FIRST = (BINARY, b"is it open?")


class Upstream(RawServerConnection):
    """One connection of wskeepd's, upgraded."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, 1, Conversation(1))
        self.upgrade()

    def read(self) -> Frame:
        """What a client may send: whole messages and control frames, masked.

        The Pings that ask for an acknowledgement are answered, and not told.
        """
        while True:
            frame = super().read()
            assert frame.fin and frame.masked and frame.rsv == 0, frame
            assert frame.opcode in (TEXT, BINARY, CLOSE, PING, PONG), frame
            if frame.opcode != PING:
                return frame
            assert len(frame.payload) == 16, frame
            self.send(PONG, frame.payload)

    def expect(self, opcode: int, payload: bytes) -> None:
        frame = self.read()
        assert (frame.opcode, frame.payload) == (opcode, payload)

    def send_in_pieces(self, raw: bytes, chop: int) -> None:
        write_in_pieces(self.write, raw, chop)

    def read_end(self) -> None:
        """TCP ends in order, and nothing was sent before."""
        with pytest.raises(EOFError):
            frame = self.read()
            raise AssertionError(f"{frame} after the Close")
        self.close()


class Setting:
    """One wskeepd for all rows; a path for each."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._number = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(DEADLINE_S)
        url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"
        upstream = {"path": "append", "compression": "off"}
        limits = {"max_message": f"{MAX_MESSAGE >> 10}KiB", "max_fragments": MAX_FRAGMENTS}
        plain = scene.link(url, upstream=upstream)
        limited = scene.link(url, name="limited", upstream={**upstream, **limits})
        self._urls = {link["name"]: link["listen"] for link in (plain, limited)}
        self.daemon: Wskeepd = scene.start(plain, limited)

    def client(self, link: str = "game") -> WebsocketsClient:
        self._number += 1
        url = f"{self._urls[link]}/{self._number}"
        return WebsocketsClient(self._scene.loop, url, echo=True)

    def upstream(self) -> Upstream:
        """The next connection; its path must be that of the newest client."""
        connection = Upstream(self._listener.accept()[0])
        assert connection.conversation.path == f"/{self._number}"
        return connection

    def pair(self, link: str = "game") -> "Pair":
        client = self.client(link)
        return Pair(self, client, self.upstream())

    def expect_no_attempt(self) -> None:
        """The session has ended: nobody connects again."""
        self._listener.setblocking(False)
        try:
            with pytest.raises(BlockingIOError):
                self._listener.accept()
        finally:
            self._listener.settimeout(DEADLINE_S)

    def close(self) -> None:
        self._listener.close()


class Pair:
    def __init__(self, setting: Setting, client: WebsocketsClient, upstream: Upstream) -> None:
        self.setting = setting
        self.client = client
        self.upstream = upstream
        self.first: "tuple[tuple[int, bytes], ...]" = ()

    def warm_up(self) -> "Pair":
        """A message there and back: open on all sides."""
        self.upstream.send(*FIRST)
        self.upstream.expect(*FIRST)
        self.first = (FIRST,)
        return self

    def expect_client(
        self, relayed: "tuple[tuple[int, bytes], ...]", code: int, reason: str = ""
    ) -> None:
        """What the client saw of all this, to its end."""
        assert self.client.wait_closed() == (code, reason)
        relayed = (*self.first, *relayed)
        expected = [Message.of(p.decode() if o == TEXT else p) for o, p in relayed]
        assert self.client.messages == expected
        self.setting.expect_no_attempt()

    def close_and_expect(self, relayed: "tuple[tuple[int, bytes], ...]") -> None:
        """The upstream ends the session: its Close is answered with its code."""
        self.upstream.send_close(3000, "done")
        self.upstream.expect(CLOSE, close_payload(3000))
        self.upstream.read_end()
        self.expect_client(relayed, 3000, "done")


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    scene = Scene(tmp_path_factory.mktemp("client"))
    try:
        setting = Setting(scene)
        yield setting
        setting.close()
    finally:
        scene.stop()


def check(pair: Pair, case: Case, chop: int) -> None:
    upstream = pair.warm_up().upstream
    upstream.send_in_pieces(case.encode(masks=False), chop)
    closed = read_answers(upstream.read, case)
    if case.broken:
        assert closed == close_payload(*case.broken)
        upstream.read_end()
        cause = "message-too-big" if case.broken[0] == 1009 else "protocol-error"
        pair.expect_client(case.relayed, 1014, f"wskeep: {cause}")
        return
    assert closed is None
    upstream.send(PING, b"nothing else came")
    upstream.expect(PONG, b"nothing else came")
    pair.close_and_expect(case.relayed)


@rows(LENGTHS, RESERVED, MASKS, CONTROL, FRAGMENTS, CLOSES)
def test_frames(setting: Setting, case: Case, chop: int) -> None:
    """Sections 5 and 7.4: what is right is echoed, what is not ends with the right code."""
    check(setting.pair(), case, chop)


@rows(UTF8)
def test_utf8(setting: Setting, case: Case, chop: int) -> None:
    """Section 8.1, and the first byte that cannot be right ends it without waiting for more."""
    check(setting.pair(), case, chop)


@rows(LIMITS)
def test_limits(setting: Setting, case: Case, chop: int) -> None:
    """max_message and max_fragments: the last that fits is echoed, one more is 1009."""
    check(setting.pair("limited"), case, chop)


@pytest.mark.parametrize("large", LARGE, ids=[large.name for large in LARGE])
def test_large(setting: Setting, large: Large) -> None:
    """Messages to 16 MiB, in any fragments and pieces, come back whole in one frame."""
    payload = large.payload
    pair = setting.pair().warm_up()
    pair.upstream.send_in_pieces(large.encode(False, payload), large.chop)
    frame = pair.upstream.read()
    assert (frame.opcode, len(frame.payload)) == (large.opcode, large.size)
    assert frame.payload == payload
    pair.close_and_expect(((large.opcode, payload),))


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("size,count", ROUNDS)
def test_rounds(setting: Setting, size: int, count: int, opcode: int) -> None:
    """Many messages in a row: the same number comes back, in order."""
    payloads = [(b"%08d" % number * (size // 8 + 1))[:size] for number in range(count)]
    pair = setting.pair().warm_up()
    for payload in payloads:
        pair.upstream.send(opcode, payload)
    for payload in payloads:
        pair.upstream.expect(opcode, payload)
    pair.close_and_expect(tuple((opcode, payload) for payload in payloads))


# 7: the closing handshake.

#: The close rules' defaults for what is not the end.
GOES_ON = (1001, 1005, 1011, 1012, 1013, 1014)


@pytest.mark.parametrize("chop", [0, 1], ids=["whole", "by-1"])
@pytest.mark.parametrize("name,body", LEGAL_CLOSES, ids=[f"7.4-{c[0]}" for c in LEGAL_CLOSES])
def test_close(setting: Setting, name: str, body: bytes, chop: int) -> None:
    """A Close that is right is answered with its code; the client sees all of it, or nothing."""
    pair = setting.pair()
    said = Frame(CLOSE, body)
    pair.upstream.send_in_pieces(encode(CLOSE, body), chop)
    pair.upstream.expect(CLOSE, body[:2])
    pair.upstream.read_end()
    if said.close_code not in GOES_ON:
        pair.expect_client((), said.close_code, said.close_reason)
        return
    again = Pair(setting, pair.client, setting.upstream())  # the client has not noticed
    again.warm_up().close_and_expect(())


@pytest.mark.parametrize("when", ["in-one-write", "after-the-answer"])
@pytest.mark.parametrize("name", AFTER_CLOSE)
def test_after_close(setting: Setting, name: str, when: str) -> None:
    """5.5.1: what follows a Close is not read as frames: no answer, nothing relayed."""
    pair = setting.pair().warm_up()
    close = encode(CLOSE, close_payload(3000, "first"))
    late = b"".join(piece.encode(masks=False) for piece in AFTER_CLOSE[name])
    pair.upstream.write(close + late if when == "in-one-write" else close)
    pair.upstream.expect(CLOSE, close_payload(3000))
    if when == "after-the-answer":
        pair.upstream.write(late)
    pair.upstream.read_end()
    pair.expect_client((), 3000, "first")


def test_close_inside_a_message(setting: Setting) -> None:
    """5.4: a Close may come between fragments; the message that never ends is not relayed."""
    pair = setting.pair().warm_up()
    pair.upstream.write(begins(b"never").encode(masks=False))
    pair.close_and_expect(())


def test_close_behind_messages(setting: Setting) -> None:
    """7.1: all that was sent before the Close reaches the client before it."""
    pair = setting.pair().warm_up()
    messages = tuple((TEXT, b"%d" % number) for number in range(100))
    raw = b"".join(encode(TEXT, payload) for _, payload in messages)
    pair.upstream.write(raw + encode(CLOSE, close_payload(4000, "done")))
    echoes = []
    frame = pair.upstream.read()
    while frame.opcode != CLOSE:
        echoes.append((frame.opcode, frame.payload))
        frame = pair.upstream.read()
    assert tuple(echoes) == messages[: len(echoes)]
    assert frame.payload == close_payload(4000)
    pair.upstream.read_end()
    pair.expect_client(messages, 4000, "done")


@pytest.mark.parametrize("name,body", LEGAL_CLOSES, ids=[f"7.4-{c[0]}" for c in LEGAL_CLOSES])
def test_client_closes(setting: Setting, name: str, body: bytes) -> None:
    """The client's Close is passed on with code and reason, once, and its answer ends TCP."""
    pair = setting.pair().warm_up()
    said = Frame(CLOSE, body)
    if not body:
        pair.client.start_close_empty()
    else:
        pair.client.start_close(said.close_code, said.close_reason)
    pair.upstream.expect(CLOSE, body)
    pair.upstream.write(encode(CLOSE, body))
    pair.upstream.read_end()
    pair.expect_client((), said.close_code, said.close_reason)


def test_ping_before_the_answer_to_a_close(setting: Setting) -> None:
    """5.5.1 and 5.5.2: after its Close wskeepd sends no Pong and no message."""
    pair = setting.pair().warm_up()
    pair.client.start_close(3000, "done")
    pair.upstream.expect(CLOSE, close_payload(3000, "done"))
    pair.upstream.send(PING, b"late")
    pair.upstream.send_text("late")
    pair.upstream.send_close(3000, "done")
    pair.upstream.read_end()
    pair.expect_client((), 3000, "done")


BROKEN_OFF = {
    "before-anything": b"",
    "in-a-header": encode(BINARY, b"a" * 200)[:3],
    "in-a-frame": encode(TEXT, b"never")[:-1],
    "in-a-message": begins(b"never").encode(masks=False),
    "in-a-close": encode(CLOSE, close_payload(1000))[:-1],
}


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_end_without_close(setting: Setting, name: str) -> None:
    """7.1.5: TCP that ends without a Close is 1006: the client sees nothing of it, and goes on."""
    pair = setting.pair()
    pair.upstream.write(BROKEN_OFF[name])
    pair.upstream.close()
    again = Pair(setting, pair.client, setting.upstream())
    again.warm_up().close_and_expect(())
