"""From a name to a connection: look-ups, several addresses, several urls."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import shutil
import socket
from typing import Any, Iterator

import pytest

from frames import TEXT
from messages import check_delivery, numbered
from names import Door, NameServer, Swallower, own_network
from polling import wait_until
from raw_peers import RawServer, RawServerConnection, answer_pings
from scene import Kept, Scene
from wskeepd_process import Wskeepd, at, is_sanitized

NAME = "game.test"
THREADS_MAX = 4  #: that look names up


def open_and_stay(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.serve_to_end(answer_pings)


def open_and_reset(connection: RawServerConnection) -> None:
    connection.upgrade()
    connection.wait_flushed()
    connection.reset()


@pytest.fixture
def names(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[NameServer]:
    """The test runs in a network of its own, and its scene as well."""
    if shutil.which("ip") is None:
        pytest.skip("no ip to set up a network")
    with own_network(tmp_path / "etc"):
        server = NameServer()
        try:
            scene = Scene(tmp_path)
            request.node.scene = scene
            try:
                yield server
            finally:
                scene.stop()
        finally:
            server.stop()


@pytest.fixture
def inside(names: NameServer, request: pytest.FixtureRequest) -> Scene:
    return request.node.scene  # type: ignore[no-any-return]


@pytest.fixture
def things() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def put(stack: contextlib.ExitStack, thing: Any) -> Any:
    stack.callback(thing.stop)
    return thing


def url_of(name: str, server: Any) -> str:
    return f"ws://{name}:{server.port}/"


def connecting_s(kept: Kept, index: int = -1) -> float:
    """How long the connection took, of the attempt that opened."""
    begun = kept.daemon.moves(to="connecting")[index]
    return at(kept.daemon.moves(from_="connecting")[index]) - at(begun)


def keep(scene: Scene, url: Any, **upstream: Any) -> Kept:
    link = scene.link("", upstream={"url": url, **upstream})
    return Kept(scene.start(link), link)


def thread_count(daemon: Wskeepd) -> int:
    return len(list(pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()))


def wait_opens(kept: Kept, count: int) -> None:
    kept.daemon.wait_for_move("open", count)


# Several addresses.


def test_second_address_when_the_first_swallows(
    names: NameServer, inside: Scene, things: contextlib.ExitStack
) -> None:
    """The first address says nothing: the second is tried 250 ms later, and first the next time."""
    server = inside.raw_server(open_and_stay)
    names.answers[NAME] = ["::1", "127.0.0.1"]
    swallower = Swallower("::1", server.port)
    with contextlib.closing(contextlib.ExitStack()) as filled:
        filled.callback(swallower.stop)
        kept = keep(inside, url_of(NAME, server))
        client = inside.client(kept.url)
        client.send(numbered(0))
        kept.wait_open(server)
        assert 0.24 <= connecting_s(kept) < 3
    # What swallowed would answer now; what worked last is tried before it.
    door = put(things, Door("::1", server.port, server.port))
    server.accepted[0].close()
    wait_opens(kept, 2)
    assert door.entered == 0
    assert len(server.accepted) == 2


def test_second_address_when_the_first_refuses(names: NameServer, inside: Scene) -> None:
    """A refusal is not waited for."""
    server = inside.raw_server(open_and_stay)
    names.answers[NAME] = ["::1", "127.0.0.1"]
    kept = keep(inside, url_of(NAME, server))
    inside.client(kept.url)
    kept.wait_open(server)
    assert not kept.daemon.moves(to="waiting")


def test_ipv6_is_used_when_it_answers(
    names: NameServer, inside: Scene, things: contextlib.ExitStack
) -> None:
    """The first address wins when both answer."""
    server = inside.raw_server(open_and_stay)
    door = put(things, Door("::1", server.port, server.port))
    names.answers[NAME] = ["127.0.0.1", "::1"]
    kept = keep(inside, url_of(NAME, server))
    inside.client(kept.url)
    kept.wait_open(server)
    assert door.entered == 1


def test_machine_without_ipv6_does_not_wait_for_it(names: NameServer, inside: Scene) -> None:
    """Addresses that this machine has no way to cost nothing."""
    server = inside.raw_server(open_and_stay)
    names.answers[NAME] = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "127.0.0.1"]
    names.answers["only6.test"] = ["2001:db8::1"]
    kept = keep(inside, url_of(NAME, server))
    inside.client(kept.url)
    kept.wait_open(server)
    assert connecting_s(kept) < 0.7  # three waits of 250 ms would be more
    lost = keep(inside, url_of("only6.test", server), connect_timeout="20s")
    inside.client(lost.url)
    lost.daemon.wait_for_move("waiting", cause="tcp-unreachable", from_="connecting")


def test_all_addresses_swallow(
    names: NameServer, inside: Scene, things: contextlib.ExitStack
) -> None:
    """connect_timeout is for the whole attempt."""
    port = inside.port()
    names.answers[NAME] = ["::1", "127.0.0.1"]
    put(things, Swallower("::1", port))
    put(things, Swallower("127.0.0.1", port))
    kept = keep(inside, f"ws://{NAME}:{port}/", connect_timeout="1s")
    inside.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, cause="tcp-timeout", from_="connecting")
    begun, ended = kept.daemon.moves(to="resolving")[0], kept.daemon.moves(to="waiting")[0]
    assert 0.9 <= at(ended) - at(begun) < 3


def test_all_addresses_fail(names: NameServer, inside: Scene) -> None:
    """What one address said counts more than that there is no way to another."""
    names.answers[NAME] = ["2001:db8::1", "127.0.0.1", "2001:db8::2"]
    kept = keep(inside, f"ws://{NAME}:{inside.port()}/")
    inside.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, cause="tcp-refused", from_="connecting")


# Names.


@pytest.mark.parametrize("how", [NameServer.FAILS, NameServer.GONE])
def test_last_good_address_when_the_name_fails(
    names: NameServer, inside: Scene, how: str
) -> None:
    """A name that cannot be looked up any more does not end what worked."""
    server = inside.raw_server(open_and_stay)
    names.answers[NAME] = ["127.0.0.1"]
    kept = keep(inside, url_of(NAME, server))
    inside.client(kept.url)
    kept.wait_open(server)
    names.answers[NAME] = how
    server.accepted[0].close()
    wait_opens(kept, 2)
    said = kept.daemon.wait_for("last-good", cause="dns-failed", host=NAME)
    assert said["why"]


def test_last_good_address_when_the_name_hangs(names: NameServer, inside: Scene) -> None:
    """A name server that says nothing costs half of connect_timeout."""
    server = inside.raw_server(open_and_stay)
    names.answers[NAME] = ["127.0.0.1"]
    kept = keep(inside, url_of(NAME, server), connect_timeout="2s")
    inside.client(kept.url)
    kept.wait_open(server)
    names.answers[NAME] = NameServer.HANGS
    server.accepted[0].close()
    wait_opens(kept, 2)
    kept.daemon.wait_for("last-good", cause="dns-timeout", host=NAME)
    begun, found = kept.daemon.moves(to="resolving")[1], kept.daemon.moves(to="connecting")[1]
    assert 0.9 <= at(found) - at(begun) < 1.9


def test_name_that_fails_and_comes_back(names: NameServer, inside: Scene) -> None:
    """Without an address that worked the attempt fails with a cause of its own; later it works."""
    server = inside.raw_server(open_and_stay)
    names.answers[NAME] = NameServer.GONE
    kept = keep(inside, url_of(NAME, server))
    client = inside.client(kept.url)
    client.send(numbered(0))
    kept.daemon.wait_for_move("waiting", cause="dns-failed", from_="resolving")
    names.answers[NAME] = NameServer.FAILS
    before = len(kept.daemon.moves(to="waiting"))
    kept.daemon.wait_for_move("waiting", before + 2, cause="dns-failed", from_="resolving")
    names.answers[NAME] = ["127.0.0.1"]
    kept.wait_open(server)
    wait_until(lambda: server.messages, "the message")


def test_name_that_hangs_and_holds_nobody_up(names: NameServer, inside: Scene) -> None:
    """Names that hang time out, each in one thread; another link's are looked up meanwhile."""
    server = inside.raw_server(open_and_stay)
    hanging = [f"hang{number}.test" for number in range(4)]
    names.answers = {name: NameServer.HANGS for name in hanging} | {NAME: ["127.0.0.1"]}
    stuck = inside.link(
        "",
        name="stuck",
        upstream={"url": [url_of(n, server) for n in hanging], "connect_timeout": "300ms"},
    )
    also = inside.link(
        "",
        name="also",
        upstream={"url": url_of(hanging[0], server), "connect_timeout": "300ms"},
    )
    fine = inside.link(url_of(NAME, server), name="fine")
    daemon = inside.start(stuck, also, fine, workers=1)
    inside.client(stuck["listen"])
    inside.client(stuck["listen"])
    daemon.wait_for_move("resolving", 2, link="stuck")
    inside.client(also["listen"])
    daemon.wait_for_move("waiting", 8, cause="dns-timeout", from_="resolving", link="stuck")
    inside.client(fine["listen"])
    daemon.wait_for_move("open", link="fine")
    assert names.asked.count(NAME) == 1
    #: One for each of the two links that wait; mostly the same, but so busy a machine may be that no
    #: thread has begun with the first name when it is given up.
    assert 1 <= len({name for name in hanging if name in names.asked}) <= 2
    assert thread_count(daemon) <= 1 + THREADS_MAX
    # SIGTERM, while a look-up hangs: the scene checks that it ends, and with 0.


