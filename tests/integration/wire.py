"""A wire between wskeepd and a server that can be cut, stalled, throttled and refused."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass, field
from typing import Optional

from loop_thread import LoopThread
from polling import wait_until, wait_until_still
from ports import ReservedPort

CHUNK_BYTES_MAX = 16384
CHUNKS_HELD_MAX = 16  #: between reading and writing, each way

UP = "up"  #: towards the server
DOWN = "down"  #: towards wskeepd


def close_will_reset(sock: socket.socket) -> None:
    """Whoever closes it sends RST; what is still unsent is thrown away then."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass


def reset_socket(sock: socket.socket) -> None:
    """Close with RST."""
    close_will_reset(sock)
    sock.close()


@dataclass
class WireConnection:
    near: socket.socket  #: to wskeepd
    far: Optional[socket.socket] = None  #: to the server
    forwarded: dict[str, int] = field(default_factory=lambda: {UP: 0, DOWN: 0})
    held: dict[str, int] = field(default_factory=lambda: {UP: 0, DOWN: 0})
    ways_ended: set[str] = field(default_factory=set)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    ended: bool = False


class Wire:
    """Listens on a port and passes the bytes on to the target's.

    What is set applies at once to connections that are open and to later ones.  The seed decides
    the sizes in which bytes are passed on, so `ragged` wires split frames at odd places.
    """

    def __init__(
        self,
        target_port: int,
        seed: int = 0,
        ragged: bool = False,
        receive_buffer_bytes: Optional[int] = None,
    ) -> None:
        self._target_port = target_port
        self._random = random.Random(seed)
        self._ragged = ragged
        self._receive_buffer_bytes = receive_buffer_bytes
        self._thread = LoopThread("wire")
        self._reserved = ReservedPort()
        self._listener: Optional[socket.socket] = None
        self._accepting: Optional["asyncio.Task[None]"] = None
        self._flowing = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        for event in self._flowing.values():
            event.set()
        self._mute = False
        self._reset_after_s: Optional[float] = None
        self._reset_after_bytes: Optional[int] = None
        self._bytes_per_s: dict[str, Optional[int]] = {UP: None, DOWN: None}
        self._delay_s = 0.0
        self._drains: set["asyncio.Task[None]"] = set()
        self.connections: list[WireConnection] = []
        self.open_listener()

    @property
    def port(self) -> int:
        return self._reserved.number

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def attempts(self) -> int:
        """Connections accepted so far."""
        return len(self.connections)

    @property
    def live(self) -> list[WireConnection]:
        return [c for c in list(self.connections) if not c.ended]

    def forwarded_bytes(self, direction: str) -> int:
        return sum(c.forwarded[direction] for c in list(self.connections))

    # What can be done to it.

    def cut(self) -> None:
        """FIN to both ends of every connection; bytes on their way are lost."""
        self._thread.run(self._end_all(self._fin))

    def reset(self) -> None:
        """RST to both ends of every connection."""
        self._thread.run(self._end_all(self._rst))

    def stall(self, up: bool = True, down: bool = True) -> None:
        """Keep everything open and pass nothing on."""
        self._set_flow(up and UP, down and DOWN, flowing=False)

    def flow(self) -> None:
        self._set_flow(UP, DOWN, flowing=True)

    def throttle(self, up: Optional[int] = None, down: Optional[int] = None) -> None:
        """Bytes per second for each connection and way; None: as fast as it goes."""
        self._bytes_per_s = {UP: up, DOWN: down}

    def delay(self, seconds: float) -> None:
        """Each byte takes this long, each way."""
        self._delay_s = seconds

    def reset_after(self, seconds: Optional[float] = None, up_bytes: Optional[int] = None) -> None:
        """Every later connection ends with RST after so long, or after so many bytes upwards."""
        self._reset_after_s = seconds
        self._reset_after_bytes = up_bytes

    def mute(self, mute: bool = True) -> None:
        """Accept later connections and never pass a byte of theirs on."""
        self._mute = mute

    def refuse(self) -> None:
        """Close the listener: later connections are refused."""
        self._thread.run(self._close_listener())

    def open_listener(self) -> None:
        self._thread.run(self._open_listener())

    def settle(self) -> None:
        """Wait until everything that came in went out."""
        wait_until(
            lambda: all(sum(c.held.values()) == 0 for c in self.live), "the wire to be empty"
        )
        wait_until_still(lambda: (self.forwarded_bytes(UP), self.forwarded_bytes(DOWN)), 0.1)

    def stop(self) -> None:
        self._thread.run(self._close_listener())
        self._thread.run(self._end_all(self._rst))
        self._thread.stop()
        self._reserved.release()

    # How it is done, all on the wire's own loop.

    def _set_flow(self, *directions: object, flowing: bool) -> None:
        async def change() -> None:
            for direction in directions:
                if isinstance(direction, str):
                    event = self._flowing[direction]
                    event.set() if flowing else event.clear()

        self._thread.run(change())

    async def _open_listener(self) -> None:
        assert self._listener is None
        listener = self._reserved.listen()
        if self._receive_buffer_bytes is not None:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes // 2
            )
        listener.setblocking(False)
        self._listener = listener
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))

    async def _close_listener(self) -> None:
        if self._listener is None or self._accepting is None:
            return
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(listener)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.setblocking(False)
            connection = WireConnection(near)
            self.connections.append(connection)
            connection.tasks.append(loop.create_task(self._carry(connection)))

    async def _carry(self, connection: WireConnection) -> None:
        loop = asyncio.get_running_loop()
        if self._reset_after_s is not None:
            connection.tasks.append(
                loop.create_task(self._reset_later(connection, self._reset_after_s))
            )
        if self._mute:
            return
        far = socket.socket()
        far.setblocking(False)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.far = far
        try:
            await loop.sock_connect(far, ("127.0.0.1", self._target_port))
        except OSError:
            await self._rst(connection)
            return
        for source, sink, direction in ((connection.near, far, UP), (far, connection.near, DOWN)):
            held: "asyncio.Queue[tuple[float, bytes]]" = asyncio.Queue(CHUNKS_HELD_MAX)
            connection.tasks.append(
                loop.create_task(self._take_in(connection, source, direction, held))
            )
            connection.tasks.append(
                loop.create_task(self._pass_on(connection, sink, direction, held))
            )

    async def _take_in(
        self,
        connection: WireConnection,
        source: socket.socket,
        direction: str,
        held: "asyncio.Queue[tuple[float, bytes]]",
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                chunk = await loop.sock_recv(source, CHUNK_BYTES_MAX)
            except OSError:
                await self._rst(connection)
                return
            connection.held[direction] += len(chunk)
            await held.put((loop.time() + self._delay_s, chunk))
            if not chunk:
                return

    async def _pass_on(
        self,
        connection: WireConnection,
        sink: socket.socket,
        direction: str,
        held: "asyncio.Queue[tuple[float, bytes]]",
    ) -> None:
        loop = asyncio.get_running_loop()
        free_at = loop.time()
        while True:
            due, chunk = await held.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._flowing[direction].wait()
            if not chunk:
                try:
                    sink.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                await self._note_end(connection, direction)
                return
            while chunk:
                piece, chunk = self._split(chunk, direction)
                rate = self._bytes_per_s[direction]
                if rate is not None:
                    free_at = max(free_at, loop.time()) + len(piece) / rate
                    await asyncio.sleep(max(0.0, free_at - loop.time()))
                    await self._flowing[direction].wait()
                try:
                    await loop.sock_sendall(sink, piece)
                except OSError:
                    await self._rst(connection)
                    return
                connection.held[direction] -= len(piece)
                connection.forwarded[direction] += len(piece)
                limit = self._reset_after_bytes
                if limit is not None and connection.forwarded[UP] >= limit:
                    await self._rst(connection)
                    return

    def _split(self, chunk: bytes, direction: str) -> tuple[bytes, bytes]:
        size = len(chunk)
        rate = self._bytes_per_s[direction]
        if rate is not None:
            size = min(size, max(1, rate // 50))
        if self._ragged:
            size = self._random.randint(1, size)
        return chunk[:size], chunk[size:]

    async def _note_end(self, connection: WireConnection, direction: str) -> None:
        """Both ways ended: nothing can follow."""
        connection.ways_ended.add(direction)
        if connection.ways_ended == {UP, DOWN}:
            await self._close(connection)

    async def _reset_later(self, connection: WireConnection, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._rst(connection)

    async def _end_all(self, end: object) -> None:
        for connection in self.live:
            await end(connection)  # type: ignore[operator]

    def _stop_carrying(self, connection: WireConnection) -> bool:
        if connection.ended:
            return False
        connection.ended = True
        connection.held = {UP: 0, DOWN: 0}
        for task in connection.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        return True

    async def _close(self, connection: WireConnection) -> None:
        if self._stop_carrying(connection):
            await asyncio.sleep(0)  # the cancelled tasks let go of the sockets
            for sock in (connection.near, connection.far):
                if sock is not None:
                    sock.close()

    async def _rst(self, connection: WireConnection) -> None:
        if self._stop_carrying(connection):
            await asyncio.sleep(0)
            for sock in (connection.near, connection.far):
                if sock is not None:
                    reset_socket(sock)

    async def _fin(self, connection: WireConnection) -> None:
        if self._stop_carrying(connection):
            await asyncio.sleep(0)
            for sock in (connection.near, connection.far):
                if sock is not None:
                    task = asyncio.get_running_loop().create_task(self._fin_socket(sock))
                    self._drains.add(task)

    async def _fin_socket(self, sock: socket.socket) -> None:
        """FIN, not RST: what still comes in is read and thrown away until the peer ends too."""
        try:
            sock.shutdown(socket.SHUT_WR)
            while await asyncio.get_running_loop().sock_recv(sock, CHUNK_BYTES_MAX):
                pass
        except OSError:
            pass
        finally:
            sock.close()
