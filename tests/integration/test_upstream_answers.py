"""What an upstream answers to the upgrade: nothing passes before a 101 that is right in all."""

from __future__ import annotations

import socket
import threading
from typing import Callable, Optional

import pytest

from frames import CLOSE, PING, TEXT, accept_value, encode
from polling import DEADLINE_S, wait_until
from raw_peers import RawClient, RawServer, RawServerConnection, answer_pings
from scene import Scene

#: The next attempt follows at once, whatever the last one brought.
AT_ONCE = {
    "reconnect": {"initial_delay": "1ms", "max_delay": "100ms"},
    "close_rules": [{"cause": "http-malformed", "then": "reconnect"}],
}

SWITCHING = "HTTP/1.1 101 Switching Protocols"
UPGRADE = "Upgrade: websocket"
CONNECTION = "Connection: Upgrade"
ACCEPT = "Sec-WebSocket-Accept: {accept}"
RIGHT = (SWITCHING, UPGRADE, CONNECTION, ACCEPT)
INJECTED = encode(TEXT, b"injected")


def head(*lines: str) -> str:
    return "\r\n".join([*lines, "", ""])


def without(line: str, *instead: str) -> str:
    """A right 101 with this line replaced."""
    return head(*[new for old in RIGHT for new in (instead if old == line else (old,))])


def fill(answer: str, request: RawServerConnection) -> bytes:
    assert request.head is not None
    accept = accept_value(request.head.headers["sec-websocket-key"])
    return answer.replace("{accept}", accept).encode("latin-1")


# Answers that are none.  What follows in `with_field` is wrong in a client's request, too.

