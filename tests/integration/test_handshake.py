"""The client's handshake: who is let in, with which subprotocol, and what reaches the upstream."""

from __future__ import annotations

import posixpath
from typing import Any, Optional
from urllib.parse import unquote

import pytest

from frames import TEXT, encode
from polling import wait_until
from raw_peers import RawServerConnection, answer_pings
from scene import Kept, Scene
from websockets_peers import Refused

CLIENTS = ["websockets", "node"]
AWAY = "ws://127.0.0.1:{port}/"


def away(scene: Scene) -> str:
    """An upstream that refuses connections."""
    return AWAY.format(port=scene.port())


def ask(scene: Scene, kept: Kept, request: bytes) -> int:
    raw = scene.raw_client(kept.port)
    raw.write(request)
    return raw.read_response().status


# Subprotocols.


@pytest.mark.parametrize("client_kind", CLIENTS)
def test_no_offer_is_answered_at_once(scene: Scene, client_kind: str) -> None:
    """A client that offers no subprotocol does not wait for the upstream."""
    client = scene.client(scene.keep(away(scene)).url, client_kind)
    assert client.subprotocol is None
    client.ping()


@pytest.mark.parametrize("client_kind", CLIENTS)
def test_fixed_subprotocol_is_answered_at_once(scene: Scene, client_kind: str) -> None:
    """With one configured subprotocol the client gets it before the upstream was ever there."""
    kept = scene.keep(away(scene), upstream={"subprotocols": ["game.v2"]})
    client = scene.client(kept.url, client_kind, subprotocols=["game.v1", "game.v2"])
    assert client.subprotocol == "game.v2"


def test_fixed_subprotocol_is_offered_upstream(scene: Scene) -> None:
    """Only the configured subprotocol is offered, also for a client that offers none."""
    server = scene.websockets_server(subprotocols=["game.v2", "game.v1"])
    kept = scene.keep(server.url, upstream={"subprotocols": ["game.v2"]})
    scene.client(kept.url)
    scene.client(kept.url, subprotocols=["game.v1", "game.v2"])
    wait_until(lambda: len(server.conversations) == 2, "both upstream connections")
    for conversation in server.conversations:
        assert conversation.headers["sec-websocket-protocol"] == "game.v2"


@pytest.mark.parametrize("configured", [["game.v2"], ["game.v2", "game.v3"]])
@pytest.mark.parametrize("client_kind", CLIENTS)
def test_foreign_subprotocols_are_refused(
    scene: Scene, client_kind: str, configured: list[str]
) -> None:
    """A client that offers only others than the configured ones gets 400."""
    kept = scene.keep(away(scene), upstream={"subprotocols": configured})
    with pytest.raises(Refused) as refused:
        scene.client(kept.url, client_kind, subprotocols=["chat", "game.v1"])
    assert refused.value.status == 400
    assert kept.daemon.wait_for("client-refused", link="game")["status"] == 400


@pytest.mark.parametrize("client_kind", CLIENTS)
def test_upstream_chooses_and_is_remembered(scene: Scene, client_kind: str) -> None:
    """The upstream's choice is passed on; the next client is answered without the upstream."""
    server = scene.websockets_server(subprotocols=["b"])
    wire = scene.wire(server)
    kept = scene.keep(wire.url)
    first = scene.client(kept.url, client_kind, subprotocols=["a", "b"])
    assert first.subprotocol == "b"
    assert server.latest.headers["sec-websocket-protocol"].replace(" ", "") == "a,b"
    wire.refuse()
    second = scene.client(kept.url, client_kind, subprotocols=["a", "b"])
    assert second.subprotocol == "b"
    assert len(server.conversations) == 1


def test_several_configured_subprotocols_are_a_choice(scene: Scene) -> None:
    """With several configured the upstream chooses among those the client offers too."""
    server = scene.websockets_server(subprotocols=["c", "b"])
    kept = scene.keep(server.url, upstream={"subprotocols": ["a", "b"]})
    client = scene.client(kept.url, subprotocols=["c", "b", "a"])
    assert client.subprotocol == "b"


def test_waiting_client_gets_504(scene: Scene) -> None:
    """A client that must wait for the upstream's choice waits at most connect_timeout."""
    server = scene.websockets_server(subprotocols=["b"])
    wire = scene.wire(server)
    wire.mute()
    kept = scene.keep(wire.url, upstream={"connect_timeout": "1s"})
    with pytest.raises(Refused) as refused:
        scene.client(kept.url, subprotocols=["a", "b"])
    assert refused.value.status == 504


