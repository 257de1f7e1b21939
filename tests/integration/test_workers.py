"""Several workers: clients spread evenly, each stays where it came, and no limit or signal is missed
by any of them."""

from __future__ import annotations

import collections
import os
import pathlib
import signal
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from certificates import Authority, Identity
from frames import BINARY, CLOSE, PING, PONG
from managers import DatagramSocket
from messages import check_delivery, numbered
from polling import DEADLINE_S, wait_until, wait_until_still
from raw_peers import RawClient, RawServerConnection, answer_pings
from scene import Kept, Scene
from test_memory import head
from tls_scene import authority, folder, identity  # noqa: F401: fixtures
from wskeepd_process import WSKEEPD_FAULTS, Wskeepd

MIB = 1024 * 1024
COUNTS = [2, 4]


def keep(scene: Scene, url: str, workers: object, top: dict[str, Any] = {}, **sections: Any) -> Kept:
    link = scene.link(url, **sections)
    return Kept(scene.start(link, workers=workers, **top), link)


def without_timers() -> dict[str, Any]:
    """For a link whose loop shall only wake when it is woken: a deadline that was met wakes it, too."""
    return {
        "client": {"heartbeat": {"interval": "never"}, "handshake_timeout": "60s"},
        "heartbeat": {"interval": "never"},
        "upstream": {"compression": "off", "connect_timeout": "60s"},
    }


def spread(daemon: Wskeepd) -> list[int]:
    """How many sessions each worker has begun, ever; those with none are left out."""
    begun = collections.Counter(event["worker"] for event in daemon.find("begun"))
    return [count for _, count in sorted(begun.items())]


def worker_threads(daemon: Wskeepd) -> int:
    """By name: the main thread has the program's, and a sanitizer may have threads of its own."""
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks]
    return 1 + sum(name.startswith("worker ") for name in names)


def all_clients(scene: Scene, kept: Kept, count: int) -> list[Any]:
    clients = [scene.websockets_client(kept.url) for _ in range(count)]
    kept.daemon.wait_for("begun", count)
    return clients


# ---- relaying ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", COUNTS)
def test_echo_through_many_clients_across_cuts(scene: Scene, workers: int) -> None:
    """Every client's messages arrive in order, each once where nothing broke, on all workers."""
    server = scene.websockets_server(echo=True)
    wire = scene.wire(server)
    kept = keep(scene, wire.url, workers)
    clients = all_clients(scene, kept, 4 * workers)
    assert spread(kept.daemon) == [4] * workers
    sent = 300
    sending = [
        client.send_many([f"{place:04d}" + numbered(n, 200) for n in range(sent)])
        for place, client in enumerate(clients)
    ]
    for _ in range(3):
        before = len(server.conversations)
        wait_until(lambda: len(server.messages) > 100, "messages before the cut")
        wire.cut()
        wait_until(
            lambda: len(server.conversations) >= before + len(clients), "all are connected again"
        )
    for one in sending:
        one.result(DEADLINE_S)
    by_client: dict[int, list[list[int]]] = {place: [] for place in range(len(clients))}

    def arrived() -> bool:
        for lists in by_client.values():
            lists.clear()
        for conversation in server.conversations:
            numbers = [(int(m.head[:4]), int(m.head[4:12])) for m in conversation.messages]
            assert len({place for place, _ in numbers}) <= 1, "one connection is one session's"
            if numbers:
                by_client[numbers[0][0]].append([number for _, number in numbers])
        return all(
            len({n for numbers in lists for n in numbers}) == sent for lists in by_client.values()
        )

    wait_until(arrived, lambda: f"all messages; log:\n{kept.daemon.tail()}")
    for lists in by_client.values():
        check_delivery(lists, sent)
    numbers = [event["session"] for event in kept.daemon.find("begun")]
    assert sorted(numbers) == list(range(1, len(clients) + 1)), "a session's number is its own"


def test_a_session_stays_on_its_worker(scene: Scene) -> None:
    """Through breaks of its upstream a session is begun once, and the others' come beside it."""
    server = scene.websockets_server(echo=True)
    wire = scene.wire(server)
    kept = keep(scene, wire.url, 2)
    clients = all_clients(scene, kept, 2)
    kept.daemon.wait_for_move("open", 2)
    for turn in range(5):
        wire.cut()
        kept.daemon.wait_for_move("open", 2 * (turn + 2))
        for client in clients:
            client.send(f"turn {turn}")
        for client in clients:
            wait_until(lambda: f"turn {turn}" in client.texts, "its echo, before the next cut")
    assert spread(kept.daemon) == [1, 1]


