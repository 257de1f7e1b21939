"""One reload a second under load, good files and bad ones: nothing refused, nothing lost."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from typing import Any

import pytest

from frames import CLOSE, PING, PONG
from messages import check_delivery, numbered
from polling import DEADLINE_S, let_time_pass, wait_until
from raw_peers import RawClient
from scene import Scene

#: A longer run takes minutes.
SECONDS = int(os.environ.get("WSKEEP_RELOAD_SECONDS", "5"))

BAD_FILES = [
    "links:\n  - name: game\n    listne: ws://127.0.0.1:1\n",
    "links: [\n",
    "links: 5\n",
    "links: [{name: game, listen: 'ws://127.0.0.1:1', upstream: {url: 'http://h/'}}]\n",
]


class Knocks:
    """One client after the other comes, talks and leaves; none may be turned away."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self.failures: list[str] = []
        self._port = port
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._knock)
        self._thread.start()

    def _knock(self) -> None:
        while not self._done.is_set():
            try:
                client = RawClient(self._port)
                client.handshake()
                client.send(PING, b"here")
                assert client.read_until(PONG).payload == b"here"
                client.send_close(1000)
                assert client.read_until(CLOSE).close_code == 1000
                client.close()
                self.count += 1
            except Exception as error:  # noqa: BLE001: whatever it is, it is told
                self.failures.append(repr(error))

    def stop(self) -> None:
        self._done.set()
        self._thread.join(DEADLINE_S)


@pytest.mark.slow(SECONDS)
def test_reload_once_a_second(scene: Scene) -> None:
    """Clients come and go, one stays and sends: a reload is noticed by none, a bad one neither."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url)
    client = scene.websockets_client(kept.url)
    kept.wait_open(server)
    knocks = Knocks(kept.port)
    numbers = itertools.count()
    start = time.monotonic()
    sent = good = bad = 0
    try:
        for turn in range(SECONDS):
            batch = [numbered(next(numbers), 500) for _ in range(500)]
            sending = client.send_many(batch)
            sent += len(batch)
            if turn % 2 == 0:
                good += 1
                changed: dict[str, Any] = {
                    **kept.link,
                    "client": {"max_clients": 1000 + turn},
                    "heartbeat": {"interval": f"{10 + turn % 10}s"},
                }
                kept.daemon.write_configuration({"links": [changed]})
            else:
                kept.daemon.configuration_path.write_text(BAD_FILES[bad % len(BAD_FILES)])
                bad += 1
            kept.daemon.signal(signal.SIGHUP)
            kept.daemon.wait_for("reloaded", good)
            if bad:
                kept.daemon.wait_for("reload-failed", bad)
            sending.result(DEADLINE_S)
            let_time_pass(max(0.0, start + turn + 1 - time.monotonic()))
    finally:
        knocks.stop()
    assert knocks.failures == []
    assert knocks.count >= SECONDS
    wait_until(lambda: len(client.messages) >= sent, "all echoes")
    assert [message.number for message in client.messages] == list(range(sent))
    assert check_delivery([server.conversations[0].numbers], sent).repeated == 0
    assert client.is_open
