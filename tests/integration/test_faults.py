"""Bad moments: bytes that cross, writes that fail, clients that leave or crawl while all is full."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time
from typing import Callable, Optional

import pytest

from frames import BINARY, PING, PONG, TEXT, accept_value, encode
from messages import numbered
from polling import DEADLINE_S, let_time_pass, wait_until
from raw_peers import RawClient, RawServerConnection, answer_pings, ignore_pings
from scene import Kept, Scene


def serve(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.serve_to_end(answer_pings)


def upgrade_when(
    go: threading.Event, subprotocol: Optional[str] = None, before: bytes = b""
) -> Callable[[RawServerConnection], None]:
    """A server whose 101 waits for go, and comes behind `before`."""

    def script(connection: RawServerConnection) -> None:
        head = connection.read_head()
        go.wait(30)
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_value(head.headers['sec-websocket-key'])}",
        ]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        connection.write(before + ("\r\n".join(lines) + "\r\n\r\n").encode())
        connection.serve_to_end(answer_pings)

    return script


@pytest.mark.parametrize("cut", [False, True])
def test_early_frames_keep_their_order(scene: Scene, cut: bool) -> None:
    """Frames sent before the 101 come before those that arrive together with it."""
    go = threading.Event()
    server = scene.raw_server(upgrade_when(go, "a"))
    kept = scene.keep(server.url)
    client = scene.raw_client(kept.port)
    client.write(client.request(extra=("Sec-WebSocket-Protocol: a, b",)))
    client.send_text("early 0")
    client.send_text("early 1")
    frame = encode(TEXT, b"early 2", masked=True)
    client.write(frame[:5] if cut else frame)
    kept.daemon.wait_for_move("upgrading")
    client.wait_flushed()
    let_time_pass(0.1)
    kept.daemon.signal(signal.SIGSTOP)
    go.set()  # the 101 becomes readable first, then the client's next bytes, in one turn
    let_time_pass(0.2)
    client.write((frame[5:] if cut else b"") + encode(TEXT, b"late 3", masked=True))
    client.wait_flushed()
    kept.daemon.signal(signal.SIGCONT)
    wait_until(lambda: len(server.conversations[0].messages) == 4, kept.daemon.tail)
    assert server.conversations[0].texts == ["early 0", "early 1", "early 2", "late 3"]


def test_early_hints_are_not_the_answer(scene: Scene) -> None:
    """An interim answer (RFC 9110 15.2) is followed by the real one."""
    go = threading.Event()
    go.set()
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2
    server = scene.raw_server(upgrade_when(go, before=hints))
    kept = scene.keep(server.url)
    scene.raw_client(kept.port).handshake()
    kept.wait_open(server)
    assert kept.daemon.find("move", cause="http-status") == []


@pytest.mark.slow(8)
def test_readable_pongs_come_before_deadlines(scene: Scene) -> None:
    """However many Pongs are in the sockets, all are read before a deadline is judged.

    They are 3 s after TCP's acknowledgement was seen, which is when a second Ping goes out, after
    0.75 s.  The daemon is stopped shortly before and goes on shortly after: less than a second late,
    or it would know that it was stopped, and judge nobody.
    """
    count = 150
    pinged: list[int] = []
    go = threading.Event()

    def hold(connection: RawServerConnection, ping: object) -> None:
        pinged.append(1)
        go.wait(DEADLINE_S)
        connection.pong(ping)  # type: ignore[arg-type]

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(hold)

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        delivery={"ack_timeout": "3s"},
        heartbeat={"interval": "1h", "timeout": "1h"},
        client={"heartbeat": {"interval": "1h"}},
    )
    clients = []
    for number in range(count):
        client = scene.raw_client(kept.port)
        client.handshake()
        clients.append(client)
        kept.daemon.wait_for_move("open", number + 1)
    began = time.monotonic()  # no Ping is older, whenever this process comes to note it
    for number, client in enumerate(clients):
        client.send_text("hello")
        if number % 8 == 0:
            let_time_pass(0.001)  # few at a time: the poll shows few, and its array stays small
    wait_until(lambda: len(pinged) >= count, "a Ping on each connection")
    let_time_pass(began + 3.3 - time.monotonic())
    if time.monotonic() > began + 3.5:
        go.set()
        return  # so busy a machine shows nothing
    kept.daemon.signal(signal.SIGSTOP)
    go.set()  # now the Pongs come, and then the deadlines
    let_time_pass(began + 4.1 - time.monotonic())
    kept.daemon.signal(signal.SIGCONT)
    clients[0].send(PING, b"since")
    assert clients[0].read_until(PONG).payload == b"since"
    timeouts = kept.daemon.moves(cause="ack-timeout")
    assert timeouts == [], f"{len(timeouts)} of {count}"


@pytest.mark.slow(32)
def test_slow_client_gets_the_end(scene: Scene) -> None:
    """What the server sent before its Close reaches a client that reads slowly but steadily."""
    size, count = 500_000, 14

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        for _ in range(count):
            connection.send(BINARY, b"x" * size)
        connection.send_close(4000, "bye")
        connection.read_to_end()

    server = scene.raw_server(script)
    kept = scene.keep(server.url, session={"drain_timeout": "2s"})
    client = scene.raw_client(kept.port)
    client.handshake()
    received = 0
    while True:
        chunk = client.socket.recv(25_000)
        if not chunk:
            break
        received += len(chunk)
        let_time_pass(0.1 if received < 6_000_000 else 0)
    assert received == count * (size + 10) + 7, kept.daemon.tail(5)


def trace(pid: int, *arguments: str) -> "subprocess.Popen[bytes]":
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), *arguments])
    status = pathlib.Path(f"/proc/{pid}/status")
    wait_until(lambda: "TracerPid:\t0\n" not in status.read_text(), "strace")
    return tracer


def attach(pid: int, inject: str) -> "subprocess.Popen[bytes]":
    """Let system calls of a process fail, by strace."""
    call = inject.split(":")[0]
    return trace(pid, "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={inject}")


def detach(tracer: "subprocess.Popen[bytes]") -> None:
    tracer.send_signal(signal.SIGINT)
    tracer.wait()


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@needs_strace
@pytest.mark.parametrize("error", ["ENOBUFS", "EPERM", "EHOSTUNREACH"])
def test_failed_write_upstream_ends_the_connection(scene: Scene, error: str) -> None:
    """A write that this machine refuses, on a connection that lives, is no end of everything."""
    server = scene.raw_server(serve)
    kept = scene.keep(server.url)
    client = scene.raw_client(kept.port)
    client.handshake()
    kept.wait_open(server)
    tracer = attach(kept.daemon.process.pid, f"sendto,sendmsg:error={error}:when=1")
    client.send_text(numbered(1))
    let_time_pass(0.5)
    detach(tracer)
    wait_until(lambda: 1 in server.numbers_seen, kept.daemon.tail)


@needs_strace
def test_failed_epoll_ctl_is_tried_again(scene: Scene) -> None:
    """When the wish to write cannot be registered, it is registered later."""
    go = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        go.wait(30)
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = scene.keep(server.url)
    client = scene.raw_client(kept.port)
    client.handshake()
    kept.wait_open(server)
    tracer = attach(kept.daemon.process.pid, "epoll_ctl:error=ENOMEM:when=1")
    for number in range(100):
        client.send_text(numbered(number, 100_000))
    let_time_pass(1)
    detach(tracer)
    go.set()
    wait_until(lambda: len(server.numbers_seen) == 100, kept.daemon.tail)
    assert len(server.conversations) == 1


@needs_strace
@pytest.mark.parametrize("talks", [False, True])
def test_an_immediate_retry_waits_for_nothing(
    scene: Scene, tmp_path: pathlib.Path, talks: bool
) -> None:
    """Between the end of a connection and the next connect() the loop does not sleep."""
    server = scene.raw_server(serve)
    wire = scene.wire(server)
    link = scene.link(wire.url, reconnect={"initial_delay": "0ms"})
    kept = Kept(scene.start(link, workers=1), link)
    record = tmp_path / "calls"
    calls = "trace=epoll_wait,connect,recvfrom,read"
    tracer = trace(kept.daemon.process.pid, "-o", str(record), "-e", calls)
    rounds = 3
    for number in range(rounds):  # only the first retry of a session is immediate
        client = scene.raw_client(kept.port)
        client.handshake()
        kept.wait_open(server)
        if talks:
            client.send_text(numbered(number))
            wait_until(lambda: number in server.numbers_seen, kept.daemon.tail)
            let_time_pass(1.1)  # after one that carried data, attempts begin a second apart
        wire.reset()
        kept.daemon.wait_for_move("open", 2 * number + 2)
        client.close()
        kept.daemon.wait_for_move("ended", number + 1)
    detach(tracer)
    resets = record.read_text().split("ECONNRESET")
    assert len(resets) == rounds + 1
    for after in resets[1:]:
        waits = re.findall(r"epoll_wait\(.*, (-?\d+)\) += ", after.partition("connect(")[0])
        assert waits.count("0") == len(waits), waits


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_that_ends_while_paused_gives_its_place_back(scene: Scene, how: str) -> None:
    """It is not read, and all the same its end is noticed and what it sent is counted."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        client={"max_clients": 2},
        delivery={"max_messages": 1},
        session={"drain_timeout": "1s"},
    )
    for _ in range(2):
        client = RawClient(kept.port)
        client.handshake()
        client.write(b"".join(encode(TEXT, b"m%d" % n, masked=True) for n in range(3)))
        client.wait_read()
        getattr(client, how)()

    def is_let_in() -> bool:
        another = scene.raw_client(kept.port)
        another.write(another.request())
        return another.read_response().status == 101

    wait_until(is_let_in, kept.daemon.tail)
    kept.daemon.wait_for("session-end", 2)
    assert sum(event["count"] for event in kept.daemon.find("given-up")) == 6


