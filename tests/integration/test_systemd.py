"""Life under a service manager: notify, sockets that are handed over, the journal, --user."""

from __future__ import annotations

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from typing import Any, Iterator

import pytest

from frames import CLOSE, PING, PONG
from managers import DatagramSocket, HandedOver, mount_wrapper, parse_entry
from messages import numbered
from polling import wait_until, wait_until_still
from raw_peers import RawClient
from scene import Scene
from wskeepd_process import WSKEEPD, Wskeepd, run_to_end

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


# Notify.


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[DatagramSocket]:
    name = str(tmp_path / "notify")
    if request.param == "abstract":
        name = f"@wskeep-test-{os.getpid()}-{time.monotonic_ns()}"
    manager = DatagramSocket(name)
    try:
        yield manager
    finally:
        manager.stop()


@pytest.fixture
def deaf_manager(tmp_path: pathlib.Path) -> Iterator[DatagramSocket]:
    manager = DatagramSocket(str(tmp_path / "notify"), reading=False)
    try:
        yield manager
    finally:
        manager.stop()


def states(manager: DatagramSocket) -> list[str]:
    """READY, RELOADING, STOPPING in the order they were told."""
    lines = [line for text in manager.texts for line in text.splitlines()]
    return [n.split("=")[0] for n in lines if n in ("READY=1", "RELOADING=1", "STOPPING=1")]


def test_the_manager_hears_each_state_in_its_order(scene: Scene, manager: DatagramSocket) -> None:
    """READY when it listens, RELOADING with the time and READY at SIGHUP, STOPPING at the end."""
    server = scene.websockets_server()
    link = scene.link(server.url, session={"drain_timeout": "3s"})
    daemon = scene.launch({"links": [link]}, environment={"NOTIFY_SOCKET": manager.name})
    manager.wait_for("READY=1")
    scene.client(link["listen"]).ping()  # it listens by now
    before_us = time.monotonic_ns() // 1000
    daemon.signal(signal.SIGHUP)
    reloading = manager.wait_for("RELOADING=1")
    manager.wait_for("READY=1", 2)
    told = re.search(r"^MONOTONIC_USEC=(\d+)$", reloading, re.MULTILINE)
    assert told and before_us <= int(told.group(1)) <= time.monotonic_ns() // 1000
    daemon.write_configuration("nonsense: [")
    daemon.signal(signal.SIGHUP)
    manager.wait_for("READY=1", 3)
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)
    stopping = manager.wait_for("STOPPING=1")
    assert stopping.splitlines()[1] == "EXTEND_TIMEOUT_USEC=13000000"
    assert states(manager) == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]


