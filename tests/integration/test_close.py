"""Who ends a session, with which code, and what the other side is told."""

from __future__ import annotations

import threading
from typing import Any, Optional

import pytest

from frames import CLOSE, PING, PONG, Frame
from messages import check_delivery, numbered
from polling import wait_until
from raw_peers import RawServerConnection, answer_pings
from scene import Scene

SERVERS = ["websockets", "node"]
CLIENTS = ["websockets", "node"]


@pytest.mark.parametrize("server_kind", SERVERS)
@pytest.mark.parametrize(
    "code,reason",
    [
        (1000, "normal closure"),
        (1000, ""),
        (1000, "Interrupted"),
        (1002, "you broke it"),
        (1003, "text only"),
        (1007, "not UTF-8"),
        (1008, "policy"),
        (1009, "too long"),
        (3000, "unauthorized"),
        (4001, "bye"),
        (4999, "ü" * 61),
    ],
)
def test_upstream_ends_the_session(
    scene: Scene, server_kind: str, code: int, reason: str
) -> None:
    """These codes end the session, and the client sees code and reason unchanged."""
    server = scene.server(server_kind)
    kept = scene.keep(server.url)
    client = scene.client(kept.url, "node" if server_kind == "websockets" else "websockets")
    kept.wait_open(server)
    server.send("last words")
    server.close(code, reason)
    assert client.wait_closed() == (code, reason)
    assert client.texts == ["last words"]
    move = kept.daemon.wait_for_move("ended", from_="open", cause="closed")
    assert (move["code"], move["reason"]) == (code, reason)
    kept.daemon.wait_for("session-end", session=move["session"])
    wait_until(lambda: server.latest.close_code == code, "the server to see its Close answered")
    assert server.requests == 1


@pytest.mark.parametrize("code,reason", [(1011, "oops"), (1013, "later"), (1014, "bad gateway")])
def test_upstream_close_that_reconnects(scene: Scene, code: int, reason: str) -> None:
    """Server errors, bad gateways and `try again later` are not the end."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    kept.wait_open(server)
    server.close(code, reason)
    kept.daemon.wait_for_move("waiting", cause="closed", code=code, reason=reason)
    client.send("again")
    wait_until(lambda: [m.text for m in server.messages] == ["again"], "the message")
    assert len(server.conversations) == 2
    assert client.is_open


@pytest.mark.parametrize("round_", range(4))
def test_last_words_before_a_reset(scene: Scene, round_: int) -> None:
    """20 messages, a Pong and Close 4001 count although a reset follows while wskeepd writes."""
    acknowledged: list[int] = []

    def script(connection: RawServerConnection) -> None:
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
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    client.send_many([numbered(number, 500_000) for number in range(60)])
    assert client.wait_closed() == (4001, "bye")
    assert client.numbers == list(range(20))
    end = kept.daemon.wait_for("session-end")
    assert end["cause"] == "closed"
    assert end["received"] == 20
    assert end["given_up"] <= 60 - acknowledged[0]
    assert len(server.conversations) == 1


@pytest.mark.parametrize("client_kind", CLIENTS)
@pytest.mark.parametrize("code,reason", [(1000, ""), (1001, "away"), (3001, "done"), (4999, "x")])
def test_close_answer_is_a_receipt(
    scene: Scene, client_kind: str, code: int, reason: str
) -> None:
    """A client's Close is answered with its code, and passed on, only after the last Pong."""
    may_answer = threading.Event()
    held: list[Frame] = []
    after_close: list[int] = []

    def hold(connection: RawServerConnection, ping: Frame) -> None:
        if may_answer.is_set():
            connection.pong(ping)
        else:
            held.append(ping)

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(hold)
        after_close.append(len(connection.read_to_end()))

    server = scene.raw_server(script)
    kept = scene.keep(server.url, session={"drain_timeout": "30s"})
    client = scene.client(kept.url, client_kind)
    for number in range(5):
        client.send(numbered(number))
    client.start_close(code, reason)
    wait_until(lambda: len(server.messages) == 5 and held, "the messages and a Ping after them")
    other = scene.client(kept.url)  # the daemon has had turns enough to answer too early
    other.ping()
    assert server.conversations[0].is_open, "the upstream's Close came before the last Pong"
    end_events = kept.daemon.find("session-end")
    assert end_events == [], "the session ended before the last Pong"
    may_answer.set()
    for ping in list(held):
        server.accepted[0].pong(ping)
    assert client.wait_closed()[0] == code
    wait_until(lambda: not server.conversations[0].is_open, "the upstream's Close")
    assert server.conversations[0].close_code == code
    assert server.conversations[0].close_reason == reason
    wait_until(lambda: after_close, "the upstream's TCP to end")
    assert after_close[0] == 0, "frames after the Close"


