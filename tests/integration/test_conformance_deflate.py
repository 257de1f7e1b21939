"""permessage-deflate to the letter of RFC 7692, for both roles of wskeepd.

The raw peer deflates and inflates with Python's zlib; the other leg is plain, and on it is an
independent echo: what is read there and what comes back are equal, whatever the terms.
"""

from __future__ import annotations

import itertools
import random
import socket
from typing import Iterator, Union

import pytest

from conformance_cases import MAX_MESSAGE, Case, read_answers, rows, write_in_pieces
from conversation import Conversation
from deflate_cases import (
    BREAKS_ITS_PROMISE,
    DEFLATED,
    DEFLATED_LIMITS,
    ROUND_SIZES,
    RSV1,
    SIZES,
    TERMS,
    Deflater,
    Inflater,
    Terms,
    message_of,
    packed,
)
from frames import BINARY, CLOSE, PING, PONG, TEXT, Frame, accept_value, close_payload, encode
from messages import Message
from polling import DEADLINE_S, wait_until
from raw_peers import RawClient, RawConnection, RawServerConnection
from scene import Scene
from websockets_peers import WebsocketsClient
from wskeepd_process import Wskeepd

FIRST = (BINARY, b"is it open?")
LIMIT = f"{MAX_MESSAGE >> 10}KiB"

Relayed = "tuple[tuple[int, bytes], ...]"


class Peer:
    """The raw end of the compressed leg."""

    connection: RawConnection
    masks: bool
    terms: Terms

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        server = (terms.server_max_window_bits, not terms.server_no_context_takeover)
        client = (terms.client_max_window_bits, not terms.client_no_context_takeover)
        ours, theirs = (client, server) if self.masks else (server, client)
        self.deflate = Deflater(*ours)
        self._inflate = Inflater(*theirs)
        self.deflated_count = 0  #: of the messages that were read

    def warm_up(self) -> None:
        self.connection.send(*FIRST)
        assert self.read_message() == FIRST

    def read(self) -> Frame:
        """A frame that may be, its payload inflated."""
        while True:
            frame = self.connection.read()
            assert frame.fin and frame.masked != self.masks, frame
            if frame.opcode == PING and frame.masked:  # wskeepd asks for an acknowledgement
                assert frame.rsv == 0
                self.connection.send(PONG, frame.payload)
                continue
            if frame.opcode not in (TEXT, BINARY):
                assert frame.rsv == 0 and frame.opcode in (CLOSE, PING, PONG), frame
                return Frame(frame.opcode, frame.payload)
            assert frame.rsv in (0, RSV1), frame
            if frame.rsv == 0:
                return Frame(frame.opcode, frame.payload)
            self.deflated_count += 1
            payload = self._inflate(frame.payload)
            assert len(frame.payload) < len(payload), "larger than it was"
            return Frame(frame.opcode, payload)

    def read_message(self) -> "tuple[int, bytes]":
        frame = self.read()
        return frame.opcode, frame.payload

    def send_packed(self, opcode: int, payload: bytes) -> None:
        self.connection.write(packed(opcode, self.deflate(payload)).encode(self.masks))

    def read_end(self) -> None:
        with pytest.raises(EOFError):
            frame = self.read()
            raise AssertionError(f"{frame} after the Close")
        self.connection.close()

    def expect_end(self, relayed: Relayed) -> None:
        """End it in order: the other leg saw these."""
        raise NotImplementedError

    def expect_broken(self, relayed: Relayed, code: int) -> None:
        """The other leg saw these, and then the end that follows a broken rule."""
        raise NotImplementedError


def messages_of(relayed: Relayed) -> list[Message]:
    return [Message.of(p.decode() if o == TEXT else p) for o, p in (FIRST, *relayed)]


