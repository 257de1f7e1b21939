"""Changes of the network end long waits and probe open links, and nothing else does."""

from __future__ import annotations

import os
import pathlib
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Any, Iterator

import pytest

from conversation import Conversation
from namespaces import FAR, NEAR, Namespaces
from polling import let_time_pass, wait_until, wait_until_still
from raw_peers import RawClient, RawServerConnection, answer_pings
from scene import Scene
from wskeepd_process import Wskeepd, at, is_sanitized

PORT = 9000

#: One attempt, and then a long wait; no Pings but those that are asked for.
PATIENT: dict[str, dict[str, Any]] = {
    "reconnect": {"initial_delay": "60s", "max_delay": "60s", "jitter": "none"},
    "heartbeat": {"interval": "10m"},
}

#: Long enough for whatever is merged and spread over 1.5 s to have happened.
QUIET_S = 2.5


@pytest.fixture
def net() -> Iterator[Namespaces]:
    net = Namespaces(f"wskeep-{os.getpid()}-{time.monotonic_ns() % 10**9}")
    try:
        yield net
    finally:
        net.remove()


class FarServer:
    """Answers upgrades and Pings in the far namespace, and notes when Pings came."""

    def __init__(self, net: Namespaces) -> None:
        self._listener = net.listener(PORT)
        self._connections: list[RawServerConnection] = []
        self.attempts: list[float] = []
        self.pings: list[float] = []
        self.addresses: list[str] = []
        self.refusing = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, (address, _) = self._listener.accept()
            except OSError:
                return
            self.attempts.append(time.monotonic())
            self.addresses.append(address)
            if self.refusing:
                sock.close()
                continue
            number = len(self.attempts)
            connection = RawServerConnection(sock, number, Conversation(number))
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: RawServerConnection) -> None:
        def note(connection: RawServerConnection, ping: Any) -> None:
            self.pings.append(time.monotonic())
            answer_pings(connection, ping)

        try:
            connection.upgrade()
            connection.serve_to_end(note)
        except (EOFError, OSError):
            pass
        finally:
            connection.close()

    def cut(self) -> None:
        for connection in self._connections:
            connection.close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        self._listener.close()
        self.cut()


@pytest.fixture
def far(net: Namespaces) -> Iterator[FarServer]:
    server = FarServer(net)
    try:
        yield server
    finally:
        server.stop()


class Kept:
    """wskeepd in the near namespace; its client comes through a Unix socket."""

    def __init__(self, scene: Scene, net: Namespaces, directory: pathlib.Path) -> None:
        self.path = str(directory / "game.sock")
        listen = f"ws+unix:{self.path}"
        link = scene.link(f"ws://{FAR}:{PORT}/", listen=listen, quick=False, **PATIENT)
        self.daemon: Wskeepd = scene.launch({"links": [link]}, wrapper=net.wrapper).wait_ready()
        self.client: RawClient = scene.raw_client(self.path)
        self.client.handshake()

    @property
    def changes(self) -> int:
        return len(self.daemon.find("network-changed"))


@pytest.fixture
def kept(scene: Scene, net: Namespaces, far: FarServer, tmp_path: pathlib.Path) -> Kept:
    kept = Kept(scene, net, tmp_path)
    kept.daemon.wait_for_move("open")
    wait_until_still(lambda: (len(far.pings), kept.changes), 1)
    return kept


def wait_for_long_wait(kept: Kept, far: FarServer) -> int:
    """The upstream is lost, and the next attempt is a minute away.  The attempts so far."""
    kept.daemon.wait_for_move("open")
    far.refusing = True
    far.cut()
    move = kept.daemon.wait_for_move("waiting")
    assert move["delay_ms"] > 50_000, move
    return len(far.attempts)


CHANGES = {
    "default route added": ("route", "add", "default", "via", FAR),
    "address added": ("address", "add", "10.203.0.77/24", "dev", "veth0"),
    "IPv6 address added": ("address", "add", "2001:db8::77/64", "dev", "veth0", "nodad"),
    "IPv6 default route added": ("-6", "route", "add", "default", "dev", "veth0"),
    "default route removed": ("route", "del", "default", "via", FAR),
    "address removed": ("address", "del", "10.203.0.77/24", "dev", "veth0"),
    "default route replaced": ("route", "replace", "default", "via", "10.203.0.3"),
}


