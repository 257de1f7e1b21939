"""Start, reload and stop: what signals do, and where the configuration comes from."""

from __future__ import annotations

import pathlib
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from frames import CLOSE, PING, encode
from messages import check_delivery, numbered
from polling import wait_until
from scene import Scene
from wskeepd_process import LOG_JSON, run_to_end


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was closed while this one waited in its queue
        return False
    return False


# Signals and new clients are heard however much there is to do.


def test_a_busy_connection_keeps_nobody_waiting(scene: Scene) -> None:
    """A client that pings without end, and others come, the file is read again, and it ends."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    busy = scene.raw_client(kept.port)
    busy.handshake()
    over = threading.Event()
    pings = encode(PING, b"busy", masked=True) * 200

    def send_on() -> None:
        while not over.is_set():
            busy.write(pings)

    def read_on() -> int:
        received = 0
        while not over.is_set():
            received += len(busy.socket.recv(65536))
        return received

    with ThreadPoolExecutor(2) as pool:
        sending, reading = pool.submit(send_on), pool.submit(read_on)
        try:
            client = scene.websockets_client(kept.url)
            client.send(numbered(1))
            wait_until(lambda: any(c.messages for c in server.conversations), "its message")
            kept.daemon.signal(signal.SIGHUP)
            kept.daemon.wait_for("reloaded")
            assert not sending.done() and not reading.done()
        finally:
            over.set()
        sending.result()
        assert reading.result() > 0


# SIGTERM.


@pytest.mark.parametrize("client_kind", ["websockets", "node"])
def test_sigterm_drains(scene: Scene, client_kind: str) -> None:
    """SIGTERM closes clients with 1012, delivers what they sent, closes upstreams with 1001."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    kept = scene.keep(wire.url, session={"drain_timeout": "30s"})
    client = scene.client(kept.url, client_kind)
    kept.wait_open(server)
    wire.throttle(up=500_000)
    for number in range(100):
        client.send(numbered(number, 10_000))
    client.ping()
    kept.daemon.signal(signal.SIGTERM)
    assert client.wait_closed()[0] == 1012
    wait_until(lambda: is_refused(kept.port), "the listener to close")
    kept.daemon.expect_end(0)
    wait_until(lambda: not server.is_connected, "the upstream to end")
    assert check_delivery(server.numbers_by_connection, 100).repeated == 0
    assert server.latest.close_code == 1001
    assert len(kept.daemon.find("stopped")) == 1
    assert kept.daemon.find("given-up") == []


def test_sigterm_reads_what_clients_already_sent(scene: Scene) -> None:
    """Bytes that were in a client's socket when SIGTERM came are delivered."""
    server = scene.websockets_server()
    kept = scene.keep(server.url, session={"drain_timeout": "30s"})
    raw = scene.raw_client(kept.port)
    raw.handshake()
    kept.wait_open(server)
    kept.daemon.signal(signal.SIGSTOP)
    for number in range(500):
        raw.send_text(numbered(number, 100))
    raw.wait_flushed()
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.signal(signal.SIGCONT)
    kept.daemon.expect_end(0)
    assert check_delivery(server.numbers_by_connection, 500).repeated == 0


def test_sigterm_lets_a_request_under_way_finish(scene: Scene) -> None:
    """A client that was accepted and had not asked yet hears 1012 like the others."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    before = kept.daemon.descriptor_count
    asks, is_silent = scene.raw_client(kept.port), scene.raw_client(kept.port)
    wait_until(lambda: kept.daemon.descriptor_count == before + 2, "both to be accepted")
    request = asks.request()
    asks.write(request[:40])
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.wait_for("stopping")
    asks.write(request[40:])
    assert asks.read_response().status == 101
    close = asks.read_until(CLOSE)
    assert close.close_code == 1012
    asks.send(CLOSE, close.payload)
    assert is_silent.read_response().status == 503  # it had its second
    kept.daemon.expect_end(0)


def test_sigterm_counts_what_is_lost(scene: Scene) -> None:
    """What could not be delivered is counted in an error, and the exit status is still 0."""
    kept = scene.keep(f"ws://127.0.0.1:{scene.port()}/")
    client = scene.client(kept.url)
    for number in range(7):
        client.send(numbered(number, 10))
    client.ping()
    kept.daemon.signal(signal.SIGTERM)
    kept.daemon.expect_end(0)
    lost = kept.daemon.find("given-up")
    assert [(e["level"], e["count"], e["bytes"]) for e in lost] == [("error", 7, 70)]


def test_second_sigterm_ends_at_once(scene: Scene) -> None:
    """A second SIGTERM does not wait for the rest of a long drain."""
    kept = scene.keep(
        f"ws://127.0.0.1:{scene.port()}/", session={"drain_timeout": "10m"}
    )
    client = scene.client(kept.url)
    client.send("stuck")
    client.ping()
    kept.daemon.signal(signal.SIGTERM)
    wait_until(lambda: is_refused(kept.port), "the listener to close")
    assert kept.daemon.is_running
    kept.daemon.signal(signal.SIGTERM)
    assert kept.daemon.wait_for_exit() in (0, 1)


def test_sigint_is_like_sigterm(scene: Scene) -> None:
    """Ctrl-C ends it properly."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    kept.daemon.signal(signal.SIGINT)
    assert client.wait_closed()[0] == 1012
    kept.daemon.expect_end(0)


