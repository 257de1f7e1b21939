"""Stand-ins for what surrounds a daemon under systemd: notify socket, journal, handed-over sockets."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Optional

import pytest

from polling import DEADLINE_S, wait_until
from scene import Scene
from wskeepd_process import Wskeepd

HAND_OVER = pathlib.Path(__file__).parent / "peers" / "hand_over.py"


class DatagramSocket:
    """Takes datagrams, each with the time at which it came."""

    def __init__(self, name: str, reading: bool = True) -> None:
        """A path, or an abstract name that begins with @."""
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.settimeout(0.05)
        self._stopping = False
        self._taken: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        if reading:
            self._thread.start()

    def start_reading(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        while not self._stopping:
            try:
                datagram = self._socket.recv(1 << 16)
            except (TimeoutError, socket.timeout):
                continue
            self._taken.append((time.monotonic(), datagram.decode()))

    @property
    def taken(self) -> list[tuple[float, str]]:
        return list(self._taken)

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.taken]

    def wait_for(self, what: str, count: int = 1) -> str:
        """The newest datagram with this line, or line's beginning, once there are so many."""

        def found() -> list[str]:
            hits = [t for t in self.texts if any(i.startswith(what) for i in t.splitlines())]
            return hits if len(hits) >= count else []

        return wait_until(found, lambda: f"{count} x {what}; taken: {self.texts[-20:]}")[-1]

    def stop(self) -> None:
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join(DEADLINE_S)
        self._socket.close()


def parse_entry(datagram: str) -> dict[str, str]:
    """An entry of the journal whose values have no newline."""
    lines = datagram.split("\n")
    assert lines.pop() == "", "the last field ends with a newline"
    pairs = [line.split("=", 1) for line in lines]
    assert all(len(pair) == 2 for pair in pairs), datagram
    return {name: value for name, value in pairs}


def mount_wrapper(journal: str) -> list[str]:
    """A command that runs another where `journal` is the journal's socket."""
    unshare = ["unshare", "--mount"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    probe = subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip(f"no mount namespace: {probe.stderr.decode().strip()}")
    script = (
        "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && "
        'ln -s "$0" /run/systemd/journal/socket && exec "$@"'
    )
    return [*unshare, "sh", "-c", script, journal]


@dataclass
class HandedOver:
    """Listening sockets that outlive any daemon, and what starts one with them."""

    scene: Scene
    sockets: list[tuple[str, socket.socket]] = field(default_factory=list)

    def add(self, name: str, sock: socket.socket, listens: bool = True) -> socket.socket:
        if listens:
            sock.listen(4096)
        self.sockets.append((name, sock))
        return sock

    def add_tcp(self, name: str, host: str = "127.0.0.1") -> int:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.bind((host, 0))
        return self.add(name, sock).getsockname()[1]

    def add_unix(self, name: str, path: pathlib.Path) -> str:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        self.add(name, sock)
        return str(path)

    def launch(self, *links: dict[str, Any], **options: Any) -> Wskeepd:
        pairs = [f"{sock.fileno()}={name}" for name, sock in self.sockets]
        return self.scene.launch(
            {"links": list(links)},
            wrapper=[sys.executable, str(HAND_OVER), *pairs, "--"],
            descriptors=[sock.fileno() for _, sock in self.sockets],
            **options,
        )

    def start(self, *links: dict[str, Any], **options: Any) -> Wskeepd:
        return self.launch(*links, **options).wait_ready()

    def close(self) -> None:
        for _, sock in self.sockets:
            sock.close()