@pytest.mark.parametrize("workers", COUNTS)
def test_clients_go_to_the_worker_with_the_fewest(scene: Scene, workers: int) -> None:
    """Who left makes room: new clients fill up the worker that lost its own."""
    server = scene.websockets_server()
    kept = keep(scene, server.url, workers)
    clients = all_clients(scene, kept, 5 * workers)
    assert spread(kept.daemon) == [5] * workers
    first = [event["worker"] for event in kept.daemon.find("begun")]
    leaving = [client for client, worker in zip(clients, first) if worker == first[0]]
    for client in leaving:
        client.close()
    kept.daemon.wait_for("session-end", len(leaving))
    all_clients(scene, kept, 5 * workers + len(leaving))
    later = [event["worker"] for event in kept.daemon.find("begun")][5 * workers :]
    assert later[: len(leaving)] == [first[0]] * len(leaving)


def test_one_worker_has_no_thread_besides(scene: Scene) -> None:
    kept = keep(scene, scene.websockets_server().url, 1)
    all_clients(scene, kept, 3)
    assert spread(kept.daemon) == [3]
    assert worker_threads(kept.daemon) == 1


@pytest.mark.parametrize("workers", [2, 64])
def test_as_many_threads_as_asked_for(scene: Scene, workers: int) -> None:
    kept = keep(scene, scene.websockets_server().url, workers)
    assert worker_threads(kept.daemon) == workers
    assert kept.daemon.wait_for("ready")["workers"] == workers
    all_clients(scene, kept, workers)
    assert spread(kept.daemon) == [1] * workers


# ---- auto -------------------------------------------------------------------------------------


def test_auto_is_the_processors_that_we_may_use(scene: Scene) -> None:
    link = scene.link(scene.websockets_server().url)
    allowed = sorted(os.sched_getaffinity(0))
    daemon = scene.launch(
        {"links": [link]}, wrapper=("taskset", "-c", str(allowed[0]))
    ).wait_ready()
    assert worker_threads(daemon) == daemon.wait_for("ready")["workers"] == 1


def test_auto_is_the_default_within_the_mask(scene: Scene) -> None:
    daemon = scene.start(scene.link(scene.websockets_server().url))
    same = scene.start(scene.link(scene.websockets_server().url), workers="auto")
    count = daemon.wait_for("ready")["workers"]
    assert count == same.wait_for("ready")["workers"]
    assert 1 <= count <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("value", [0, 65, "many"])
def test_wrong_numbers_are_refused(scene: Scene, value: object) -> None:
    daemon = scene.launch({"workers": value, "links": [scene.link("ws://127.0.0.1:1")]})
    daemon.expect_end(2)
    assert ": workers: " in daemon.stderr


def test_another_number_waits_for_the_next_start(scene: Scene) -> None:
    """A reload says so, and applies the rest."""
    server = scene.websockets_server()
    kept = keep(scene, server.url, 2)
    kept.daemon.write_configuration({"workers": 3, "links": [kept.link]})
    kept.daemon.signal(signal.SIGHUP)
    assert kept.daemon.wait_for("workers-unchanged", asked=3, running=2)
    assert kept.daemon.find("reloaded") and not kept.daemon.find("reload-failed")
    assert worker_threads(kept.daemon) == 2


# ---- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", COUNTS)
def test_max_clients_is_exact_in_a_storm(scene: Scene, workers: int) -> None:
    """Of many that knock at once just as many are let in as there are places, again and again."""
    places, knocking = 10, 60
    server = scene.websockets_server()
    kept = keep(scene, server.url, workers, client={"max_clients": places})
    for turn in range(1, 6):
        clients = [scene.raw_client(kept.port) for _ in range(knocking)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda client: client.write(client.request()), clients))
            statuses = list(pool.map(lambda client: client.read_response().status, clients))
        assert collections.Counter(statuses) == {101: places, 503: knocking - places}
        let_in = [client for client, status in zip(clients, statuses) if status == 101]
        for client in let_in:
            client.send_close(1000)
        for client in let_in:
            client.read_until(CLOSE)
        kept.daemon.wait_for("session-end", turn * places)
        for client in clients:
            client.close()


class Pusher:
    """A client that sends numbered messages, and after each a Ping: its Pong says that the message was
    taken."""

    def __init__(self, client: RawClient, size: int, count: int) -> None:
        self.taken = 0
        self._client = client
        self._size = size
        self._count = count
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._client.socket.settimeout(None)
        try:
            for number in range(self._count):
                self._client.send_text(numbered(number, self._size))
                self._client.send(PING)
                self._client.read_until(PONG)
                self.taken += 1
        except (EOFError, OSError):
            pass


