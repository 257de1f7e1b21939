"""Streams that are nearly right: what a peer with a grudge, or a bug, would send."""

from __future__ import annotations

import random
from typing import Callable

from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload, encode

#: Bytes that mean something at one place or another.
PITHY = [b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"\xff", b"\x7e", b"\x7f", b"\x80", b"\x8a\x0a", b":"]


def payload(chance: random.Random) -> bytes:
    size = chance.choice((0, 1, 8, 9, 124, 125, 126, 127, 300, 65535, 65536, 70_000))
    return chance.randbytes(min(size, chance.choice((200, 1 << 20))))


def frame(chance: random.Random, masked: bool) -> bytes:
    opcode = chance.choice((TEXT, BINARY, BINARY, CONTINUATION, PING, PONG, PONG))
    if chance.random() < 0.05:
        code = chance.choice((0, 999, 1000, 1001, 1005, 1006, 1011, 1015, 3000, 4999, 65535))
        return encode(CLOSE, chance.choice((b"", b"\x03", close_payload(code, "x" * 9))), masked=masked)
    if opcode in (PING, PONG):
        return encode(opcode, payload(chance)[:125], masked=masked)
    return encode(
        opcode,
        b"text" if opcode == TEXT else payload(chance),
        fin=chance.random() < 0.7,
        masked=masked,
        rsv=0 if chance.random() < 0.97 else chance.randrange(8),
        length_form=None if chance.random() < 0.97 else 8,
        announced_bytes=None if chance.random() < 0.97 else chance.getrandbits(64),
    )


def mutate(chance: random.Random, stream: bytes) -> bytes:
    """A few bytes changed, taken out, put in, said twice or cut off."""
    out = bytearray(stream)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        at = chance.randrange(len(out) + 1)
        end = min(len(out), at + chance.choice((1, 2, 7, 100)))
        kind = chance.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del out[at:end]
        elif kind == 2:
            out[at:at] = chance.choice(PITHY)
        elif kind == 3:
            out[at:at] = out[at:end]
        elif kind == 4:
            out[at:end] = chance.randbytes(end - at)
        elif kind == 5 and chance.random() < 0.3:
            del out[at:]
    return bytes(out)


def stream(chance: random.Random, masked: bool) -> bytes:
    frames = [frame(chance, masked) for _ in range(chance.randrange(12))]
    return mutate(chance, b"".join(frames))


def write_ragged(chance: random.Random, write: Callable[[bytes], None], data: bytes) -> None:
    """In pieces of any size."""
    pieces_max = chance.choice((1, 3, 40))
    at = 0
    for _ in range(pieces_max - 1):
        end = at + chance.randrange(1, max(2, 2 * len(data) // pieces_max))
        write(data[at:end])
        at = end
    write(data[at:])
