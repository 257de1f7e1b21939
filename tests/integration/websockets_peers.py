"""Peers made of python3-websockets: a recording server and a client."""

from __future__ import annotations

import asyncio
import contextlib
import http
import ssl
from typing import Any, Optional, Sequence

from websockets.exceptions import ConnectionClosed, InvalidStatusCode
from websockets.frames import Close
from websockets.legacy.client import WebSocketClientProtocol, connect
from websockets.legacy.server import WebSocketServerProtocol, serve

from conversation import Conversation, Server
from loop_thread import LoopThread
from messages import Data, Message
from polling import DEADLINE_S, wait_until



class Refused(Exception):
    """The handshake was answered with something else than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def _extension(deflate: Any) -> dict[str, Any]:
    """False: no permessage-deflate; True: the library's own; else what makes the extension."""
    if deflate is True:
        return {}
    return {"compression": None, **({"extensions": [deflate]} if deflate else {})}


class WebsocketsServer(Server):
    """Records all that arrives; sends, closes and refuses when told to."""

    kind = "websockets"

    def __init__(
        self,
        loop: LoopThread,
        port: int = 0,
        echo: bool = False,
        subprotocols: Optional[Sequence[str]] = None,
        reading: bool = True,
        tls: Optional[ssl.SSLContext] = None,
        deflate: Any = False,
    ) -> None:
        """deflate: True, or a ServerPerMessageDeflateFactory."""
        super().__init__()
        self._loop = loop
        self._deflate = deflate
        self._tls = tls
        self.scheme = "wss" if tls else "ws"
        self._echo = echo
        self._open: list[WebSocketServerProtocol] = []
        self._refuse_with: Optional[int] = None
        self._subprotocols = list(subprotocols or [])
        self._may_read = asyncio.Event()
        if reading:
            self._may_read.set()
        self.requests = 0
        self._server = loop.run(self._listen(port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self, port: int) -> Any:
        server = self

        class Protocol(WebSocketServerProtocol):
            conversation: Conversation

            async def process_request(self, path: str, headers: Any) -> Any:
                server.requests += 1
                if server._refuse_with is not None:
                    return http.HTTPStatus(server._refuse_with), [], b"not now\n"
                return None

            def select_subprotocol(self, client: Any, ours: Any) -> Optional[str]:
                return next((name for name in server._subprotocols if name in client), None)

            async def pong(self, data: Data = b"") -> None:
                await super().pong(data)
                self.conversation.answered_ping()

        async def converse(connection: Any) -> None:
            conversation = Conversation(
                number=len(server.conversations) + 1,
                path=connection.path,
                headers={k.lower(): v for k, v in connection.request_headers.raw_items()},
            )
            connection.conversation = conversation
            server._open.append(connection)
            server.conversations.append(conversation)
            try:
                while True:
                    await server._may_read.wait()
                    data = await connection.recv()
                    conversation.took(Message.of(data))
                    if server._echo:
                        await connection.send(data)
            except ConnectionClosed:
                pass
            finally:
                conversation.close_reason = connection.close_reason or ""
                conversation.close_code = connection.close_code or 1006

        return await serve(
            converse,
            "127.0.0.1",
            port,
            create_protocol=Protocol,
            subprotocols=self._subprotocols or ["none"],
            ping_interval=None,
            close_timeout=2,
            max_size=None,
            reuse_address=True,
            **_extension(self._deflate),
            ssl=self._tls,
        )

    def answer_with(self, status: Optional[int]) -> None:
        """Answer upgrades with this HTTP status; None: accept them again."""
        self._refuse_with = status

    def choose_subprotocols(self, names: Sequence[str]) -> None:
        self._subprotocols = list(names)

    def read(self, reading: bool = True) -> None:
        change = self._may_read.set if reading else self._may_read.clear
        self._loop.loop.call_soon_threadsafe(change)

    def send(self, data: Data) -> None:
        self._loop.run(self._open[-1].send(data))

    def send_many(self, messages: Sequence[Data]) -> "Any":
        """Send in the background; the result is a future."""

        async def send_all() -> None:
            for data in messages:
                await self._open[-1].send(data)

        return self._loop.spawn(send_all())

    def send_fragments(self, parts: Sequence[Data]) -> None:
        async def pieces() -> Any:
            for part in parts:
                yield part

        self._loop.run(self._open[-1].send(pieces()))

    def ping(self, payload: bytes) -> None:
        """Ping and wait for the Pong with the same payload."""

        async def round_trip() -> None:
            await (await self._open[-1].ping(payload))

        self._loop.run(round_trip())

    def close(self, code: int, reason: str = "") -> None:
        self._loop.spawn(self._open[-1].close(code, reason))

    def close_empty(self) -> None:
        """A Close frame without a code, which the peer reads as 1005."""
        self._loop.run(self._open[-1].write_close_frame(Close(1000, ""), b""))

    def stop(self) -> None:
        async def shut() -> None:
            self._server.close()
            for connection in self._open:
                if connection.transport is not None and not connection.closed:
                    connection.transport.abort()
            await asyncio.wait_for(self._server.wait_closed(), 5)

        self._loop.run(shut())


class WebsocketsClient:
    """A client that reads in the background unless told not to."""

    kind = "websockets"

    def __init__(
        self,
        loop: LoopThread,
        url: str,
        subprotocols: Optional[Sequence[str]] = None,
        origin: Optional[str] = None,
        headers: Optional[dict[str, str]] = None,
        reading: bool = True,
        echo: bool = False,
        unix_path: Optional[str] = None,
        open_timeout_s: float = DEADLINE_S,
        tls: Optional[ssl.SSLContext] = None,
        deflate: Any = False,
    ) -> None:
        """deflate: True, or a ClientPerMessageDeflateFactory."""
        self._loop = loop
        self._echo = echo
        self.messages: list[Message] = []
        self.sent_count = 0  #: messages of send_many() that the client's library has taken
        self._may_read = asyncio.Event()
        if reading:
            self._may_read.set()
        if url.startswith("ws+unix:"):
            url, unix_path = "ws://localhost/", url.removeprefix("ws+unix:")

        async def open_connection() -> WebSocketClientProtocol:
            options: dict[str, Any] = {}
            if unix_path is not None:
                options = {"unix": True, "path": unix_path}
            if tls is not None:
                options["ssl"] = tls
            return await connect(
                url,
                subprotocols=subprotocols,
                origin=origin,
                extra_headers=headers,
                open_timeout=open_timeout_s,
                close_timeout=DEADLINE_S,
                ping_interval=None,
                max_size=None,
                **_extension(deflate),
                **options,
            )

        try:
            self._connection = loop.run(open_connection(), open_timeout_s + 5)
        except InvalidStatusCode as refused:
            raise Refused(refused.status_code) from None
        self._reader = loop.spawn(self._read())

    async def _read(self) -> None:
        try:
            while True:
                await self._may_read.wait()
                data = await self._connection.recv()
                self.messages.append(Message.of(data))
                if self._echo:
                    with contextlib.suppress(ConnectionClosed):  # some may be there to be read
                        await self._connection.send(data)
        except ConnectionClosed:
            pass

    @property
    def subprotocol(self) -> Optional[str]:
        return self._connection.subprotocol

    @property
    def extensions(self) -> str:
        return ", ".join(extension.name for extension in self._connection.extensions)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in list(self.messages)]

    @property
    def numbers(self) -> list[int]:
        return [message.number for message in list(self.messages)]

    @property
    def is_open(self) -> bool:
        return self._connection.open

    def read(self) -> None:
        self._loop.loop.call_soon_threadsafe(self._may_read.set)

    def send(self, data: Data) -> None:
        self._loop.run(self._connection.send(data), 120)

    def send_many(self, messages: Sequence[Data]) -> "Any":
        """Send in the background; the result is a future."""

        async def send_all() -> None:
            for data in messages:
                await self._connection.send(data)
                self.sent_count += 1

        return self._loop.spawn(send_all())

    def send_fragments(self, parts: Sequence[Data]) -> None:
        async def pieces() -> Any:
            for part in parts:
                yield part

        self._loop.run(self._connection.send(pieces()))

    def ping(self) -> None:
        """Ping and wait for the Pong."""

        async def round_trip() -> None:
            await (await self._connection.ping())

        self._loop.run(round_trip())

    def start_close(self, code: int = 1000, reason: str = "") -> None:
        self._loop.spawn(self._connection.close(code, reason))

    def start_close_empty(self) -> None:
        self._loop.run(self._connection.write_close_frame(Close(1000, ""), b""))

    def wait_closed(self, deadline_s: float = DEADLINE_S) -> tuple[int, str]:
        """The code and reason that the other side sent; 1005: none; 1006: no Close at all."""
        def has_ended() -> bool:  # what was received before the end is read, too
            return self._connection.closed and (
                self._reader.done() or not self._may_read.is_set()
            )

        wait_until(
            has_ended,
            lambda: f"client to be closed; it has {self.messages[-3:]}",
            deadline_s,
        )
        return self._connection.close_code or 1006, self._connection.close_reason or ""

    def close(self, code: int = 1000, reason: str = "") -> tuple[int, str]:
        self.start_close(code, reason)
        return self.wait_closed()

    def stop(self) -> None:
        """End the TCP connection without a word, and read no more."""
        self._reader.cancel()
        self._loop.loop.call_soon_threadsafe(self._connection.transport.abort)