def test_ready_is_not_said_when_it_cannot_listen(scene: Scene, manager: DatagramSocket) -> None:
    """A port that is taken: no READY, and exit status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        link = scene.link("ws://127.0.0.1:1/", listen=listen)
        environment = {"NOTIFY_SOCKET": manager.name}
        daemon = scene.launch({"links": [link]}, environment=environment)
        daemon.expect_end(1)
    assert states(manager) == []


def test_status_says_what_is_kept_but_not_too_often(
    scene: Scene, manager: DatagramSocket
) -> None:
    """STATUS counts links, sessions and open upstreams, at most once a second."""
    server = scene.websockets_server()
    link = scene.link(server.url)
    scene.launch({"links": [link]}, environment={"NOTIFY_SOCKET": manager.name})
    manager.wait_for("STATUS=1 link, 0 sessions, 0 open upstreams")
    clients = [scene.websockets_client(link["listen"]) for _ in range(3)]
    manager.wait_for("STATUS=1 link, 3 sessions, 3 open upstreams")
    for client in clients[1:]:
        client.close()
    manager.wait_for("STATUS=1 link, 1 session, 1 open upstream")
    for _ in range(40):
        other = scene.websockets_client(link["listen"])
        other.ping()
        other.close()
    wait_until_still(lambda: len(manager.taken), 2.5)
    assert manager.texts[-1] == "STATUS=1 link, 1 session, 1 open upstream"
    times = [when for when, text in manager.taken if "STATUS=" in text]
    assert len(times) <= times[-1] - times[0] + 2, times  # each may be heard late


def test_the_watchdog_hears_only_a_loop_that_turns(scene: Scene, manager: DatagramSocket) -> None:
    """WATCHDOG at half of WATCHDOG_USEC; none while the process is stopped."""
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"}
    daemon = scene.launch({"links": []}, environment=environment)
    manager.wait_for("WATCHDOG=1", 5)
    times = [when for when, text in manager.taken if text == "WATCHDOG=1"]
    assert 0.1 < (times[4] - times[0]) / 4 < 0.4  # on a busy machine, too, before it is too late
    daemon.signal(signal.SIGSTOP)
    wait_until_still(lambda: manager.texts.count("WATCHDOG=1"), 1)
    count = manager.texts.count("WATCHDOG=1")
    daemon.signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG=1", count + 2)


def test_a_watchdog_for_somebody_else_hears_nothing(scene: Scene, manager: DatagramSocket) -> None:
    """WATCHDOG_PID of another process."""
    environment = {
        "NOTIFY_SOCKET": manager.name,
        "WATCHDOG_USEC": "2000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    scene.launch({"links": []}, environment=environment)
    manager.wait_for("READY=1")
    wait_until_still(lambda: len(manager.taken), 0.5)
    assert "WATCHDOG=1" not in manager.texts


def test_a_manager_that_does_not_read_holds_nobody_up(
    scene: Scene, deaf_manager: DatagramSocket
) -> None:
    """Its queue is full: clients are served, and it hears the newest state once it reads."""
    server = scene.websockets_server(echo=True)
    link = scene.link(server.url)
    environment = {"NOTIFY_SOCKET": deaf_manager.name, "WATCHDOG_USEC": "2000"}
    daemon = scene.launch({"links": [link]}, environment=environment).wait_ready()
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    probe.setblocking(False)

    def is_full() -> bool:
        try:
            probe.sendto(b"", deaf_manager.name)
        except BlockingIOError:
            return True
        return False

    with probe:
        wait_until(is_full, "the queue to be full")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reloaded")
    client = scene.client(link["listen"])
    client.send("hello")
    wait_until(lambda: client.texts == ["hello"], "the echo")
    deaf_manager.start_reading()
    deaf_manager.wait_for("READY=1", 2)


@pytest.mark.parametrize("name", ["/nonexistent/socket", "no-path", "@" + "x" * 200, "@"])
def test_a_manager_that_is_not_there_ends_nobody(scene: Scene, name: str) -> None:
    """A warning, and everything works."""
    server = scene.websockets_server(echo=True)
    link = scene.link(server.url)
    daemon = scene.launch({"links": [link]}, environment={"NOTIFY_SOCKET": name}).wait_ready()
    client = scene.client(link["listen"])
    client.send("hello")
    wait_until(lambda: client.texts == ["hello"], "the echo")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reloaded")
    assert [e["level"] for e in daemon.find("notify-failed")] == ["warning"]


# Sockets that are handed over.


@pytest.fixture
def handed(scene: Scene) -> Iterator[HandedOver]:
    handed = HandedOver(scene)
    try:
        yield handed
    finally:
        handed.close()


def echo_through(scene: Scene, address: str) -> None:
    client = scene.client(address)
    client.send(address)
    wait_until(lambda: client.texts == [address], f"the echo through {address}")


def raw_echo(scene: Scene, path: str) -> None:
    client = scene.raw_client(path)
    client.handshake()
    client.send_text("hello")
    wait_until(lambda: client.read().payload == b"hello", "the echo")
    client.close()


def test_sockets_of_one_name_belong_to_one_link(
    scene: Scene, handed: HandedOver, tmp_path: pathlib.Path
) -> None:
    """TCP and Unix, several under one name, beside another link's own; none is touched."""
    server = scene.websockets_server(echo=True)
    ports = [handed.add_tcp("game"), handed.add_tcp("other"), handed.add_tcp("game")]
    path = handed.add_unix("game", tmp_path / "game.sock")
    os.chmod(path, 0o604)
    listens = [f"ws://127.0.0.1:{scene.port()}", "systemd:other"]
    own = scene.link(server.url, name="own", listen=listens)
    daemon = handed.start(
        scene.link(server.url, listen="systemd:game", client={"mode": "0666"}), own
    )
    for port in ports:
        echo_through(scene, f"ws://127.0.0.1:{port}")
    echo_through(scene, listens[0])
    raw_echo(scene, path)
    assert daemon.find("socket-unclaimed") == []
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o604
    by_link = {(m["link"], m["session"]) for m in daemon.moves(to="open")}
    assert sorted(link for link, _ in by_link) == ["game"] * 3 + ["own"] * 2


