"""Peers that speak TLS, or something else where it is expected."""

from __future__ import annotations

import os
import pathlib
import socket
import ssl
import subprocess
from typing import Optional

from frames import FrameReader
from polling import DEADLINE_S, wait_until
from ports import ReservedPort
from raw_peers import RawClient, RawConnection, RawServerConnection


def secure_server(connection: RawServerConnection, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The server's side of the handshake; what follows passes through it."""
    sock = context.wrap_socket(
        connection.socket, server_side=True, suppress_ragged_eofs=False
    )
    _use(connection, sock)
    return sock


def secure_client(
    client: RawClient, context: ssl.SSLContext, session: Optional[ssl.SSLSession] = None
) -> ssl.SSLSocket:
    sock = context.wrap_socket(client.socket, server_hostname="127.0.0.1", session=session)
    _use(client, sock)
    return sock


def _use(connection: RawConnection, sock: ssl.SSLSocket) -> None:
    connection.socket = sock
    connection.reader = FrameReader(sock.recv)


class Flights:
    """A server's handshake, flight by flight, on a plain socket."""

    def __init__(self, connection: RawServerConnection, context: ssl.SSLContext) -> None:
        self._socket = connection.socket
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def next(self) -> bytes:
        """Read until the server would answer, and return the answer."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                pass
            flight = self._outgoing.read()
            if flight:
                return flight
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            self._incoming.write(data)


def wait_for_end(sock: socket.socket) -> None:
    """Read until the peer ends the connection."""
    try:
        while sock.recv(65536):
            pass
    except OSError:
        pass


class OpensslServer:
    """`openssl s_server`, which prints what it sees."""

    def __init__(self, folder: pathlib.Path, *arguments: str) -> None:
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self._path = folder / f"s_server-{self.port}"
        with self._path.open("wb") as out:
            self._process = subprocess.Popen(
                ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", *arguments],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OPENSSL_CONF": "/dev/null"},
            )
        wait_until(lambda: "ACCEPT" in self.output, lambda: f"s_server to listen: {self.output}")

    @property
    def output(self) -> str:
        return self._path.read_text(errors="replace")

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=DEADLINE_S)
        self._reserved.release()