@pytest.mark.slow(4)
def test_end_of_a_paused_client_is_looked_for(scene: Scene) -> None:
    """Nothing else happens in its session, and all the same it is found before the pause is worth
    a line in the log."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(ignore_pings)  # so nothing is acknowledged

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        delivery={"max_messages": 1, "ack_timeout": "60s"},
        heartbeat={"timeout": "60s"},
        session={"drain_timeout": "1s"},
    )
    client = RawClient(kept.port)
    client.handshake()
    kept.wait_open(server)
    client.write(b"".join(encode(TEXT, b"m%d" % n, masked=True) for n in range(3)))
    client.wait_read()
    client.close()
    kept.daemon.wait_for("session-end", cause="client-lost")
    assert sum(event["count"] for event in kept.daemon.find("given-up")) == 3
    assert kept.daemon.find("client-paused") == []


@pytest.mark.slow(8)
def test_slow_reader_does_not_hold_the_end_up(scene: Scene) -> None:
    """At SIGTERM a client that reads a little now and then has drain_timeout, and no more."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        for _ in range(60):
            connection.send(BINARY, b"x" * 1_000_000)
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = scene.keep(server.url, session={"drain_timeout": "1s"})
    client = scene.raw_client(kept.port)
    client.handshake()
    client.read()
    kept.daemon.signal(signal.SIGTERM)

    def has_ended() -> bool:
        client.socket.recv(100_000)
        let_time_pass(0.5)
        return not kept.daemon.is_running

    wait_until(has_ended, kept.daemon.tail)
    kept.daemon.expect_end(0)


