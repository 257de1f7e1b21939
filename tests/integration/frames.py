"""RFC 6455 frames for raw peers: what they send is exact, and may be wrong on purpose."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from dataclasses import dataclass
from typing import Callable, Optional

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes = b""
    fin: bool = True
    masked: bool = False
    rsv: int = 0  #: three bits; 4: RSV1, deflated (RFC 7692)

    @property
    def close_code(self) -> int:
        """Of a Close frame; 1005: it is empty."""
        assert self.opcode == CLOSE
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else 1005

    @property
    def close_reason(self) -> str:
        return self.payload[2:].decode()


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack(">H", code) + reason.encode()


def apply_mask(payload: bytes, key: bytes) -> bytes:
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(
        len(payload), "big"
    )


def encode(
    opcode: int,
    payload: bytes = b"",
    fin: bool = True,
    masked: bool = False,
    rsv: int = 0,
    length_form: Optional[int] = None,
    announced_bytes: Optional[int] = None,
    key: Optional[bytes] = None,
) -> bytes:
    """One frame.

    length_form      bytes of the extended length, 0, 2 or 8, where the shortest is not wanted
    announced_bytes  a length other than the payload's
    key              of the mask, where a random one is not wanted
    """
    length = len(payload) if announced_bytes is None else announced_bytes
    if length_form is None:
        length_form = 0 if length <= 125 else 2 if length <= 0xFFFF else 8
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if length_form == 0:
        head += bytes([mask_bit | length])
    elif length_form == 2:
        head += bytes([mask_bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", length)
    if not masked:
        return head + payload
    key = key or os.urandom(4)
    return head + key + apply_mask(payload, key)


class FrameReader:
    """Reads frames from a receive function, buffering what came with them."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()

    def _more(self) -> None:
        chunk = self._receive(262144)
        if not chunk:
            raise EOFError
        self._buffer += chunk

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        return self.exactly(self._buffer.index(mark) + len(mark))

    def frame(self) -> Frame:
        first, second = self.exactly(2)
        length = second & 0x7F
        if length == 126:
            length = struct.unpack(">H", self.exactly(2))[0]
            assert length > 125, "a length in 16 bits that fits into 7 (RFC 6455 section 5.2)"
        elif length == 127:
            length = struct.unpack(">Q", self.exactly(8))[0]
            assert length > 0xFFFF, "a length in 64 bits that fits into 16"
        masked = bool(second & 0x80)
        key = self.exactly(4) if masked else b""
        payload = self.exactly(length)
        return Frame(
            opcode=first & 0x0F,
            payload=apply_mask(payload, key) if masked else payload,
            fin=bool(first & 0x80),
            masked=masked,
            rsv=first >> 4 & 7,
        )


def accept_value(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + ACCEPT_SUFFIX).encode()).digest()).decode()


@dataclass(frozen=True)
class Head:
    """The first line and the headers of a request or a response, names in lower case."""

    first_line: str
    headers: dict[str, str]

    @classmethod
    def parse(cls, raw: bytes) -> "Head":
        first_line, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return cls(first_line, {name.strip().lower(): value.strip() for name, value in pairs})

    @property
    def status(self) -> int:
        return int(self.first_line.split()[1])

    @property
    def target(self) -> str:
        """Of a request."""
        return self.first_line.split()[1]