@pytest.mark.parametrize("server_kind", SERVERS)
def test_empty_close_stays_empty(scene: Scene, server_kind: str) -> None:
    """A client's empty Close is answered empty and reaches the upstream empty."""
    server = scene.server(server_kind)
    kept = scene.keep(server.url)
    raw = scene.raw_client(kept.port)
    raw.handshake()
    kept.wait_open(server)
    raw.send(CLOSE)
    assert raw.read_until(CLOSE).payload == b""
    assert raw.read_to_end() == []
    wait_until(lambda: not server.is_connected, "the upstream to end")
    assert server.latest.close_code == 1005


@pytest.mark.parametrize("client_kind", CLIENTS)
def test_undelivered_messages_are_counted(scene: Scene, client_kind: str) -> None:
    """When drain_timeout passes first, the Close answer is 1011 with the number."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    kept = scene.keep(wire.url)
    client = scene.client(kept.url, client_kind)
    for number in range(7):
        client.send(numbered(number, 10))
    assert client.close(1000, "") == (1011, "wskeep: 7 messages not delivered")
    end = kept.daemon.wait_for("session-end")
    assert end["given_up"] == 7
    given_up = kept.daemon.wait_for("given-up", session=end["session"])
    assert (given_up["count"], given_up["bytes"]) == (7, 70)
    assert isinstance(given_up["cause"], str) and given_up["cause"]


def test_draining_session_reconnects(scene: Scene) -> None:
    """A client that closed while the upstream was away gets its receipt once it is back."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    kept = scene.keep(wire.url, session={"drain_timeout": "30s"})
    client = scene.client(kept.url)
    for number in range(7):
        client.send(numbered(number))
    client.start_close(3001, "done")
    kept.daemon.wait_for_move("waiting", 2, cause="tcp-refused")
    wire.open_listener()
    assert client.wait_closed() == (3001, "done")
    check_delivery(server.numbers_by_connection, 7)
    wait_until(lambda: not server.is_connected, "the upstream to end")
    assert (server.latest.close_code, server.latest.close_reason) == (3001, "done")