def test_systemd_socket_activate_starts_it(scene: Scene) -> None:
    """systemd's own tool hands over a socket, under its name."""
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        pytest.skip("systemd-socket-activate is not installed")
    server = scene.websockets_server(echo=True)
    port = scene.port()
    scene.launch(
        {"links": [scene.link(server.url, listen="systemd:game")]},
        wrapper=[tool, f"--listen=127.0.0.1:{port}", "--fdname=game"],
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "the socket")
    echo_through(scene, f"ws://127.0.0.1:{port}")


def test_a_name_that_was_not_handed_over_is_an_error(scene: Scene, handed: HandedOver) -> None:
    """One line that names what there is, and exit status 1."""
    handed.add_tcp("gmae")
    daemon = handed.launch(scene.link("ws://127.0.0.1:1/", listen="systemd:game"))
    daemon.expect_end(1)
    (error,) = [e for e in daemon.events if e["level"] == "error"]
    assert (error["link"], error["address"]) == ("game", "systemd:game")
    assert "gmae" in error["why"]


@pytest.mark.parametrize("kind", ["datagram", "not listening", "a file"])
def test_what_nobody_can_connect_to_is_an_error(
    scene: Scene, handed: HandedOver, kind: str, tmp_path: pathlib.Path
) -> None:
    """A socket of the wrong kind under the right name, and exit status 1."""
    if kind == "datagram":
        handed.add("game", socket.socket(socket.AF_INET, socket.SOCK_DGRAM), listens=False)
    elif kind == "not listening":
        handed.add("game", socket.socket(), listens=False)
    else:
        with (tmp_path / "file").open("wb") as file:
            real = socket.socket(fileno=None)
            os.dup2(file.fileno(), real.fileno())
            handed.add("game", real, listens=False)
    daemon = handed.launch(scene.link("ws://127.0.0.1:1/", listen="systemd:game"))
    daemon.expect_end(1)
    assert len(daemon.find("cannot-listen", link="game")) == 1


def test_sockets_for_another_process_are_not_taken(scene: Scene, handed: HandedOver) -> None:
    """LISTEN_PID names somebody else."""
    handed.add_tcp("game")
    daemon = handed.launch(
        scene.link("ws://127.0.0.1:1/", listen="systemd:game"), environment={"LISTEN_PID": "1"}
    )
    daemon.expect_end(1)
    assert "no socket was handed over" in daemon.find("cannot-listen")[0]["why"]


def test_unclaimed_sockets_are_a_warning(scene: Scene, handed: HandedOver) -> None:
    """A socket that no link listens on is named, at start and again at each reload."""
    server = scene.websockets_server(echo=True)
    port = handed.add_tcp("game")
    handed.add_tcp("spare")
    link = scene.link(server.url, listen="systemd:game")
    daemon = handed.start(link)
    assert [e["name"] for e in daemon.find("socket-unclaimed", level="warning")] == ["spare"]
    daemon.write_configuration({"links": []})
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reloaded")
    assert [e["name"] for e in daemon.find("socket-unclaimed")] == ["spare", "game", "spare"]
    waits = scene.raw_client(port)  # in the queue: the socket is still there
    waits.write(waits.request(host="localhost"))
    daemon.write_configuration({"links": [link]})
    daemon.signal(signal.SIGHUP)
    assert waits.read_response().status == 101


