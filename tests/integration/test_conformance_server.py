"""wskeepd as the server of RFC 6455: a raw client speaks to it, behind it is an independent echo.

Each row of conformance_cases.py has one answer, to the byte: which messages reach the upstream and
come back, which Pongs, which Close, and how the upstream's connection ends.
"""

from __future__ import annotations

import itertools
import threading
from typing import Iterator, Optional

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
from polling import DEADLINE_S, wait_until
from raw_peers import RawClient, RawServerConnection
from scene import Scene
from wskeepd_process import Wskeepd


FIRST = (BINARY, b"is it open?")


class Setting:
    """One wskeepd and one echo server for all rows; a path for each."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._numbers = itertools.count()
        self.server = scene.websockets_server(echo=True)
        upstream = {"path": "append", "compression": "off"}
        plain = scene.link(self.server.url, upstream=upstream)
        limited = scene.link(
            self.server.url,
            name="limited",
            upstream=upstream,
            client={"max_message": f"{MAX_MESSAGE >> 10}KiB", "max_fragments": MAX_FRAGMENTS},
        )
        links = (plain, limited)
        self.ports = {link["name"]: int(link["listen"].rsplit(":", 1)[1]) for link in links}
        self.daemon: Wskeepd = scene.start(*links)

    def client(self, link: str = "game") -> "Client":
        return Client(self, self.ports[link], f"/{next(self._numbers)}")

    def upstream(self, path: str) -> Optional[Conversation]:
        found = [c for c in list(self.server.conversations) if c.path == path]
        assert len(found) < 2, "the session has reconnected"
        return found[0] if found else None


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    scene = Scene(tmp_path_factory.mktemp("server"))
    try:
        setting = Setting(scene)
        yield setting
        wait_until(
            lambda: not any(c.is_open for c in setting.server.conversations), "all sessions to end"
        )
    finally:
        scene.stop()


class Client(RawClient):
    def __init__(self, setting: Setting, port: int, path: str) -> None:
        super().__init__(port)
        self._setting = setting
        self.path = path
        self.handshake(path)
        self.send(*FIRST)
        assert self.read() == Frame(*FIRST)  # so the upstream is open on both its ends

    def read(self) -> Frame:
        """What a server may send: whole messages and control frames, not masked."""
        frame = super().read()
        assert frame.fin and not frame.masked and frame.rsv == 0, frame
        assert frame.opcode in (TEXT, BINARY, CLOSE, PING, PONG), frame
        return frame

    def send_in_pieces(self, raw: bytes, chop: int) -> None:
        write_in_pieces(self.write, raw, chop)

    def read_end(self) -> None:
        """TCP ends in order, and nothing was sent before."""
        with pytest.raises(EOFError):
            frame = self.read()
            raise AssertionError(f"{frame} after the Close")
        self.close()

    def close_and_expect(self, body: bytes) -> None:
        """Close, and have the receipt."""
        self.write(encode(CLOSE, body, masked=True))
        assert self.read() == Frame(CLOSE, body)
        self.read_end()

    def expect_upstream(
        self, relayed: "tuple[tuple[int, bytes], ...]", code: int, reason: str = ""
    ) -> None:
        """What the upstream saw of all this."""
        conversation = self._setting.upstream(self.path)
        assert conversation is not None
        wait_until(lambda: not conversation.is_open, f"its end; it has {conversation.messages}")
        expected = [Message.of(p.decode() if o == TEXT else p) for o, p in (FIRST, *relayed)]
        assert conversation.messages == expected
        assert (conversation.close_code, conversation.close_reason) == (code, reason)


def check(client: Client, case: Case, chop: int) -> None:
    client.send_in_pieces(case.encode(masks=True), chop)
    closed = read_answers(client.read, case)
    if case.broken:
        assert closed == close_payload(*case.broken)
        client.read_end()
        client.expect_upstream(case.relayed, 1006)  # no Close for a client that broke off
        return
    assert closed is None
    client.send(PING, b"nothing else came")
    assert client.read() == Frame(PONG, b"nothing else came")
    client.close_and_expect(close_payload(1000))
    client.expect_upstream(case.relayed, 1000)


@rows(LENGTHS, RESERVED, MASKS, CONTROL, FRAGMENTS, CLOSES)
def test_frames(setting: Setting, case: Case, chop: int) -> None:
    """Sections 5 and 7.4: what is right is echoed, what is not ends with the right code."""
    check(setting.client(), case, chop)


@rows(UTF8)
def test_utf8(setting: Setting, case: Case, chop: int) -> None:
    """Section 8.1, and the first byte that cannot be right ends it without waiting for more."""
    check(setting.client(), case, chop)


@rows(LIMITS)
def test_limits(setting: Setting, case: Case, chop: int) -> None:
    """max_message and max_fragments: the last that fits is echoed, one more is 1009."""
    check(setting.client("limited"), case, chop)


@pytest.mark.parametrize("large", LARGE, ids=[large.name for large in LARGE])
def test_large(setting: Setting, large: Large) -> None:
    """Messages to 16 MiB, in any fragments and pieces, come back whole in one frame."""
    payload = large.payload
    client = setting.client()
    client.send_in_pieces(large.encode(True, payload), large.chop)
    frame = client.read()
    assert (frame.opcode, len(frame.payload)) == (large.opcode, large.size)
    assert frame.payload == payload
    client.close_and_expect(close_payload(1000))
    client.expect_upstream(((large.opcode, payload),), 1000)


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("size,count", ROUNDS)
def test_rounds(setting: Setting, size: int, count: int, opcode: int) -> None:
    """Many messages in a row: the same number comes back, in order."""
    payloads = [(b"%08d" % number * (size // 8 + 1))[:size] for number in range(count)]
    client = setting.client()
    for payload in payloads:
        client.send(opcode, payload)
    for payload in payloads:
        assert client.read() == Frame(opcode, payload)
    client.close_and_expect(close_payload(1000))
    client.expect_upstream(tuple((opcode, payload) for payload in payloads), 1000)


# 7: the closing handshake.


@pytest.mark.parametrize("chop", [0, 1], ids=["whole", "by-1"])
@pytest.mark.parametrize("name,body", LEGAL_CLOSES, ids=[f"7.4-{c[0]}" for c in LEGAL_CLOSES])
def test_close(setting: Setting, name: str, body: bytes, chop: int) -> None:
    """A Close that is right is answered by the same, TCP ends, and the upstream gets it, too."""
    client = setting.client()
    client.send_in_pieces(encode(CLOSE, body, masked=True), chop)
    assert client.read() == Frame(CLOSE, body)
    client.read_end()
    said = Frame(CLOSE, body)
    client.expect_upstream((), said.close_code, said.close_reason)


@pytest.mark.parametrize("when", ["in-one-write", "after-the-answer"])
@pytest.mark.parametrize("name", AFTER_CLOSE)
def test_after_close(setting: Setting, name: str, when: str) -> None:
    """5.5.1: what follows a Close is not read as frames: no answer, nothing relayed."""
    client = setting.client()
    close = encode(CLOSE, close_payload(3000, "first"), masked=True)
    late = b"".join(piece.encode(masks=True) for piece in AFTER_CLOSE[name])
    client.write(close + late if when == "in-one-write" else close)
    assert client.read() == Frame(CLOSE, close_payload(3000, "first"))
    if when == "after-the-answer":
        client.write(late)
    client.read_end()
    client.expect_upstream((), 3000, "first")


def test_close_inside_a_message(setting: Setting) -> None:
    """5.4: a Close may come between fragments; the message that never ends is not relayed."""
    client = setting.client()
    client.write(encode(TEXT, b"whole", masked=True))
    assert client.read() == Frame(TEXT, b"whole")
    client.write(begins(b"never").encode(masks=True))
    client.close_and_expect(close_payload(3000, "enough"))
    client.expect_upstream(((TEXT, b"whole"),), 3000, "enough")


def test_close_behind_messages_comes_back_behind_them(setting: Setting) -> None:
    """7.1: all that was sent before the Close is delivered; the answer is the last frame."""
    client = setting.client()
    messages = tuple((TEXT, b"%d" % number) for number in range(100))
    raw = b"".join(encode(TEXT, payload, masked=True) for _, payload in messages)
    client.write(raw + encode(CLOSE, close_payload(4000, "done"), masked=True))
    echoes = []
    frame = client.read()
    while frame.opcode != CLOSE:
        echoes.append((frame.opcode, frame.payload))
        frame = client.read()
    assert tuple(echoes) == messages[: len(echoes)]
    assert frame == Frame(CLOSE, close_payload(4000, "done"))
    client.read_end()
    client.expect_upstream(messages, 4000, "done")


BROKEN_OFF = {
    "before-anything": (b"", ()),
    "in-a-header": (encode(BINARY, b"a" * 200, masked=True)[:3], ()),
    "in-a-frame": (encode(TEXT, b"never", masked=True)[:-1], ()),
    "in-a-message": (begins(b"never").encode(masks=True), ()),
    "in-a-close": (encode(CLOSE, close_payload(1000), masked=True)[:-1], ()),
    "behind-a-message": (encode(TEXT, b"whole", masked=True), ((TEXT, b"whole"),)),
}


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_end_without_close(setting: Setting, name: str) -> None:
    """7.1.5: TCP that ends without a Close is 1006 on the other leg, and no half message."""
    raw, relayed = BROKEN_OFF[name]
    client = setting.client()
    client.write(raw)
    client.fin()
    try:
        while client.read().opcode != CLOSE:
            pass  # the echo
        raise AssertionError("a Close for a client that is gone")
    except EOFError:
        client.close()
    client.expect_upstream(relayed, 1006)


# 7.1.1: TCP ends after both have sent their Close.


def end_from_upstream(setting: Setting, client: Client) -> None:
    """The upstream closes: the client's Close is still to come then."""
    setting.server.close(4000, "bye")
    assert client.read() == Frame(CLOSE, close_payload(4000, "bye"))
    client.expect_upstream((), 4000)  # the answer to it has no reason of its own


