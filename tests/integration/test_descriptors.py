"""Out of descriptors: those who are there go on, those who come are told, and it passes."""

from __future__ import annotations

import os
import resource
from typing import Iterator

import pytest

from messages import numbered
from polling import let_time_pass, wait_until
from raw_peers import RawClient
from scene import Kept, Scene
from wskeepd_process import Wskeepd


def limit_descriptors(daemon: Wskeepd, left: int) -> None:
    """So many more may be opened, and no one more."""
    used = {int(name) for name in os.listdir(f"/proc/{daemon.process.pid}/fd")}
    limit = 0
    while left > 0 or limit in used:
        left -= limit not in used
        limit += 1
    assert limit > max(used), "there is a hole among the descriptors"
    hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (limit, hard))


def lift_limit(daemon: Wskeepd) -> None:
    hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (hard, hard))


def busy_ticks(daemon: Wskeepd) -> int:
    """Time on a processor, in hundredths of a second."""
    with open(f"/proc/{daemon.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture(params=["tcp", "unix"])
def kept(request: pytest.FixtureRequest, scene: Scene, tmp_path: object) -> Iterator[Kept]:
    server = scene.websockets_server(echo=True)
    listen = None if request.param == "tcp" else f"ws+unix:{tmp_path}/s"
    yield scene.keep(server.url, listen=listen)


def new_client(scene: Scene, kept: Kept) -> RawClient:
    path = kept.url.removeprefix("ws+unix:")
    return scene.raw_client(kept.port if path == kept.url else path)


def echo(client: RawClient, number: int) -> None:
    client.send_text(numbered(number))
    assert client.read_until(1).payload == numbered(number).encode()


def test_who_comes_is_told_and_who_is_there_goes_on(scene: Scene, kept: Kept) -> None:
    first = new_client(scene, kept)
    first.handshake()
    echo(first, 0)
    limit_descriptors(kept.daemon, 0)
    for number in range(1, 6):
        late = new_client(scene, kept)
        late.write(late.request())
        answer = late.read_response()
        assert answer.status == 503, answer.first_line
        late.read_to_end()  # and its end
        echo(first, number)
    assert kept.daemon.find("accept-paused")
    assert kept.daemon.find("client-refused", status=503, why="no descriptors")
    lift_limit(kept.daemon)
    last = new_client(scene, kept)
    last.handshake()
    echo(last, 7)
    echo(first, 8)


def test_many_are_told_by_the_batch(scene: Scene, kept: Kept) -> None:
    first = new_client(scene, kept)
    first.handshake()
    limit_descriptors(kept.daemon, 0)
    for late in [new_client(scene, kept) for _ in range(200)]:
        assert late.read_response().status == 503
        late.read_to_end()
    assert len(kept.daemon.find("accept-paused")) == 1  # said once
    lift_limit(kept.daemon)

    def is_let_in() -> bool:
        client = new_client(scene, kept)
        client.write(client.request())
        return client.read_response().status == 101

    wait_until(is_let_in, kept.daemon.tail)


def test_without_even_the_spare_one_nothing_spins(scene: Scene, kept: Kept) -> None:
    """Who cannot be told waits, at no cost, and is served when it is over."""
    first = new_client(scene, kept)
    first.handshake()
    echo(first, 0)
    hard = resource.prlimit(kept.daemon.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(kept.daemon.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    late = [new_client(scene, kept) for _ in range(20)]
    kept.daemon.wait_for("accept-paused")
    before = busy_ticks(kept.daemon)
    let_time_pass(1.5)
    assert busy_ticks(kept.daemon) - before < 15  # all the time would be 150
    echo(first, 1)
    lift_limit(kept.daemon)
    for number, client in enumerate(late):
        client.handshake()
        echo(client, number)


def test_no_descriptor_for_the_upstream_is_a_cause(scene: Scene, kept: Kept) -> None:
    first = new_client(scene, kept)
    first.handshake()
    echo(first, 0)
    limit_descriptors(kept.daemon, 1)
    second = new_client(scene, kept)
    second.handshake()  # its own is the last one
    second.send_text(numbered(1))
    kept.daemon.wait_for_move("waiting", cause="no-resources")
    echo(first, 2)
    lift_limit(kept.daemon)
    assert second.read_until(1).payload == numbered(1).encode()
