"""No payload is special, and no close code is a surprise: messages are bytes to wskeepd."""

from __future__ import annotations

import json
from typing import Union

import pytest

from conversation import Server
from frames import PING, encode
from messages import Message, numbered
from polling import wait_until
from scene import Scene

#: What looks like a frame, a head, a word of ours, of a proxy's or of a heartbeat.
WORDS: list[Union[str, bytes]] = [
    "",
    "\0",
    "ping",
    "pong",
    "PING",
    "close",
    "reconnect",
    "connect",
    "interrupted",
    "ws-reconnect",
    "RECONNECT_PROXY",
    "wskeep",
    "wskeep: gave-up",
    "wskeep-session",
    "1000",
    "1006",
    "2",  # socket.io's ping
    "3",
    "h",  # SockJS' heartbeat
    "o",
    'c[3000,"Go away!"]',
    '{"wskeep":"gap"}',
    '{"type":"ping"}',
    '{"type":"connection_init"}',
    json.dumps({"wskeep": {"resume": 1, "ack": 2}}),
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "\r\n",
    "\r\n\r\n",
    "${env:HOME}",
    "%s%n%p",
    "\u2028\ufeff\ufffd",
    numbered(0),
    b"",
    b"\0" * 8,
    b"\xff" * 126,
    b"\x03\xe8interrupted",
    b"\x88\x00",
    encode(PING, b"12345678"),
    encode(PING, b"12345678", masked=True),
    b"\x00\x00\xff\xff",  # the end of a deflated message
    bytes(range(256)),
]


@pytest.mark.parametrize("server_kind,client_kind", [("websockets", "node"), ("node", "websockets")])
def test_no_payload_is_special(scene: Scene, server_kind: str, client_kind: str) -> None:
    """Each goes there and back as it is, in its order, over a break in the middle, too."""
    server = scene.server(server_kind, echo=True)
    wire = scene.wire(server)
    kept = scene.keep(wire.url, session={"on_gap": "notify"})
    client = scene.client(kept.url, client_kind)
    kept.wait_open(server)
    expected = [Message.of(word) for word in WORDS]
    for word in WORDS:
        client.send(word)
    wait_until(lambda: len(client.messages) >= len(WORDS), "all echoes")
    wait_until(lambda: server.messages == expected, "the server's report")  # Node writes it apart
    assert client.messages == expected
    wait_until(lambda: server.has_acknowledged_all, "a Pong for all of it")
    wire.settle()
    wire.refuse()
    wire.cut()
    kept.daemon.wait_for_move("waiting", cause="tcp-refused")
    for word in WORDS:  # now out of the outbox
        client.send(word)
    wire.open_listener()
    gap = Message.of('{"wskeep":"gap"}')
    wait_until(lambda: len(client.messages) >= 2 * len(WORDS) + 1, "all echoes and the gap")
    wait_until(lambda: server.messages == expected * 2, "the server's report")  # Node writes it apart
    assert client.messages == expected + [gap] + expected
    assert client.is_open


#: All codes that a server may send, and a reason or two.
CODES: dict[int, str] = {
    **{code: "reconnect" for code in (1001, 1011, 1012, 1013, 1014)},
    **{code: "end" for code in (1000, 1002, 1003, 1007, 1008, 1009, 1010)},
    **{code: "end" for code in (3000, 3999, 4000, 4999)},
}


def is_open_again(server: Server, count: int) -> bool:
    return len(server.conversations) == count and server.is_connected


def test_every_close_code(scene: Scene) -> None:
    """Each does what the table says, with any reason: one text is no different from another."""
    reasons = ["", "Stream end encountered", "reconnect", "interrupted "]
    server = scene.websockets_server()
    kept = scene.keep(server.url, reconnect={"initial_delay": "1ms", "max_delay": "100ms"})
    client = scene.websockets_client(kept.url)
    opened = 1
    for code, then in CODES.items():
        for reason in reasons:
            wait_until(lambda: is_open_again(server, opened), "an open connection")
            kept.wait_open(server)
            server.close(code, reason)
            opened += 1
            if then == "end":
                assert client.wait_closed() == (code, reason)
                client = scene.websockets_client(kept.url)
    wait_until(lambda: is_open_again(server, opened), "the last connection")
    assert client.is_open
    kept.wait_open(server)
    ended = kept.daemon.moves(to="ended", cause="closed")
    again = kept.daemon.moves(to="waiting", cause="closed")
    assert [m["code"] for m in ended] == [c for c, t in CODES.items() for _ in reasons if t == "end"]
    assert [m["code"] for m in again] == [c for c, t in CODES.items() for _ in reasons if t != "end"]
