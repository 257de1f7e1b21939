"""Masking keys: nobody can foresee them, so nobody chooses what is on the wire (RFC 6455 10.3)."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Sequence

from frames import BINARY, encode
from polling import wait_until
from raw_peers import RawServerConnection
from scene import Scene

FRAMES = 100_000
CLIENTS = 4
#: What somebody might like a proxy on the way to read.
CHOSEN = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"

#: 100,000 keys of 32 bits: 1.2 repeats are expected, and 9 or more once in 300,000 runs.
REPEATS_MAX = 8
#: 255 degrees of freedom: mean 255, standard deviation 22.6; this is 10 of them away.
CHI_SQUARE_MAX = 481.0


class Tap:
    """Takes frames of CHOSEN's size and answers none; keeps the keys and watches the bytes."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.seen = 0  #: times that CHOSEN was on the wire
        self._counting = threading.Lock()

    def serve(self, connection: RawServerConnection) -> None:
        connection.upgrade()
        frame_bytes = 2 + 4 + len(CHOSEN)
        receive = connection.socket.recv
        stream = bytearray()
        while chunk := receive(262144):
            stream += chunk
            whole = len(stream) // frame_bytes * frame_bytes
            seen = stream.count(CHOSEN, 0, whole)
            for at in range(0, whole, frame_bytes):
                assert stream[at : at + 2] == bytes([0x80 | BINARY, 0x80 | len(CHOSEN)])
            keys = [bytes(stream[at + 2 : at + 6]) for at in range(0, whole, frame_bytes)]
            del stream[:whole]
            with self._counting:
                self.seen += seen
                self.keys += keys


def chi_square(values: Sequence[int]) -> float:
    """How far 256 values are from being even."""
    counts = Counter(values)
    expected = len(values) / 256
    return sum((counts[value] - expected) ** 2 / expected for value in range(256))


def test_keys_are_unpredictable(scene: Scene) -> None:
    """100,000 frames of four clients: keys hardly repeat, and their bytes are even in each place.

    A session's keys are no copy of another's, and no step from a key to the next prevails.
    """
    tap = Tap()
    server = scene.raw_server(tap.serve)
    kept = scene.keep(
        server.url,
        delivery={"acknowledge": "sent"},
        heartbeat={"interval": "1h", "timeout": "30s"},
    )
    clients = [scene.raw_client(kept.port) for _ in range(CLIENTS)]
    for client in clients:
        client.handshake()
        client.write(encode(BINARY, CHOSEN, masked=True) * (FRAMES // CLIENTS))
    wait_until(lambda: len(tap.keys) == FRAMES, lambda: f"all frames; {len(tap.keys)} came")
    keys = tap.keys
    assert FRAMES - len(set(keys)) <= REPEATS_MAX
    for place in range(4):
        assert chi_square([key[place] for key in keys]) < CHI_SQUARE_MAX
    numbers = [int.from_bytes(key, "big") for key in keys]
    steps = [(b - a) % (1 << 32) for a, b in zip(numbers, numbers[1:])]
    assert len(steps) - len(set(steps)) <= REPEATS_MAX
    twists = [a ^ b for a, b in zip(numbers, numbers[1:])]
    assert len(twists) - len(set(twists)) <= REPEATS_MAX
    assert tap.seen <= keys.count(b"\0\0\0\0") <= 1