def test_a_link_moves_between_names(scene: Scene, handed: HandedOver) -> None:
    """SIGHUP: other names for the same links, with their sessions, and names change hands."""
    server = scene.websockets_server(echo=True)
    ports = {name: handed.add_tcp(name) for name in ("one", "two", "three")}
    daemon = handed.start(
        scene.link(server.url, name="a", listen="systemd:one"),
        scene.link(server.url, name="b", listen="systemd:two"),
    )
    stays = scene.client(f"ws://127.0.0.1:{ports['one']}")
    stays.send("before")
    wait_until(lambda: stays.messages, "the echo")
    for wish, names in enumerate((("two", "one"), ("three", "two"), ("one", "three")), 1):
        links = [
            scene.link(server.url, name=link, listen=f"systemd:{name}")
            for link, name in zip("ab", names)
        ]
        daemon.write_configuration({"links": links})
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reloaded", wish)
        for link, name in zip("ab", names):
            count = len(daemon.moves(link=link, to="open"))
            echo_through(scene, f"ws://127.0.0.1:{ports[name]}")
            daemon.wait_for_move("open", count + 1, link=link)
    daemon.write_configuration(
        {"links": [scene.link(server.url, name="a", listen="systemd:four")]}
    )
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reload-failed")
    echo_through(scene, f"ws://127.0.0.1:{ports['one']}")
    stays.send("after")
    wait_until(lambda: stays.texts == ["before", "after"], "the echo")


def test_host_is_checked_against_the_socket_itself(scene: Scene, handed: HandedOver) -> None:
    """TCP: the address and port at which the client came in; also where IPv4 comes in as IPv6."""
    server = scene.websockets_server()
    port = handed.add_tcp("game")
    dual = socket.socket(socket.AF_INET6)
    dual.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        dual.bind(("::", 0))
    except OSError:
        dual.close()
        pytest.skip("no IPv6 here")
    dual_port = handed.add("game", dual).getsockname()[1]
    handed.start(scene.link(server.url, listen="systemd:game"))

    def status(address: str, at: int, host: str) -> int:
        raw = scene.raw_client(at)
        raw.socket.close()
        raw.socket = socket.create_connection((address, at))
        raw.reader = type(raw.reader)(raw.socket.recv)
        raw.write(raw.request(host=host))
        answer = raw.read_response().status
        raw.close()
        return answer

    for at in (port, dual_port):
        assert status("127.0.0.1", at, f"localhost:{at}") == 101
        assert status("127.0.0.1", at, f"127.0.0.1:{at}") == 101
        assert status("127.0.0.1", at, "evil.com") == 403
        assert status("127.0.0.1", at, f"evil.com:{at}") == 403
        assert status("127.0.0.1", at, "localhost:1") == 403
        assert status("127.0.0.1", at, f"127.0.0.2:{at}") == 403
    assert status("127.0.0.2", dual_port, f"127.0.0.2:{dual_port}") == 101
    assert status("::1", dual_port, f"[::1]:{dual_port}") == 101


def test_no_descriptor_would_leak(
    scene: Scene, handed: HandedOver, tmp_path: pathlib.Path
) -> None:
    """Each descriptor, ours or handed over, is closed when a program is started."""
    manager = DatagramSocket(str(tmp_path / "notify"))
    server = scene.websockets_server()
    port = handed.add_tcp("game")
    handed.add_unix("spare", tmp_path / "spare.sock")
    own = scene.link(server.url, name="own", listen=f"ws+unix:{tmp_path}/own.sock")
    daemon = handed.start(
        scene.link(server.url, listen="systemd:game"),
        own,
        environment={"NOTIFY_SOCKET": manager.name},
    )
    scene.client(f"ws://127.0.0.1:{port}").ping()
    wait_until(lambda: server.is_connected, "the upstream connection")
    directory = pathlib.Path(f"/proc/{daemon.process.pid}/fdinfo")
    for number in sorted(int(entry.name) for entry in directory.iterdir()):
        if number < 3:
            continue
        info = (directory / str(number)).read_text()
        flags = int(re.search(r"^flags:\s+([0-7]+)$", info, re.MULTILINE).group(1), 8)
        target = os.readlink(f"/proc/{daemon.process.pid}/fd/{number}")
        assert flags & os.O_CLOEXEC, f"descriptor {number} ({target})"
    environment = pathlib.Path(f"/proc/{daemon.process.pid}/environ").read_text()
    assert "LISTEN_FDS=2" in environment  # as it was started
    manager.stop()