def test_waiting_client_is_served_by_a_later_attempt(scene: Scene) -> None:
    """While it waits, failed attempts are repeated, and the first that opens answers it."""
    server = scene.websockets_server(subprotocols=["b"])
    wire = scene.wire(server)
    wire.refuse()
    kept = scene.keep(wire.url)
    raw = scene.raw_client(kept.port)
    raw.write(raw.request(extra=("Sec-WebSocket-Protocol: a, b",)))
    kept.daemon.wait_for_move("waiting", 2, cause="tcp-refused")
    wire.open_listener()
    response = raw.read_response()
    assert response.status == 101
    assert response.headers["sec-websocket-protocol"] == "b"


def test_changed_subprotocol_ends_at_the_third(scene: Scene) -> None:
    """An upstream that chooses differently is tried slowly, and the third time is the end."""
    server = scene.websockets_server(subprotocols=["b"])
    wire = scene.wire(server)
    kept = scene.keep(wire.url)
    client = scene.client(kept.url, subprotocols=["a", "b"])
    server.choose_subprotocols(["a"])
    wire.reset()
    assert client.wait_closed() == (1014, "wskeep: subprotocol-mismatch")
    assert server.requests == 4
    kept.daemon.wait_for("session-end", cause="subprotocol-mismatch")


# Origin and Host.

ALLOWED = "https://allowed.example"

ORIGINS: list[tuple[Optional[str], int]] = [
    (None, 101),
    (ALLOWED, 101),
    ("https://evil.example", 403),
    ("null", 403),
    ("https://allowed.example.evil.example", 403),
    ("https://evil-allowed.example", 403),
    ("https://evilallowed.example", 403),
    ("https://ALLOWED.example", 403),
    ("https://allowed.example:443", 403),
    ("https://allowed.example:8443", 403),
    ("http://allowed.example", 403),
    ("https://allowed.example/", 403),
    ("https://allowed.exampl", 403),
    ("", 403),
]


@pytest.mark.parametrize("origin,status", ORIGINS)
def test_origin_must_be_listed(scene: Scene, origin: Optional[str], status: int) -> None:
    """An Origin is absent or exactly listed, or the client is refused with 403."""
    kept = scene.keep(away(scene), client={"allow_origins": [ALLOWED]})
    extra = () if origin is None else (f"Origin: {origin}",)
    raw = scene.raw_client(kept.port)
    assert ask(scene, kept, raw.request(extra=extra)) == status
    if status == 403:
        refused = kept.daemon.wait_for("client-refused", link="game")
        assert (refused["status"], refused["why"]) == (403, "origin")


@pytest.mark.parametrize("origin", [o for o, _ in ORIGINS if o is not None] + ["http://localhost"])
def test_any_origin_is_refused_by_default(scene: Scene, origin: str) -> None:
    """Without allow_origins no browser's page gets in, whatever it is called."""
    kept = scene.keep(away(scene))
    raw = scene.raw_client(kept.port)
    assert ask(scene, kept, raw.request(extra=(f"Origin: {origin}",))) == 403
    refused = kept.daemon.wait_for("client-refused")
    assert (refused["why"], refused["shown"]) == ("origin", origin)  # as allow_origins wants it


@pytest.mark.parametrize("client_kind", CLIENTS)
def test_clients_with_an_origin(scene: Scene, client_kind: str) -> None:
    """Real clients see the same: 403 where the page is not listed, a connection where it is."""
    kept = scene.keep(away(scene), client={"allow_origins": [ALLOWED]})
    with pytest.raises(Refused) as refused:
        scene.client(kept.url, client_kind, origin="https://evil.example")
    assert refused.value.status == 403
    scene.client(kept.url, client_kind, origin=ALLOWED)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:{port}", "127.0.0.1", "127.0.0.1:{port}", "[::1]", "[::1]:{port}"],
)
def test_own_hosts_pass(scene: Scene, host: str) -> None:
    """The listener's own address and localhost are accepted, with and without the port."""
    kept = scene.keep(away(scene))
    raw = scene.raw_client(kept.port)
    assert ask(scene, kept, raw.request(host=host.format(port=kept.port))) == 101


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.evil.example:{port}",
        "evil-localhost",
        "127.0.0.1@evil.example",
        "127.0.0.1:{port}@evil.example",
        "127.0.0.1, evil.example",
        "192.0.2.1",
        "",
        None,
    ],
)
def test_foreign_hosts_are_refused(scene: Scene, host: Optional[str]) -> None:
    """A name that was rebound to this machine does not get a page in."""
    kept = scene.keep(away(scene))
    raw = scene.raw_client(kept.port)
    given = host.format(port=kept.port) if host is not None else None
    assert ask(scene, kept, raw.request(host=given)) in (400, 403, 421)
    kept.daemon.wait_for("client-refused", link="game")