class Client(Peer):
    """A client that offers its terms and gets them."""

    masks = True

    def __init__(self, setting: "Setting", terms: Terms, link: str) -> None:
        super().__init__(terms)
        self._setting = setting
        self.path = f"/{next(setting.numbers)}"
        self.connection: RawClient = RawClient(setting.ports[link])
        offer = f"Sec-WebSocket-Extensions: {terms.header}"
        self.connection.write(self.connection.request(self.path, extra=(offer,)))
        response = self.connection.read_response()
        assert response.status == 101, response.first_line
        assert response.headers["sec-websocket-extensions"] == terms.header
        self.warm_up()

    def _expect_upstream(self, relayed: Relayed, code: int) -> None:
        server = self._setting.server
        [conversation] = [c for c in list(server.conversations) if c.path == self.path]
        wait_until(lambda: not conversation.is_open, "the upstream's connection to end")
        assert conversation.messages == messages_of(relayed)
        assert conversation.close_code == code

    def expect_end(self, relayed: Relayed) -> None:
        self.connection.send_close(1000)
        assert self.read() == Frame(CLOSE, close_payload(1000))
        self.read_end()
        self._expect_upstream(relayed, 1000)

    def expect_broken(self, relayed: Relayed, code: int) -> None:
        self._expect_upstream(relayed, 1006)


class Upstream(Peer):
    """An upstream that is offered the extension and answers with its terms."""

    masks = False

    def __init__(self, setting: "Setting", terms: Terms, link: str) -> None:
        super().__init__(terms)
        path = f"/{next(setting.numbers)}"
        url = f"{setting.links[link]}{path}"
        self.client = WebsocketsClient(setting.scene.loop, url, echo=True)
        sock = setting.listener.accept()[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection: RawServerConnection = RawServerConnection(sock, 1, Conversation(1))
        head = self.connection.read_head()
        assert head.target == path
        assert head.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        assert "client_max_window_bits" in head.headers["sec-websocket-extensions"]
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_value(head.headers['sec-websocket-key'])}",
            f"Sec-WebSocket-Extensions: {terms.header}",
        ]
        self.connection.write("\r\n".join(lines + ["", ""]).encode())
        self.warm_up()

    def expect_end(self, relayed: Relayed) -> None:
        self.connection.send_close(3000, "done")
        assert self.read() == Frame(CLOSE, close_payload(3000))
        self.read_end()
        assert self.client.wait_closed() == (3000, "done")
        assert self.client.messages == messages_of(relayed)

    def expect_broken(self, relayed: Relayed, code: int) -> None:
        cause = "message-too-big" if code == 1009 else "protocol-error"
        assert self.client.wait_closed() == (1014, f"wskeep: {cause}")
        assert self.client.messages == messages_of(relayed)