class Talker(threading.Thread):
    """A client that talks, waits for its receipt, and comes again when it is told to go."""

    def __init__(self, number: int, address: Any, batches: int) -> None:
        """It says so many batches of messages, then closes."""
        super().__init__(daemon=True)
        self.address = address
        self.batches = batches
        self.kept: list[int] = []  #: numbers whose arrival was promised
        self.told_to_go = 0
        self.receipts = 0
        self.wrong: list[str] = []
        self.stopping = False
        self._next = number * 1_000_000

    def run(self) -> None:
        turn = 0
        while not self.stopping and not self.wrong:
            turn += 1
            try:
                self._talk()
            except Exception as error:
                self.wrong.append(f"turn {turn} at {self.address}: {error!r}")

    def _talk(self) -> None:
        client = RawClient(self.address)
        try:
            client.write(client.request(host="localhost"))
            response = client.read_response()
            assert response.status == 101, response.first_line
            for batch in range(self.batches):
                if self.stopping:
                    break
                sent = list(range(self._next, self._next + 5))
                self._next += 5
                try:
                    for number in sent:
                        client.send_text(numbered(number, 200))
                    client.send(PING, b"%d" % batch)
                except ConnectionError:  # it closed meanwhile; what it said is still there
                    pass
                frame = client.read()
                if frame.opcode == CLOSE:
                    assert frame.close_code == 1012, frame
                    self.told_to_go += 1
                    return
                assert frame.opcode == PONG and frame.payload == b"%d" % batch, frame
                self.kept += sent
            sent = [self._next]
            self._next += 1
            try:
                client.send_text(numbered(sent[0], 200))
                client.send_close(1000)
            except ConnectionError:
                pass
            frame = client.read()
            assert frame.opcode == CLOSE and frame.close_code in (1000, 1012), frame
            if frame.close_code == 1000:
                self.kept += sent
                self.receipts += 1
            else:
                self.told_to_go += 1
        finally:
            client.close()


@pytest.mark.slow(15)
def test_restart_under_load_keeps_every_promise(
    scene: Scene, handed: HandedOver, tmp_path: pathlib.Path
) -> None:
    """Four restarts: clients wait in the queue or get 1012, and what was acknowledged arrives."""
    server = scene.websockets_server()
    addresses = [handed.add_tcp("game"), handed.add_unix("game", tmp_path / "game.sock")]
    link = scene.link(server.url, listen="systemd:game", session={"drain_timeout": "60s"})
    daemon = handed.start(link)
    talkers = [
        Talker(number, addresses[number % 2], batches)
        for number, batches in enumerate([0] * 8 + [1] * 4 + [3] * 4 + [1_000_000] * 8)
    ]
    for talker in talkers:
        talker.start()
    try:
        for _ in range(4):
            receipts = sum(t.receipts for t in talkers)
            wait_until(
                lambda: any(t.wrong for t in talkers)
                or sum(t.receipts for t in talkers) >= receipts + 60,
                "clients to be served",
            )
            daemon.signal(signal.SIGTERM)
            daemon.expect_end(0)
            assert daemon.find("given-up") == []
            daemon = handed.start(link)
    finally:
        for talker in talkers:
            talker.stopping = True
        for talker in talkers:
            talker.join(60)
    assert [wrong for t in talkers for wrong in t.wrong] == []
    assert sum(t.told_to_go for t in talkers) >= 4 * 8
    promised = {number for t in talkers for number in t.kept}
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)
    missing = promised - server.numbers_seen
    assert not missing, f"{len(missing)} of {len(promised)} are lost: {sorted(missing)[:10]}"