# SIGHUP.


def knock(scene: Scene, port: int, host: str) -> int:
    """The status of an upgrade request with this Host, the connection ended at once."""
    raw = scene.raw_client(port)
    raw.write(raw.request(host=host))
    status = raw.read_response().status
    raw.close()
    return status


def test_broken_file_changes_nothing(scene: Scene) -> None:
    """SIGHUP with a broken file says why, with the place, and everything goes on."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    client.send("before")
    wait_until(lambda: client.messages, "the echo")
    path = kept.daemon.configuration_path
    path.write_text("links:\n  - name: game\n    listne: ws://127.0.0.1:1\n")
    kept.daemon.signal(signal.SIGHUP)
    wait_until(lambda: f"{path}:3:5" in kept.daemon.stderr, "the mistake and its place")
    assert "listne" in kept.daemon.stderr
    client.send("after")
    wait_until(lambda: client.texts == ["before", "after"], "the echo")
    other = scene.client(kept.url)
    other.send("new")
    wait_until(lambda: other.texts == ["new"], "the echo")
    assert len(server.conversations) == 2


def test_missing_file_changes_nothing(scene: Scene) -> None:
    """SIGHUP while the file is gone is an error in the log, not an end."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url)
    client = scene.client(kept.url)
    kept.daemon.configuration_path.unlink()
    kept.daemon.signal(signal.SIGHUP)
    wait_until(
        lambda: any(e.get("level") == "error" for e in kept.daemon.events), "an error in the log"
    )
    client.send("after")
    wait_until(lambda: client.texts == ["after"], "the echo")


def test_changed_link_keeps_its_sessions(scene: Scene) -> None:
    """Client settings apply to new clients, upstream settings from the next connection."""
    first = scene.websockets_server()
    second = scene.websockets_server()
    wire = scene.wire(first)
    kept = scene.keep(wire.url)
    client = scene.client(kept.url)
    client.send(numbered(0))
    wait_until(
        lambda: first.messages and first.has_acknowledged_all, "the first message and its Pong"
    )
    assert knock(scene, kept.port, "game.internal") != 101
    changed: dict[str, Any] = {
        **kept.link,
        "upstream": {"url": second.url},
        "client": {"allow_hosts": ["game.internal"]},
    }
    kept.daemon.write_configuration({"links": [changed]})
    kept.daemon.signal(signal.SIGHUP)
    wait_until(
        lambda: knock(scene, kept.port, "game.internal") == 101, "new client settings to apply"
    )
    client.send(numbered(1))
    wait_until(lambda: len(first.messages) == 2 and first.has_acknowledged_all, "the second one")
    wire.settle()
    wire.reset()
    client.send(numbered(2))
    wait_until(lambda: 2 in second.numbers_seen, "the third message at the new url")
    assert client.is_open
    assert first.numbers_by_connection[0] == [0, 1]


def test_removed_link_closes(scene: Scene) -> None:
    """A removed link treats its clients as at SIGTERM; a new one listens; others stay."""
    server = scene.websockets_server(echo=True)
    going = scene.link(server.url, name="going")
    staying = scene.link(server.url, name="staying")
    coming = scene.link(server.url, name="coming")
    daemon = scene.start(going, staying)
    stays = scene.client(staying["listen"])
    stays.send("before")
    wait_until(lambda: stays.messages, "the echo")
    goes = scene.client(going["listen"])
    wait_until(lambda: len(server.conversations) == 2, "both upstream connections")
    daemon.write_configuration({"links": [staying, coming]})
    daemon.signal(signal.SIGHUP)
    assert goes.wait_closed()[0] == 1012
    wait_until(lambda: server.conversations[1].close_code == 1001, "the upstream's Close")
    wait_until(lambda: is_refused(int(going["listen"].rsplit(":", 1)[1])), "the listener to close")
    stays.send("after")
    wait_until(lambda: stays.texts == ["before", "after"], "the echo")
    daemon.wait_for("listening", link="coming")
    comes = scene.client(coming["listen"])
    comes.send("new")
    wait_until(lambda: comes.texts == ["new"], "the echo")


