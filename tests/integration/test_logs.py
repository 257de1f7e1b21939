"""The log says what happened, to whom and what comes next; never what was said."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest

from frames import BINARY, CLOSE, encode
from messages import numbered
from polling import wait_until
from raw_peers import RawServerConnection
from scene import Scene

STATES = {"idle", "resolving", "connecting", "upgrading", "open", "closing", "waiting", "ended"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_every_line_is_json_and_every_move_is_there(scene: Scene) -> None:
    """Each line is an object with time, level and event; a session's moves form one chain."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(wire.url)
    client = scene.client(kept.url)
    for turn, strike in enumerate((wire.reset, wire.cut, wire.reset)):
        client.send(numbered(turn))
        wait_until(lambda: len(server.numbers_seen) == turn + 1, "the message")
        wait_until(lambda: server.has_acknowledged_all, "its Pong")
        wire.settle()  # the Pong has passed
        strike()
        kept.daemon.wait_for_move("waiting", turn + 1)
    client.close()
    kept.daemon.wait_for("session-end")
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.expect_end(0)
    events = kept.daemon.events
    assert kept.daemon.stray_lines == []
    for event in events:
        assert re.fullmatch(TIME, event["time"])
        assert event["level"] in ("error", "warning", "info", "debug")
        assert isinstance(event["event"], str)
    moves = kept.daemon.moves(link="game")
    assert len({move["session"] for move in moves}) == 1
    assert {move["from"] for move in moves} | {move["to"] for move in moves} <= STATES
    for before, after in zip(moves, moves[1:]):
        assert before["to"] == after["from"]
    assert moves[-1]["to"] == "ended"
    waits = [move for move in moves if move["to"] == "waiting"]
    assert [move["cause"] for move in waits] == ["tcp-reset", "tcp-eof", "tcp-reset"]
    assert all(isinstance(move["delay_ms"], int) for move in waits)
    assert [move["connection"] for move in waits] == [1, 2, 3]
    end = kept.daemon.find("session-end")[0]
    assert (end["sent"], end["received"], end["given_up"]) == (3, 0, 0)
    assert end["cause"] == "client-closed"
    names = [event["event"] for event in events]
    assert names.index("listening") < names.index("ready") < names.index("stopped")
    assert names[-1] == "stopped"


def test_close_is_logged_with_code_and_reason(scene: Scene) -> None:
    """A move whose cause is `closed` carries code and reason, `http-status` the status."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    scene.client(kept.url)
    kept.wait_open(server)
    server.answer_with(503)
    server.close(1012, "maintenance")
    kept.daemon.wait_for_move("waiting", cause="closed", code=1012, reason="maintenance")
    kept.daemon.wait_for_move("waiting", from_="upgrading", cause="http-status", http_status=503)


SECRET = "correct horse battery staple"


@pytest.mark.parametrize("format_", ["json", "text"])
def test_no_message_body_in_the_log(scene: Scene, format_: str) -> None:
    """Whatever breaks, at the most talkative level, nothing that was said is logged."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.send_text(SECRET)
        connection.read()
        connection.wait_flushed()
        if connection.number < 3:
            connection.reset()
        elif connection.number == 3:
            connection.write(b"\x81\x1d" + SECRET.encode() + b"\xff")  # not UTF-8

    server = scene.raw_server(script)
    link = scene.link(server.url, client={"max_message": "1KiB"})
    daemon = scene.launch({"log": {"level": "debug", "format": format_}, "links": [link]})
    wait_until(lambda: "ready" in daemon.stderr, "wskeepd to be ready")
    client = scene.client(link["listen"])
    client.send(SECRET)
    client.wait_closed()
    bad = scene.raw_client(int(link["listen"].rsplit(":", 1)[1]))
    bad.handshake()
    bad.send(1, SECRET.encode() + b"\xff")
    bad.read_to_end()
    long = scene.raw_client(int(link["listen"].rsplit(":", 1)[1]))
    long.handshake()
    long.send(1, SECRET.encode() * 1000)
    long.read_to_end()
    wait_until(lambda: daemon.stderr.count("ended") >= 3, "three sessions to end")
    assert "horse" not in daemon.stderr
    assert daemon.stdout == ""