# The journal.


def test_the_journal_gets_fields(scene: Scene, tmp_path: pathlib.Path) -> None:
    """log.format: journal writes each line with its fields, and nothing to standard error."""
    journal = DatagramSocket(str(tmp_path / "journal"))
    wrapper = mount_wrapper(journal.name)
    server = scene.websockets_server()
    link = scene.link(server.url)
    log = {"level": "debug", "format": "journal"}
    daemon = scene.launch({"log": log, "links": [link]}, wrapper=wrapper)
    journal.wait_for("WSKEEP_EVENT=ready")
    client = scene.client(link["listen"])
    client.send("hello")
    wait_until(lambda: server.messages, "the message")
    server.close(1012, "two\nlines")
    journal.wait_for("WSKEEP_TO=waiting")
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)
    journal.wait_for("WSKEEP_EVENT=stopped")
    journal.stop()
    entries = [parse_entry(text) for text in journal.texts]
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"wskeepd"}
    assert {entry["PRIORITY"] for entry in entries} <= {"3", "4", "6", "7"}
    (waiting,) = [e for e in entries if e.get("WSKEEP_TO") == "waiting"]
    assert waiting["PRIORITY"] == "6"
    assert waiting["WSKEEP_EVENT"] == "move"
    assert waiting["WSKEEP_LINK"] == "game"
    assert waiting["WSKEEP_SESSION"] == "1"
    assert waiting["WSKEEP_FROM"] in ("open", "closing")
    assert waiting["WSKEEP_CAUSE"] == "closed"
    assert waiting["WSKEEP_CODE"] == "1012"
    assert waiting["WSKEEP_REASON"] == r"two\nlines"
    assert waiting["MESSAGE"].startswith("game#1: ")
    assert daemon.stderr == ""


def test_without_a_journal_it_is_text(scene: Scene) -> None:
    """One warning, and the lines go to standard error."""
    wrapper = mount_wrapper("/nonexistent/socket")
    log = {"format": "journal"}
    daemon = scene.launch({"log": log, "links": []}, wrapper=wrapper)
    wait_until(lambda: " is ready: " in daemon.stderr, "a line of text")
    assert daemon.stderr.count("the journal cannot be reached") == 1