@pytest.mark.parametrize("second", ["localhost", "evil.example"])
def test_two_hosts_are_refused(scene: Scene, second: str) -> None:
    """Two Host headers are never a choice."""
    kept = scene.keep(away(scene))
    raw = scene.raw_client(kept.port)
    assert ask(scene, kept, raw.request(host="localhost", extra=(f"Host: {second}",))) in (400, 421)


def test_listed_host_passes(scene: Scene) -> None:
    """allow_hosts adds names."""
    kept = scene.keep(away(scene), client={"allow_hosts": ["game.internal"]})
    raw = scene.raw_client(kept.port)
    assert ask(scene, kept, raw.request(host="game.internal")) == 101
    assert ask(scene, kept, raw.request(host="game.internal.evil.example")) in (400, 403, 421)


# Requests that are no handshake.

KEY = "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="
UPGRADE = ("Host: localhost", "Upgrade: websocket", "Connection: Upgrade")


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


NO_HANDSHAKES: list[tuple[str, bytes, tuple[int, ...]]] = [
    ("plain GET", head("GET / HTTP/1.1", "Host: localhost"), (400, 426)),
    ("HTTP/1.0", head("GET / HTTP/1.0", *UPGRADE, KEY, "Sec-WebSocket-Version: 13"), (400, 426)),
    ("POST", head("POST / HTTP/1.1", *UPGRADE, KEY, "Sec-WebSocket-Version: 13"), (400, 405, 426)),
    ("version 8", head("GET / HTTP/1.1", *UPGRADE, KEY, "Sec-WebSocket-Version: 8"), (426,)),
    ("no version", head("GET / HTTP/1.1", *UPGRADE, KEY), (400, 426)),
    ("no key", head("GET / HTTP/1.1", *UPGRADE, "Sec-WebSocket-Version: 13"), (400,)),
    (
        "short key",
        head("GET / HTTP/1.1", *UPGRADE, "Sec-WebSocket-Key: AQID", "Sec-WebSocket-Version: 13"),
        (400,),
    ),
    (
        "two keys",
        head("GET / HTTP/1.1", *UPGRADE, KEY, KEY, "Sec-WebSocket-Version: 13"),
        (400,),
    ),
    (
        "no Connection: Upgrade",
        head("GET / HTTP/1.1", *UPGRADE[:2], KEY, "Sec-WebSocket-Version: 13"),
        (400, 426),
    ),
    ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
    ("bare LF in a value", head("GET / HTTP/1.1", *UPGRADE, KEY, "X: a\nb: c"), (400,)),
    ("NUL in a value", head("GET / HTTP/1.1", *UPGRADE, KEY, "X: a\0b"), (400,)),
    ("space before the colon", head("GET / HTTP/1.1", *UPGRADE, KEY, "X : a"), (400,)),
    ("folded line", head("GET / HTTP/1.1", *UPGRADE, KEY, "X: a", " b"), (400,)),
    ("no end", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000, (400, 431)),
    (
        "too many headers",
        head("GET / HTTP/1.1", *UPGRADE, KEY, *[f"X-{n}: a" for n in range(2000)]),
        (400, 431),
    ),
]


@pytest.mark.parametrize(
    "name,request_,statuses", NO_HANDSHAKES, ids=[name for name, _, _ in NO_HANDSHAKES]
)
def test_request_that_is_no_handshake(
    scene: Scene, name: str, request_: bytes, statuses: tuple[int, ...]
) -> None:
    """It is answered and closed; 426 names the version; another client notices nothing."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url)
    other = scene.websockets_client(kept.url)
    raw = scene.raw_client(kept.port)
    try:
        raw.write(request_)
    except ConnectionError:
        pass  # answered before it was all written
    response = raw.read_response()
    assert response.status in statuses
    if response.status == 426:
        assert response.headers["sec-websocket-version"] == "13"
    with pytest.raises((EOFError, ConnectionResetError)):
        while True:
            raw.reader.exactly(1)
    other.send("unaffected")
    wait_until(lambda: other.texts == ["unaffected"], "the other client's echo")
    assert len(server.conversations) == 1


def test_messages_glued_to_the_handshake(scene: Scene) -> None:
    """Frames that come in the same segment as the request's head are part of the session."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    raw = scene.raw_client(kept.port)
    raw.write(raw.request() + encode(TEXT, b"early", masked=True))
    assert raw.read_response().status == 101
    wait_until(lambda: [m.text for m in server.messages] == ["early"], "the message")


# Paths.

APPENDED = [
    ("/x", {"/base/x"}),
    ("/x/y/?q=1&r=%20", {"/base/x/y/?q=1&r=%20"}),
    ("/", {"/base", "/base/"}),
    ("/?q=1", {"/base?q=1", "/base/?q=1"}),
    ("/a%20b", {"/base/a%20b"}),
    ("/x?up=../..", {"/base/x?up=../.."}),
]