def test_name_that_changes_its_address(
    names: NameServer, inside: Scene, things: contextlib.ExitStack
) -> None:
    """A name is looked up at each attempt: a server that moved is found."""
    server = inside.raw_server(open_and_stay)
    door = put(things, Door("127.0.0.2", server.port, server.port))
    names.answers[NAME] = ["127.0.0.1"]
    kept = keep(inside, url_of(NAME, server))
    inside.client(kept.url)
    kept.wait_open(server)
    names.answers[NAME] = ["127.0.0.2"]
    server.accepted[0].close()
    wait_opens(kept, 2)
    assert door.entered == 1
    assert not kept.daemon.find("last-good")


def test_proxys_name_is_looked_up_and_raced_for(
    names: NameServer, inside: Scene, things: contextlib.ExitStack
) -> None:
    """The proxy's own name: the address that answers, and what worked last when it fails."""

    def proxy_and_server(connection: RawServerConnection) -> None:
        assert connection.read_head().target == f"{NAME}:8080"
        connection.write(b"HTTP/1.1 200 OK\r\n\r\n")
        open_and_stay(connection)

    proxy = inside.raw_server(proxy_and_server)
    put(things, Swallower("::1", proxy.port))
    names.answers["proxy.test"] = ["::1", "127.0.0.1"]
    kept = keep(inside, f"ws://{NAME}:8080/", proxy=f"http://proxy.test:{proxy.port}")
    inside.client(kept.url)
    kept.wait_open()
    names.answers["proxy.test"] = NameServer.FAILS
    proxy.accepted[0].close()
    wait_opens(kept, 2)
    kept.daemon.wait_for("last-good", host="proxy.test")
    assert NAME not in names.asked