WRONG_FIELDS: list[tuple[str, str]] = [
    ("folded line", "X: a\r\n b"),
    ("folded line with a tab", "X: a\r\n\tb"),
    ("folded line of nothing", "X: a\r\n "),
    ("fold that looks like a field", "X: a\r\n Host: b"),
    ("NUL in a value", "X: a\0b"),
    ("NUL alone", "X: \0"),
    ("NUL in a name", "X\0Y: a"),
    ("bare CR in a value", "X: a\rb"),
    ("bare CR that looks like a line end", "X: a\rY: b"),
    ("bare CR before the line end", "X: a\r"),
    ("bare LF in a value", "X: a\nY: b"),
    ("bare LF that ends the head", "X: a\n\nY: b"),
    ("control character in a value", "X: a\x01b"),
    ("ESC in a value", "X: \x1b[31m"),
    ("vertical tab in a value", "X: a\x0bb"),
    ("DEL in a value", "X: a\x7fb"),
    ("space before the colon", "X : a"),
    ("tab before the colon", "X\t: a"),
    ("space in a name", "X Y: a"),
    ("empty name", ": a"),
    ("nothing but a colon", ":"),
    ("no colon", "X"),
    ("name in quotes", '"X": a'),
    ("name in brackets", "X[]: a"),
    ("name that is not ASCII", "X\xfc: a"),
    ("length", "Content-Length: 5"),
    ("length of nothing", "Content-Length: 0"),
    ("empty length", "Content-Length:"),
    ("negative length", "Content-Length: -1"),
    ("length with a sign", "Content-Length: +5"),
    ("length in hexadecimal", "Content-Length: 0x5"),
    ("list of lengths", "Content-Length: 5, 5"),
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6"),
    ("two equal lengths", "Content-Length: 5\r\ncontent-length: 5"),
    ("chunks", "Transfer-Encoding: chunked"),
    ("chunks in disguise", "Transfer-Encoding: xchunked"),
    ("identity", "Transfer-Encoding: identity"),
    ("empty encoding", "Transfer-Encoding:"),
    ("length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
    ("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
    ("second Upgrade", "Upgrade: websocket"),
    ("another Upgrade", "Upgrade: h2c"),
]

WRONG_REQUESTS: list[tuple[str, str]] = [
    ("second Host", "Host: localhost"),
    ("another Host", "host: evil.example"),
    ("second key", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="),
    ("second version", "Sec-WebSocket-Version: 13"),
    ("two Origins", "Origin: http://a\r\nOrigin: http://a"),
    ("subprotocol that is no token", "Sec-WebSocket-Protocol: a b"),
    ("subprotocol that is not ASCII", "Sec-WebSocket-Protocol: \xfc"),
    ("empty subprotocol", "Sec-WebSocket-Protocol: a,,b"),
    ("subprotocol twice", "Sec-WebSocket-Protocol: a, a"),
]

WRONG_ANSWERS: list[tuple[str, str]] = [
    *((name, head(*RIGHT, field)) for name, field in WRONG_FIELDS),
    ("no Upgrade", without(UPGRADE)),
    ("empty Upgrade", without(UPGRADE, "Upgrade:")),
    ("Upgrade to something else", without(UPGRADE, "Upgrade: h2c")),
    ("list of Upgrades", without(UPGRADE, "Upgrade: websocket, h2c")),
    ("Upgrade with more behind it", without(UPGRADE, "Upgrade: websocket/13")),
    ("no Connection", without(CONNECTION)),
    ("Connection: close", without(CONNECTION, "Connection: close")),
    ("Connection that begins like ours", without(CONNECTION, "Connection: Upgraded")),
    ("Connection in two words", without(CONNECTION, "Connection: keep-alive Upgrade")),
    ("no Accept", without(ACCEPT)),
    ("empty Accept", without(ACCEPT, "Sec-WebSocket-Accept:")),
    ("another's Accept", without(ACCEPT, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
    ("Accept and more", without(ACCEPT, "Sec-WebSocket-Accept: {accept}, {accept}")),
    ("Accept in quotes", without(ACCEPT, 'Sec-WebSocket-Accept: "{accept}"')),
    ("second Accept", head(*RIGHT, ACCEPT)),
    ("extension", head(*RIGHT, "Sec-WebSocket-Extensions: x-webkit-deflate-frame")),
    ("empty extension", head(*RIGHT, "Sec-WebSocket-Extensions:")),
    ("101 of HTTP/1.0", without(SWITCHING, "HTTP/1.0 101 Switching Protocols")),
    ("101 of HTTP/2", without(SWITCHING, "HTTP/2.0 101 Switching Protocols")),
    ("101 of another protocol", without(SWITCHING, "ICY 101 Switching Protocols")),
    ("status with a sign", without(SWITCHING, "HTTP/1.1 +101 x")),
    ("status of four digits", without(SWITCHING, "HTTP/1.1 1010 x")),
    ("status with a zero in front", without(SWITCHING, "HTTP/1.1 0101 x")),
    ("NUL in the reason", without(SWITCHING, "HTTP/1.1 101 a\0b")),
    ("space before the first line", " " + head(*RIGHT)),
    ("empty line before the first", "\r\n" + head(*RIGHT)),
    ("no first line", head(*RIGHT[1:])),
    ("fold behind the first line", without(SWITCHING, SWITCHING, " X: a")),
    ("lines that end with LF", head(*RIGHT).replace("\r\n", "\n")),
    ("empty line that ends with LF", head(*RIGHT)[:-2] + "\n"),
    ("nothing but LFs", "\n\n"),
    ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("frame instead of a head", INJECTED.decode("latin-1") + "\r\n\r\n"),
    ("interim answer that is none", "HTTP/1.1 100 a\0b\r\n\r\n" + head(*RIGHT)),
    ("interim answers without end", "HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + head(*RIGHT)),
    ("101 fields", head(*RIGHT, *[f"X-{n}: a" for n in range(98)])),
    ("2,000 fields", head(*RIGHT, *[f"X-{n}: a" for n in range(2000)])),
    ("head of 64 KiB", head(*RIGHT, *[f"X-{n}: " + "a" * 1000 for n in range(64)])),
    ("line of 64 KiB", head(*RIGHT, "X: " + "a" * 65536)),
    ("line of 1 MiB without end", SWITCHING + "a" * (1 << 20)),
    ("quotes without end", head(*RIGHT, 'Sec-WebSocket-Extensions: "' + "\\" * (1 << 20))),
]


class Answers:
    """Gives each connection the next answer and notes what comes in behind the request."""

    def __init__(self, scene: Scene, answers: list[str], trailer: bytes = INJECTED) -> None:
        self._answers = answers
        self._trailer = trailer
        self.rests: dict[int, bytes] = {}  #: by connection: what followed the request's head
        self.server: RawServer = scene.raw_server(self._serve)

    def _serve(self, connection: RawServerConnection) -> None:
        number = connection.number - 1
        connection.read_head()
        if number >= len(self._answers):
            connection.write(fill(head(*RIGHT), connection))
            connection.serve_to_end(answer_pings)
            return
        self.rests[number] = b""
        try:
            connection.write(fill(self._answers[number], connection) + self._trailer)
        except OSError:
            pass  # refused before all was written
        try:
            while True:
                self.rests[number] += connection.reader.exactly(1)
        except (EOFError, OSError):
            pass


@pytest.mark.parametrize("third", [0, 1, 2])
def test_answer_that_is_none(scene: Scene, third: int) -> None:
    """Each is http-malformed, nothing passes either way, and the client never notices."""
    wrong = WRONG_ANSWERS[third::3]
    answers = Answers(scene, [answer for _, answer in wrong])
    kept = scene.keep(answers.server.url, **AT_ONCE)
    client = scene.raw_client(kept.port)
    client.handshake()
    client.send_text("early")
    kept.wait_open()
    causes = [move["cause"] for move in kept.daemon.moves(from_="upgrading", to="waiting")]
    named = [(name, cause) for (name, _), cause in zip(wrong, causes)]
    assert [(n, c) for n, c in named if c != "http-malformed"] == []
    assert len(causes) == len(wrong)
    wait_until(lambda: answers.server.latest.texts == ["early"], "what the client said")
    assert set(answers.rests.values()) == {b""}
    client.send(PING, b"still there")
    assert client.read().payload == b"still there", "nothing came before it"


@pytest.mark.parametrize(
    "name,field",
    WRONG_FIELDS + WRONG_REQUESTS,
    ids=[name for name, _ in WRONG_FIELDS + WRONG_REQUESTS],
)
def test_request_that_is_none(scene: Scene, name: str, field: str) -> None:
    """The same mistakes from a client are 400, to the letter, and nothing behind them is read."""
    server = Answers(scene, [])
    kept = scene.keep(server.server.url)
    client = scene.raw_client(kept.port)
    client.write(client.request(extra=(field,)) + client.request())
    assert client.read_response().status == 400
    rest = b""
    try:
        while True:
            rest += client.reader.exactly(1)
    except (EOFError, ConnectionError):
        pass
    assert b"HTTP/" not in rest, "the second request was answered, too"
    assert not server.server.accepted


# What is no error is not made one.

RIGHT_ANSWERS: list[tuple[str, str]] = [
    ("Connection is a list", without(CONNECTION, "Connection: keep-alive, Upgrade")),
    ("Connection in two fields", without(CONNECTION, "Connection: a", "connection: UPGRADE")),
    ("Upgrade has no case", without(UPGRADE, "upgrade:WebSocket")),
    ("other reason", without(SWITCHING, "HTTP/1.1 101 Web Socket Protocol Handshake")),
    ("no reason", without(SWITCHING, "HTTP/1.1 101")),
    ("100 before it", "HTTP/1.1 100 Continue\r\n\r\n" + head(*RIGHT)),
    ("103 before it", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 8 + head(*RIGHT)),
    ("100 fields", head(*RIGHT, *[f"X-{n}: a" for n in range(97)])),
]


@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
@pytest.mark.parametrize("name,answer", RIGHT_ANSWERS, ids=[a[0] for a in RIGHT_ANSWERS])
def test_answer_that_is_right(scene: Scene, name: str, answer: str, piece_bytes: int) -> None:
    """It opens the connection, in one piece with what follows it or byte by byte."""

    def script(connection: RawServerConnection) -> None:
        connection.read_head()
        raw = fill(answer, connection) + encode(TEXT, b"first")
        for at in range(0, len(raw), piece_bytes):
            connection.write(raw[at : at + piece_bytes])
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = scene.keep(server.url)
    client = scene.raw_client(kept.port)
    client.handshake()
    assert client.read_until(TEXT).payload == b"first"
    assert len(server.accepted) == 1


def test_slow_answer(scene: Scene) -> None:
    """connect_timeout is for the whole attempt, however often another byte comes."""

    def drip(connection: RawServerConnection) -> None:
        connection.read_head()
        gone = threading.Event()
        connection.write(SWITCHING.encode() + b"\r\nX: ")
        while not gone.wait(0.02):
            connection.write(b"a")

    server = scene.raw_server(drip)
    kept = scene.keep(server.url, upstream={"connect_timeout": "500ms"})
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, from_="upgrading", cause="upgrade-timeout")


# Who must not be asked.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(scene: Scene, status: int) -> None:
    """Where it leads to, nobody connects; the place that is configured is asked again."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        place = f"ws://127.0.0.1:{elsewhere.getsockname()[1]}/"
        answers = Answers(scene, [head(f"HTTP/1.1 {status} No", f"Location: {place}")] * 2)
        kept = scene.keep(answers.server.url, **AT_ONCE)
        client = scene.raw_client(kept.port)
        client.handshake()
        kept.wait_open()
        assert len(kept.daemon.moves(cause="http-status", http_status=status)) == 2
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("path", ["fixed", "append"])
def test_client_does_not_choose_the_upstream(scene: Scene, path: str) -> None:
    """Neither target nor Host lead anywhere else, nor does a header that names another place."""
    answers = Answers(scene, [])
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        place = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        kept = scene.keep(
            answers.server.url + "base",
            client={"allow_hosts": ["elsewhere.example"]},
            upstream={"path": path, "forward_headers": ["Forwarded", "X-Forwarded-Host"]},
        )
        opened = 0
        for target in (
            f"http://{place}/",
            f"ws://{place}/",
            f"//{place}/",
            f"/@{place}/",
            f"@{place}/",
            f":@{place}/",
            f"\\\\{place}\\",
            f"/\\{place}/",
            f"/?url=http://{place}/",
            f"/%2f%2f{place}",
            f"{place}",
            "/x",
        ):
            client = scene.raw_client(kept.port)
            request = client.request(target, "elsewhere.example", (f"X-Forwarded-Host: {place}",))
            client.write(request)
            status = client.read_response().status
            assert status in (101, 400, 403)
            opened += status == 101
        assert opened >= 3
        kept.daemon.wait_for_move("open", opened)
        for connection in answers.server.accepted:
            assert connection.head is not None
            assert connection.head.headers["host"] == f"127.0.0.1:{answers.server.port}"
            assert connection.head.target.startswith("/base")
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


# A tunnel that does not stand yet.

EARLY = encode(TEXT, b"early", masked=True)
SECOND = b"GET /second HTTP/1.1\r\nHost: internal\r\n\r\n"

ENDS = [("400", "HTTP/1.1 400 No"), ("426", "HTTP/1.1 426 No\r\nUpgrade: websocket")]
GOES_ON = [
    ("200", head("HTTP/1.1 200 OK", "Content-Length: 1048576")),
    ("200 that looks like a 101", without(SWITCHING, "HTTP/1.1 200 OK")),
    ("101 without Accept", without(ACCEPT)),
    ("101 with another's Accept", without(ACCEPT, "Sec-WebSocket-Accept: AAAA")),
    ("101 without Connection", without(CONNECTION)),
]


def names(rows: list[tuple[str, str]]) -> list[str]:
    return [name for name, _ in rows]


def smuggle(client: RawClient, waits: bool) -> None:
    """A request, a message and another request in one piece."""
    extra = ("Sec-WebSocket-Protocol: a, b",) if waits else ()
    client.write(client.request(extra=extra) + EARLY + SECOND)


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "answered"])
@pytest.mark.parametrize("name,first", ENDS, ids=names(ENDS))
def test_refusal_ends_and_nothing_passes(
    scene: Scene, name: str, first: str, waits: bool
) -> None:
    """A waiting client gets 502 and an answered one 1014; the upstream got a head and no more."""
    answers = Answers(scene, [head(first)] * 10)
    kept = scene.keep(answers.server.url)
    client = scene.raw_client(kept.port)
    if waits:
        smuggle(client, waits)
        assert client.read_response().status == 502
    else:
        client.handshake()
        client.write(EARLY)
        assert client.read().close_code == 1014
    kept.daemon.wait_for("session-end", cause="http-status")
    wait_until(lambda: len(answers.rests) == 1, "the request")
    assert answers.rests[0] == b""
    assert len(answers.server.accepted) == 1


@pytest.mark.parametrize("name,answer", GOES_ON, ids=names(GOES_ON))
def test_answer_that_is_not_the_end(scene: Scene, name: str, answer: str) -> None:
    """An answered client stays, and only a right 101 lets through what it said."""
    answers = Answers(scene, [answer] * 3)
    kept = scene.keep(answers.server.url, **AT_ONCE)
    client = scene.raw_client(kept.port)
    client.handshake()
    client.write(EARLY)
    wait_until(lambda: answers.server.conversations[3:], "a fourth attempt")
    wait_until(lambda: answers.server.latest.texts == ["early"], "the message")
    assert list(answers.rests.values()) == [b""] * 3
    client.send_close(1000)
    frame = client.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1000), "nothing came before the receipt"


@pytest.mark.parametrize("name,answer", GOES_ON, ids=names(GOES_ON))
def test_waiting_client_gets_504_and_nothing_passes(scene: Scene, name: str, answer: str) -> None:
    """Its deadline is connect_timeout, however many answers come that are none."""
    answers = Answers(scene, [answer] * 1000)
    kept = scene.keep(answers.server.url, upstream={"connect_timeout": "1500ms"})
    client = scene.raw_client(kept.port)
    smuggle(client, waits=True)
    assert client.read_response().status == 504
    kept.daemon.wait_for("session-end")
    assert answers.rests and set(answers.rests.values()) == {b""}
