"""Peers made of Node's ws, with the same words as websockets_peers.py."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import threading
from typing import Any, Callable, Optional, Sequence

from conversation import Conversation, Server
from messages import Data, Message
from polling import DEADLINE_S, wait_until
from websockets_peers import Refused

PEERS = pathlib.Path(__file__).parent / "peers"
NODE_MODULES = "/usr/share/nodejs"  # where Debian's node-ws is installed


def _part(data: Data) -> dict[str, str]:
    if isinstance(data, str):
        return {"text": data}
    return {"base64": base64.b64encode(data).decode()}


def _message(event: dict[str, Any]) -> Message:
    return Message(event["kind"], event["size"], event["digest"], event["head"])


class NodeProcess:
    """One node script: JSON lines in, JSON lines out."""

    def __init__(
        self, script: str, options: dict[str, Any], take: Callable[[dict[str, Any]], None]
    ) -> None:
        environment = dict(os.environ)
        environment["NODE_PATH"] = os.pathsep.join(
            filter(None, [environment.get("NODE_PATH"), NODE_MODULES])
        )
        self._process = subprocess.Popen(
            ["node", str(PEERS / script), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._take = take
        self._commands_done = 0
        self._commands_given = 0
        self._reader = threading.Thread(target=self._read, name=script, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # it was ended in the middle of a line
            event = json.loads(line)
            if event["event"] == "done":
                self._commands_done += 1
            else:
                self._take(event)

    def tell(self, command: str, **fields: Any) -> None:
        """Give a command and wait until it was carried out."""
        assert self._process.stdin is not None
        self._commands_given += 1
        line = json.dumps({"do": command, **fields}) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        wait_until(
            lambda: self._commands_done >= self._commands_given
            or self._process.poll() is not None,
            f"node to {command}",
        )
        assert self._process.poll() is None, f"node ended while it should {command}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass


class NodeServer(Server):
    kind = "node"

    def __init__(
        self,
        port: int = 0,
        echo: bool = False,
        subprotocols: Optional[Sequence[str]] = None,
        push: Optional[dict[str, int]] = None,
        tls: Optional[dict[str, str]] = None,
        deflate: Any = False,
    ) -> None:
        """push: `count` numbered messages of `size` characters, sent to each connection at once.

        deflate: ws's own option perMessageDeflate.
        tls: files `cert` and `key`, and `version` if only one may be used.
        """
        super().__init__()
        self.port = 0
        self.scheme = "wss" if tls else "ws"
        self.requests = 0
        self.pongs: list[str] = []
        self._node = NodeProcess(
            "server.js",
            {
                "port": port,
                "echo": echo,
                "subprotocols": list(subprotocols or []),
                "push": push,
                "tls": tls,
                "deflate": deflate,
            },
            self._take,
        )
        wait_until(lambda: self.port, "the node server to listen")

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "listening":
            self.port = event["port"]
        elif kind == "request":
            self.requests += 1
        elif kind == "pong":
            self.pongs.append(event["payload"])
        elif kind == "open":
            self.conversations.append(
                Conversation(event["number"], event["path"], dict(event["headers"]))
            )
        else:
            conversation = self.conversations[event["number"] - 1]
            if kind == "message":
                conversation.took(_message(event))
            elif kind == "ping":
                conversation.answered_ping()
            elif kind == "close":
                conversation.close_reason = event["reason"]
                conversation.close_code = event["code"]

    def answer_with(self, status: Optional[int]) -> None:
        self._node.tell("answerWith", status=status)

    def choose_subprotocols(self, names: Sequence[str]) -> None:
        self._node.tell("subprotocols", names=list(names))

    def read(self, reading: bool = True) -> None:
        self._node.tell("read", reading=reading)

    def send(self, data: Data) -> None:
        self._node.tell("send", **_part(data))

    def send_fragments(self, parts: Sequence[Data]) -> None:
        self._node.tell("fragments", parts=[_part(part) for part in parts])

    def ping(self, payload: bytes) -> None:
        already = len(self.pongs)
        self._node.tell("ping", payload=payload.decode())
        wait_until(lambda: payload.decode() in self.pongs[already:], f"Pong {payload!r}")

    def close(self, code: int, reason: str = "") -> None:
        self._node.tell("close", code=code, reason=reason)

    def close_empty(self) -> None:
        self._node.tell("closeEmpty")

    def stop(self) -> None:
        self._node.stop()


class NodeClient:
    kind = "node"

    def __init__(
        self,
        url: str,
        subprotocols: Optional[Sequence[str]] = None,
        origin: Optional[str] = None,
        headers: Optional[dict[str, str]] = None,
        reading: bool = True,
        ca: Optional[str] = None,
        deflate: Any = False,
    ) -> None:
        self.messages: list[Message] = []
        self.subprotocol: Optional[str] = None
        self.is_open = False
        self._pongs = 0
        self._refused: Optional[int] = None
        self._closed: Optional[tuple[int, str]] = None
        options: dict[str, Any] = {"url": url, "headers": headers or {}, "deflate": deflate}
        if subprotocols:
            options["subprotocols"] = list(subprotocols)
        if origin is not None:
            options["origin"] = origin
        if ca is not None:
            options["ca"] = ca
        self._node = NodeProcess("client.js", options, self._take)
        try:
            wait_until(
                lambda: self.is_open or self._refused or self._closed, "the handshake to end"
            )
            if self._refused is not None:
                raise Refused(self._refused)
            assert self._closed is None, f"closed instead of opened: {self._closed}"
            if not reading:
                self._node.tell("read", reading=False)
        except BaseException:
            self._node.stop()
            raise

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "open":
            self.subprotocol = event["subprotocol"] or None
            self.extensions: str = event["extensions"]
            self.is_open = True
        elif kind == "refused":
            self._refused = event["status"]
        elif kind == "message":
            self.messages.append(_message(event))
        elif kind == "pong":
            self._pongs += 1
        elif kind == "close":
            self.is_open = False
            self._closed = (event["code"], event["reason"])

    @property
    def texts(self) -> list[str]:
        return [message.text for message in list(self.messages)]

    @property
    def numbers(self) -> list[int]:
        return [message.number for message in list(self.messages)]

    def read(self) -> None:
        self._node.tell("read", reading=True)

    def send(self, data: Data) -> None:
        self._node.tell("send", **_part(data))

    def send_fragments(self, parts: Sequence[Data]) -> None:
        self._node.tell("fragments", parts=[_part(part) for part in parts])

    def ping(self) -> None:
        already = self._pongs
        self._node.tell("ping")
        wait_until(lambda: self._pongs > already, "the Pong")

    def start_close(self, code: int = 1000, reason: str = "") -> None:
        self._node.tell("close", code=code, reason=reason)

    def start_close_empty(self) -> None:
        self._node.tell("closeEmpty")

    def wait_closed(self, deadline_s: float = DEADLINE_S) -> tuple[int, str]:
        wait_until(lambda: self._closed is not None, "node client to be closed", deadline_s)
        assert self._closed is not None
        return self._closed

    def close(self, code: int = 1000, reason: str = "") -> tuple[int, str]:
        self.start_close(code, reason)
        return self.wait_closed()

    def stop(self) -> None:
        self._node.stop()