@pytest.mark.slow(20)
def test_a_thousand_reconnections_leave_nothing(
    names: NameServer, inside: Scene, things: contextlib.ExitStack
) -> None:
    """1,000 reconnections by name: no memory, descriptor or thread more than after the first 200.
    The first address swallows, and the one that worked last is not always there."""
    server = inside.raw_server(open_and_reset)
    put(things, Swallower("::1", server.port))
    door = put(things, Door("127.0.0.2", server.port, server.port))
    working = itertools.cycle(["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"])
    names.answers[NAME] = lambda: ["::1", "2001:db8::1", next(working)]
    link = inside.link(
        url_of(NAME, server),
        reconnect={"initial_delay": "10ms", "max_delay": "100ms", "jitter": "none"},
    )
    daemon = inside.launch(
        {"log": {"level": "warning", "format": "json"}, "links": [link]}
    )
    wait_until(lambda: can_connect(link["listen"]), "wskeepd to listen")
    clients = [inside.client(link["listen"]) for _ in range(20)]

    wait_until(lambda: len(server.accepted) >= 200, "200 connections", 120)
    resident = daemon.resident_bytes
    wait_until(lambda: len(server.accepted) >= 1200, "1,000 more", 240)
    assert all(client.is_open for client in clients)
    assert door.entered > 100
    if not is_sanitized():
        assert daemon.resident_bytes - resident < 128 * 1024
    # Each of 20 sessions has its client, and an attempt with at most three sockets.
    assert daemon.descriptor_count <= 16 + 20 + 3 * 20
    assert thread_count(daemon) <= 1 + THREADS_MAX


def can_connect(listen: str) -> bool:
    host, port = listen.removeprefix("ws://").rsplit(":", 1)
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False


# Several urls.


def places(daemon: Wskeepd, **fields: Any) -> list[str]:
    return [move["upstream"] for move in daemon.moves(**fields) if "upstream" in move]


