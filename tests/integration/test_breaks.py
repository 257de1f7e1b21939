"""The client stays connected through every way an upstream connection can break."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Any, Callable, Optional

import pytest

from conversation import Server
from frames import CLOSE
from messages import Delivery, check_delivery, noise, numbered
from polling import wait_until
from raw_peers import RawServerConnection, answer_pings
from scene import Kept, Scene
from wire import Wire
from wskeepd_process import is_sanitized

PAIRS = [("websockets", "node"), ("node", "websockets")]
HEARTBEAT = {"heartbeat": {"interval": "500ms", "timeout": "2s"}}  # a busy machine is no dead peer


@dataclass
class Stage:
    server: Any
    wire: Wire
    kept: Optional[Kept] = None

    def wait_for_move(self, count: int = 1, **fields: Any) -> None:
        assert self.kept is not None
        self.kept.daemon.wait_for_move("waiting", count, **fields)


@dataclass(frozen=True)
class Break:
    """strike() breaks the connection, mend() lets the next one through.

    `expect` is what the log says of the move to waiting that it leads to.
    """

    name: str
    strike: Callable[[Stage], None]
    expect: dict[str, Any]
    mend: Callable[[Stage], None] = lambda stage: None
    count: int = 1


def close_with(code: int, reason: str) -> Callable[[Stage], None]:
    return lambda stage: stage.server.close(code, reason)


def closed(code: int, reason: str = "") -> dict[str, Any]:
    return {"cause": "closed", "code": code, "reason": reason}


def cut_and_refuse(stage: Stage) -> None:
    stage.wire.refuse()
    stage.wire.cut()


def cut_and_mute(stage: Stage) -> None:
    stage.wire.mute()
    stage.wire.cut()


def unmute(stage: Stage) -> None:
    stage.wire.mute(False)


def lose_what_is_held(stage: Stage) -> None:
    """The silence ends: what the wire held never arrives, so no late copy hides a gap."""
    stage.wire.reset()
    stage.wire.flow()


def cut_and_answer(status: int) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        stage.server.answer_with(status)
        stage.wire.cut()

    return strike


def accept_again(stage: Stage) -> None:
    stage.server.answer_with(None)


BREAKS = [
    Break("reset", lambda stage: stage.wire.reset(), {"cause": "tcp-reset", "from_": "open"}),
    Break("fin", lambda stage: stage.wire.cut(), {"cause": "tcp-eof", "from_": "open"}),
    Break("interrupted", close_with(1000, "interrupted"), closed(1000, "interrupted")),
    Break(
        "stream-end",
        close_with(1001, "Stream end encountered"),
        closed(1001, "Stream end encountered"),
    ),
    Break("empty-close", lambda stage: stage.server.close_empty(), closed(1005)),
    Break("restart", close_with(1012, "service restart"), closed(1012, "service restart")),
    Break(
        "silence",
        lambda stage: stage.wire.stall(),
        {"cause": "heartbeat-timeout"},
        lose_what_is_held,
    ),
    Break(
        "refused",
        cut_and_refuse,
        {"cause": "tcp-refused"},
        lambda stage: stage.wire.open_listener(),
        count=4,
    ),
    Break(
        "handshake-never-ends",
        cut_and_mute,
        {"cause": "upgrade-timeout", "from_": "upgrading"},
        unmute,
        count=2,
    ),
    *(
        Break(
            f"http-{status}",
            cut_and_answer(status),
            {"cause": "http-status", "http_status": status},
            accept_again,
            count=2,
        )
        for status in (503, 404, 401)
    ),
]


def put_up(scene: Scene, server_kind: str, **sections: Any) -> tuple[Stage, Kept]:
    server = scene.server(server_kind)
    wire = scene.wire(server)
    kept = scene.keep(wire.url, upstream={"connect_timeout": "1s"}, **{**HEARTBEAT, **sections})
    return Stage(server, wire, kept), kept


def wait_for_all(server: Server, count: int) -> Delivery:
    wait_until(
        lambda: server.numbers_seen >= set(range(count)),
        lambda: f"{count} messages; missing {sorted(set(range(count)) - server.numbers_seen)}",
    )
    return check_delivery(server.numbers_by_connection, count)


@pytest.mark.parametrize("server_kind,client_kind", PAIRS)
@pytest.mark.parametrize("break_", BREAKS, ids=lambda b: b.name)
def test_client_stays_through(
    scene: Scene, server_kind: str, client_kind: str, break_: Break
) -> None:
    """What is sent before, during and after the break arrives in order; the client sees nothing."""
    stage, kept = put_up(scene, server_kind)
    client = scene.client(kept.url, client_kind)
    kept.wait_open()
    for number in range(0, 20):
        client.send(numbered(number))
    break_.strike(stage)
    for number in range(20, 40):
        client.send(numbered(number))
    stage.wait_for_move(break_.count, **break_.expect)
    assert client.is_open
    break_.mend(stage)
    for number in range(40, 60):
        client.send(numbered(number))
    wait_for_all(stage.server, 60)
    wait_until(lambda: stage.server.is_connected, "a new connection")
    stage.server.send("after")
    wait_until(lambda: client.messages, "a message from the server")
    assert client.texts == ["after"]
    assert client.is_open
    client.ping()


@pytest.mark.parametrize("server_kind,client_kind", PAIRS)
def test_upstream_is_not_there_yet(scene: Scene, server_kind: str, client_kind: str) -> None:
    """A client connects, sends and pings before its upstream ever was there."""
    server = scene.server(server_kind)
    wire = scene.wire(server)
    wire.refuse()
    kept = scene.keep(wire.url)
    client = scene.client(kept.url, client_kind)
    for number in range(30):
        client.send(numbered(number))
    client.ping()
    kept.daemon.wait_for_move("waiting", 3, cause="tcp-refused", from_="connecting")
    wire.open_listener()
    assert wait_for_all(server, 30).repeated == 0
    assert client.is_open


ACKNOWLEDGED_BREAKS = [b for b in BREAKS if b.name not in ("refused", "handshake-never-ends")]


@pytest.mark.parametrize("break_", ACKNOWLEDGED_BREAKS, ids=lambda b: b.name)
def test_nothing_acknowledged_is_sent_again(scene: Scene, break_: Break) -> None:
    """A message whose Pong has arrived is never repeated, whatever breaks afterwards."""
    stage, kept = put_up(scene, "websockets")
    client = scene.client(kept.url)
    for number in range(25):
        client.send(numbered(number))
    wait_until(
        lambda: len(stage.server.messages) == 25 and stage.server.has_acknowledged_all,
        "all messages and a Pong after them",
    )
    stage.wire.settle()
    break_.strike(stage)
    stage.wait_for_move(break_.count, **break_.expect)
    break_.mend(stage)
    for number in range(25, 30):
        client.send(numbered(number))
    assert wait_for_all(stage.server, 30).repeated == 0


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 10 * 1024 * 1024])
def test_message_in_flight_is_repeated_whole(scene: Scene, kind: str, size: int) -> None:
    """A message of any size whose connection is reset before its Pong arrives again, whole."""
    stage, kept = put_up(scene, "websockets", heartbeat={"interval": "20s"})
    client = scene.client(kept.url)
    kept.wait_open()
    stage.wire.stall(up=False, down=True)
    data = b"\0" * size if kind == "binary" else "ü" * (size // 2) + "u" * (size % 2)
    client.send(data)
    wait_until(lambda: stage.server.messages, "the first copy")
    stage.wire.reset()
    stage.wire.flow()
    wait_until(lambda: len(stage.server.messages) >= 2, "the second copy")
    first, second = stage.server.messages[:2]
    assert first == second
    assert (second.kind, second.size) == (kind, size)
    assert len(stage.server.conversations) == 2


def test_message_cut_off_is_never_seen(scene: Scene) -> None:
    """A message from the upstream that breaks off in the middle does not reach the client."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(wire.url)
    client = scene.client(kept.url)
    kept.wait_open(server)
    wire.throttle(down=100_000)
    server.send_many(["whole", noise(1_000_000)])
    wait_until(lambda: wire.forwarded_bytes("down") > 50_000, "a part of the long message")
    wire.reset()
    wire.throttle()
    wait_until(lambda: len(server.conversations) == 2 and server.is_connected, "a reconnection")
    server.send("next")
    wait_until(lambda: len(client.messages) >= 2, "the next message")
    assert client.texts == ["whole", "next"]


