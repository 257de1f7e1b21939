"""A short life of wskeepd with everything in it, for faults to fall into."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any, Optional

from certificates import Authority
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, FrameReader, accept_value, encode
from messages import numbered
from polling import wait_until
from raw_peers import RawClient, RawServer, RawServerConnection
from ports import ReservedPort
from wskeepd_process import WSKEEPD_FAULTS, Wskeepd

MESSAGES = 10
LONG_BYTES = 300_000  #: more than a Unix socket holds, twice, and than one turn sends
BREAK_AFTER = 5  #: messages of a conversation, on its first connection
TRIES_MAX = 4
PATIENCE_S = 20

#: What ends a conversation badly says so in the log, by one of these events.
NAMING = {"client-refused", "client-close", "given-up", "session-end", "accept-paused",
          "client-dropped", "client-left", "client-tls-failed"}


@dataclass
class Fault:
    kind: str
    nth: int
    times: int = 1
    error: int = 12

    def environment(self, report: pathlib.Path) -> dict[str, str]:
        #: OpenSSL itself leaks a few bytes when some of its allocations fail.
        leaks = {"ASAN_OPTIONS": "detect_leaks=0"} if self.kind == "libraries" else {}
        return {
            **leaks,
            "WSKEEP_FAULT": self.kind,
            "WSKEEP_FAULT_NTH": str(self.nth),
            "WSKEEP_FAULT_TIMES": str(self.times),
            "WSKEEP_FAULT_ERROR": str(self.error),
            "WSKEEP_FAULT_REPORT": str(report),
        }


@dataclass
class Story:
    """What happened in a life."""

    status: Optional[int] = None
    was_ready: bool = False
    failed: list[str] = field(default_factory=list)  #: the places whose call failed
    count: int = 0  #: calls of the kind
    codes: list[int] = field(default_factory=list)  #: how each conversation ended


class Peers:
    """One server and one set of ports for many lives."""

    def __init__(self, directory: pathlib.Path, authority: Optional[Authority] = None) -> None:
        self.directory = directory
        self.port = ReservedPort()
        self.identity = authority.identity("127.0.0.1") if authority else None
        self.authority = authority
        self.broken: set[int] = set()
        self.server = RawServer(self._serve)
        (directory / "secret").write_text("hush\n")

    def stop(self) -> None:
        self.server.stop()
        self.port.release()

    def _serve(self, connection: RawServerConnection) -> None:
        if self.identity:
            context = self.identity.server_context(None)
            connection.socket = context.wrap_socket(connection.socket, server_side=True)
            connection.reader = FrameReader(connection.socket.recv)
        head = connection.read_head()
        connection.write(
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept_value(head.headers['sec-websocket-key'])}\r\n"
                "Sec-WebSocket-Protocol: b\r\nSet-Cookie: sticky=1\r\n\r\n"
            ).encode()
        )
        connection.send(PING, b"are you there")
        #: The first connection of a conversation is to break.  Nothing is answered on it: what moves
        #: something is not tried again within a second (reconnect), and lives shall be short.
        will_break = self._number_of(head.target) not in self.broken
        while True:
            frame = connection.read()
            if frame.opcode == PING:
                if not will_break:
                    connection.pong(frame)
            elif frame.opcode == CLOSE:
                connection.send(CLOSE, frame.payload)
                return
            elif frame.opcode != PONG:
                connection.take(frame)
                if not will_break:
                    connection.write(encode(frame.opcode, frame.payload))
                elif int(frame.payload[:8]) % 100 == BREAK_AFTER:
                    self.broken.add(self._number_of(head.target))
                    connection.reset()
                    return

    @staticmethod
    def _number_of(target: str) -> int:
        return int(target.rsplit("/", 1)[1])

    def configuration(self, unix_path: str) -> dict[str, Any]:
        scheme = "wss" if self.identity else "ws"
        link: dict[str, Any] = {
            "name": "game",
            "listen": [f"{scheme}://127.0.0.1:{self.port.number}", f"ws+unix:{unix_path}"],
            "client": {"handshake_timeout": "2s", "heartbeat": {"interval": "1s", "timeout": "3s"}},
            "upstream": {
                "url": f"{scheme}://localhost:{self.server.port}/",
                "path": "append",
                "headers": {"X-Secret": "${file:%s}" % (self.directory / "secret")},
                "forward_headers": ["X-Forwarded"],
                "subprotocols": ["a", "b"],
                "connect_timeout": "3s",
            },
            "heartbeat": {"interval": "1s", "timeout": "2s"},
            "reconnect": {"initial_delay": "10ms", "max_delay": "100ms"},
            "delivery": {"ack_timeout": "2s", "ping_spacing": "10ms"},
            "session": {"drain_timeout": "3s"},
        }
        if self.identity and self.authority:
            link["client"]["tls"] = dict(self.identity.files)
            link["upstream"]["tls"] = {"ca": self.authority.cert, "server_name": "127.0.0.1"}
        return {"links": [link]}

    # A conversation.

    def _connect(self, unix_path: Optional[str]) -> RawClient:
        if unix_path:
            return RawClient(unix_path)
        client = RawClient(self.port.number)
        if self.authority:
            context = self.authority.client_context()
            client.socket = context.wrap_socket(client.socket, server_hostname="127.0.0.1")
            client.reader = FrameReader(client.socket.recv)
        return client

    def converse(self, number: int, unix_path: Optional[str]) -> int:
        """Send messages, read echoes, close.  How it ended: 1000, another code, 1006 for no Close,
        or the status of a handshake that was refused."""
        client = None
        try:
            client = self._connect(unix_path)
            client.socket.settimeout(PATIENCE_S)
            client.write(
                client.request(
                    f"/chat/{number}", extra=("Sec-WebSocket-Protocol: a, b", "X-Forwarded: me")
                )
            )
            status = client.read_response().status
            if status != 101:
                return status
            for i in range(MESSAGES):
                text = numbered(number * 100 + i, LONG_BYTES if i % 4 == 3 else 40).encode()
                half = len(text) // 2
                if i % 2:
                    client.send(TEXT, text[:half], fin=False)
                    client.send(PING, b"?")
                    client.send(CONTINUATION, text[half:])
                else:
                    client.send(BINARY, text)
            client.send_close(1000)
            return client.read_until(CLOSE).close_code
        except TimeoutError:
            raise AssertionError(f"conversation {number} hangs")
        except (EOFError, OSError):
            return 1006
        finally:
            if client:
                client.close()

    def check_arrived(self, number: int) -> None:
        """All messages of a conversation that ended well, in order, repeated only from a start."""
        seen: list[int] = []
        for conversation in self.server.conversations:
            numbers = [n - number * 100 for n in conversation.numbers if n // 100 == number]
            if not numbers:
                continue
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers
            assert numbers[0] <= len(seen), f"gap: {numbers} after {seen}"
            seen = list(range(max(len(seen), numbers[-1] + 1)))
        assert seen == list(range(MESSAGES)), f"conversation {number}: a receipt, but only {seen}"


def read_report(path: pathlib.Path, story: Story) -> None:
    for line in path.read_text().splitlines() if path.exists() else []:
        _, what, value = line.split()
        if what == "count":
            story.count = int(value, 16)
        else:
            story.failed.append(value)


def live(peers: Peers, directory: pathlib.Path, fault: Fault, number: int) -> Story:
    """From the start to SIGTERM; number: of the first conversation."""
    directory.mkdir()
    report = directory / "report"
    unix_path = str(directory / "s")
    story = Story()
    daemon = Wskeepd(
        directory,
        peers.configuration(unix_path),
        environment=fault.environment(report),
        program=WSKEEPD_FAULTS,
    )
    try:
        wait_until(lambda: daemon.find("ready") or not daemon.is_running, daemon.tail)
        story.was_ready = bool(daemon.find("ready"))
        if story.was_ready:
            _talk(peers, daemon, unix_path, number, story)
        story.status = daemon.wait_for_exit(PATIENCE_S)
        daemon.check_sanitizers()
        read_report(report, story)
        if not story.was_ready:
            assert story.status in (1, 2), f"{story.status}: {daemon.tail()}"
            assert daemon.stderr.strip(), "it ended without a word"
        return story
    except BaseException as error:
        read_report(report, story)
        raise AssertionError(f"{fault} {story}: {error}\n{daemon.tail(60)}") from error
    finally:
        daemon.kill()


def _talk(peers: Peers, daemon: Wskeepd, unix_path: str, number: int, story: Story) -> None:
    """Over TCP, then a reload, then over the Unix socket; each again until it ends well."""
    for path in (None, unix_path):
        for _ in range(TRIES_MAX):
            noted = len(daemon.events)
            code = peers.converse(number, path)
            story.codes.append(code)
            if code == 1000:
                peers.check_arrived(number)
                number += 1
                break
            number += 1
            _check_named(daemon, noted, code)
        assert story.codes[-1] == 1000, "it does not recover"
        if path is None:
            daemon.signal(signal.SIGHUP)
            wait_until(
                lambda: daemon.find("reloaded") or daemon.find("reload-failed"), daemon.tail
            )
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_for_exit(PATIENCE_S) == 0, "SIGTERM"


def _check_named(daemon: Wskeepd, noted: int, code: int) -> None:
    """Nothing ends badly without a word in the log."""
    wait_until(
        lambda: any(event.get("event") in NAMING for event in daemon.events[noted:]),
        lambda: f"an event that says why it ended with {code}",
        5,
    )