def test_each_failed_attempt_tries_the_next_url(scene: Scene) -> None:
    """One url per attempt, in their order and round again; none of them with its query."""
    ports = [scene.port() for _ in range(3)]
    urls = [f"ws://127.0.0.1:{port}/?token=hunter2" for port in ports]
    kept = keep(scene, urls)
    client = scene.client(kept.url)
    client.send(numbered(0))
    kept.daemon.wait_for_move("waiting", 5, cause="tcp-refused")
    tried = places(kept.daemon, to="waiting")[:5]
    assert tried == [f"127.0.0.1:{port}" for port in (ports + ports)[:5]]
    assert "hunter2" not in kept.daemon.stderr
    assert "token" not in kept.daemon.stderr


def test_next_url_and_back_to_the_first(scene: Scene) -> None:
    """The second carries on while the first is away, with its own path; then the first again."""
    first_port = scene.port()
    second = scene.websockets_server()
    kept = keep(
        scene,
        [
            f"ws://127.0.0.1:{first_port}/one",
            f"ws://127.0.0.1:{second.port}/two",
            f"ws://127.0.0.1:{scene.port()}/three",
        ],
    )
    client = scene.client(kept.url)
    client.send(numbered(0))
    wait_until(lambda: second.messages, "the message at the second")
    assert second.latest.path == "/two"
    assert kept.daemon.moves(to="open")[-1]["upstream"] == f"127.0.0.1:{second.port}"
    attempts = len(places(kept.daemon, to="waiting"))
    second.close(1012, "moving")
    wait_opens(kept, 2)
    tried = places(kept.daemon, to="waiting")[attempts:]
    # The connection that ended was the second's; the attempt after it was for the first.
    assert tried == [f"127.0.0.1:{second.port}", f"127.0.0.1:{first_port}"]
    client.send(numbered(1))
    wait_until(lambda: second.numbers_seen == {0, 1}, "the other message")
    check_delivery(second.numbers_by_connection, 2)


def test_url_that_opens_and_breaks_counts_as_failed(scene: Scene) -> None:
    """A first url that accepts and breaks at once does not keep the session from the second."""
    flapping: RawServer = scene.raw_server(open_and_reset)
    second = scene.raw_server(open_and_stay)
    kept = keep(scene, [flapping.url, second.url])
    client = scene.client(kept.url)
    client.send(numbered(0))
    wait_until(lambda: second.messages, "the message at the second")
    assert client.is_open


def test_append_reaches_each_url(scene: Scene) -> None:
    """`path: append` adds the client's path to whichever url is tried."""
    second = scene.raw_server(open_and_stay)
    kept = keep(
        scene, [f"ws://127.0.0.1:{scene.port()}/one", f"{second.url}two"], path="append"
    )
    scene.client(f"{kept.url}/three?four")
    wait_until(lambda: second.conversations and second.latest.path, "the request")
    assert second.latest.path == "/two/three?four"


def test_subprotocol_of_the_first_url_fails_over(scene: Scene) -> None:
    """A url whose server begins to choose another subprotocol is left for the next one."""

    def changes_its_mind(connection: RawServerConnection) -> None:
        connection.upgrade("a" if connection.number == 1 else "b")
        if connection.number > 1:
            connection.serve_to_end(answer_pings)
            return
        connection.read_until(TEXT)
        connection.send_text("carried")
        connection.wait_flushed()
        connection.close()

    def steady(connection: RawServerConnection) -> None:
        connection.upgrade("a")
        connection.serve_to_end(answer_pings)

    first, second = scene.raw_server(changes_its_mind), scene.raw_server(steady)
    kept = keep(scene, [first.url, second.url])
    client = scene.client(kept.url, subprotocols=["a", "b"])
    client.send(numbered(0))
    kept.daemon.wait_for_move("open", 2)
    wait_until(lambda: second.messages, "the message at the second url")
    assert client.is_open


def test_name_that_waits_behind_anothers_hang_is_looked_up(
    names: NameServer, inside: Scene
) -> None:
    """A link whose name hangs has asked for another one, too: that one is not held up for others."""
    server = inside.raw_server(open_and_stay)
    names.answers = {"hang0.test": NameServer.HANGS, NAME: ["127.0.0.1"]}
    stuck = inside.link(
        "",
        name="stuck",
        upstream={
            "url": [url_of("hang0.test", server), url_of(NAME, server)],
            "connect_timeout": "4s",
        },
    )
    fine = inside.link(url_of(NAME, server), name="fine", upstream={"connect_timeout": "4s"})
    daemon = inside.start(stuck, fine)
    inside.client(stuck["listen"])
    daemon.wait_for_move("waiting", link="stuck")
    daemon.wait_for_move("resolving", 2, link="stuck")
    inside.client(fine["listen"])
    daemon.wait_for_move("open", link="fine")
    assert daemon.moves(to="waiting", link="fine") == []
