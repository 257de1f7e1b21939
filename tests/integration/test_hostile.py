"""Both sides send whatever they like, from a seed: wskeepd lives, and others notice nothing."""

from __future__ import annotations

import os
import random
from typing import Any, Optional

import pytest

from frames import CLOSE, accept_value
from hostile import mutate, stream, write_ragged
from polling import DEADLINE_S, wait_until
from raw_peers import RawClient, RawConnection, RawServerConnection, answer_pings
from scene import Kept, Scene

#: Connections of each side in one run; a longer run takes more, and other seeds.
CONNECTIONS = int(os.environ.get("WSKEEP_HOSTILE_CONNECTIONS", "120"))
SEED = int(os.environ.get("WSKEEP_HOSTILE_SEED", "1"))

LINK: dict[str, Any] = {
    "reconnect": {"initial_delay": "1ms", "max_delay": "100ms"},
    "upstream": {"connect_timeout": "300ms", "max_message": "64KiB", "max_fragments": 100},
    "client": {"max_message": "64KiB", "max_fragments": 100, "handshake_timeout": "1s"},
    "close_rules": [
        {"code": "any", "then": "reconnect"},
        {"cause": "protocol-error", "then": "reconnect"},
    ],
    "session": {"drain_timeout": "100ms"},
}


def leave(chance: random.Random, connection: RawConnection) -> None:
    """Read to the end, or go without it."""
    try:
        kind = chance.randrange(4)
        if kind == 0:
            connection.reset()
        elif kind == 1:
            connection.fin()
            connection.read_to_end()
        elif kind == 2:
            connection.close()
        else:
            connection.socket.settimeout(0.05)
            connection.read_to_end()
    except OSError:
        pass


class Steady:
    """A client of another link, to an honest server: it talks all the while."""

    def __init__(self, scene: Scene, url: str) -> None:
        self.client = scene.websockets_client(url)
        self.said = 0

    def talk(self) -> None:
        self.client.send(f"round {self.said}")
        self.said += 1
        wait_until(lambda: len(self.client.texts) == self.said, "the echo of a steady client")

    def check(self) -> None:
        assert self.client.texts == [f"round {number}" for number in range(self.said)]


def start(scene: Scene, hostile_url: str) -> tuple[Kept, Steady]:
    honest = scene.websockets_server(echo=True)
    hostile = scene.link(hostile_url, name="hostile", quick=False, **LINK)
    steady = scene.link(honest.url, name="steady")
    daemon = scene.start(hostile, steady)
    return Kept(daemon, hostile), Steady(scene, steady["listen"])


def keep_talking(scene: Scene, kept: Kept, client: Optional[RawClient]) -> Optional[RawClient]:
    """Say something and read what is there.  None: the session was ended."""
    if client is None:
        client = scene.raw_client(kept.port)
        client.handshake()
    try:
        client.socket.settimeout(DEADLINE_S)
        client.send_text("something to deliver")
        client.socket.settimeout(0.01)
        while client.read().opcode != CLOSE:
            pass
    except TimeoutError:
        return client
    except (EOFError, OSError):
        pass
    client.close()
    return None


@pytest.mark.slow(6)
@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_hostile_clients(scene: Scene, seed: int) -> None:
    """Heads and frames that are nearly right, cut anywhere, ended anyhow."""
    chance = random.Random(seed)
    honest = scene.websockets_server(echo=True)
    kept, steady = start(scene, honest.url)
    steady.talk()
    before = kept.daemon.descriptor_count
    for number in range(CONNECTIONS):
        client = scene.raw_client(kept.port)
        head = client.request(extra=("Sec-WebSocket-Protocol: a",) * chance.randrange(2))
        if chance.random() < 0.3:
            head = mutate(chance, head)
        try:
            write_ragged(chance, client.write, head + stream(chance, masked=True))
        except OSError:
            pass  # it was refused before it was all written
        leave(chance, client)
        client.close()
        if number % 10 == 0:
            steady.talk()
    steady.talk()
    steady.check()
    wait_until(lambda: kept.daemon.descriptor_count <= before, "the descriptors to come back")
    good = scene.websockets_client(kept.url)
    good.send("good")
    wait_until(lambda: good.texts == ["good"], "the echo")


@pytest.mark.slow(6)
@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_hostile_upstream(scene: Scene, seed: int) -> None:
    """The same from the server's side, from its answer on, in each of its connections."""
    hostile = True

    def script(connection: RawServerConnection) -> None:
        chance = random.Random(seed * 1_000_003 + connection.number)
        request = connection.read_head()
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_value(request.headers['sec-websocket-key'])}\r\n"
        ).encode()
        if not hostile:
            connection.write(head + b"\r\n")
            connection.serve_to_end(answer_pings)
            return
        head += chance.choice((b"", b"", b"Set-Cookie: a=b; Path=/\r\n", b"Retry-After: 1\r\n"))
        head = chance.choice((b"", b"", b"HTTP/1.1 103 Hints\r\n\r\n")) + head + b"\r\n"
        if chance.random() < 0.25:
            head = mutate(chance, head)
        write_ragged(chance, connection.write, head + stream(chance, masked=False))
        leave(chance, connection)

    server = scene.raw_server(script)
    kept, steady = start(scene, server.url)
    steady.talk()
    clients: list[Optional[RawClient]] = [None] * 16
    turns = 0
    while len(server.accepted) < CONNECTIONS:
        turn = turns % len(clients)
        clients[turn] = keep_talking(scene, kept, clients[turn])
        turns += 1
        if turns % 100 == 0:
            steady.talk()
    hostile = False
    steady.talk()
    steady.check()
    last = scene.raw_client(kept.port)
    last.handshake()
    last.send_text("good")
    wait_until(
        lambda: any("good" in c.conversation.texts for c in server.accepted), "an honest connection"
    )
    kept.daemon.wait_for_move("open", link="hostile")