@pytest.mark.parametrize("workers", [1, *COUNTS])
@pytest.mark.parametrize("size", [2048, 100 * 1024])
def test_memory_max_holds_over_workers(scene: Scene, workers: int, size: int) -> None:
    """What waits for an upstream that is away is memory_max and no more, on however many workers;
    when it comes, all go on and all is delivered."""
    limit = 4 * MIB
    count = 2 * limit // (2 * workers) // size  #: of each client: twice the limit in all
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    kept = keep(scene, wire.url, workers, {"memory_max": "4MiB"})
    pushers = []
    for _ in range(2 * workers):
        client = scene.raw_client(kept.port)
        client.handshake()
        pushers.append(Pusher(client, size, count))
    wait_until_still(lambda: [pusher.taken for pusher in pushers])
    assert spread(kept.daemon) == [2] * workers
    taken_bytes = sum(pusher.taken for pusher in pushers) * (size + 48)
    passed_bytes = (workers - 1) * (64 * 1024 + size)
    held_bytes = len(pushers) * (size + 64)  #: a message of each waits
    assert limit - held_bytes - size <= taken_bytes <= limit + passed_bytes
    wire.open_listener()
    wait_until(lambda: all(pusher.taken == count for pusher in pushers), kept.daemon.tail)
    wait_until(lambda: len(server.messages) == count * len(pushers), kept.daemon.tail)
    for conversation in server.conversations:
        assert conversation.numbers == list(range(count))