def has_end(client: Client) -> bool:
    client.socket.settimeout(0)
    try:
        return client.socket.recv(1) == b""
    except BlockingIOError:
        return False
    finally:
        client.socket.settimeout(DEADLINE_S)


@pytest.mark.parametrize(
    "before",
    [b"", encode(TEXT, b"behind", masked=True) * 3, encode(PING, b"behind", masked=True)],
    ids=["at-once", "messages-first", "ping-first"],
)
def test_tcp_waits_for_the_answer(setting: Setting, before: bytes) -> None:
    """Some clients read no more after a FIN: it comes after their Close, not after ours."""
    client = setting.client()
    end_from_upstream(setting, client)
    assert not has_end(client)
    client.write(before)
    other = setting.client()  # the daemon has had a turn
    assert not has_end(client)
    client.send_in_pieces(encode(CLOSE, close_payload(4000), masked=True), 1)
    client.read_end()
    other.close_and_expect(close_payload(1000))


def test_answer_behind_half_a_message(setting: Setting) -> None:
    """What the client had begun when the session ended goes on behind our Close."""
    message = encode(BINARY, bytes(range(256)), masked=True)
    client = setting.client()
    client.write(message[:100])
    client.wait_flushed()
    end_from_upstream(setting, client)
    assert not has_end(client)
    client.write(message[100:] + encode(CLOSE, close_payload(4000), masked=True))
    client.read_end()