CONTROLS = "bell \a escape \x1b[31m newline \n return \r tab \t nul \0 next \x85 quote \" end"


@pytest.mark.parametrize("format_", ["json", "text"])
def test_control_characters_are_escaped(scene: Scene, format_: str) -> None:
    """A close reason full of control characters is one line, and no terminal obeys it."""
    server = scene.node_server()
    link = scene.link(server.url)
    daemon = scene.launch({"log": {"level": "debug", "format": format_}, "links": [link]})
    wait_until(lambda: "ready" in daemon.stderr, "wskeepd to be ready")
    client = scene.client(link["listen"])
    wait_until(lambda: server.is_connected, "the upstream connection")
    server.close(4001, CONTROLS)
    assert client.wait_closed() == (4001, CONTROLS)
    wait_until(lambda: "bell" in daemon.stderr and "-> ended" in daemon.stderr
               or bool(daemon.find("session-end")), "the end in the log")
    raw = daemon.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]", raw)
    lines = [line for line in raw.splitlines() if "bell" in line]
    assert lines and all("quote" in line for line in lines)
    if format_ == "json":
        reasons = [json.loads(line).get("reason") for line in lines]
        assert CONTROLS in reasons


@pytest.mark.parametrize("origin", [b"a\x1b[31mb", b"\xff\xfe", "ü".encode(), b'"quoted"'])
def test_refused_origin_is_logged_safely(scene: Scene, origin: bytes) -> None:
    """What a stranger puts into a header cannot forge a line."""
    kept = scene.keep(f"ws://127.0.0.1:{scene.port()}/")
    raw = scene.raw_client(kept.port)
    raw.write(raw.request().replace(b"\r\n\r\n", b"\r\nOrigin: " + origin + b"\r\n\r\n"))
    assert raw.read_response().status in (400, 403)
    kept.daemon.wait_for("client-refused", link="game")
    assert kept.daemon.stray_lines == []
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", kept.daemon.stderr)


def test_text_format(scene: Scene) -> None:
    """The text format has time, level, link and session, the move, its cause and what is next."""
    link = scene.link(f"ws://127.0.0.1:{scene.port()}/")
    daemon = scene.launch({"log": {"level": "info", "format": "text"}, "links": [link]})
    wait_until(lambda: "ready" in daemon.stderr, "wskeepd to be ready")
    scene.client(link["listen"])
    pattern = (
        rf"^{TIME} (info|warning) game#\d+: connecting -> waiting \(tcp-refused\), "
        r"next attempt in \d+ ms$"
    )
    wait_until(
        lambda: re.search(pattern, daemon.stderr, re.MULTILINE),
        lambda: f"a line like {pattern} in:\n{daemon.tail()}",
    )
    for line in daemon.stderr.splitlines():
        assert re.match(rf"{TIME} (error|warning|info) ", line), line


@pytest.mark.parametrize(
    "level,shown", [("error", {"error"}), ("warning", {"error", "warning"})]
)
def test_level_is_a_threshold(scene: Scene, level: str, shown: set[str]) -> None:
    """Lines below the configured level are not written."""
    port = scene.port()
    link = scene.link(
        f"ws://127.0.0.1:{scene.port()}/", listen=f"ws://127.0.0.1:{port}"
    )
    configuration: dict[str, Any] = {
        "log": {"level": level, "format": "json"},
        "links": [link],
    }
    daemon = scene.launch(configuration)

    def connects() -> bool:
        try:
            scene.raw_client(port)
        except ConnectionRefusedError:
            return False
        return True

    wait_until(connects, "wskeepd to listen")
    client = scene.client(link["listen"])
    client.send("lost")
    client.close()
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)
    assert {event["level"] for event in daemon.events} <= shown
    assert daemon.stray_lines == []


def test_client_that_is_closed_for_what_it_did(scene: Scene) -> None:
    """The code and the reason that it got are in the log, too."""
    kept = scene.keep(scene.websockets_server().url)
    client = scene.raw_client(kept.port)
    client.handshake()
    client.write(encode(BINARY, b"not masked"))
    close = client.read_until(CLOSE)
    event = kept.daemon.wait_for("client-close", cause="protocol-error")
    assert (event["code"], event["reason"]) == (close.close_code, close.close_reason)
    assert close.close_code == 1002
