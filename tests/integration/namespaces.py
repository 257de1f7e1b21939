"""Network namespaces of a test's own, joined by a veth pair.  Nothing else on the machine changes."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from typing import Callable, TypeVar

import pytest

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
NEAR, FAR = "10.203.0.1", "10.203.0.2"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Namespaces:
    """`near` for wskeepd and `far` for the server, with one address each on the pair between."""

    def __init__(self, name: str) -> None:
        self.near = f"{name}-near"
        self.far = f"{name}-far"
        self._made: list[str] = []
        try:
            for namespace in (self.near, self.far):
                _ip("netns", "add", namespace)
                self._made.append(namespace)
            _ip("-n", self.near, "link", "add", "veth0", "type", "veth",
                "peer", "name", "veth0", "netns", self.far)  # fmt: skip
            for namespace, address in ((self.near, NEAR), (self.far, FAR)):
                _ip("-n", namespace, "link", "set", "lo", "up")
                _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "veth0")
                _ip("-n", namespace, "link", "set", "veth0", "up")
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            self.remove()
            why = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            pytest.skip(f"no network namespaces: {why}")

    def change(self, *arguments: str) -> None:
        """`ip` in the near one."""
        _ip("-n", self.near, *arguments)

    def burst(self, lines: list[str]) -> None:
        """Many of them at once."""
        batch = "\n".join(lines) + "\n"
        subprocess.run(
            ["ip", "-n", self.near, "-batch", "-"],
            input=batch,
            check=True,
            capture_output=True,
            text=True,
        )

    @property
    def wrapper(self) -> list[str]:
        """A command that runs another in the near one."""
        return ["ip", "netns", "exec", self.near]

    def in_far(self, make: Callable[[], T]) -> T:
        """Call it in a thread that is in the far one; sockets stay there."""
        result: list[T] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with open(f"/run/netns/{self.far}") as namespace:
                    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                result.append(make())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return result[0]

    def listener(self, port: int) -> socket.socket:
        def make() -> socket.socket:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((FAR, port))
            listener.listen(128)
            return listener

        return self.in_far(make)

    def remove(self) -> None:
        while self._made:
            subprocess.run(["ip", "netns", "del", self._made.pop()], check=False)