@pytest.mark.parametrize("path,expected", [("append", "/new/chat"), ("fixed", "/new")])
def test_reload_moves_the_path_too(scene: Scene, path: str, expected: str) -> None:
    """The next attempt after a reload joins the client's path with the url of now."""
    server = scene.raw_server(serve)
    wire = scene.wire(server)
    kept = scene.keep(wire.url + "old", upstream={"path": "append"})
    scene.raw_client(kept.port).handshake("/chat")
    kept.wait_open(server)
    link = {**kept.link, "upstream": {"url": wire.url + "new", "path": path}}
    kept.daemon.write_configuration({"links": [link]})
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reloaded")
    wire.reset()
    wait_until(lambda: len(server.conversations) > 1 and server.latest.path, "a reconnection")
    assert [c.path for c in server.conversations] == ["/old/chat", expected]


def test_dropping_that_does_not_help_drops_nothing(scene: Scene) -> None:
    """With drop-oldest, a message for which others hold the memory costs no other message."""
    url = f"ws://127.0.0.1:{scene.port()}/"
    one = scene.link(url, name="one", delivery={"overflow": "drop-oldest"})
    other = scene.link(url, name="other")
    daemon = scene.start(one, other, memory_max="1MiB")
    client = scene.raw_client(int(one["listen"].rsplit(":", 1)[1]))
    client.handshake()
    others = scene.raw_client(int(other["listen"].rsplit(":", 1)[1]))
    others.handshake()
    for number in range(10):
        client.send_text(f"precious {number}")
    let_time_pass(0.3)
    for _ in range(9):
        others.send(BINARY, bytes(100_000))
    let_time_pass(0.3)
    client.send(BINARY, bytes(200_000))  # fits only when the others' leave
    let_time_pass(0.5)
    assert daemon.find("given-up", link="one") == []