def test_standard_error_that_is_the_journal(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Text lines begin with their priority, without the time; only there."""
    text = "log: {format: text}\nlinks: []\n"
    (tmp_path / "wskeep.yaml").write_text(text)
    for is_right, line in ((True, r"<6>info wskeepd"), (False, r"\d{4}-\d\d-\d\dT\S+ info wskeepd")):
        with (tmp_path / "stderr").open("wb") as stderr:
            status = os.fstat(stderr.fileno())
            stream = f"{status.st_dev}:{status.st_ino + (not is_right)}"
            process = subprocess.Popen(
                [str(WSKEEPD), "-c", str(tmp_path / "wskeep.yaml")],
                stderr=stderr,
                env={**os.environ, "JOURNAL_STREAM": stream},
            )
        try:
            log = tmp_path / "stderr"
            wait_until(
                lambda: re.search(rf"^{line} \S+ is ready", log.read_text(), re.MULTILINE),
                lambda: f"{line}: {log.read_text()}",
            )
        finally:
            process.terminate()
            assert process.wait(30) == 0


# --user.


@pytest.fixture
def open_directory() -> Iterator[pathlib.Path]:
    """A directory of root that others can look into."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="wskeep-user-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def process_status(daemon: Wskeepd, thread: str = "") -> dict[str, str]:
    task = f"task/{thread}/" if thread else ""
    text = pathlib.Path(f"/proc/{daemon.process.pid}/{task}status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@as_root
def test_root_becomes_the_user_and_stays_it(scene: Scene, open_directory: pathlib.Path) -> None:
    """Listeners are opened by root; then all ids, groups and capabilities are the user's."""
    user = pwd.getpwnam("nobody")
    server = scene.websockets_server(echo=True)
    listen = f"ws+unix:{open_directory}/game.sock"
    tcp = scene.link(server.url, name="tcp")
    daemon = scene.launch(
        {"links": [scene.link(server.url, listen=listen), tcp]}, arguments=["--user", user.pw_name]
    ).wait_ready()
    echo_through(scene, tcp["listen"])  # its name was looked up in a thread
    raw_echo(scene, f"{open_directory}/game.sock")
    threads = os.listdir(f"/proc/{daemon.process.pid}/task")
    for thread in threads:
        status = process_status(daemon, thread)
        assert status["Uid"].split() == [str(user.pw_uid)] * 4
        assert status["Gid"].split() == [str(user.pw_gid)] * 4
        assert {int(g) for g in status["Groups"].split()} == set(
            os.getgrouplist(user.pw_name, user.pw_gid)
        )
        for which in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert int(status[which], 16) == 0, which
        assert status["NoNewPrivs"] == "1"
    names = [e["event"] for e in daemon.events]
    assert names.index("listening") < names.index("user") < names.index("ready")
    assert daemon.find("running-as-root") == []
    owned = os.stat(open_directory / "game.sock")
    assert (owned.st_uid, owned.st_gid) == (user.pw_uid, user.pw_gid)


@as_root
def test_reload_of_a_user_cannot_do_what_root_could(
    scene: Scene, open_directory: pathlib.Path
) -> None:
    """A new listener that only root may open: one clear line, and nothing changes."""
    server = scene.websockets_server(echo=True)
    own = f"ws+unix:{open_directory}/own.sock"
    link = scene.link(server.url, listen=own)
    daemon = scene.launch({"links": [link]}, arguments=["--user", "nobody"]).wait_ready()
    for parent in daemon.configuration_path.parents:
        if parent.stat().st_uid == 0 and parent != pathlib.Path("/"):
            parent.chmod(parent.stat().st_mode | 0o555)  # pytest's own are root's alone
    other = scene.link(server.url, name="other", listen=f"ws+unix:{open_directory}/other.sock")
    daemon.write_configuration({"links": [link, other]})
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reload-failed")
    (error,) = daemon.find("cannot-listen")
    assert error["link"] == "other" and "Permission denied" in error["why"]
    raw_echo(scene, f"{open_directory}/own.sock")
    daemon.write_configuration({"links": [link]})
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reloaded")
    assert daemon.find("access-unchanged") == []
    raw_echo(scene, f"{open_directory}/own.sock")


@as_root
def test_root_without_user_is_a_warning(scene: Scene) -> None:
    """It stays root and says so."""
    daemon = scene.start()
    assert [e["level"] for e in daemon.find("running-as-root")] == ["warning"]


def test_unknown_user_is_a_wrong_option(tmp_path: pathlib.Path) -> None:
    """Exit status 2, before anything is opened."""
    done = run_to_end(["--user", "nobody-of-that-name", "-c", "/dev/null"], tmp_path)
    assert done.returncode == 2
    assert "nobody-of-that-name" in done.stderr and len(done.stderr.splitlines()) == 1


@as_root
def test_who_is_not_root_can_only_be_himself(open_directory: pathlib.Path) -> None:
    """--user of oneself is fine; of another: one clear line and exit status 1."""
    (open_directory / "wskeep.yaml").write_text("log: {format: text}\nlinks: []\n")
    program = open_directory / "wskeepd"  # the build directory may be root's alone
    shutil.copy2(WSKEEPD, program)
    program.chmod(0o755)
    command = [str(program), "-c", str(open_directory / "wskeep.yaml"), "--user"]
    other = subprocess.run(
        [*command, "daemon"], user="nobody", capture_output=True, text=True, timeout=30
    )
    assert other.returncode == 1
    assert other.stderr == "wskeepd: --user daemon: only root can become another user\n"
    with (open_directory / "log").open("wb") as log:
        process = subprocess.Popen([*command, "nobody"], user="nobody", stderr=log)
    try:
        wait_until(
            lambda: " is ready: " in (open_directory / "log").read_text(), "nobody to be nobody"
        )
    finally:
        process.terminate()
        assert process.wait(30) == 0
