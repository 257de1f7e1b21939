"""Ports that nobody else gets while a test uses them."""

from __future__ import annotations

import socket


class ReservedPort:
    """A port of 127.0.0.1 taken by binding port 0 and held, without listening, until released.

    A listener with SO_REUSEADDR may still bind it, connecting to it before that is refused, and
    neither another test nor an outgoing connection is given the same number.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def listen(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.number))
        listener.listen(128)
        return listener

    def release(self) -> None:
        self._socket.close()
