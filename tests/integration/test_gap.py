"""What the server sent while the link was down is gone; `on_gap` says what the client learns."""

from __future__ import annotations

from typing import Any

import pytest

from polling import wait_until
from scene import Kept, Scene
from websockets_peers import WebsocketsServer
from wire import Wire


def put_up(scene: Scene, **session: Any) -> tuple[WebsocketsServer, Wire, Kept]:
    server = scene.websockets_server()
    wire = scene.wire(server)
    return server, wire, scene.keep(wire.url, session={"drain_timeout": "1s", **session})


def receive_one_then_break(
    server: WebsocketsServer, wire: Wire, kept: Kept, client: Any
) -> None:
    wait_until(lambda: server.is_connected, "the first connection")
    server.send("old")
    wait_until(lambda: client.texts == ["old"], "the old message")
    wire.reset()
    kept.daemon.wait_for_move("waiting", cause="tcp-reset")


@pytest.mark.parametrize("session", [{}, {"on_gap": "hide"}], ids=["default", "hide"])
def test_hidden_gap_is_logged(scene: Scene, session: dict[str, Any]) -> None:
    """By default the client sees nothing of a gap, and the log has it with its length."""
    server, wire, kept = put_up(scene, **session)
    client = scene.client(kept.url)
    receive_one_then_break(server, wire, kept, client)
    gap = kept.daemon.wait_for("gap", link="game")
    assert gap["session"] == kept.daemon.moves(to="open")[-1]["session"]
    assert isinstance(gap["gap_ms"], int) and gap["gap_ms"] >= 0
    wait_until(lambda: len(server.conversations) == 2 and server.is_connected, "a reconnection")
    server.send("new")
    wait_until(lambda: len(client.messages) == 2, "the new message")
    assert client.texts == ["old", "new"]
    assert len(kept.daemon.find("gap")) == 1


def test_first_connection_is_no_gap(scene: Scene) -> None:
    """Waiting for an upstream that was never there hides nothing from the client."""
    server, wire, kept = put_up(scene, on_gap="close")
    wire.refuse()
    client = scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, cause="tcp-refused")
    wire.open_listener()
    wait_until(lambda: server.is_connected, "the first connection")
    client.send("still here")
    wait_until(lambda: server.messages, "the message")
    assert kept.daemon.find("gap") == []
    assert client.is_open


@pytest.mark.parametrize("gap_message", [None, '{"type":"resync"}'])
def test_notified_gap(scene: Scene, gap_message: str) -> None:
    """`notify` puts gap_message between the last old and the first new message, each time."""
    session = {"on_gap": "notify"}
    if gap_message is not None:
        session["gap_message"] = gap_message
    server, wire, kept = put_up(scene, **session)
    client = scene.client(kept.url)
    receive_one_then_break(server, wire, kept, client)
    wait_until(lambda: len(server.conversations) == 2 and server.is_connected, "a reconnection")
    server.send("new")
    wait_until(lambda: len(client.messages) == 3, "three messages")
    assert client.texts == ["old", gap_message or '{"wskeep":"gap"}', "new"]


def test_gap_closes_the_client(scene: Scene) -> None:
    """`close` ends the client with 1012, and a new client gets a session of its own."""
    server, wire, kept = put_up(scene, on_gap="close")
    client = scene.client(kept.url)
    receive_one_then_break(server, wire, kept, client)
    code, _ = client.wait_closed()
    assert code == 1012
    again = scene.client(kept.url)
    again.send("hello")
    wait_until(lambda: server.messages, "the new client's message")
    server.send("welcome")
    wait_until(lambda: again.texts == ["welcome"], "the answer")