def test_memory_that_one_worker_gives_back_wakes_the_other(scene: Scene) -> None:
    """A client is held back for what another worker's session holds, and goes on by itself when that
    leaves, although nothing else happens to it."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    link = scene.link(wire.url, name="held", heartbeat={"interval": "never"})
    free = scene.link(server.url, name="free", client={"heartbeat": {"interval": "never"}})
    daemon = scene.start(link, free, workers=2, memory_max="4MiB")
    holder = scene.websockets_client(link["listen"])
    for _ in range(4):
        holder.send(bytes(MIB - 100))
    holder.ping()  # all of it is taken
    daemon.wait_for("begun", 1)
    waiting = scene.raw_client(int(free["listen"].rsplit(":", 1)[1]))
    waiting.handshake()
    daemon.wait_for("begun", 2)
    assert spread(daemon) == [1, 1]
    size = 2 * MIB
    waiting.write(head(size) + bytes(size))
    waiting.send(PING, b"taken")
    waiting.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        waiting.read_until(PONG)
    waiting.socket.settimeout(DEADLINE_S)
    wire.open_listener()
    assert waiting.read_until(PONG).payload == b"taken"
    wait_until(lambda: any(m.size == size for m in server.messages), daemon.tail)


def test_upstream_that_waits_for_memory_of_another_worker_is_read_again(scene: Scene) -> None:
    """Nothing else happens to its session, and no timer runs for it: the other worker wakes it."""
    size = 2 * MIB
    payload = bytes(range(256)) * (size // 256)
    begin = threading.Event()

    def send_one(connection: RawServerConnection) -> None:
        connection.upgrade()
        begin.wait(DEADLINE_S)
        connection.send(BINARY, payload)
        connection.serve_to_end(answer_pings)

    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    held = scene.link(wire.url, name="held")
    free = scene.link(scene.raw_server(send_one).url, name="free", **without_timers())
    daemon = scene.start(held, free, workers=2, memory_max="4MiB")
    holder = scene.websockets_client(held["listen"])
    for _ in range(3):
        holder.send(bytes(MIB))
    holder.ping()  # all of it is taken
    waiting = scene.raw_client(int(free["listen"].rsplit(":", 1)[1]))
    waiting.handshake()
    daemon.wait_for_move("open", link="free")
    assert spread(daemon) == [1, 1]
    begin.set()
    waiting.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        waiting.read()
    waiting.socket.settimeout(DEADLINE_S)
    wire.open_listener()
    assert waiting.read_until(BINARY).payload == payload


# ---- reload, drain, end -----------------------------------------------------------------------


@pytest.mark.parametrize("workers", COUNTS)
def test_reload_reaches_every_worker(scene: Scene, workers: int) -> None:
    """Sessions on all workers stay; the next connection of each goes where the new file says."""
    one = scene.websockets_server()
    other = scene.websockets_server(echo=True)
    wire = scene.wire(one)
    kept = keep(scene, wire.url, workers)
    clients = all_clients(scene, kept, 2 * workers)
    wait_until(lambda: len(one.conversations) == len(clients), "all are open")
    kept.daemon.configuration_path.write_text("links: 5\n")
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reload-failed")
    changed = {**kept.link, "upstream": {"url": other.url}}
    kept.daemon.write_configuration({"workers": workers, "links": [changed]})
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reloaded")
    assert all(client.is_open for client in clients)
    wire.cut()
    wait_until(lambda: len(other.conversations) == len(clients), kept.daemon.tail)
    for client in clients:
        client.send("after")
    for client in clients:
        wait_until(lambda: client.texts == ["after"], "its echo")
    assert len(one.conversations) == len(clients)


@pytest.mark.parametrize("workers", COUNTS)
def test_removed_link_closes_its_clients_on_every_worker(scene: Scene, workers: int) -> None:
    """Those of the other link stay; what was sent before is delivered."""
    server = scene.websockets_server()
    gone = scene.link(server.url, name="gone")
    stays = scene.link(server.url, name="stays")
    daemon = scene.start(gone, stays, workers=workers)
    leaving = [scene.websockets_client(gone["listen"]) for _ in range(2 * workers)]
    staying = [scene.websockets_client(stays["listen"]) for _ in range(2 * workers)]
    daemon.wait_for("begun", 4 * workers)
    for client in leaving:
        client.send("last words")
    daemon.write_configuration({"workers": workers, "links": [stays]})
    daemon.signal(signal.SIGHUP)
    for client in leaving:
        assert client.wait_closed() == (1012, "wskeep: shutdown")
    daemon.wait_for("session-end", 2 * workers, link="gone", cause="shutdown")
    wait_until(lambda: len(server.messages) == 2 * workers, daemon.tail)
    for client in staying:
        assert client.is_open
        client.send("still here")
    wait_until(lambda: len(server.messages) == 4 * workers, daemon.tail)
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)


@pytest.mark.parametrize("workers", COUNTS)
def test_sigterm_drains_all_workers(scene: Scene, workers: int) -> None:
    """Clients on all workers hear 1012 and what they sent is delivered before the end."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = keep(scene, wire.url, workers, session={"drain_timeout": "60s"})
    clients = all_clients(scene, kept, 3 * workers)
    kept.daemon.wait_for_move("open", len(clients))
    wire.refuse()
    wire.cut()
    kept.daemon.wait_for_move("waiting", len(clients))
    for place, client in enumerate(clients):
        client.send(f"owed {place}")
    for client in clients:
        client.ping()
    kept.daemon.signal(signal.SIGTERM)
    for client in clients:
        assert client.wait_closed()[0] in (1011, 1012)
    assert kept.daemon.is_running
    wire.open_listener()
    kept.daemon.expect_end(0)
    texts = {message.text for message in server.messages}
    assert texts == {f"owed {place}" for place in range(len(clients))}