@pytest.mark.parametrize("leaves", ["close-and-fin", "fin", "reset"])
@pytest.mark.parametrize("upstream", ["there", "late"])
def test_client_that_does_not_wait(scene: Scene, leaves: str, upstream: str) -> None:
    """What a client wrote before it vanished is delivered; only its own Close is passed on."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    if upstream == "late":
        wire.refuse()
    kept = scene.keep(wire.url, session={"drain_timeout": "20s"})
    raw = scene.raw_client(kept.port)
    raw.handshake()
    for number in range(50):
        raw.send_text(numbered(number))
    if leaves == "close-and-fin":
        raw.send_close(3001, "gone")
    raw.wait_flushed()
    if leaves == "reset":
        raw.reset()
    else:
        raw.close()
    if upstream == "late":
        kept.daemon.wait_for_move("waiting", 2, cause="tcp-refused")
        wire.open_listener()
    wait_until(lambda: len(server.messages) >= 50, "the messages")
    assert check_delivery(server.numbers_by_connection, 50).repeated == 0
    wait_until(lambda: not server.is_connected, "the upstream to end")
    closed = (server.latest.close_code, server.latest.close_reason)
    assert closed == ((3001, "gone") if leaves == "close-and-fin" else (1006, ""))
    cause = "client-closed" if leaves == "close-and-fin" else "client-lost"
    end = kept.daemon.wait_for("session-end")
    assert (end["cause"], end["given_up"]) == (cause, 0)


# Close rules of the configuration.

RECONNECTS: list[tuple[str, list[dict[str, Any]], int, str]] = [
    ("code", [{"code": 4001, "then": "reconnect"}], 4001, "bye"),
    ("range", [{"code": "4000-4099", "then": "reconnect"}], 4099, ""),
    ("any", [{"code": "any", "then": "reconnect"}], 1008, "policy"),
    ("slow", [{"code": 1000, "then": "reconnect-slow"}], 1000, "normal closure"),
    ("glob", [{"code": 4001, "reason": "again ?", "then": "reconnect"}], 4001, "again 7"),
    ("star", [{"code": 4001, "reason": "*soon*", "then": "reconnect"}], 4001, "back soon, bye"),
    (
        "first",
        [{"code": 4001, "then": "reconnect"}, {"code": "any", "then": "end"}],
        4001,
        "first match acts",
    ),
]

ENDS: list[tuple[str, list[dict[str, Any]], int, str]] = [
    ("code", [{"code": 1012, "then": "end"}], 1012, "restart"),
    ("range-above", [{"code": "4000-4099", "then": "reconnect"}], 4100, "outside"),
    ("glob", [{"code": 1000, "reason": "inter*", "then": "end"}], 1000, "interrupted"),
    (
        "glob-no-match",
        [{"code": 4001, "reason": "again ?", "then": "reconnect"}],
        4001,
        "again 12",
    ),
    (
        "first",
        [{"code": "any", "then": "end"}, {"code": 1012, "then": "reconnect"}],
        1012,
        "first match acts",
    ),
    ("empty", [{"code": 1005, "then": "end"}], 1005, ""),
]


@pytest.mark.parametrize("name,rules,code,reason", RECONNECTS, ids=[r[0] for r in RECONNECTS])
def test_rule_that_reconnects(
    scene: Scene, name: str, rules: list[dict[str, Any]], code: int, reason: str
) -> None:
    """A rule may keep a session that the defaults would end."""
    server = scene.websockets_server()
    kept = scene.keep(server.url, close_rules=rules)
    client = scene.client(kept.url)
    kept.wait_open(server)
    server.close(code, reason)
    wait_until(lambda: len(server.conversations) == 2, "a second connection")
    client.send("still here")
    wait_until(lambda: server.messages, "the message")
    assert client.is_open


@pytest.mark.parametrize("name,rules,code,reason", ENDS, ids=[r[0] for r in ENDS])
def test_rule_that_ends(
    scene: Scene, name: str, rules: list[dict[str, Any]], code: int, reason: str
) -> None:
    """A rule may end what the defaults would keep; 1005 reaches the client as an empty Close."""
    server = scene.websockets_server()
    kept = scene.keep(server.url, close_rules=rules)
    client = scene.client(kept.url)
    kept.wait_open(server)
    if code == 1005:
        server.close_empty()
    else:
        server.close(code, reason)
    assert client.wait_closed() == (code, reason)
    assert len(server.conversations) == 1


def test_rule_for_1006_ends_without_close(scene: Scene) -> None:
    """1006 may not be sent: the client's TCP ends without a Close."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(wire.url, close_rules=[{"code": 1006, "then": "end"}])
    raw = scene.raw_client(kept.port)
    raw.handshake()
    kept.wait_open(server)
    wire.cut()
    assert [f for f in raw.read_to_end() if f.opcode != PING] == []
    assert wire.attempts == 1


END_WITHOUT_CODE: list[tuple[str, dict[str, Any], Optional[int], str]] = [
    ("404", {"http": 404, "then": "end"}, 404, "http-status"),
    ("503", {"http": "500-599", "then": "end"}, 503, "http-status"),
    ("418", {}, 418, "http-status"),
    ("refused", {"cause": "tcp-refused", "then": "end"}, None, "tcp-refused"),
]


