"""Through proxies: real ones, and scripted ones that misbehave at each step."""

from __future__ import annotations

import base64
import contextlib
import pathlib
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Optional

import pytest

from messages import check_delivery, numbered
from polling import DEADLINE_S, wait_until
from raw_peers import RawServer, RawServerConnection, answer_pings
from scene import Kept, Scene
from wire import Wire

USER, PASSWORD = "plant", "hunter2:@/%"
ENCODED = "plant:hunter2%3A%40%2F%25"
WAITING = {"from_": "tunnelling"}


def keep(scene: Scene, url: str, proxy: str, **upstream: Any) -> Kept:
    return scene.keep(url, upstream={"proxy": proxy, "connect_timeout": "2s", **upstream})


# Real ones.


class Program:
    """A proxy that runs until the test ends."""

    def __init__(self, command: list[str], port: int, scheme: str) -> None:
        self.port = port
        self.scheme = scheme
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._accepts, f"{command[0]} to listen")

    def _accepts(self) -> bool:
        assert self._process.poll() is None, "the proxy ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def url(self, credentials: str = "") -> str:
        return f"{self.scheme}://{credentials and credentials + '@'}127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)


Start = Callable[..., Program]


@pytest.fixture
def start(scene: Scene, tmp_path: pathlib.Path) -> Iterator[Start]:
    programs: list[Program] = []

    def start(kind: str, credentials: bool = False, **options: str) -> Program:
        if shutil.which(kind) is None:
            pytest.skip(f"{kind} is not installed")
        port = scene.port()
        if kind == "tinyproxy":
            lines = [f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 600"]
            if credentials:
                lines.append("BasicAuth plant hunter2")
            lines += [f"{name} {value}" for name, value in options.items()]
            path = tmp_path / f"tinyproxy-{port}.conf"
            path.write_text("\n".join(lines) + "\n")
            program = Program([kind, "-d", "-c", str(path)], port, "http")
        else:
            extra = ["-u", USER, "-P", PASSWORD] if credentials else []
            command = [kind, "-i", "127.0.0.1", "-p", str(port), *extra]
            program = Program(command, port, "socks5")
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.stop()


RIGHT = {"tinyproxy": "plant:hunter2", "microsocks": ENCODED}


@pytest.mark.parametrize("kind", ["tinyproxy", "microsocks"])
@pytest.mark.parametrize("credentials", [False, True])
def test_nothing_is_lost_through_breaks_behind_a_proxy(
    scene: Scene, start: Start, kind: str, credentials: bool
) -> None:
    """Messages arrive in order, each at least once, whichever way the connection breaks."""
    proxy = start(kind, credentials)
    server = scene.websockets_server()
    wire: Wire = scene.wire(server)
    kept = keep(scene, wire.url, proxy.url(RIGHT[kind] if credentials else ""))
    client = scene.client(kept.url)
    sent = 0
    for number, break_ in enumerate([wire.reset, wire.cut, wire.reset, wire.cut]):
        kept.daemon.wait_for_move("open", number + 1)
        for _ in range(25):
            client.send(numbered(sent, 300))
            sent += 1
        break_()
        for _ in range(5):
            client.send(numbered(sent))
            sent += 1
    wait_until(lambda: server.numbers_seen >= set(range(sent)), "all messages")
    check_delivery(server.numbers_by_connection, sent)
    wait_until(lambda: server.is_connected, "a connection")
    server.send("hello")
    wait_until(lambda: client.messages, "the message from the server")
    assert client.texts == ["hello"]
    assert "hunter2" not in kept.daemon.stderr
    moves = [(m["from"], m["to"]) for m in kept.daemon.moves()]
    assert ("connecting", "tunnelling") in moves and ("tunnelling", "upgrading") in moves


def test_no_credentials_for_tinyproxy(scene: Scene, start: Start) -> None:
    """407 is proxy-refused, with the status."""
    proxy = start("tinyproxy", credentials=True)
    server = scene.websockets_server()
    kept = keep(scene, server.url, proxy.url())
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, cause="proxy-refused", http_status=407, **WAITING)
    said = kept.daemon.wait_for("proxy-refused", http_status=407)
    assert said["proxy"] == f"127.0.0.1:{proxy.port}"
    assert not server.conversations