@pytest.mark.parametrize("workers", COUNTS)
def test_second_sigterm_ends_at_once(scene: Scene, workers: int) -> None:
    """And what is given up on every worker is counted."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    kept = keep(scene, wire.url, workers, session={"drain_timeout": "1h"})
    clients = all_clients(scene, kept, 2 * workers)
    for client in clients:
        client.send("never")
        client.ping()
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.wait_for("client-close", len(clients))
    assert kept.daemon.is_running
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.expect_end(0)
    given_up = kept.daemon.find("given-up")
    assert len(given_up) == len(clients), kept.daemon.tail()


def test_idle_daemon_ends(scene: Scene) -> None:
    daemon = scene.start(scene.link(scene.websockets_server().url), workers=4)
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)


def test_clients_that_come_while_it_reloads_and_ends(scene: Scene) -> None:
    """A client on its way to its worker is not forgotten, whatever happens meanwhile: it is served,
    or told to go."""
    server = scene.websockets_server()
    kept = keep(scene, server.url, 4, session={"drain_timeout": "1s"})
    for _ in range(10):
        clients = [scene.raw_client(kept.port) for _ in range(20)]
        for client in clients:
            client.write(client.request())
        kept.daemon.signal(signal.SIGHUP)
        for client in clients:
            assert client.read_response().status == 101
            client.close()
    clients = [scene.raw_client(kept.port) for _ in range(20)]
    for client in clients:
        client.write(client.request())
    kept.daemon.signal(signal.SIGTERM)
    for client in clients:
        try:
            assert client.read_response().status in (101, 503)
        except (EOFError, OSError):
            pass  # it was still in the listener's queue
    kept.daemon.expect_end(0)


# ---- what is shared ---------------------------------------------------------------------------


def test_counts_of_all_workers_reach_systemd(
    scene: Scene, tmp_path: pathlib.Path
) -> None:
    """A session that begins or ends on any worker is in the next STATUS."""
    manager = DatagramSocket(str(tmp_path / "notify"))
    try:
        link = scene.link(scene.websockets_server().url, **without_timers())
        daemon = scene.launch(
            {"workers": 4, "links": [link]}, environment={"NOTIFY_SOCKET": manager.name}
        ).wait_ready()
        clients = [scene.websockets_client(link["listen"]) for _ in range(8)]
        manager.wait_for("STATUS=1 link, 8 sessions, 8 open upstreams")
        assert spread(daemon) == [2, 2, 2, 2]
        workers = [event["worker"] for event in daemon.find("begun")]
        *others, last = sorted(range(8), key=lambda place: workers[place])  # not the main thread's
        for place in others:
            clients[place].close()
        manager.wait_for("STATUS=1 link, 1 session, 1 open upstream")
        clients[last].close()
        manager.wait_for("STATUS=1 link, 0 sessions, 0 open upstreams", 2)
        daemon.signal(signal.SIGTERM)
        daemon.expect_end(0)
    finally:
        manager.stop()


def test_watchdog_asks_every_worker(scene: Scene, tmp_path: pathlib.Path) -> None:
    """All loops turn, though nothing happens in any of them: the manager hears so."""
    manager = DatagramSocket(str(tmp_path / "notify"))
    try:
        link = scene.link(scene.websockets_server().url)
        daemon = scene.launch(
            {"workers": 3, "links": [link]},
            environment={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"},
        ).wait_ready()
        manager.wait_for("WATCHDOG=1", 5)
        daemon.signal(signal.SIGTERM)
        daemon.expect_end(0)
    finally:
        manager.stop()


def test_choice_of_one_worker_is_known_to_all(scene: Scene) -> None:
    """A subprotocol that the upstream chose is remembered per link: the next client, on another
    worker, is answered without the upstream."""
    server = scene.websockets_server(subprotocols=["b"])
    wire = scene.wire(server)
    kept = keep(scene, wire.url, 4)
    assert scene.websockets_client(kept.url, subprotocols=["a", "b"]).subprotocol == "b"
    wire.refuse()
    for _ in range(3):
        assert scene.websockets_client(kept.url, subprotocols=["a", "b"]).subprotocol == "b"
    assert spread(kept.daemon) == [1, 1, 1, 1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_session_of_one_worker_is_resumed_by_another(
    scene: Scene, authority: Authority, identity: Identity, version: ssl.TLSVersion  # noqa: F811
) -> None:
    server = scene.websockets_server(tls=identity.server_context(version), echo=True)
    kept = keep(
        scene,
        f"wss://127.0.0.1:{server.port}/",
        4,
        upstream={"tls": {"ca": authority.cert}},
    )
    for number in range(4):
        client = scene.websockets_client(kept.url)
        client.send("there and back")
        wait_until(lambda: client.texts == ["there and back"], kept.daemon.tail)
    assert spread(kept.daemon) == [1, 1, 1, 1]
    assert [event["tls_session"] for event in kept.daemon.find("secured")] == ["new"] + [
        "resumed"
    ] * 3


def test_last_lines_of_all_threads_are_whole(scene: Scene) -> None:
    """Sessions that begin and end on four workers at once: every line of the log is one object."""
    server = scene.websockets_server()
    kept = keep(scene, server.url, 4)
    for _ in range(5):
        clients = [scene.raw_client(kept.port) for _ in range(24)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda client: client.handshake(), clients))
        for client in clients:
            client.close()
    kept.daemon.wait_for("session-end", 5 * 24)
    assert kept.daemon.stray_lines == []


# ---- what fails -------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_worker_without_a_thread_is_no_start(scene: Scene, nth: int) -> None:
    """Half a daemon would look like a whole one."""
    daemon = scene.launch(
        {"workers": 4, "links": [scene.link("ws://127.0.0.1:1")]},
        program=WSKEEPD_FAULTS,
        environment={
            "WSKEEP_FAULT": "thread",
            "WSKEEP_FAULT_NTH": str(nth),
            "WSKEEP_FAULT_ERROR": "11",
        },
    )
    daemon.expect_end(1)
    assert daemon.find("cannot-start", what="no thread for a worker")
