"""The two ends of a WebSocket for the cases that a load generator cannot play: a server that holds
its answers back and is cut off, and a client that says when what it sent has been taken.

Frames are counted in runs of equal headers, so that Python is not what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import socket
import struct
import time
from typing import Callable, Optional

import machine

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def xor(data: bytes, key: bytes) -> bytes:
    size = len(data)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def short_frame(opcode: int, payload: bytes, key: Optional[bytes]) -> bytes:
    """key None: unmasked, as a server sends."""
    assert len(payload) < 126
    head = bytes([0x80 | opcode, (0x80 if key else 0) | len(payload)])
    return head + (key + xor(payload, key) if key else payload)


def numbered(first: int, count: int, size: int = 64) -> bytes:
    """A client's messages first, first + 1, ... in one piece, all of one size below 126."""
    key = os.urandom(4)
    head = bytes([0x80 | BINARY, 0x80 | size]) + key
    filler = xor(b"." * (size - 8), key)
    mask = int.from_bytes(key * 2, "big")
    return b"".join(
        head + (int.from_bytes(b"%08d" % number, "big") ^ mask).to_bytes(8, "big") + filler
        for number in range(first, first + count)
    )


def numbers(frames: bytes, size: int = 64) -> list[int]:
    """Of whole frames as numbered() makes them, whatever their keys are."""
    length = size + 6
    return [
        int(xor(frames[start + 6 : start + 14], frames[start + 2 : start + 6]))
        for start in range(0, len(frames), length)
    ]


class End(asyncio.Protocol):
    """What both ends share: a head, then frames."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.is_open = False
        self.is_lost = False
        self._kept = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=1 << 30)
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self.is_lost = True

    def data_received(self, data: bytes) -> None:
        if self._kept:
            data, self._kept = self._kept + data, b""
        if not self.is_open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._kept = data
                return
            self.head_received(data[: end + 4])
            data = data[end + 4 :]
        used = self._take(data)
        self._kept = data[used:]

    def _take(self, data: bytes) -> int:
        """Every whole frame; returns how many bytes those were."""
        position, end = 0, len(data)
        while end - position >= 2:
            first, second = data[position], data[position + 1]
            length = second & 127
            head = 2
            if length > 125:
                head = 4 if length == 126 else 10
                if end - position < head:
                    break
                length = int.from_bytes(data[position + 2 : position + head], "big")
            whole = head + (4 if second & 0x80 else 0) + length
            if end - position < whole:
                break
            if first & 8:
                body = data[position + whole - length : position + whole]
                if second & 0x80:
                    body = xor(body, data[position + head : position + head + 4])
                self.control_received(first & 15, body)
                position += whole
                continue
            count = 1
            if head == 2:
                last = position + (end - position) // whole * whole
                firsts, seconds = data[position:last:whole], data[position + 1 : last : whole]
                count = len(firsts) - max(
                    len(firsts.lstrip(bytes([first]))), len(seconds.lstrip(bytes([second])))
                )
            self.messages_received(data[position : position + count * whole], count)
            position += count * whole
        return position

    def head_received(self, head: bytes) -> None:
        raise NotImplementedError

    def control_received(self, opcode: int, body: bytes) -> None:
        raise NotImplementedError

    def messages_received(self, frames: bytes, count: int) -> None:
        """frames: whole ones, as they came."""
        raise NotImplementedError


class Accepted(End):
    """One upstream connection, at the server."""

    def __init__(self, server: "Server") -> None:
        super().__init__()
        self.server = server
        self.key = b""
        self.accepted_at = self.opened_at = self.first_message_at = self.last_message_at = 0.0
        self.messages = 0
        self.acknowledged = 0
        self.frames: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.accepted_at = time.monotonic()
        self.server.connections.append(self)

    def head_received(self, head: bytes) -> None:
        found = re.search(rb"(?im)^sec-websocket-key:[ \t]*(\S+)", head)
        if not found:  # a look whether somebody listens
            self.transport.close()
            return
        self.key = found.group(1)
        self.is_open = True
        if self.server.answers_upgrades:
            self.answer()

    def answer(self) -> None:
        accept = base64.b64encode(hashlib.sha1(self.key + _GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.opened_at = time.monotonic()
        self.server.opened += 1
        self.server.changed()

    def control_received(self, opcode: int, body: bytes) -> None:
        if opcode == PING and self.server.answers_pings:
            self.transport.write(short_frame(PONG, body, None))
            self.acknowledged = self.messages
            self.server.changed()
        elif opcode == CLOSE:
            self.transport.write(short_frame(CLOSE, body, None))
            self.transport.close()

    def messages_received(self, frames: bytes, count: int) -> None:
        self.last_message_at = time.monotonic()
        if not self.messages:
            self.first_message_at = self.last_message_at
        self.messages += count
        self.server.received += count
        if self.server.keeps_frames:
            self.frames.append(frames)
        self.server.changed()


class Server:
    """A server, as far as wskeepd can tell."""

    def __init__(self) -> None:
        self.connections: list[Accepted] = []
        self.answers_upgrades = True
        self.answers_pings = True
        self.keeps_frames = False
        self.port = 0
        self.opened = self.received = 0 #: connections, messages; of all times
        self._changed: Optional[asyncio.Future[None]] = None
        self._server: asyncio.AbstractServer

    async def start(self, **options: object) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Accepted(self), "127.0.0.1", 0, backlog=4096, **options  # type: ignore
        )
        self.port = self._server.sockets[0].getsockname()[1]  # type: ignore

    def changed(self) -> None:
        if self._changed and not self._changed.done():
            self._changed.set_result(None)

    async def until(self, is_so: Callable[[], bool], limit_s: float = 60) -> None:
        """Looks whenever something arrives."""
        try:
            async with asyncio.timeout(limit_s):
                while not is_so():
                    self._changed = asyncio.get_running_loop().create_future()
                    await self._changed
        except TimeoutError:
            raise machine.Failure(f"the server waited {limit_s:.0f} s in vain") from None

    def stop(self) -> None:
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()


class Client(End):
    """An application on wskeepd's side."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.get_running_loop().create_future()
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self.messages = 0

    @classmethod
    async def connect(cls, port: int) -> "Client":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(cls, "127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        client.transport.write(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await client.opened
        return client

    def head_received(self, head: bytes) -> None:
        if head.startswith(b"HTTP/1.1 101"):
            self.is_open = True
            self.opened.set_result(None)
        else:
            refusal = head.split(b"\r\n", 1)[0].decode(errors="replace")
            self.opened.set_exception(ConnectionError(refusal))

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed before it was open"))
        self.pongs.put_nowait(b"")

    def control_received(self, opcode: int, body: bytes) -> None:
        if opcode == PONG:
            self.pongs.put_nowait(body)
        elif opcode == PING:
            self.transport.write(short_frame(PONG, body, os.urandom(4)))
        elif opcode == CLOSE:
            self.transport.close()

    def messages_received(self, frames: bytes, count: int) -> None:
        self.messages += count

    def send(self, frames: bytes) -> None:
        self.transport.write(frames)

    async def barrier(self) -> None:
        """Until wskeepd has everything that was sent so far in its outbox."""
        mark = os.urandom(8)
        self.transport.write(short_frame(PING, mark, os.urandom(4)))
        while (pong := await self.pongs.get()) != mark:
            if not pong:
                raise ConnectionError("a client was closed")

    def leave(self) -> None:
        self.transport.abort()


def reset(transport: asyncio.Transport) -> None:
    """As a router does that has forgotten the connection."""
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