ESCAPES = [
    "http://169.254.169.254/latest/meta-data",
    "https://evil.example/",
    "//evil.example/x",
    "/..",
    "/../x",
    "/../../x",
    "/a/../../x",
    "/./../x",
    "/%2e%2e/x",
    "/%2E./x",
    "/.%2e/x",
    "/a%2f..%2f..%2fx",
    "/..%2fx",
    "/..\\x",
    "/%5c..%5c..%5cx",
    "\\\\evil.example\\x",
    "@evil.example/",
    "/@evil.example/",
    ":80/",
    ".evil.example/",
    "?q",
    "*",
    "evil.example:443",
    "/..;/x",
    "/..?x",
    "/..#x",
    "/x#/../..",
]


def path_server(scene: Scene) -> Any:
    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(answer_pings)

    return scene.raw_server(script)


@pytest.mark.parametrize("target,paths", APPENDED)
def test_path_is_appended(scene: Scene, target: str, paths: set[str]) -> None:
    """`path: append` adds the client's path and query to the base."""
    server = path_server(scene)
    kept = scene.keep(server.url + "base", upstream={"path": "append"})
    scene.raw_client(kept.port).handshake(target)
    wait_until(lambda: server.conversations and server.latest.path, "the upstream's request")
    assert server.latest.path in paths


@pytest.mark.parametrize("target", ESCAPES)
def test_path_cannot_leave_its_base(scene: Scene, target: str) -> None:
    """No target reaches another host or climbs out of the base: it is refused or stays inside."""
    server = path_server(scene)
    kept = scene.keep(server.url + "base", upstream={"path": "append"})
    raw = scene.raw_client(kept.port)
    raw.write(raw.request(target))
    status = raw.read_response().status
    if status != 101:
        assert 400 <= status < 500
        return
    wait_until(lambda: server.conversations and server.latest.path, "the upstream's request")
    path = unquote(server.latest.path.split("?")[0].split("#")[0]).replace("\\", "/")
    inside = posixpath.normpath(path.replace("..;", ".."))
    assert server.latest.path.startswith("/base"), server.latest.path
    assert inside == "/base" or inside.startswith("/base/"), server.latest.path
    assert server.latest.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("target", ["/", "/x?y=1", "/../x", "//evil.example/x"])
def test_fixed_path_ignores_the_clients(scene: Scene, target: str) -> None:
    """By default every client path reaches url itself, or is refused."""
    server = path_server(scene)
    kept = scene.keep(server.url + "base?v=2")
    raw = scene.raw_client(kept.port)
    raw.write(raw.request(target))
    status = raw.read_response().status
    if target in ("/", "/x?y=1"):
        assert status == 101
    if status == 101:
        wait_until(lambda: server.conversations and server.latest.path, "the upstream's request")
        assert server.latest.path == "/base?v=2"


# Limits.


def test_max_clients(scene: Scene) -> None:
    """The client above max_clients gets 503; when one leaves there is room again."""
    server = scene.websockets_server()
    kept = scene.keep(server.url, client={"max_clients": 2})
    first = scene.websockets_client(kept.url)
    scene.websockets_client(kept.url)
    with pytest.raises(Refused) as refused:
        scene.websockets_client(kept.url)
    assert refused.value.status == 503
    assert kept.daemon.wait_for("client-refused")["status"] == 503
    first.close()
    kept.daemon.wait_for("session-end")
    scene.websockets_client(kept.url).ping()


def test_handshake_timeout(scene: Scene) -> None:
    """Half a head, dripped or not, is closed at the deadline; new clients are served meanwhile."""
    kept = scene.keep(away(scene), client={"handshake_timeout": "1s"})
    silent = [scene.raw_client(kept.port) for _ in range(20)]
    halves = [scene.raw_client(kept.port) for _ in range(20)]
    dripping = scene.raw_client(kept.port)
    request = dripping.request(extra=("X: " + "a" * 10_000,))
    for raw in halves:
        raw.write(request[:40])
    dripped = iter(request)

    def drips_no_more() -> bool:
        try:
            for _ in range(2):
                dripping.write(bytes([next(dripped)]))
        except (ConnectionError, StopIteration):
            return True
        return False

    wait_until(drips_no_more, "the dripping client to be closed")
    assert next(dripped, None) is not None, "the whole head was taken"
    scene.websockets_client(kept.url).ping()
    for raw in silent + halves:
        raw.socket.settimeout(30)
        try:
            while raw.reader.exactly(1):
                pass
        except (EOFError, ConnectionResetError):
            pass