def test_wrong_credentials_for_tinyproxy(scene: Scene, start: Start) -> None:
    """tinyproxy 1.11 answers 401 to those, where 407 would be right."""
    proxy = start("tinyproxy", credentials=True)
    server = scene.websockets_server()
    kept = keep(scene, server.url, proxy.url("plant:hunter3"))
    scene.client(kept.url)
    said = kept.daemon.wait_for_move("waiting", 2, cause="proxy-refused", **WAITING)
    assert said["http_status"] in (401, 407)
    assert not server.conversations
    for secret in ("hunter3", base64.b64encode(b"plant:hunter3").decode()):
        assert secret not in kept.daemon.stderr


def test_wrong_or_no_credentials_for_microsocks(scene: Scene, start: Start) -> None:
    proxy = start("microsocks", credentials=True)
    server = scene.websockets_server()
    for credentials, why in (
        ("", "it wants other credentials, or any"),
        ("plant:hunter3", "it does not take these credentials"),
    ):
        kept = keep(scene, server.url, proxy.url(credentials))
        scene.client(kept.url)
        kept.daemon.wait_for_move("waiting", 2, cause="proxy-refused", **WAITING)
        kept.daemon.wait_for("proxy-refused", why=why)
        assert "hunter3" not in kept.daemon.stderr
    assert not server.conversations


@pytest.mark.parametrize("kind", ["tinyproxy", "microsocks"])
def test_proxy_that_cannot_reach_the_server(scene: Scene, start: Start, kind: str) -> None:
    """What the proxy found out is named; when the server comes, the session goes on."""
    proxy = start(kind)
    server = scene.websockets_server()
    wire: Wire = scene.wire(server)
    wire.refuse()
    kept = keep(scene, wire.url, proxy.url())
    client = scene.client(kept.url)
    client.send(numbered(0))
    kept.daemon.wait_for_move("waiting", 2, cause="proxy-refused", **WAITING)
    said = kept.daemon.wait_for("proxy-refused")
    if kind == "tinyproxy":
        assert 500 <= said["http_status"] <= 599
    else:
        assert said["why"] == "connection refused"
    wire.open_listener()
    wait_until(lambda: server.messages, "the message")


def test_proxy_that_filters(scene: Scene, start: Start) -> None:
    """tinyproxy lets CONNECT through to listed ports only."""
    proxy = start("tinyproxy", ConnectPort="443")
    server = scene.websockets_server()
    kept = keep(scene, server.url, proxy.url())
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="proxy-refused", http_status=403, **WAITING)


def test_proxy_that_is_not_there(scene: Scene) -> None:
    """The proxy's own address has the causes of an address."""
    kept = keep(scene, "ws://game.invalid/", f"http://127.0.0.1:{scene.port()}")
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, cause="tcp-refused", from_="connecting")
    lost = keep(scene, "ws://127.0.0.1:1/", "socks5://proxy.invalid:1080")
    scene.client(lost.url)
    lost.daemon.wait_for_move("waiting", from_="resolving")


# Scripted ones.


def carry(connection: RawServerConnection, port: int) -> None:
    """From here on it is a tunnel."""
    far = socket.create_connection(("127.0.0.1", port))
    near = connection.socket
    near.settimeout(None)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=pump, args=(far, near), daemon=True)
    back.start()
    pump(near, far)
    back.join()
    far.close()


def greet(connection: RawServerConnection) -> None:
    count = connection.reader.exactly(2)[1]
    connection.reader.exactly(count)
    connection.write(b"\x05\x00")


def read_request(connection: RawServerConnection) -> tuple[int, bytes, int]:
    """SOCKS5: kind, address or name, port."""
    version, command, _, kind = connection.reader.exactly(4)
    assert (version, command) == (5, 1)
    length = {1: 4, 3: 0, 4: 16}[kind] or connection.reader.exactly(1)[0]
    address = connection.reader.exactly(length)
    return kind, address, int.from_bytes(connection.reader.exactly(2), "big")


SOCKS_OPEN = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


def dribble(connection: RawServerConnection, raw: bytes) -> None:
    """Byte by byte, each in a segment of its own."""
    for byte in raw:
        connection.write(bytes([byte]))
        connection.wait_flushed()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_name_goes_to_the_proxy(scene: Scene, scheme: str) -> None:
    """The upstream's name is not looked up here: one that nobody can look up works."""
    server = scene.websockets_server()
    asked: list[object] = []

    def http(connection: RawServerConnection) -> None:
        head = connection.read_head()
        asked.append((head.first_line, head.headers))
        dribble(connection, b"HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n")
        carry(connection, server.port)

    def socks5(connection: RawServerConnection) -> None:
        greet(connection)
        asked.append(read_request(connection))
        dribble(connection, b"\x05\x00\x00\x03\x04name\x00\x50")
        carry(connection, server.port)

    proxy = scene.raw_server({"http": http, "socks5": socks5}[scheme])
    kept = keep(scene, "ws://game.invalid:8080/path?query", f"{scheme}://127.0.0.1:{proxy.port}")
    client = scene.client(kept.url)
    client.send(numbered(0))
    wait_until(lambda: server.messages, "the message")
    assert server.latest.path == "/path?query"
    if scheme == "http":
        assert asked == [
            ("CONNECT game.invalid:8080 HTTP/1.1", {"host": "game.invalid:8080"})
        ]
    else:
        assert asked == [(3, b"game.invalid", 8080)]
    assert kept.daemon.moves(to="open")[-1]["upstream"] == "game.invalid:8080"