@pytest.mark.parametrize(
    "name,rule,status,cause", END_WITHOUT_CODE, ids=[e[0] for e in END_WITHOUT_CODE]
)
def test_end_without_a_code(
    scene: Scene, name: str, rule: dict[str, Any], status: Optional[int], cause: str
) -> None:
    """An end that has no WebSocket code is 1014 to an open client and 502 to a waiting one."""

    def refuse(connection: RawServerConnection) -> None:
        connection.read_head()
        connection.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())

    url = f"ws://127.0.0.1:{scene.port()}/" if status is None else scene.raw_server(refuse).url
    kept = scene.keep(url, close_rules=[rule] if rule else [])
    client = scene.client(kept.url)
    assert client.wait_closed() == (1014, f"wskeep: {cause}")
    waiting = scene.raw_client(kept.port)
    waiting.write(waiting.request(extra=("Sec-WebSocket-Protocol: a, b",)))
    assert waiting.read_response().status == 502
    kept.daemon.wait_for("session-end", 2, cause=cause)


def test_heartbeat_timeout_may_end(scene: Scene) -> None:
    """A rule on a cause acts on connections that were open too: TCP ends without Close."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(
        wire.url,
        heartbeat={"interval": "200ms", "timeout": "300ms"},
        close_rules=[{"cause": "heartbeat-timeout", "then": "end"}],
    )
    client = scene.client(kept.url)
    kept.wait_open(server)
    wire.stall()
    code, _ = client.wait_closed()
    assert code in (1006, 1014)
    kept.daemon.wait_for("session-end", cause="heartbeat-timeout")


UPSTREAM_BREAKS_RULES: list[tuple[str, bytes]] = [
    ("masked", b"\x81\x81\x00\x00\x00\x00a"),
    ("rsv", b"\xc1\x01a"),
    ("opcode", b"\x83\x01a"),
    ("long ping", b"\x89\x7e\x00\x7e" + b"a" * 126),
    ("stray continuation", b"\x80\x01a"),
    ("invalid UTF-8", b"\x81\x01\xff"),
    ("close of one byte", b"\x88\x01\x03"),
    ("close 1006", b"\x88\x02\x03\xee"),
    ("too long", b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00"),
]


@pytest.mark.parametrize(
    "name,raw", UPSTREAM_BREAKS_RULES, ids=[name for name, _ in UPSTREAM_BREAKS_RULES]
)
def test_upstream_that_breaks_the_protocol(scene: Scene, name: str, raw: bytes) -> None:
    """A frame that no server may send ends the session, named, and reaches no client."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.send_text("fine")
        connection.write(raw)
        connection.read_to_end()

    server = scene.raw_server(script)
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    cause = "message-too-big" if name == "too long" else "protocol-error"
    assert client.wait_closed() == (1014, f"wskeep: {cause}")
    assert client.texts == ["fine"]
    kept.daemon.wait_for("session-end", cause=cause)
    assert len(server.conversations) == 1


def test_upstream_close_comes_after_all_messages(scene: Scene) -> None:
    """With a lot still to send the client's Close is passed on last."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(wire.url, session={"drain_timeout": "30s"})
    client = scene.client(kept.url)
    kept.wait_open(server)
    wire.throttle(up=2_000_000)
    client.send_many([numbered(number, 10_000) for number in range(500)]).result(30)
    client.start_close(4000, "done")
    assert client.wait_closed() == (4000, "done")
    wait_until(lambda: not server.is_connected, "the upstream to end")
    assert check_delivery(server.numbers_by_connection, 500).repeated == 0
    assert (server.latest.close_code, server.latest.close_reason) == (4000, "done")


def test_silent_peer_does_not_hold_the_end(scene: Scene) -> None:
    """An upstream that never answers our Close is left behind after 2 s, the client long before."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve(answer_pings)
        connection.read_to_end()

    server = scene.raw_server(script)
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    client.send("one")
    assert client.close(3001, "done") == (3001, "done")
    kept.daemon.wait_for("session-end")
    wait_until(lambda: not server.latest.is_open and server.latest.close_code, "the Close")
