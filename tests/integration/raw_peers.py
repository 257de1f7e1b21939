"""Peers on plain sockets, for tests where the exact bytes and their order matter."""

from __future__ import annotations

import base64
import fcntl
import os
import socket
import struct
import threading
import time
import traceback
from typing import Callable, Optional, Union

from conversation import Conversation, Server
from frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    FrameReader,
    Head,
    accept_value,
    close_payload,
    encode,
)
from messages import Message
from polling import DEADLINE_S, wait_until
from ports import ReservedPort
from wire import close_will_reset

SIOCOUTQ = 0x5411


def unread_bytes(local_port: int, remote_port: int) -> int:
    """What waits in the socket between two ports of 127.0.0.1, at the side of local_port."""
    ends = f":{local_port:04X}", f":{remote_port:04X}"
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(ends[0]) and fields[2].endswith(ends[1]):
                return int(fields[4].split(":")[1], 16)
    return 0


class RawConnection:
    """Either end of a WebSocket: writes what it is told, reads frame by frame."""

    def __init__(self, sock: socket.socket, masks: bool) -> None:
        self.socket = sock
        sock.settimeout(DEADLINE_S)
        self._masks = masks
        self.reader = FrameReader(sock.recv)
        self._writing = threading.Lock()
        self._is_reset = False

    def write(self, raw: bytes) -> None:
        with self._writing:
            self.socket.sendall(raw)

    def send(self, opcode: int, payload: bytes = b"", **shape: object) -> None:
        self.write(encode(opcode, payload, masked=self._masks, **shape))  # type: ignore[arg-type]

    def send_text(self, text: str) -> None:
        self.send(TEXT, text.encode())

    def send_close(self, code: int, reason: str = "") -> None:
        self.send(CLOSE, close_payload(code, reason))

    def read(self) -> Frame:
        return self.reader.frame()

    def read_until(self, opcode: int) -> Frame:
        """In all it may take as long as one read: Pings must not keep a test alive for ever."""
        patience_s = self.socket.gettimeout()
        end = None if patience_s is None else time.monotonic() + patience_s
        while True:
            frame = self.read()
            if frame.opcode == opcode:
                return frame
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"not within {patience_s:g} s: a frame {opcode:#x}")

    def read_to_end(self) -> list[Frame]:
        """All frames until the peer's TCP ends, however it ends."""
        frames = []
        try:
            while True:
                frames.append(self.read())
        except (EOFError, ConnectionError):
            return frames

    def wait_flushed(self) -> None:
        """Everything written was acknowledged by the peer's TCP."""
        wait_until(
            lambda: struct.unpack("i", fcntl.ioctl(self.socket, SIOCOUTQ, b"\0" * 4))[0] == 0,
            "the peer's TCP to acknowledge",
        )

    def wait_read(self) -> None:
        """Everything written over TCP on this machine was read by the peer's process, too."""
        self.wait_flushed()
        near, far = self.socket.getsockname(), self.socket.getpeername()
        wait_until(lambda: unread_bytes(far[1], near[1]) == 0, "the peer to read")

    def fin(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._is_reset = True
        close_will_reset(self.socket)  # whether this thread closes it, or the one that reads
        self._shut(socket.SHUT_RD)
        self.socket.close()

    def close(self) -> None:
        if not self._is_reset:  # else no FIN comes before the RST
            self._shut(socket.SHUT_RDWR)
        self.socket.close()

    def _shut(self, how: int) -> None:
        """Wakes a thread that reads."""
        try:
            self.socket.shutdown(how)
        except OSError:
            pass


class RawServerConnection(RawConnection):
    def __init__(self, sock: socket.socket, number: int, conversation: Conversation) -> None:
        super().__init__(sock, masks=False)
        self.number = number  #: 1 for the first connection that was accepted
        self.conversation = conversation
        self.head: Optional[Head] = None

    def read_head(self) -> Head:
        self.head = Head.parse(self.reader.until(b"\r\n\r\n"))
        return self.head

    def upgrade(
        self,
        subprotocol: Optional[str] = None,
        extensions: Optional[str] = None,
        behind: bytes = b"",
    ) -> None:
        """Read the request and accept it, in one write with what follows behind the answer."""
        head = self.read_head()
        self.conversation.path = head.target
        self.conversation.headers = head.headers
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_value(head.headers['sec-websocket-key'])}",
        ]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        if extensions is not None:
            lines.append(f"Sec-WebSocket-Extensions: {extensions}")
        self.write("\r\n".join(lines + ["", ""]).encode() + behind)

    def take(self, frame: Frame) -> None:
        """Note an unfragmented message."""
        assert frame.masked, "a client's frames are masked (RFC 6455 section 5.1)"
        if frame.opcode == TEXT:
            self.conversation.took(Message.of(frame.payload.decode()))
        elif frame.opcode == BINARY:
            self.conversation.took(Message.of(frame.payload))

    def pong(self, ping: Frame) -> None:
        self.send(PONG, ping.payload)
        self.conversation.answered_ping()

    def serve(self, answer: "Callable[[RawServerConnection, Frame], None]") -> Frame:
        """Note messages, hand each Ping to `answer`, return the Close without answering it."""
        while True:
            frame = self.read()
            if frame.opcode == PING:
                answer(self, frame)
            elif frame.opcode == CLOSE:
                self.conversation.close_reason = frame.close_reason
                self.conversation.close_code = frame.close_code
                return frame
            else:
                self.take(frame)

    def serve_to_end(self, answer: "Callable[[RawServerConnection, Frame], None]") -> None:
        """serve(), then answer the Close."""
        close = self.serve(answer)
        self.send(CLOSE, close.payload)