@pytest.mark.parametrize(
    "host,expect",
    [("127.0.0.1", (1, b"\x7f\x00\x00\x01", 80)), ("[::1]", (4, b"\x00" * 15 + b"\x01", 80))],
)
def test_numbers_go_to_socks5_as_such(
    scene: Scene, host: str, expect: tuple[int, bytes, int]
) -> None:
    asked: list[object] = []

    def script(connection: RawServerConnection) -> None:
        greet(connection)
        asked.append(read_request(connection))

    proxy = scene.raw_server(script)
    kept = keep(scene, f"ws://{host}/", f"socks5://127.0.0.1:{proxy.port}")
    scene.client(kept.url)
    wait_until(lambda: asked, "the request")
    assert asked[0] == expect


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_bytes_glued_to_the_answer_are_the_tunnels(scene: Scene, scheme: str) -> None:
    """What comes in one piece with the proxy's answer is the server's: here, its whole answer and
    a message.  It is not valid before the request was read, and it is not lost either."""

    def script(connection: RawServerConnection) -> None:
        if scheme == "http":
            connection.read_head()
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        else:
            greet(connection)
            read_request(connection)
            answer = SOCKS_OPEN
        if connection.number == 1:  # an answer to a key that nobody knows
            connection.write(answer + b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\n\r\n")
            connection.read_to_end()
            return
        connection.write(answer)
        connection.upgrade()
        connection.serve_to_end(answer_pings)

    proxy = scene.raw_server(script)
    kept = keep(scene, "ws://game.invalid/", f"{scheme}://127.0.0.1:{proxy.port}")
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="http-status", http_status=503, from_="upgrading")
    kept.wait_open()


@dataclass(frozen=True)
class Trouble:
    name: str
    scheme: str
    script: Callable[[RawServerConnection], None]
    cause: str
    why: Optional[str] = None
    http_status: Optional[int] = None


def answers(raw: bytes) -> Callable[[RawServerConnection], None]:
    """HTTP: read the request, answer, and wait for the end."""

    def script(connection: RawServerConnection) -> None:
        connection.read_head()
        connection.write(raw)
        while connection.socket.recv(4096):
            pass

    return script


def replies(*raws: bytes, ends: bool = False) -> Callable[[RawServerConnection], None]:
    """SOCKS5: one answer for each of greeting and request; then silence, or the end."""

    def script(connection: RawServerConnection) -> None:
        for number, raw in enumerate(raws):
            if number == 0:
                connection.reader.exactly(connection.reader.exactly(2)[1])
            else:
                read_request(connection)
            connection.write(raw)
        if ends:
            connection.wait_flushed()
            connection.fin()
        while connection.socket.recv(4096):
            pass

    return script


def closes_at_once(connection: RawServerConnection) -> None:
    connection.fin()


def resets_after_the_request(connection: RawServerConnection) -> None:
    connection.read_head()
    connection.reset()


def says_nothing(connection: RawServerConnection) -> None:
    while connection.socket.recv(4096):
        pass


NOT_HTTP = "its answer is not HTTP"
TOO_LONG = "its answer is not HTTP, or too long"
REFUSED = "it refused the way to the upstream"
NOT_SOCKS5 = "its answer is not SOCKS5"