class Setting:
    """One wskeepd; its links have the one leg or the other compressed."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.numbers = itertools.count()
        self.server = scene.websockets_server(echo=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.listener.settimeout(DEADLINE_S)
        raw_url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/"
        links = []
        for limited, limit in ((False, {}), (True, {"max_message": LIMIT})):
            ending = "-limited" if limited else ""
            links += [
                scene.link(
                    self.server.url,
                    name="client" + ending,
                    client={"compression": "accept", **limit},
                    upstream={"path": "append", "compression": "off"},
                ),
                scene.link(
                    raw_url,
                    name="upstream" + ending,
                    client={"compression": "off"},
                    upstream={"path": "append", "compression": "offer", **limit},
                ),
            ]
        self.links = {link["name"]: link["listen"] for link in links}
        self.ports = {name: int(url.rsplit(":", 1)[1]) for name, url in self.links.items()}
        self.daemon: Wskeepd = scene.start(*links)

    def peer(
        self, role: str, terms: Terms = Terms(), limited: bool = False
    ) -> Union[Client, Upstream]:
        link = role + ("-limited" if limited else "")
        return (Client if role == "client" else Upstream)(self, terms, link)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    scene = Scene(tmp_path_factory.mktemp("deflate"))
    try:
        setting = Setting(scene)
        yield setting
        setting.listener.close()
    finally:
        scene.stop()


roles = pytest.mark.parametrize("role", ["client", "upstream"])
all_terms = pytest.mark.parametrize("terms", TERMS, ids=[terms.name for terms in TERMS])


def check(peer: Peer, case: Case, chop: int) -> None:
    write_in_pieces(peer.connection.write, case.encode(peer.masks), chop)
    closed = read_answers(peer.read, case)
    if case.broken:
        assert closed == close_payload(*case.broken)
        peer.read_end()
        peer.expect_broken(case.relayed, case.broken[0])
        return
    assert closed is None
    peer.connection.send(PING, b"nothing else came")
    assert peer.read() == Frame(PONG, b"nothing else came")
    peer.expect_end(case.relayed)


@roles
@rows(DEFLATED)
def test_messages(setting: Setting, role: str, case: Case, chop: int) -> None:
    """What RFC 7692 allows arrives inflated; what it does not ends with the right code."""
    check(setting.peer(role), case, chop)


@roles
@rows(DEFLATED_LIMITS)
def test_limits(setting: Setting, role: str, case: Case, chop: int) -> None:
    """A message is held to max_message inflated: as much as that is echoed, one more is 1009."""
    check(setting.peer(role, limited=True), case, chop)


@roles
@all_terms
def test_terms(setting: Setting, role: str, terms: Terms) -> None:
    """300 messages under every agreement come back the same, and are deflated on their way."""
    peer = setting.peer(role, terms)
    relayed = []
    for number in range(300):
        payload = message_of(number * number % 9000, number)
        opcode = TEXT if number % 2 else BINARY
        relayed.append((opcode, payload))
        if number % 7 == 0:
            peer.connection.send(opcode, payload)  # a plain one between
        else:
            peer.send_packed(opcode, payload)
        assert peer.read_message() == (opcode, payload)
    assert peer.deflated_count > 200
    peer.expect_end(tuple(relayed))


@roles
def test_every_size(setting: Setting, role: str) -> None:
    """One of each size, one after the other without waiting, in one window."""
    peer = setting.peer(role)
    payloads = [message_of(size, number) for number, size in enumerate(SIZES)]
    for start in range(0, len(payloads), 50):
        for payload in payloads[start : start + 50]:
            peer.send_packed(TEXT, payload)
        for payload in payloads[start : start + 50]:
            assert peer.read_message() == (TEXT, payload)
    peer.expect_end(tuple((TEXT, payload) for payload in payloads))


@roles
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("size", ROUND_SIZES)
def test_rounds(setting: Setting, role: str, size: int, opcode: int) -> None:
    """Hundreds of messages of a size, in fragments and whole, without waiting."""
    peer = setting.peer(role)
    count = max(20, min(500, (4 << 20) // size))
    payloads = [message_of(size, number) for number in range(count)]
    for start in range(0, count, 20):
        for number in range(start, min(start + 20, count)):
            raw = peer.deflate(payloads[number])
            middle = len(raw) // 2 if number % 3 == 0 else 0
            if middle:
                peer.connection.write(
                    encode(opcode, raw[:middle], fin=False, masked=peer.masks, rsv=RSV1)
                    + encode(0, raw[middle:], masked=peer.masks)
                )
            else:
                peer.connection.write(packed(opcode, raw).encode(peer.masks))
        for payload in payloads[start : start + 20]:
            assert peer.read_message() == (opcode, payload)
    assert peer.deflated_count == (count if size > 127 else 0)  # so small a message is not tried
    peer.expect_end(tuple((opcode, payload) for payload in payloads))


@roles
@pytest.mark.parametrize("level", [0, 9])
def test_16_MiB(setting: Setting, role: str, level: int) -> None:
    """The default max_message, stored and deflated as far as it goes."""
    peer = setting.peer(role)
    payload = message_of(1 << 24, 1)
    raw = Deflater(level=level)(payload)
    peer.connection.write(packed(BINARY, raw).encode(peer.masks))
    opcode, echo = peer.read_message()
    assert opcode == BINARY and echo == payload
    peer.expect_end(((BINARY, payload),))


@roles
def test_broken_promise(setting: Setting, role: str) -> None:
    """7.1.1: who said that it forgets must not refer to what was before."""
    terms = Terms(server_no_context_takeover=True, client_no_context_takeover=True)
    check(setting.peer(role, terms), BREAKS_ITS_PROMISE, 0)


@roles
def test_what_was_sent_plain_is_not_referred_to(setting: Setting, role: str) -> None:
    """7.2.1: what does not shrink goes as it is, and the peer's window has not seen it."""
    peer = setting.peer(role)
    payload = random.Random(2).randbytes(2000)
    relayed = ((BINARY, payload), (BINARY, payload), (BINARY, payload * 2))
    for opcode, data in relayed:
        peer.connection.send(opcode, data)
        assert peer.read_message() == (opcode, data)
    assert peer.deflated_count == 1
    peer.expect_end(relayed)