def test_reload_under_load(scene: Scene) -> None:
    """Twenty reloads while a client sends lose nothing and break nothing."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    client = scene.websockets_client(kept.url)
    client.send_many([numbered(number, 500) for number in range(20_000)])
    for turn in range(20):
        host = f"game{turn}.internal"
        changed = {**kept.link, "client": {"allow_hosts": [host]}}
        kept.daemon.write_configuration({"links": [changed]})
        kept.daemon.signal(signal.SIGHUP)
        wait_until(lambda: knock(scene, kept.port, host) == 101, f"reload {turn}")
    wait_until(lambda: len(server.messages) >= 20_000, "all messages")
    carried = [c.numbers for c in server.conversations if c.messages]
    assert check_delivery(carried, 20_000).repeated == 0
    assert client.is_open


# Where the configuration comes from.


def test_links_d_is_read_in_name_order(scene: Scene, tmp_path: pathlib.Path) -> None:
    """links.d beside the file adds links, in name order, and nothing but links."""
    server = scene.websockets_server()
    directory = tmp_path / "wskeepd-0"
    (directory / "links.d").mkdir(parents=True)
    links = {name: scene.link(server.url, name=name) for name in ("main", "b", "a")}
    for file, name in (("10-b.yaml", "b"), ("20-a.yaml", "a")):
        (directory / "links.d" / file).write_text(yaml.safe_dump({"links": [links[name]]}))
    (directory / "links.d" / "README").write_text("not: read")
    daemon = scene.start(links["main"])
    assert [e["link"] for e in daemon.find("listening")] == ["main", "b", "a"]
    for link in links.values():
        scene.client(link["listen"]).ping()


def test_links_d_holds_links_only(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Another key in a file of links.d is an error with its place."""
    (tmp_path / "links.d").mkdir()
    (tmp_path / "wskeep.yaml").write_text("links: []\n")
    extra = tmp_path / "links.d" / "extra.yaml"
    extra.write_text("links: []\nworkers: 1\n")
    done = run_to_end(["-c", str(tmp_path / "wskeep.yaml")], tmp_path)
    assert done.returncode == 2
    assert f"{extra}:2:1" in done.stderr and "workers" in done.stderr


def test_no_link_at_all_is_valid(scene: Scene) -> None:
    """Without links it starts, waits, and ends when asked."""
    daemon = scene.start()
    assert daemon.find("listening") == []
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)


def test_one_link_on_the_command_line(scene: Scene, tmp_path: pathlib.Path) -> None:
    """--listen and --upstream make a link, and no file is read."""
    server = scene.websockets_server(echo=True)
    port = scene.port()
    directory = tmp_path / "wskeepd-0"
    directory.mkdir()
    (directory / "wskeep.yaml").write_text("this is: [not read")
    daemon = scene.launch(
        arguments=["--listen", f"ws://127.0.0.1:{port}", "--upstream", server.url]
    )
    wait_until(lambda: not daemon.is_running or not is_refused(port), "the listener")
    assert daemon.is_running, daemon.stderr
    client = scene.client(f"ws://127.0.0.1:{port}")
    client.send("hello")
    wait_until(lambda: client.texts == ["hello"], "the echo")


def test_values_from_elsewhere(scene: Scene, tmp_path: pathlib.Path) -> None:
    """${env:NAME} and ${file:PATH} are replaced in values."""
    server = scene.websockets_server()
    host_file = tmp_path / "host"
    host_file.write_text("game.internal\n")
    link = scene.link(
        server.url,
        upstream={"headers": {"X-Env": "is ${env:WSKEEP_TEST_VALUE}"}},
        client={"allow_hosts": [f"${{file:{host_file}}}"]},
    )
    daemon = scene.launch({"links": [link]}, environment={"WSKEEP_TEST_VALUE": "here"})
    daemon.wait_ready()
    port = int(link["listen"].rsplit(":", 1)[1])
    raw = scene.raw_client(port)
    raw.write(raw.request(host="game.internal"))
    assert raw.read_response().status == 101
    wait_until(lambda: server.conversations, "the upstream connection")
    assert server.latest.headers["x-env"] == "is here"


def test_check_config_only_checks(scene: Scene, tmp_path: pathlib.Path) -> None:
    """--check-config says whether the file is right and opens nothing."""
    port = scene.port()
    taken = scene.link("ws://127.0.0.1:1/", listen=f"ws://127.0.0.1:{port}")
    text = yaml.safe_dump({"log": LOG_JSON, "links": [taken]})
    path = tmp_path / "wskeep.yaml"
    path.write_text(text)
    good = run_to_end(["--check-config", "--config", str(path)], tmp_path)
    assert good.returncode == 0, good.stderr
    path.write_text(text + "unknown: 1\n")
    bad = run_to_end(["--check-config", "-c", str(path)], tmp_path)
    assert bad.returncode == 2
    assert f"{path}:" in bad.stderr and "unknown" in bad.stderr
    missing = run_to_end(["--check-config", "-c", str(tmp_path / "none.yaml")], tmp_path)
    assert missing.returncode in (1, 2) and "none.yaml" in missing.stderr