def prepare(net: Namespaces, change: str) -> None:
    """What is removed or replaced has to be there first."""
    if change in ("default route removed", "default route replaced"):
        net.change(*CHANGES["default route added"])
    elif change == "address removed":
        net.change(*CHANGES["address added"])


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_ends_a_long_wait(
    scene: Scene, net: Namespaces, far: FarServer, tmp_path: pathlib.Path, change: str
) -> None:
    """The next attempt comes within seconds instead of a minute."""
    prepare(net, change)
    kept = Kept(scene, net, tmp_path)
    attempts = wait_for_long_wait(kept, far)
    far.refusing = False
    began = time.monotonic()
    net.change(*CHANGES[change])
    kept.daemon.wait_for_move("open", 2)
    assert len(far.attempts) == attempts + 1
    assert 0.4 < far.attempts[-1] - began < 10


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_probes_an_open_link(
    scene: Scene, net: Namespaces, far: FarServer, tmp_path: pathlib.Path, change: str
) -> None:
    """A Ping is seen within seconds; a link that answers it stays."""
    prepare(net, change)
    kept = Kept(scene, net, tmp_path)
    kept.daemon.wait_for_move("open")
    wait_until_still(lambda: len(far.pings), 1)
    before = len(far.pings)
    net.change(*CHANGES[change])
    wait_until(lambda: len(far.pings) > before, "a Ping", 10)
    wait_until_still(lambda: len(far.pings), QUIET_S)
    assert len(far.pings) == before + 1
    assert len(far.attempts) == 1


def test_a_burst_of_changes_is_one_early_attempt(
    net: Namespaces, far: FarServer, kept: Kept
) -> None:
    """Twenty changes, again and again: at most one early attempt in 10 s."""
    attempts = wait_for_long_wait(kept, far)
    lines = []
    for _ in range(10):
        lines += [f"route add default via {FAR}", "route del default"]
    net.burst(lines)
    wait_until(lambda: len(far.attempts) > attempts, "an early attempt", 10)
    for _ in range(3):
        net.burst(lines)
        wait_until_still(lambda: len(far.attempts), 1)
    wait_until(lambda: len(far.attempts) == attempts + 2, "the next one", 15)
    first, second = [at(move) for move in kept.daemon.moves(to="connecting")[1:3]]
    assert second - first > 9.9  # by wskeepd's own clock: the far side may hear of them late


def test_what_is_no_change_does_nothing(net: Namespaces, far: FarServer, kept: Kept) -> None:
    """Loopback, link-local, other routes, tentative and renewed addresses, a link's other settings."""
    pings, attempts, changes = len(far.pings), len(far.attempts), kept.changes
    net.burst(
        [
            "address add 10.9.9.9/32 dev lo",
            "address del 10.9.9.9/32 dev lo",
            "address add 2001:db8:1::1/128 dev lo",
            "route add 10.99.0.0/16 via " + FAR,
            "route del 10.99.0.0/16",
            "route add unreachable default metric 4000",
            "route del unreachable default metric 4000",
            "address add 169.254.7.7/16 dev veth0 scope link",
            "address add fe80::77/64 dev veth0 nodad",
            f"address change {NEAR}/24 dev veth0 valid_lft 3600 preferred_lft 3600",
            f"address change {NEAR}/24 dev veth0 valid_lft 7200 preferred_lft 7200",
            "link set veth0 mtu 1400",
            "link add other0 type veth peer name other1",
            "link set other0 up",
            "link set other1 up",
        ]
    )
    wait_until_still(lambda: (len(far.pings), len(far.attempts), kept.changes), QUIET_S)
    assert (len(far.pings), len(far.attempts), kept.changes) == (pings, attempts, changes)
    net.change(*CHANGES["address added"])  # it was listening all the time
    wait_until(lambda: kept.changes == changes + 1, "a change that counts")


def test_loopback_does_not_end_a_wait(net: Namespaces, far: FarServer, kept: Kept) -> None:
    """The minute goes on."""
    attempts = wait_for_long_wait(kept, far)
    for number in range(5):
        net.change("address", "add", f"10.9.9.{number}/32", "dev", "lo")
    wait_until_still(lambda: len(far.attempts), QUIET_S)
    assert len(far.attempts) == attempts


def test_more_changes_than_the_kernel_can_tell_are_a_change(
    net: Namespaces, far: FarServer, kept: Kept
) -> None:
    """ENOBUFS: something was missed while we did not run, and it may have mattered."""
    pings = len(far.pings)
    kept.daemon.signal(signal.SIGSTOP)
    lines = [f"address add 10.{n // 250}.{n % 250}.1/32 dev lo" for n in range(3000)]
    net.burst(lines)
    net.burst([line.replace(" add ", " del ") for line in lines])
    kept.daemon.signal(signal.SIGCONT)
    wait_until(lambda: len(far.pings) > pings, "a Ping", 10)
    changes = kept.changes
    assert changes >= 1
    wait_until_still(lambda: kept.changes, 1)
    net.burst([f"address change {NEAR}/24 dev veth0 valid_lft 3600 preferred_lft 3600"])
    wait_until_still(lambda: kept.changes, 1)
    assert kept.changes == changes, "it asked again what there is"