TROUBLES = [
    Trouble("hangs", "http", says_nothing, "proxy-timeout"),
    Trouble("closes", "http", closes_at_once, "tcp-eof"),
    Trouble("resets", "http", resets_after_the_request, "tcp-reset"),
    Trouble("half-a-head", "http", answers(b"HTTP/1.1 200 OK\r\nA"), "proxy-timeout"),
    Trouble(
        "403", "http", answers(b"HTTP/1.1 403 No\r\n\r\n"), "proxy-refused", REFUSED, 403
    ),
    Trouble(
        "407",
        "http",
        answers(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n"),
        "proxy-refused",
        "it wants other credentials, or any",
        407,
    ),
    Trouble("101", "http", answers(b"HTTP/1.1 101 X\r\n\r\n"), "proxy-refused", REFUSED, 101),
    Trouble("302", "http", answers(b"HTTP/1.1 302 X\r\n\r\n"), "proxy-refused", REFUSED, 302),
    Trouble("garbage", "http", answers(b"\0\1\2\r\n\r\n"), "proxy-refused", NOT_HTTP),
    Trouble("html", "http", answers(b"<html>\r\n\r\n</html>"), "proxy-refused", NOT_HTTP),
    Trouble(
        "endless",
        "http",
        answers(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 4000),
        "proxy-refused",
        TOO_LONG,
    ),
    Trouble("hangs", "socks5", says_nothing, "proxy-timeout"),
    Trouble("closes", "socks5", closes_at_once, "tcp-eof"),
    Trouble("hangs-after-greeting", "socks5", replies(b"\5\0"), "proxy-timeout"),
    Trouble("closes-after-greeting", "socks5", replies(b"\5\0", ends=True), "tcp-eof"),
    Trouble("closes-in-the-reply", "socks5", replies(b"\5\0", b"\5\0\0\1", ends=True), "tcp-eof"),
    Trouble("hangs-in-the-reply", "socks5", replies(b"\5\0", b"\5\0\0\3\xff"), "proxy-timeout"),
    Trouble("not-5", "socks5", replies(b"\4\0"), "proxy-refused", NOT_SOCKS5),
    Trouble("http", "socks5", replies(b"HTTP/1.1 400 No\r\n\r\n"), "proxy-refused", NOT_SOCKS5),
    Trouble("not-offered", "socks5", replies(b"\5\2"), "proxy-refused", NOT_SOCKS5),
    Trouble("kind", "socks5", replies(b"\5\0", b"\5\0\0\2\0"), "proxy-refused", NOT_SOCKS5),
    Trouble(
        "rules",
        "socks5",
        replies(b"\5\0", b"\5\2\0\1\0\0\0\0\0\0", ends=True),
        "proxy-refused",
        "not allowed by its rules",
    ),
    Trouble(
        "host", "socks5", replies(b"\5\0", b"\5\4", ends=True), "proxy-refused", "host unreachable"
    ),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda t: f"{t.scheme}-{t.name}")
def test_proxy_in_trouble(scene: Scene, trouble: Trouble) -> None:
    """At each step there is an end with a cause, and the next attempt is as good as the first."""
    server = scene.websockets_server()
    troubled = 2

    def script(connection: RawServerConnection) -> None:
        if connection.number <= troubled:
            trouble.script(connection)
        elif trouble.scheme == "http":
            connection.read_head()
            connection.write(b"HTTP/1.1 200 OK\r\n\r\n")
            carry(connection, server.port)
        else:
            greet(connection)
            read_request(connection)
            connection.write(SOCKS_OPEN)
            carry(connection, server.port)

    proxy: RawServer = scene.raw_server(script)
    kept = keep(
        scene,
        "ws://game.invalid/",
        f"{trouble.scheme}://127.0.0.1:{proxy.port}",
        connect_timeout="400ms",
    )
    client = scene.client(kept.url)
    client.send(numbered(0))
    expect: dict[str, Any] = {"cause": trouble.cause, **WAITING}
    if trouble.http_status is not None:
        expect["http_status"] = trouble.http_status
    kept.daemon.wait_for_move("waiting", troubled, **expect)
    if trouble.why is not None:
        kept.daemon.wait_for("proxy-refused", troubled, why=trouble.why)
    wait_until(lambda: server.messages, "the message")
    assert client.is_open


def test_credentials_are_in_no_line(scene: Scene) -> None:
    """Neither as written nor as sent, whatever the proxy says."""
    heads: list[dict[str, str]] = []

    def script(connection: RawServerConnection) -> None:
        heads.append(connection.read_head().headers)
        connection.write(b"HTTP/1.1 407 No\r\n\r\n")

    proxy = scene.raw_server(script)
    kept = keep(scene, "ws://game.invalid/", f"http://{ENCODED}@127.0.0.1:{proxy.port}")
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, cause="proxy-refused", http_status=407)
    sent = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert heads[0]["proxy-authorization"] == f"Basic {sent}"
    for secret in (sent, PASSWORD, "hunter2", USER):
        assert secret not in kept.daemon.stderr
