"""RFC 7692 as tables, in the way of conformance_cases.py; what is deflated comes from Python."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Iterator

from conformance_cases import (
    MAX_MESSAGE,
    NOT_UTF8,
    RESERVED_BIT,
    TOO_BIG,
    Case,
    Piece,
    begins,
    fragments,
    split,
    text,
)
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload
from messages import noise

TAIL = b"\x00\x00\xff\xff"
RSV1 = 4

CORRUPT = (1007, "compressed message is corrupt")


@dataclass(frozen=True)
class Terms:
    """What both ends have agreed on (7.1)."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15

    @property
    def header(self) -> str:
        """The value of Sec-WebSocket-Extensions that says so, in an offer and in its answer."""
        parts = ["permessage-deflate"]
        if self.server_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.client_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.server_max_window_bits < 15:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        if self.client_max_window_bits < 15:
            parts.append(f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(parts)

    @property
    def name(self) -> str:
        return self.header.removeprefix("permessage-deflate").replace("; ", "+") or "as-it-is"


TERMS = [
    Terms(),
    Terms(server_no_context_takeover=True),
    Terms(client_no_context_takeover=True),
    Terms(server_no_context_takeover=True, client_no_context_takeover=True),
    *(Terms(server_max_window_bits=bits) for bits in range(8, 15)),
    *(Terms(client_max_window_bits=bits) for bits in range(8, 15)),
    Terms(server_max_window_bits=8, client_max_window_bits=8),
    Terms(True, True, 9, 9),
    Terms(True, False, 12, 10),
]


class Deflater:
    """One direction, sending.  Level 0 stores."""

    def __init__(self, bits: int = 15, keeps: bool = True, level: int = 6) -> None:
        self._bits = max(bits, 9)  # zlib has no 8; with 9 it reaches back 250 bytes at most
        self._keeps = keeps
        self._level = level
        self._stream = self._new()

    def _new(self) -> "zlib._Compress":
        return zlib.compressobj(self._level, zlib.DEFLATED, -self._bits)

    def __call__(self, payload: bytes) -> bytes:
        if not self._keeps:
            self._stream = self._new()
        raw = self._stream.compress(payload) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        assert raw.endswith(TAIL)
        return raw[:-4]


class Inflater:
    """One direction, receiving, with no more window than was agreed on."""

    def __init__(self, bits: int = 15, keeps: bool = True) -> None:
        self._bits = bits
        self._keeps = keeps
        self._stream = zlib.decompressobj(-bits)

    def __call__(self, payload: bytes) -> bytes:
        if not self._keeps:
            self._stream = zlib.decompressobj(-self._bits)
        found = self._stream.decompress(payload + TAIL)
        assert not self._stream.unused_data and not self._stream.unconsumed_tail
        return found


def deflated(payload: bytes, **shape: object) -> bytes:
    return Deflater(**shape)(payload)  # type: ignore[arg-type]


def final_block(payload: bytes) -> bytes:
    """7.2.3.4: a block marked as the last one, and an empty one behind it."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(payload) + stream.flush(zlib.Z_FINISH) + b"\x00"


def packed(opcode: int, raw: bytes, **shape: object) -> Piece:
    return Piece(opcode, raw, rsv=RSV1, **shape)  # type: ignore[arg-type]


def packed_fragments(opcode: int, *raws: bytes) -> tuple[Piece, ...]:
    """RSV1 on the first of them only."""
    first, *others = fragments(opcode, *raws)
    return (Piece(opcode, first.payload, fin=first.fin, rsv=RSV1), *others)


HELLO = b"Hello"
HELLO_RAW = bytes.fromhex("f248cdc9c90700")  # 7.2.3.1
PROSE = ("Über allen Gipfeln ist Ruh, in allen Wipfeln spürest du kaum einen Hauch. " * 30).encode()


def _rfc_examples() -> Iterator[Case]:
    """Section 7.2.3."""
    hello = ((TEXT, HELLO),)
    yield Case("7.2.3.1-one-block", (packed(TEXT, HELLO_RAW),), relayed=hello)
    yield Case(
        "7.2.3.1-in-two-fragments",
        packed_fragments(TEXT, HELLO_RAW[:3], HELLO_RAW[3:]),
        relayed=hello,
    )
    yield Case(
        "7.2.3.2-sliding-window",
        (packed(TEXT, HELLO_RAW), packed(TEXT, bytes.fromhex("f200110000"))),
        relayed=hello * 2,
    )
    yield Case(
        "7.2.3.3-block-without-compression",
        (packed(TEXT, bytes.fromhex("000500faff48656c6c6f00")),),
        relayed=hello,
    )
    yield Case(
        "7.2.3.4-final-block",
        (packed(TEXT, bytes.fromhex("f348cdc9c9070000")),),
        relayed=hello,
    )
    yield Case(
        "7.2.3.4-window-behind-a-final-block",
        (packed(TEXT, bytes.fromhex("f348cdc9c9070000")), packed(TEXT, bytes.fromhex("f200110000"))),
        relayed=hello * 2,
    )
    yield Case(
        "7.2.3.4-final-block-and-nothing-behind-it",
        (packed(TEXT, bytes.fromhex("f348cdc9c90700")),) * 2,
        relayed=hello * 2,
    )
    yield Case(
        "7.2.3.5-two-blocks",
        (packed(TEXT, bytes.fromhex("f24805000000ffffcac9c90700")),),
        relayed=hello,
    )
    yield Case("7.2.3.6-empty", (packed(TEXT, b"\x00"),), relayed=((TEXT, b""),))


def _messages() -> Iterator[Case]:
    for opcode in (TEXT, BINARY):
        for level in (0, 1, 6, 9):
            raw = deflated(PROSE, level=level)
            yield Case(
                f"7.2.1-level-{level}-{opcode}", (packed(opcode, raw),), relayed=((opcode, PROSE),)
            )
    raw = deflated(PROSE)
    whole = ((TEXT, PROSE),)
    for at in range(len(raw) + 1):
        yield Case(
            f"6.1-split-at-{at}",
            packed_fragments(TEXT, raw[:at], raw[at:]),
            relayed=whole,
            chops=(0,),
        )
    yield Case("6.1-fragments-of-1", packed_fragments(TEXT, *split(raw, 1)), relayed=whole)
    yield Case(
        "6.1-empty-fragments", packed_fragments(TEXT, b"", raw[:9], b"", raw[9:], b""), relayed=whole
    )
    first, second = packed_fragments(TEXT, raw[:20], raw[20:])
    yield Case(
        "6.1-controls-between-fragments",
        (first, Piece(PING, b"p"), Piece(PONG), second, Piece(PING, b"q")),
        relayed=whole,
        pongs=(b"p", b"q"),
    )
    pack = Deflater()
    a, b, c, d = (pack(data) for data in (PROSE, b"", PROSE, PROSE[:100]))
    yield Case(
        "6-plain-messages-between",
        (
            packed(TEXT, a),
            text(PROSE),
            packed(BINARY, b),
            *fragments(BINARY, b"\xff", b"plain"),
            *packed_fragments(TEXT, c[: len(c) // 2], c[len(c) // 2 :]),
            text(b""),
            packed(TEXT, d),
        ),
        relayed=(
            (TEXT, PROSE),
            (TEXT, PROSE),
            (BINARY, b""),
            (BINARY, b"\xffplain"),
            (TEXT, PROSE),
            (TEXT, b""),
            (TEXT, PROSE[:100]),
        ),
    )
    finals = [final_block(payload) for payload in (PROSE, b"", HELLO)]
    yield Case(
        "7.2.3.4-final-blocks-in-a-row",
        tuple(packed(BINARY, raw) for raw in finals) + (packed(TEXT, deflated(PROSE)),),
        relayed=((BINARY, PROSE), (BINARY, b""), (BINARY, HELLO), (TEXT, PROSE)),
    )
    yield Case(
        "7.2.3.6-empty-in-a-row",
        (packed(TEXT, b"\x00"),) * 50 + packed_fragments(BINARY, b"\x00", b""),
        relayed=((TEXT, b""),) * 50 + ((BINARY, b""),),
    )
    pack = Deflater()
    yield Case(
        "7.2.1-empty-again-and-again-between",
        tuple(packed(TEXT, pack(data)) for data in (b"", b"", b"a", b"", b"", PROSE)),
        relayed=tuple((TEXT, data) for data in (b"", b"", b"a", b"", b"", PROSE)),
    )


def _reserved() -> Iterator[Case]:
    """6: RSV1 on the first frame of a message and nowhere else; RSV2 and RSV3 on none."""
    for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE)):
        for payload in (b"", deflated(close_payload(1000))):
            yield Case(
                f"6-rsv1-{name}-of-{len(payload)}",
                (packed(opcode, payload),),
                broken=RESERVED_BIT,
            )
        first, second = packed_fragments(TEXT, HELLO_RAW[:3], HELLO_RAW[3:])
        yield Case(
            f"6-rsv1-{name}-between-fragments",
            (first, packed(opcode, b""), second),
            broken=RESERVED_BIT,
        )
    first, second = packed_fragments(TEXT, HELLO_RAW[:3], HELLO_RAW[3:])
    for fin in (True, False):
        yield Case(
            f"6.1-rsv1-continuation-{fin}",
            (first, packed(CONTINUATION, HELLO_RAW[3:], fin=fin)),
            broken=RESERVED_BIT,
        )
        yield Case(
            f"6.1-rsv1-continuation-of-a-plain-message-{fin}",
            (begins(b"plain"), packed(CONTINUATION, HELLO_RAW, fin=fin)),
            broken=RESERVED_BIT,
        )
    for rsv in (1, 2, 3, 5, 6, 7):
        for opcode in (TEXT, BINARY):
            yield Case(
                f"6-rsv-{rsv}-{opcode}", (Piece(opcode, HELLO_RAW, rsv=rsv),), broken=RESERVED_BIT
            )


def _corrupt() -> Iterator[Case]:
    raw = deflated(PROSE)
    for name, wrong in {
        "block-type-3": b"\x06",
        "stored-length": bytes.fromhex("000500fbff48656c6c6f00"),
        "reaches-before-the-beginning": bytes.fromhex("f200110000"),
        "no-deflate-at-all": b"\xff" * 20,
        "cut-by-1": raw[:-1],
        "cut-in-half": raw[: len(raw) // 2],
        "no-bytes": b"",
        "tail-not-removed": raw + TAIL + TAIL[:2],
    }.items():
        yield Case(f"7.2.2-{name}", (packed(BINARY, wrong),), broken=CORRUPT)
    yield Case(
        "7.2.2-fails-fast-in-a-fragment",
        (packed(BINARY, b"\xff" * 20, fin=False),),
        broken=CORRUPT,
    )
    yield Case(
        "7.2.2-plain-text-with-rsv1",
        (packed(TEXT, b"this is no DEFLATE"),),
        broken=CORRUPT,
    )


def _utf8() -> Iterator[Case]:
    wrong = "ä€".encode() * 300 + b"\xff"
    yield Case("8.1-not-utf8", (packed(TEXT, deflated(wrong)),), broken=NOT_UTF8)
    yield Case(
        "8.1-not-utf8-as-binary", (packed(BINARY, deflated(wrong)),), relayed=((BINARY, wrong),)
    )
    yield Case(
        "8.1-cut-character", (packed(TEXT, deflated(b"a" * 300 + b"\xe2\x82")),), broken=NOT_UTF8
    )
    yield Case(
        "8.1-surrogate", (packed(TEXT, deflated(b"a" * 300 + b"\xed\xa0\x80")),), broken=NOT_UTF8
    )
    fast = deflated(wrong, level=0)
    yield Case(
        "8.1-fails-fast-in-a-fragment",
        (packed(TEXT, fast + TAIL, fin=False), Piece(PING, b"too late")),
        broken=NOT_UTF8,
    )


DEFLATED = [*_rfc_examples(), *_messages(), *_reserved(), *_corrupt(), *_utf8()]


def _limits() -> Iterator[Case]:
    """max_message is that of the message, not of what it was deflated to."""
    whole = (noise(MAX_MESSAGE - 100) + "a" * 100).encode()
    zeros = b"\0" * MAX_MESSAGE
    for name, data in (("noise", whole), ("zeros", zeros)):
        for level in (0, 9):
            raw = deflated(data, level=level)
            yield Case(
                f"7.4.1-{name}-of-max-message-level-{level}",
                (packed(BINARY, raw),),
                relayed=((BINARY, data),),
                chops=(0, 997),
            )
            raw = deflated(data + b"b", level=level)
            yield Case(
                f"7.4.1-{name}-of-max-message-and-one-level-{level}",
                (packed(BINARY, raw),),
                broken=TOO_BIG,
                chops=(0, 997),
            )
            yield Case(
                f"7.4.1-{name}-of-max-message-and-one-in-fragments-level-{level}",
                packed_fragments(BINARY, *split(raw, len(raw) // 7 + 1)),
                broken=TOO_BIG,
                chops=(0, 997),
            )
    bomb = deflated(b"\0" * (1 << 26), level=9)
    yield Case("7.4.1-bomb", (packed(BINARY, bomb),), broken=TOO_BIG, chops=(0,))
    yield Case(
        "7.4.1-bomb-fails-fast",
        (packed(BINARY, bomb[:1000], announced=len(bomb)),),
        broken=TOO_BIG,
        chops=(0,),
    )


DEFLATED_LIMITS = [*_limits()]

#: 7.2.1: who has promised to forget and refers back all the same.
BREAKS_ITS_PROMISE = Case(
    "7.1.1-refers-to-the-message-before",
    (packed(TEXT, HELLO_RAW), packed(TEXT, bytes.fromhex("f200110000"))),
    relayed=((TEXT, HELLO),),
    broken=CORRUPT,
)


def message_of(size: int, number: int) -> bytes:
    """Text that deflates well, refers to those before it, and is each time another."""
    unit = f'{{"number": {number}, "text": "{noise(24, number * 7)}", "ok": true}} '.encode()
    return (unit * (size // len(unit) + 1))[:size]


#: Each of every size, and the sizes of the length forms and of zlib's windows.
SIZES = [
    *range(0, 300),
    *range(300, 5000, 37),
    *(1 << bits for bits in range(9, 18)),
    *((1 << bits) - 1 for bits in range(9, 18)),
    *((1 << bits) + 1 for bits in range(9, 18)),
]
ROUND_SIZES = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072]