def test_memory_that_comes_back_wakes_who_was_refused(scene: Scene) -> None:
    """Also when it comes back in the very turn of the refusal."""
    def quiet() -> dict[str, object]:
        return {
            "heartbeat": {"interval": "never"},
            "client": {"heartbeat": {"interval": "never"}},
        }

    go = threading.Event()
    first_server = scene.raw_server(serve)
    second_server = scene.raw_server(upgrade_when(go))
    first = scene.link(
        first_server.url, name="first", delivery={"acknowledge": "sent"}, **quiet()
    )
    second = scene.link(
        second_server.url,
        name="second",
        upstream={"connect_timeout": "30s"},
        delivery={"acknowledge": "sent"},
        **quiet(),
    )
    third = scene.link(
        f"ws://127.0.0.1:{scene.port()}/",
        name="third",
        quick=False,
        client={"heartbeat": {"interval": "never"}},
        reconnect={"initial_delay": "1h", "max_delay": "1h", "jitter": "none"},
    )
    daemon = scene.start(first, second, third, memory_max="1MiB")
    clients = []
    for link in (first, second, third):
        client = scene.raw_client(int(link["listen"].rsplit(":", 1)[1]))
        client.handshake()
        clients.append(client)
    daemon.wait_for_move("open", link="first")
    daemon.wait_for_move("upgrading", link="second")
    for _ in range(10):
        clients[2].send(BINARY, bytes(100_000))  # they stay there
    clients[1].send(BINARY, bytes(30_000))
    let_time_pass(0.5)
    daemon.signal(signal.SIGSTOP)
    clients[0].send_text("x" * 20_000)  # does not fit
    let_time_pass(0.2)
    go.set()  # the second upstream opens in the same turn, and takes its message
    let_time_pass(0.2)
    daemon.signal(signal.SIGCONT)
    wait_until(lambda: len(second_server.messages) == 1, daemon.tail)
    wait_until(lambda: len(first_server.messages) == 1, daemon.tail)


def test_removed_unix_socket_is_made_again_by_a_reload(scene: Scene, tmp_path: pathlib.Path) -> None:
    """A reload that says `reloaded` leaves a link that can be reached."""
    path = tmp_path / "game.sock"
    daemon = scene.start(scene.link("ws://127.0.0.1:1/", listen=f"ws+unix:{path}"))
    path.unlink()
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reloaded")
    assert path.is_socket()
    scene.raw_client(str(path)).handshake()


def test_messages_behind_a_refused_one_are_counted(scene: Scene) -> None:
    """What was read from a client and could not be taken is given up with the rest, by number."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/",
        delivery={"max_messages": 1},
        session={"drain_timeout": "500ms"},
    )
    client = scene.raw_client(kept.port)
    client.handshake()
    client.write(b"".join(encode(TEXT, numbered(n).encode(), masked=True) for n in range(10)))
    client.wait_flushed()
    let_time_pass(0.3)
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.expect_end(0)
    assert sum(event["count"] for event in kept.daemon.find("given-up")) == 10


def test_ack_timeout_holds_with_a_patient_heartbeat(scene: Scene) -> None:
    """TCP is asked for the Ping often enough for ack_timeout, whatever the heartbeat says."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(ignore_pings)

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        heartbeat={"interval": "1h", "timeout": "10m", "stall_timeout": "never"},
        delivery={"ack_timeout": "1s"},
    )
    client = scene.raw_client(kept.port)
    client.handshake()
    client.send_text("x")
    kept.daemon.wait_for_move("waiting", cause="ack-timeout")


def test_draining_sessions_are_bounded(scene: Scene) -> None:
    """Clients that come, send and leave cannot pile up sessions: max_clients, and as many again."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(ignore_pings)

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url, client={"max_clients": 3}, session={"drain_timeout": "1h"}
    )
    statuses = []
    for _ in range(10):
        client = RawClient(kept.port)
        client.write(client.request())
        statuses.append(client.read_response().status)
        if statuses[-1] == 101:
            client.send_text("x")
            client.wait_flushed()
        client.close()
        let_time_pass(0.05)
    assert statuses == [101] * 6 + [503] * 4
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.wait_for("stopping")
    kept.daemon.signal(signal.SIGTERM)
    wait_until(lambda: not kept.daemon.is_running, kept.daemon.tail)