def answer_pings(connection: RawServerConnection, ping: Frame) -> None:
    connection.pong(ping)


def ignore_pings(connection: RawServerConnection, ping: Frame) -> None:
    pass


class RawServer(Server):
    """Runs a script for each connection, in a thread.  EOF and resets end a script quietly."""

    kind = "raw"

    def __init__(self, script: Callable[[RawServerConnection], None]) -> None:
        super().__init__()
        self._script = script
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self._listener = self._reserved.listen()
        self._failures: list[str] = []
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self.accepted: list[RawServerConnection] = []
        self._acceptor = threading.Thread(target=self._accept, name="raw server", daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while not self._stopping:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = len(self.accepted) + 1
            conversation = Conversation(number)
            connection = RawServerConnection(sock, number, conversation)
            self.conversations.append(conversation)
            self.accepted.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: RawServerConnection) -> None:
        try:
            self._script(connection)
        except (EOFError, OSError):
            pass
        except Exception:
            if not self._stopping:
                self._failures.append(traceback.format_exc())
        finally:
            connection.close()
            if connection.conversation.close_code is None:
                connection.conversation.close_code = 1006

    def stop(self) -> None:
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(DEADLINE_S)
        self._listener.close()
        self._reserved.release()
        for connection in self.accepted:
            connection.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        assert not self._failures, "\n".join(self._failures)


class RawClient(RawConnection):
    """A client whose handshake and frames are the test's own."""

    def __init__(self, address: Union[int, str]) -> None:
        """A TCP port of 127.0.0.1, or the path of a Unix socket."""
        if isinstance(address, int):
            sock = socket.create_connection(("127.0.0.1", address), DEADLINE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(address)
        super().__init__(sock, masks=True)

    @staticmethod
    def request(
        target: str = "/",
        host: Optional[str] = "127.0.0.1",
        extra: tuple[str, ...] = (),
        key: Optional[str] = None,
    ) -> bytes:
        """An upgrade request's head; `host` None leaves the header out."""
        key = key or base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {target} HTTP/1.1"]
        if host is not None:
            lines.append(f"Host: {host}")
        lines += [
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            *extra,
            "",
            "",
        ]
        return "\r\n".join(lines).encode("latin-1")

    def read_response(self) -> Head:
        return Head.parse(self.reader.until(b"\r\n\r\n"))

    def handshake(self, target: str = "/", extra: tuple[str, ...] = ()) -> None:
        self.write(self.request(target, extra=extra))
        response = self.read_response()
        assert response.status == 101, response.first_line

    def stop(self) -> None:
        self.close()