def test_a_link_whose_address_is_gone_is_found_dead(
    net: Namespaces, far: FarServer, tmp_path: pathlib.Path, scene: Scene
) -> None:
    """Another address takes over: the old connection hangs, the probe finds out, a new one comes."""
    path = str(tmp_path / "game.sock")
    link = scene.link(
        f"ws://{FAR}:{PORT}/",
        listen=f"ws+unix:{path}",
        quick=False,
        **{**PATIENT, "heartbeat": {"interval": "10m", "timeout": "1s"}},
    )
    daemon = scene.launch({"links": [link]}, wrapper=net.wrapper).wait_ready()
    client = scene.raw_client(path)
    client.handshake()
    daemon.wait_for_move("open")
    net.burst([f"address del {NEAR}/24 dev veth0", "address add 10.203.0.88/24 dev veth0"])
    daemon.wait_for_move("waiting", cause="heartbeat-timeout")


# Sleep.

SLEEPER = pathlib.Path(__file__).parent / "peers" / "sleeper.c"


class Machine:
    """What wskeepd takes for a machine that slept."""

    def __init__(self, directory: pathlib.Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no compiler for the machine that sleeps")
        if is_sanitized():
            pytest.skip("the sanitizer wants to come before all else")
        library = directory / "sleeper.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", str(library), str(SLEEPER), "-ldl"], check=True
        )
        self._slept = directory / "slept"
        self._slept_ms = 0
        self.sleep(0)
        self.environment = {"LD_PRELOAD": str(library), "WSKEEP_TEST_SLEPT": str(self._slept)}

    def sleep(self, ms: int) -> None:
        self._slept_ms += ms
        with self._slept.open("r+b" if self._slept.exists() else "wb") as file:
            file.write(struct.pack("q", self._slept_ms))


def test_a_machine_that_slept_ends_a_long_wait(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Who knows where it woke up: the next attempt comes soon."""
    machine = Machine(tmp_path)
    link = scene.link(f"ws://127.0.0.1:{scene.port()}/", quick=False, **PATIENT)
    daemon = scene.launch({"links": [link]}, environment=machine.environment).wait_ready()
    client = scene.client(link["listen"])
    assert daemon.wait_for_move("waiting")["delay_ms"] > 50_000
    machine.sleep(5000)
    client.ping()  # something wakes the loop, as the timers of a real machine would
    daemon.wait_for_move("connecting", 2)
    daemon.wait_for_move("waiting", 2)


def test_a_machine_that_slept_probes_an_open_link(scene: Scene, tmp_path: pathlib.Path) -> None:
    """A Ping is seen soon, and the link stays."""
    machine = Machine(tmp_path)
    server = scene.websockets_server()
    link = scene.link(server.url, quick=False, **PATIENT)
    daemon = scene.launch({"links": [link]}, environment=machine.environment).wait_ready()
    client = scene.client(link["listen"])
    daemon.wait_for_move("open")
    wait_until(lambda: server.is_connected, "the server to see it as well")
    wait_until_still(lambda: server.latest.pings, 1)
    before = server.latest.pings
    machine.sleep(5000)
    client.ping()
    wait_until(lambda: server.latest.pings > before, "a Ping", 10)
    assert daemon.moves(to="waiting") == []


def test_a_process_that_was_stopped_has_not_slept(scene: Scene) -> None:
    """SIGSTOP is no reason to hurry, though timers are late after it."""
    heartbeat = {"heartbeat": {"interval": "500ms", "timeout": "30s"}}
    url = f"ws://127.0.0.1:{scene.port()}/"
    link = scene.link(url, quick=False, client=heartbeat, **PATIENT)
    daemon = scene.start(link)
    client = scene.client(link["listen"])
    daemon.wait_for_move("waiting")
    daemon.signal(signal.SIGSTOP)
    let_time_pass(2.5)
    daemon.signal(signal.SIGCONT)
    client.ping()
    wait_until_still(lambda: len(daemon.moves(to="connecting")), QUIET_S)
    assert len(daemon.moves(to="connecting")) == 1


# Where the kernel may not be listened to.

WITHOUT_NETLINK = pathlib.Path(__file__).parent / "peers" / "without_netlink.py"


def without_netlink() -> list[str]:
    """A command that runs another without netlink."""
    wrapper = [sys.executable, str(WITHOUT_NETLINK)]
    if platform.machine() not in ("x86_64", "aarch64", "riscv64"):
        pytest.skip(f"no filter for {platform.machine()}")
    probe = subprocess.run([*wrapper, "/bin/true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no seccomp filter: {probe.stderr.strip()}")
    return wrapper


def test_without_netlink_it_goes_on(scene: Scene) -> None:
    """Where it may not listen to the kernel: a line for who looks for it, and all else works."""
    server = scene.websockets_server(echo=True)
    link = scene.link(server.url)
    daemon = scene.launch({"links": [link]}, wrapper=without_netlink()).wait_ready()
    assert [e["level"] for e in daemon.find("network-unwatched")] == ["debug"]
    client = scene.client(link["listen"])
    client.send("hello")
    wait_until(lambda: client.texts == ["hello"], "the echo")