def test_client_that_never_answers(setting: Setting) -> None:
    """It is not waited for without end."""
    client = setting.client()
    end_from_upstream(setting, client)
    client.read_end()


def test_client_that_breaks_a_rule_instead_of_its_answer(setting: Setting) -> None:
    """What comes behind our Close and is no frame ends it, too."""
    client = setting.client()
    end_from_upstream(setting, client)
    client.write(encode(TEXT, b"not masked"))
    client.read_end()


def test_after_close_while_it_drains(scene: Scene) -> None:
    """5.5.1: also while the receipt has to wait, what follows a Close is not read as frames."""
    held: list[Frame] = []
    may_answer = threading.Event()

    def hold(connection: RawServerConnection, ping: Frame) -> None:
        if may_answer.is_set():
            connection.pong(ping)
        else:
            held.append(ping)

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(hold)

    server = scene.raw_server(script)
    kept = scene.keep(server.url, session={"drain_timeout": "60s"})
    client = scene.raw_client(kept.port)
    client.handshake()
    client.send_text("before")
    wait_until(lambda: server.messages and held, "the message and a Ping behind it")
    late = encode(PING, b"late", masked=True) + encode(TEXT, b"late", masked=True)
    client.write(encode(CLOSE, close_payload(3000, "done"), masked=True) + late)
    client.write(late)
    client.wait_flushed()
    other = scene.raw_client(kept.port)
    other.handshake()
    other.send(PING)  # the daemon has had a turn
    assert other.read() == Frame(PONG)
    may_answer.set()
    for ping in list(held):
        server.accepted[0].pong(ping)
    assert client.read() == Frame(CLOSE, close_payload(3000, "done"))
    with pytest.raises(EOFError):
        client.read()
    wait_until(lambda: not server.conversations[0].is_open, "the upstream's Close")
    assert server.conversations[0].texts == ["before"]
    assert server.conversations[0].close_code == 3000
