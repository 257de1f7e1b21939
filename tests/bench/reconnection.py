"""How long it takes until a broken link works again, and how many that break at once come back."""

from __future__ import annotations

import asyncio
import collections
import statistics
import time
from typing import Optional

import machine
import proxies
import websocket
from stage import Sample, Scene, Stage, server_context

#: Older than this, a link that carried data may be dialled again at once.
AGE_S = 1.2


class Side(asyncio.Protocol):
    """One end of a relayed connection. What arrives leaves at the other end `delay_s` later."""

    def __init__(self, delay_s: float, handshake_s: float) -> None:
        self.delay_s = delay_s
        self.handshake_s = handshake_s
        self.other: Side
        self.transport: Optional[asyncio.Transport] = None
        self.made_at = self.free_at = 0.0
        self.waiting: collections.deque[bytes] = collections.deque()
        self.due = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.made_at = time.monotonic()
        self.free_at = asyncio.get_running_loop().time() + self.handshake_s
        self.flush()

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.other.waiting.append(data)
        if self.delay_s or self.handshake_s:
            leaves = max(loop.time(), self.free_at) + self.delay_s
            loop.call_at(leaves, self.other.one_more_is_due)
        else:
            self.other.one_more_is_due()

    def one_more_is_due(self) -> None:
        self.due += 1
        self.flush()

    def flush(self) -> None:
        while self.transport and self.due:
            self.transport.write(self.waiting.popleft())
            self.due -= 1

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if self.other.transport:
            self.other.transport.abort()


class Relay:
    """A line between wskeepd and the server, `delay_s` long each way.

    The kernel answers a SYN at once, so the round trip that TCP's handshake would take is added to
    the first byte that wskeepd sends: everything after it comes when it would on a real line.
    """

    def __init__(self, upstream: int, delay_s: float) -> None:
        self.upstream = upstream
        self.delay_s = delay_s
        self.near: list[Side] = []  # the ends towards wskeepd
        self.port = 0
        self._server: asyncio.AbstractServer
        self._dials: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]  # type: ignore

    def _accepted(self) -> Side:
        near = Side(self.delay_s, 2 * self.delay_s)
        far = Side(self.delay_s, 0)
        near.other, far.other = far, near
        self.near.append(near)
        loop = asyncio.get_running_loop()
        dial = loop.create_task(loop.create_connection(lambda: far, "127.0.0.1", self.upstream))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)
        return near

    def cut(self, near: Side) -> None:
        assert near.transport
        websocket.reset(near.transport)

    def stop(self) -> None:
        self._server.close()
        for near in self.near:
            if near.transport:
                near.transport.abort()


async def round_trips(stage: Stage, delay_ms: int, is_tls: bool) -> Sample:
    """From the reset of a link to the first byte of the repeated message at the server."""
    certificate = stage.certificate() if is_tls else None
    server = websocket.Server()
    await server.start(ssl=server_context(certificate) if certificate else None)
    relay = Relay(server.port, delay_ms / 1000)
    await relay.start()
    try:
        async with stage.server_behind(
            ["reconnect: {initial_delay: 0ms}"],
            tls=certificate,
            relay_port=relay.port,
            server=server,
        ) as scene:
            return await _round_trips(stage, scene, relay, delay_ms, certificate)
    finally:
        relay.stop()


async def _round_trips(
    stage: Stage,
    scene: Scene,
    relay: Relay,
    delay_ms: int,
    certificate: Optional[proxies.Certificate],
) -> Sample:
    server = scene.server
    clients = []
    for number in range(2 if stage.is_quick else 5):
        clients += await scene.clients_connect(1)
        clients[-1].send(websocket.numbered(0, 1))
        await server.until(lambda: sum(link.acknowledged for link in server.connections) > number)
        if len(server.connections) != number + 1 or len(relay.near) != number + 1:
            raise machine.Failure("there are more connections than sessions")
    await asyncio.sleep(AGE_S)
    took, dialled, resumed = [], [], 0
    for near, client in zip(relay.near[:], clients):
        server.answers_pings = False
        received, connections = server.received, len(server.connections)
        client.send(websocket.numbered(1, 1))
        await server.until(lambda: server.received > received)
        cut_at = time.monotonic()
        relay.cut(near)
        await server.until(lambda: server.received > received + 1)
        connection = server.connections[-1]
        if len(server.connections) != connections + 1 or not connection.messages:
            raise machine.Failure("the link did not come back in one attempt")
        took.append(1000 * (connection.first_message_at - cut_at))
        dialled.append(1000 * (relay.near[-1].made_at - cut_at))
        tls = connection.transport.get_extra_info("ssl_object")
        resumed += bool(tls and tls.session_reused)
        server.answers_pings = True
    milliseconds = statistics.median(took)
    trips = 3.5 if certificate else 2.5  # TCP, TLS, upgrade, and one way for the message
    return {
        "ms": round(milliseconds, 2),
        "trips": round(milliseconds / (2 * delay_ms), 2) if delay_ms else None,
        "trips_needed": trips,
        "dialled_ms": round(statistics.median(dialled), 2),
        "own_ms": round(milliseconds - trips * 2 * delay_ms, 2),
        "resumed": resumed,
        "sessions": len(clients),
    }


async def storm(stage: Stage, jitter: str, initial_delay_ms: int) -> Sample:
    """Many sessions whose links are reset in the same moment."""
    count = 200 if stage.is_quick else 1000
    reconnect = f"reconnect: {{initial_delay: {initial_delay_ms}ms, jitter: {jitter}}}"
    async with stage.server_behind([reconnect]) as scene:
        server = scene.server
        clients = await scene.clients_connect(count)
        for client in clients:
            client.send(websocket.numbered(0, 1))
        await server.until(lambda: server.received >= count)
        await server.until(lambda: all(link.acknowledged for link in server.connections))
        await asyncio.sleep(AGE_S)
        cut, server.connections = server.connections, []
        before_ns = scene.processor_ns()
        cut_at = time.monotonic()
        for link in cut:
            websocket.reset(link.transport)
        await server.until(lambda: server.opened >= 2 * count, initial_delay_ms / 1000 + 30)
        used_ns = scene.processor_ns() - before_ns
        if len(cut) != count or any(client.is_lost for client in clients):
            raise machine.Failure("not every session had one link and kept its client")
        links = server.connections
        tenths = [0] * 11  # the last: later than the window
        for link in links:
            tenth = int(10_000 * (link.accepted_at - cut_at) / initial_delay_ms)
            tenths[min(tenth, 10)] += 1
        return {
            "sessions": count,
            "window_ms": initial_delay_ms,
            "ms": round(1000 * (max(link.opened_at for link in links) - cut_at), 1),
            "first_ms": round(1000 * (min(link.accepted_at for link in links) - cut_at), 1),
            "attempts": len(links),
            "cpu_us_per_session": round(used_ns / 1000 / count, 1),
            "tenths": tenths,
        }