@pytest.mark.slow(12)
def test_many_reconnections(scene: Scene) -> None:
    """Connections that carry a few hundred bytes each move the outbox on, and leak nothing."""
    count = 300
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(
        wire.url, reconnect={"initial_delay": "0ms", "max_delay": "100ms", "jitter": "none"}
    )
    client = scene.client(kept.url)
    wire.reset_after(up_bytes=400)
    client.send_many([numbered(number, 40) for number in range(count)])
    kept.daemon.wait_for_move("waiting", 5, cause="tcp-reset")
    settled = kept.daemon.descriptor_count
    wait_until(lambda: server.numbers_seen >= set(range(20)), "some messages")
    wire.reset_after(up_bytes=3000)
    wait_for_all(server, count)
    assert kept.daemon.descriptor_count <= settled + 4


@pytest.mark.slow(20)
def test_a_thousand_reconnections_leave_nothing_behind(scene: Scene) -> None:
    """No memory, no descriptor, no lost message: as after the first hundred."""
    count = 1000
    calm = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        if calm.is_set():
            connection.serve_to_end(answer_pings)
        elif connection.number % 2:
            connection.reset()
        else:
            connection.send_close(1012, "again")
            connection.read_to_end()

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        reconnect={"initial_delay": "10ms", "max_delay": "100ms", "multiplier": 1,
                   "jitter": "none"},
    )
    client = scene.raw_client(kept.port)
    client.handshake()
    for number in range(20):
        client.send_text(numbered(number, 2000))
    kept.daemon.wait_for_move("waiting", count // 10)
    descriptors, memory = kept.daemon.descriptor_count, kept.daemon.resident_bytes
    wait_until(lambda: len(server.accepted) > count, kept.daemon.tail, 120)
    calm.set()
    wait_for_all(server, 20)
    assert kept.daemon.descriptor_count <= descriptors + 4
    if not is_sanitized():
        assert kept.daemon.resident_bytes - memory < 1024 * 1024
    client.send_close(1000)
    assert client.read_until(CLOSE).close_code == 1000
    assert kept.daemon.wait_for("session-end")["given_up"] == 0


@pytest.mark.slow(15)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_bad_night(scene: Scene, seed: int) -> None:
    """Breaks in an order that the seed decides lose nothing and swap nothing."""
    chance = random.Random(seed)
    server_kind, client_kind = PAIRS[seed % 2]
    server = scene.server(server_kind)
    wire = scene.wire(server, seed=seed, ragged=True)
    kept = scene.keep(wire.url, upstream={"connect_timeout": "1s"}, **HEARTBEAT)
    stage = Stage(server, wire, kept)
    client = scene.client(kept.url, client_kind)
    sent = 0
    for _ in range(8):
        kept.wait_open(server)
        for _ in range(chance.randint(1, 40)):
            client.send(numbered(sent, chance.choice((8, 200, 70_000))))
            sent += 1
        break_ = chance.choice(BREAKS)
        before = len(kept.daemon.moves(to="waiting", **break_.expect))
        break_.strike(stage)
        for _ in range(chance.randint(0, 10)):
            client.send(numbered(sent))
            sent += 1
        stage.wait_for_move(before + 1, **break_.expect)
        break_.mend(stage)
    wait_for_all(server, sent)
    assert client.is_open
