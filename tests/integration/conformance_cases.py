"""RFC 6455 as tables: what one peer sends, and what must come of it.

The rows know nothing of roles: the same frames come from a client (masked) and from an upstream
(not masked).  What the other leg sees of it is told by the tests of each role.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Sequence

import pytest

from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload, encode

Broken = tuple[int, str]  #: code and reason of the Close that answers a broken rule

RESERVED_BIT = (1002, "reserved bit set")
UNKNOWN_OPCODE = (1002, "unknown opcode")
CONTROL_SHAPE = (1002, "control frame fragmented or over 125 bytes")
LENGTH_FORM = (1002, "length not in its shortest form")
MASKED_WRONG = (1002, "frame masked the wrong way")
OF_NOTHING = (1002, "continuation without a message")
INSIDE = (1002, "new message inside a fragmented one")
BAD_CLOSE = (1002, "invalid close frame")
BAD_REASON = (1007, "close reason is not UTF-8")
NOT_UTF8 = (1007, "text is not UTF-8")
TOO_BIG = (1009, "message too big")
TOO_MANY = (1009, "too many fragments")

NAMES = {
    CONTINUATION: "continuation",
    TEXT: "text",
    BINARY: "binary",
    CLOSE: "close",
    PING: "ping",
    PONG: "pong",
}


@dataclass(frozen=True)
class Piece:
    """One frame, right for its role but for what is said here."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    length_form: Optional[int] = None
    announced: Optional[int] = None  #: more than the payload: the frame never ends
    wrong_mask: bool = False
    key: Optional[bytes] = None

    def encode(self, masks: bool) -> bytes:
        return encode(
            self.opcode,
            self.payload,
            fin=self.fin,
            masked=masks != self.wrong_mask,
            rsv=self.rsv,
            length_form=self.length_form,
            announced_bytes=self.announced,
            key=self.key,
        )


@dataclass(frozen=True)
class Case:
    name: str  #: starts with the section of RFC 6455
    sends: tuple[Piece, ...]
    relayed: tuple[tuple[int, bytes], ...] = ()  #: whole messages, in order
    pongs: tuple[bytes, ...] = ()  #: all that are sent back, in order
    broken: Optional[Broken] = None
    chops: tuple[int, ...] = (0, 1)  #: bytes of one write; 0: all in one

    def encode(self, masks: bool) -> bytes:
        return b"".join(piece.encode(masks) for piece in self.sends)


def write_in_pieces(write: Callable[[bytes], None], raw: bytes, chop: int) -> None:
    """In writes of so many bytes; 0: all in one."""
    view = memoryview(raw)
    size = chop or max(len(raw), 1)
    for start in range(0, len(raw), size):
        write(view[start : start + size])  # type: ignore[arg-type]


def rows(*tables: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrize by `case` and `chop`."""
    chosen = [(case, chop) for table in tables for case in table for chop in case.chops]
    names = [f"{case.name}-{f'by-{chop}' if chop else 'whole'}" for case, chop in chosen]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
    return pytest.mark.parametrize("case,chop", chosen, ids=names)


def read_answers(read: Callable[[], Frame], case: Case) -> Optional[bytes]:
    """Read what the row promises, all of it; returns the body of a Close."""
    messages: list[tuple[int, bytes]] = []
    pongs: list[bytes] = []
    while case.broken or len(messages) < len(case.relayed) or len(pongs) < len(case.pongs):
        frame = read()
        if frame.opcode == PONG:
            pongs.append(frame.payload)
        elif frame.opcode == CLOSE:
            assert tuple(pongs) == case.pongs
            # Their echo may not have come back before the Close.
            assert tuple(messages) == case.relayed[: len(messages)]
            return frame.payload
        else:
            messages.append((frame.opcode, frame.payload))
    assert tuple(pongs) == case.pongs
    assert tuple(messages) == case.relayed
    return None


def text(payload: bytes, **shape: object) -> Piece:
    return Piece(TEXT, payload, **shape)  # type: ignore[arg-type]


def fragments(opcode: int, *payloads: bytes) -> tuple[Piece, ...]:
    """One message."""
    last = len(payloads) - 1
    return tuple(
        Piece(CONTINUATION if i else opcode, payload, fin=i == last)
        for i, payload in enumerate(payloads)
    )


def split(payload: bytes, size: int) -> list[bytes]:
    return [payload[at : at + size] for at in range(0, len(payload), size)]


def begins(payload: bytes = b"", opcode: int = TEXT) -> Piece:
    return Piece(opcode, payload, fin=False)


def goes_on(payload: bytes = b"") -> Piece:
    return Piece(CONTINUATION, payload, fin=False)


def ends(payload: bytes = b"") -> Piece:
    return Piece(CONTINUATION, payload)


# 5.2: lengths.


def _lengths() -> Iterator[Case]:
    for opcode, letter in ((TEXT, b"*"), (BINARY, b"\xfe")):
        for size in (0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537):
            yield Case(
                f"5.2-{NAMES[opcode]}-of-{size}",
                (Piece(opcode, letter * size),),
                relayed=((opcode, letter * size),),
                chops=(0, 1) if size <= 128 else (0, 997),
            )
        yield Case(
            f"5.2-{NAMES[opcode]}-of-65536-byte-by-byte",
            (Piece(opcode, letter * 65536),),
            relayed=((opcode, letter * 65536),),
            chops=(1,),
        )


def _length_forms() -> Iterator[Case]:
    for opcode in (TEXT, BINARY):
        for size, form in ((0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)):
            yield Case(
                f"5.2-{NAMES[opcode]}-of-{size}-written-in-{form}-bytes",
                (Piece(opcode, length_form=form, announced=size),),
                broken=LENGTH_FORM,
            )
        for announced in (1 << 63, (1 << 63) + 1, (1 << 64) - 1):
            yield Case(
                f"5.2-{NAMES[opcode]}-length-{announced:#x}",
                (Piece(opcode, announced=announced),),
                broken=LENGTH_FORM,
            )
        for announced in ((1 << 24) + 1, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1):
            yield Case(
                f"7.4.1-{NAMES[opcode]}-length-{announced:#x}",
                (Piece(opcode, announced=announced),),
                broken=TOO_BIG,
            )
    yield Case(
        "5.2-continuation-written-in-2-bytes",
        (begins(b"a"), Piece(CONTINUATION, length_form=2, announced=5)),
        broken=LENGTH_FORM,
    )


LENGTHS = [*_lengths(), *_length_forms()]


# 5.2: reserved bits and opcodes.


def _reserved_bits() -> Iterator[Case]:
    for rsv in range(1, 8):
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
            payload = close_payload(1000) if opcode == CLOSE else b"a"
            yield Case(
                f"5.2-rsv-{rsv}-{NAMES[opcode]}",
                (Piece(opcode, payload, rsv=rsv),),
                broken=RESERVED_BIT,
            )
            yield Case(
                f"5.2-rsv-{rsv}-empty-{NAMES[opcode]}",
                (Piece(opcode, rsv=rsv),),
                broken=RESERVED_BIT,
                chops=(0,),
            )
        yield Case(
            f"5.2-rsv-{rsv}-first-fragment",
            (Piece(TEXT, b"a", fin=False, rsv=rsv),),
            broken=RESERVED_BIT,
        )
        yield Case(
            f"5.2-rsv-{rsv}-continuation",
            (begins(b"a"), Piece(CONTINUATION, b"b", rsv=rsv)),
            broken=RESERVED_BIT,
        )
        yield Case(
            f"5.2-rsv-{rsv}-ping-between-fragments",
            (begins(b"a"), Piece(PING, b"p"), Piece(PING, b"q", rsv=rsv), ends(b"b")),
            pongs=(b"p",),
            broken=RESERVED_BIT,
        )


def _reserved_opcodes() -> Iterator[Case]:
    for opcode in (*range(3, 8), *range(11, 16)):
        for how, piece in {
            "empty": Piece(opcode),
            "with-payload": Piece(opcode, b"reserved"),
            "not-final": Piece(opcode, b"reserved", fin=False),
        }.items():
            yield Case(f"5.2-opcode-{opcode}-{how}", (piece,), broken=UNKNOWN_OPCODE)
        yield Case(
            f"5.2-opcode-{opcode}-between-fragments",
            (begins(b"a"), Piece(PING, b"p"), Piece(opcode, b"x"), ends(b"b")),
            pongs=(b"p",),
            broken=UNKNOWN_OPCODE,
        )


RESERVED = [*_reserved_bits(), *_reserved_opcodes()]


# 5.1 and 5.3: masks.


def _masks() -> Iterator[Case]:
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
        for payload in (b"", close_payload(1000)):
            yield Case(
                f"5.1-{NAMES[opcode]}-of-{len(payload)}-masked-the-wrong-way",
                (Piece(opcode, payload, wrong_mask=True),),
                broken=MASKED_WRONG,
            )
    yield Case(
        "5.1-continuation-masked-the-wrong-way",
        (begins(b"a"), Piece(CONTINUATION, b"b", wrong_mask=True)),
        broken=MASKED_WRONG,
    )
    yield Case(
        "5.1-long-binary-masked-the-wrong-way",
        (Piece(BINARY, b"a" * 70000, wrong_mask=True),),
        broken=MASKED_WRONG,
        chops=(0,),
    )
    for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0"):
        yield Case(
            f"5.3-mask-{key.hex()}",
            (Piece(TEXT, b"any key will do", key=key), Piece(PING, b"any", key=key)),
            relayed=((TEXT, b"any key will do"),),
            pongs=(b"any",),
        )


MASKS = [*_masks()]


# 5.5: control frames.

BYTES_125 = bytes(range(131, 256))


def _pings() -> Iterator[Case]:
    for size in (0, 1, 2, 4, 63, 124, 125):
        payload = BYTES_125[:size]
        yield Case(f"5.5.2-ping-of-{size}", (Piece(PING, payload),), pongs=(payload,))
        yield Case(f"5.5.3-pong-of-{size}-unasked", (Piece(PONG, payload),))
    yield Case(
        "5.5.3-pong-unasked-then-ping",
        (Piece(PONG, b"nobody asked"), Piece(PING, b"p"), Piece(PONG), text(b"a")),
        relayed=((TEXT, b"a"),),
        pongs=(b"p",),
    )
    for opcode in (PING, PONG, CLOSE):
        name = NAMES[opcode]
        payload = close_payload(1000) + b"a" * 65534
        yield Case(f"5.5-{name}-of-126", (Piece(opcode, payload[:126]),), broken=CONTROL_SHAPE)
        yield Case(
            f"5.5-{name}-of-65536", (Piece(opcode, payload),), broken=CONTROL_SHAPE, chops=(0,)
        )
        for form in (2, 8):
            yield Case(
                f"5.5-{name}-of-2-written-in-{form}-bytes",
                (Piece(opcode, payload[:2], length_form=form),),
                broken=CONTROL_SHAPE,
            )
        yield Case(
            f"5.5-{name}-fragmented", (Piece(opcode, payload[:2], fin=False),), broken=CONTROL_SHAPE
        )
        yield Case(
            f"5.5-{name}-fragmented-between-fragments",
            (begins(b"a"), Piece(opcode, payload[:2], fin=False), ends(b"b")),
            broken=CONTROL_SHAPE,
        )
    ten = tuple(b"ping %d" % number for number in range(10))
    yield Case("5.5.2-ten-pings", tuple(Piece(PING, p) for p in ten), pongs=ten)
    hundred = tuple(b"%d:" % n + BYTES_125[: n % 120] for n in range(100))
    yield Case(
        "5.5.2-hundred-pings", tuple(Piece(PING, p) for p in hundred), pongs=hundred, chops=(0, 7)
    )
    yield Case(
        "5.5.2-ping-after-every-message",
        tuple(p for b in ten for p in (text(b), Piece(PING, b))),
        relayed=tuple((TEXT, b) for b in ten),
        pongs=ten,
    )


CONTROL = [*_pings()]


# 5.4: fragments.


def _fragmented(opcode: int) -> Iterator[Case]:
    name = NAMES[opcode]
    for how, payloads in {
        "two": (b"frag", b"ment"),
        "three": (b"f", b"ragmen", b"t"),
        "of-one-byte": (b"f", b"r", b"a", b"g"),
        "empty-first": (b"", b"fragment"),
        "empty-middle": (b"frag", b"", b"", b"ment"),
        "empty-last": (b"fragment", b""),
        "all-empty": (b"", b"", b""),
        "of-125-126-127": (b"a" * 125, b"b" * 126, b"c" * 127),
    }.items():
        yield Case(
            f"5.4-{name}-fragments-{how}",
            fragments(opcode, *payloads),
            relayed=((opcode, b"".join(payloads)),),
        )
    yield Case(
        f"5.4-{name}-fragments-ping-between",
        (begins(b"a", opcode), Piece(PING, b"p"), ends(b"b")),
        relayed=((opcode, b"ab"),),
        pongs=(b"p",),
    )
    yield Case(
        f"5.4-{name}-empty-fragments-ping-between",  # the last one looks like a whole frame
        (begins(b"", opcode), Piece(PING, b"p"), ends()),
        relayed=((opcode, b""),),
        pongs=(b"p",),
    )
    yield Case(
        f"5.4-{name}-fragments-controls-everywhere",
        (
            Piece(PING, b"1"),
            begins(b"a", opcode),
            Piece(PONG, b"unasked"),
            Piece(PING, b"2"),
            Piece(PING, BYTES_125),
            goes_on(b""),
            Piece(PING),
            goes_on(b"b"),
            Piece(PONG),
            ends(b"c"),
            Piece(PING, b"5"),
        ),
        relayed=((opcode, b"abc"),),
        pongs=(b"1", b"2", BYTES_125, b"", b"5"),
    )
    yield Case(
        f"5.4-{name}-fragments-thousand",
        fragments(opcode, *([b"ab"] * 1000)),
        relayed=((opcode, b"ab" * 1000),),
        chops=(0, 3),
    )
    yield Case(
        f"5.4-{name}-fragmented-messages-in-a-row",
        fragments(opcode, b"1", b"2") * 3 + (Piece(opcode, b"3"),) + fragments(opcode, b"", b"4"),
        relayed=((opcode, b"12"),) * 3 + ((opcode, b"3"), (opcode, b"4")),
    )
    for fin in (True, False):
        last = "last" if fin else "not-last"
        yield Case(
            f"5.4-{name}-inside-a-message-{last}",
            (begins(b"a"), Piece(PING, b"p"), Piece(opcode, b"b", fin=fin)),
            pongs=(b"p",),
            broken=INSIDE,
        )
        yield Case(
            f"5.4-empty-{name}-inside-a-message-{last}",
            (begins(b"", BINARY), goes_on(), Piece(opcode, fin=fin)),
            broken=INSIDE,
        )


def _of_nothing() -> Iterator[Case]:
    for fin in (True, False):
        for payload in (b"", b"a"):
            last = "last" if fin else "not-last"
            continuation = Piece(CONTINUATION, payload, fin=fin)
            name = f"5.4-continuation-of-nothing-{last}-of-{len(payload)}"
            yield Case(name, (continuation,), broken=OF_NOTHING)
            yield Case(
                f"{name}-after-a-message",
                (text(b"whole"), continuation),
                relayed=((TEXT, b"whole"),),
                broken=OF_NOTHING,
            )
            yield Case(
                f"{name}-after-a-fragmented-message",
                (*fragments(BINARY, b"a", b"b"), Piece(PING, b"p"), continuation),
                relayed=((BINARY, b"ab"),),
                pongs=(b"p",),
                broken=OF_NOTHING,
            )


FRAGMENTS = [*_fragmented(TEXT), *_fragmented(BINARY), *_of_nothing()]


# 8.1: UTF-8.

VALID_UTF8: dict[str, bytes] = {
    "ascii": bytes(range(128)),
    "greek": "κόσμε".encode(),
    "one-of-each-length": "$¢€𐍈".encode(),
    "many-of-each-length": "Hellö€𐍈 wörld¢ ".encode() * 40,
    **{
        f"U+{point:04X}": chr(point).encode()
        for point in (
            *(0x00, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xCFFF, 0xD000, 0xD7FF, 0xE000),
            *(0xFFFD, 0x10000, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFD),
            *(0xFDD0, 0xFDEF),  # noncharacters are characters enough
            *(plane | last for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)),
            0xFEFF,
        )
    },
}


def _invalid_utf8() -> dict[str, bytes]:
    found = {
        # What no byte of UTF-8 looks like.
        **{f"byte-{b:02x}": bytes([b]) for b in (0xC0, 0xC1, *range(0xF5, 0x100))},
        # Continuation bytes on their own.
        "stray-80": b"\x80",
        "stray-bf": b"\xbf",
        "stray-80-bf": b"\x80\xbf",
        "stray-64": bytes(range(0x80, 0xC0)),
        "stray-after-a-character": "€".encode() + b"\x80",
        # Overlong.
        "overlong-2-slash": b"\xc0\xaf",
        "overlong-2-nul": b"\xc0\x80",
        "overlong-2-highest": b"\xc1\xbf",
        "overlong-3-slash": b"\xe0\x80\xaf",
        "overlong-3-highest": b"\xe0\x9f\xbf",
        "overlong-4-slash": b"\xf0\x80\x80\xaf",
        "overlong-4-highest": b"\xf0\x8f\xbf\xbf",
        "five-bytes": b"\xf8\x88\x80\x80\x80",
        "six-bytes": b"\xfc\x84\x80\x80\x80\x80",
        # Over U+10FFFF.
        "U+110000": b"\xf4\x90\x80\x80",
        "U+13FFFF": b"\xf4\xbf\xbf\xbf",
        "U+140000": b"\xf5\x80\x80\x80",
        "U+1FFFFF": b"\xf7\xbf\xbf\xbf",
        # Surrogates, alone and in pairs.
        **{
            f"U+{point:04X}": chr(point).encode("utf-8", "surrogatepass")
            for point in (0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF)
        },
        "U+D800-U+DC00": "\ud800\udc00".encode("utf-8", "surrogatepass"),
        "U+DBFF-U+DFFF": "\udbff\udfff".encode("utf-8", "surrogatepass"),
        # What follows a first byte is no continuation.
        **{
            f"{first:02x}-then-{wrong:02x}": bytes([first, wrong])
            for first in (0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4)
            for wrong in (0x20, 0x7F, 0xC0, 0xC2)
        },
        "e1-80-then-20": b"\xe1\x80\x20",
        "f1-80-then-20": b"\xf1\x80\x20",
        "f1-80-80-then-20": b"\xf1\x80\x80\x20",
        "f1-80-80-then-c0": b"\xf1\x80\x80\xc0",
    }
    return {name: b"ok " + raw for name, raw in found.items()}


INVALID_UTF8 = _invalid_utf8()

#: Right so far, and then the message ends.
CUT_UTF8 = {
    f"{chr(point).encode()[:length].hex('-')}": chr(point).encode()[:length]
    for point in (0x80, 0x7FF, 0x800, 0xD7FF, 0xFFFF, 0x10000, 0x10FFFF)
    for length in range(1, len(chr(point).encode()))
}


def _may_go_on(raw: bytes) -> bool:
    """With the lowest or the highest continuation bytes, one to three, or as it is."""
    for filling in {byte * count for byte in (b"\x80", b"\xbf") for count in range(4)}:
        try:
            (raw + filling).decode()
            return True
        except UnicodeDecodeError:
            continue
    return False


def first_wrong_byte(raw: bytes) -> int:
    """Its index: whatever follows this byte, the text is not UTF-8."""
    return next(index for index in range(len(raw)) if not _may_go_on(raw[: index + 1]))


def _valid_texts() -> Iterator[Case]:
    for name, raw in VALID_UTF8.items():
        yield Case(f"8.1-{name}", (text(raw),), relayed=((TEXT, raw),))
    for name in ("one-of-each-length", "U+10FFFF", "U+FFFF"):
        raw = VALID_UTF8[name]
        for at in range(len(raw) + 1):
            yield Case(
                f"8.1-{name}-split-at-{at}",
                fragments(TEXT, raw[:at], raw[at:]),
                relayed=((TEXT, raw),),
            )
    raw = VALID_UTF8["many-of-each-length"]
    yield Case(
        "8.1-many-of-each-length-in-fragments-of-one-byte",
        fragments(TEXT, *split(raw, 1)),
        relayed=((TEXT, raw),),
        chops=(0, 1),
    )
    yield Case(
        "8.1-ping-inside-a-character",
        (begins(b"\xf4"), Piece(PING, b"\xff"), goes_on(b"\x8f\xbf"), ends(b"\xbf")),
        relayed=((TEXT, b"\xf4\x8f\xbf\xbf"),),
        pongs=(b"\xff",),
    )


def _invalid_texts() -> Iterator[Case]:
    for name, raw in INVALID_UTF8.items():
        yield Case(f"8.1-{name}", (text(raw),), broken=NOT_UTF8)
        binary = Piece(BINARY, raw)
        yield Case(f"5.6-{name}-as-binary", (binary,), relayed=((BINARY, raw),), chops=(0,))
    for name, raw in CUT_UTF8.items():
        yield Case(f"8.1-cut-after-{name}", (text(raw),), broken=NOT_UTF8)
        yield Case(
            f"8.1-cut-after-{name}-empty-last-fragment",
            (begins(raw), Piece(PING, b"p"), ends()),
            pongs=(b"p",),
            broken=NOT_UTF8,
            chops=(0,),
        )
    yield Case(
        "8.1-no-character-goes-on-in-the-next-message",
        (Piece(BINARY, b"\xe2"), text(b"\x82\xac")),
        relayed=((BINARY, b"\xe2"),),
        broken=NOT_UTF8,
    )


def _fails_fast() -> Iterator[Case]:
    """The byte that shows it is the last one sent, and until there all is well."""
    for name, raw in INVALID_UTF8.items():
        wrong = first_wrong_byte(raw)
        yield Case(
            f"8.1-fail-fast-{name}-unfinished-frame",
            (text(raw[: wrong + 1], announced=len(raw) + 70000),),
            broken=NOT_UTF8,
            chops=(0, 1),
        )
        yield Case(
            f"8.1-fail-fast-{name}-fragment",
            (begins(raw[:wrong]), Piece(PING, b"so far"), goes_on(raw[wrong : wrong + 1])),
            pongs=(b"so far",),
            broken=NOT_UTF8,
            chops=(0,),
        )
        yield Case(
            f"8.1-fail-fast-{name}-unfinished-continuation",
            (
                begins(raw[:wrong]),
                Piece(PING, b"so far"),
                Piece(CONTINUATION, raw[wrong : wrong + 1], announced=1000),
            ),
            pongs=(b"so far",),
            broken=NOT_UTF8,
            chops=(0,),
        )
    long = "ä€".encode() * 20000
    yield Case(
        "8.1-fail-fast-in-100-KB-of-a-frame-of-16-MiB",
        (text(long + b"\xff", announced=1 << 24),),
        broken=NOT_UTF8,
        chops=(0, 4096),
    )


UTF8 = [*_valid_texts(), *_invalid_texts(), *_fails_fast()]


# 5.5.1 and 7.4: what a Close may say.

#: Section 7.4.1 and the registry of RFC 6455 section 11.7 (1012 to 1014); 7.4.2.
LEGAL_CODES = [
    *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
    *(3000, 3001, 3500, 3999, 4000, 4001, 4500, 4998, 4999),
]
ILLEGAL_CODES = [
    *(0, 1, 2, 255, 256, 500, 998, 999),
    *(1004, 1005, 1006, 1015, 1016, 1017, 1099, 1100, 1500, 1999),  # not defined, or for no wire
    *(2000, 2001, 2500, 2998, 2999),  # of extensions that are not there
    *(5000, 5001, 9999, 10000, 32767, 32768, 49999, 65534, 65535),
]

#: Closes that are right: name, body, and what the body says.
LEGAL_CLOSES: list[tuple[str, bytes]] = [
    ("empty", b""),
    *((f"{code}", close_payload(code)) for code in LEGAL_CODES),
    *((f"{code}-with-reason", close_payload(code, "so be it")) for code in LEGAL_CODES),
    ("reason-of-1", close_payload(3000, "r")),
    ("reason-of-122", close_payload(3000, "r" * 122)),
    ("reason-of-123", close_payload(3000, "r" * 123)),
    ("reason-of-123-in-3-byte-characters", close_payload(4000, "€" * 41)),
    ("reason-U+0000", close_payload(3000, "a\0b")),
    ("reason-U+FFFF", close_payload(3000, "\uffff")),
    ("reason-U+10FFFF", close_payload(3000, "\U0010ffff")),
]


def _illegal_closes() -> Iterator[Case]:
    for byte in (0x00, 0x03, 0xFF):
        name = f"5.5.1-close-of-one-byte-{byte:02x}"
        yield Case(name, (Piece(CLOSE, bytes([byte])),), broken=BAD_CLOSE)
    yield Case(
        "5.5.1-close-of-one-byte-behind-a-ping",  # whose payload would make it whole
        (Piece(PING, close_payload(1000)), Piece(CLOSE, close_payload(1000)[:1])),
        pongs=(close_payload(1000),),
        broken=BAD_CLOSE,
    )
    for code in ILLEGAL_CODES:
        yield Case(f"7.4-close-{code}", (Piece(CLOSE, close_payload(code)),), broken=BAD_CLOSE)
        yield Case(
            f"7.4-close-{code}-with-reason",
            (Piece(CLOSE, close_payload(code, "r" * 123)),),
            broken=BAD_CLOSE,
            chops=(0,),
        )
    yield Case(
        "5.5-close-reason-of-124",
        (Piece(CLOSE, close_payload(1000, "r" * 124)),),
        broken=CONTROL_SHAPE,
    )
    for name, raw in {**INVALID_UTF8, **CUT_UTF8}.items():
        yield Case(
            f"5.5.1-close-reason-{name}",
            (Piece(CLOSE, close_payload(1000) + raw[:123]),),
            broken=BAD_REASON,
            chops=(0,),
        )
    yield Case(
        "7.4-close-1005-inside-a-message",
        (begins(b"a"), Piece(CLOSE, close_payload(1005))),
        broken=BAD_CLOSE,
    )


CLOSES = [*_illegal_closes()]

#: 5.5.1: what follows a Close is nothing, whatever it is.
AFTER_CLOSE: dict[str, tuple[Piece, ...]] = {
    "text": (text(b"late"),),
    "binary-in-fragments": fragments(BINARY, b"la", b"te"),
    "ping": (Piece(PING, b"late"),),
    "pong": (Piece(PONG, b"late"),),
    "the-same-close": (Piece(CLOSE, close_payload(3000, "first")),),
    "another-close": (Piece(CLOSE, close_payload(1002, "second")),),
    "bad-close": (Piece(CLOSE, b"\x03"),),
    "reserved-bits": (text(b"late", rsv=7),),
    "unknown-opcode": (Piece(15, b"late"),),
    "masked-the-wrong-way": (text(b"late", wrong_mask=True),),
    "not-utf8": (text(b"\xff"),),
    "a-long-message": (Piece(BINARY, b"late" * 50000),),
    "unfinished-frame": (Piece(BINARY, b"late", announced=1000),),
}


# 7.4.1: 1009, at limits of 64 KiB and 100 fragments.

MAX_MESSAGE = 65536
MAX_FRAGMENTS = 100


def _limits() -> Iterator[Case]:
    whole = b"a" * MAX_MESSAGE
    for opcode in (TEXT, BINARY):
        name = NAMES[opcode]
        yield Case(
            f"7.4.1-{name}-of-max-message",
            (Piece(opcode, whole),),
            relayed=((opcode, whole),),
            chops=(0, 1021),
        )
        yield Case(
            f"7.4.1-{name}-of-max-message-and-one",
            (Piece(opcode, announced=MAX_MESSAGE + 1),),
            broken=TOO_BIG,
        )
        yield Case(
            f"7.4.1-{name}-of-max-message-in-fragments",
            fragments(opcode, *split(whole, 1000), b""),
            relayed=((opcode, whole),),
            chops=(0, 1021),
        )
        yield Case(
            f"7.4.1-{name}-of-max-message-and-one-in-fragments",
            (*fragments(opcode, *split(whole, 1000), b"")[:-1], Piece(PING, b"p"), ends(b"b")),
            pongs=(b"p",),
            broken=TOO_BIG,
            chops=(0, 1021),
        )
        yield Case(
            f"7.4.1-{name}-last-fragment-announces-too-much",
            (begins(b"ab", opcode), Piece(CONTINUATION, announced=MAX_MESSAGE - 1)),
            broken=TOO_BIG,
        )
        yield Case(
            f"7.4.1-{name}-of-max-fragments",
            fragments(opcode, *([b"a"] * MAX_FRAGMENTS)),
            relayed=((opcode, b"a" * MAX_FRAGMENTS),),
        )
        yield Case(
            f"7.4.1-{name}-of-max-fragments-and-one",
            (*[begins(b"a", opcode), *[goes_on(b"a")] * (MAX_FRAGMENTS - 1)], ends()),
            broken=TOO_MANY,
        )
        yield Case(
            f"7.4.1-{name}-of-max-fragments-all-empty-and-one",
            (*[begins(b"", opcode), *[goes_on()] * (MAX_FRAGMENTS - 1)], goes_on()),
            broken=TOO_MANY,
        )
    yield Case(
        "7.4.1-controls-are-no-fragments",
        (begins(b"a"), *[Piece(PONG, b"p")] * (2 * MAX_FRAGMENTS), ends(b"b")),
        relayed=((TEXT, b"ab"),),
    )
    yield Case(
        "7.4.1-two-messages-of-max-message",
        (Piece(BINARY, whole), *fragments(BINARY, *split(whole, 1000)), Piece(BINARY, whole)),
        relayed=((BINARY, whole),) * 3,
        chops=(0, 4099),
    )


LIMITS = [*_limits()]


# Up to 16 MiB, the default max_message.


@dataclass(frozen=True)
class Large:
    opcode: int
    size: int
    fragment: int  #: bytes of one; 0: one frame
    chop: int  #: bytes of one write; 0: all in one

    @property
    def name(self) -> str:
        fragment = f"-fragments-of-{self.fragment}" if self.fragment else ""
        chop = f"-by-{self.chop}" if self.chop else ""
        return f"5.2-{NAMES[self.opcode]}-of-{self.size >> 10}KiB{fragment}{chop}"

    @property
    def payload(self) -> bytes:
        unit = "Größe€𐍈 ".encode() if self.opcode == TEXT else bytes(range(256)) + b"."
        return (unit * (self.size // len(unit))).ljust(self.size, b".")

    def encode(self, masks: bool, payload: bytes) -> bytes:
        parts = split(payload, self.fragment) if self.fragment else [payload]
        return b"".join(piece.encode(masks) for piece in fragments(self.opcode, *parts))


def _large() -> Iterator[Large]:
    KiB, MiB = 1 << 10, 1 << 20
    for opcode in (TEXT, BINARY):
        for size in (64 * KiB, 256 * KiB, MiB, 4 * MiB, 8 * MiB, 16 * MiB):
            yield Large(opcode, size, 0, 0)
        for fragment in (64, 256, KiB, 4 * KiB, 16 * KiB, 64 * KiB, 256 * KiB, MiB, 4 * MiB):
            yield Large(opcode, 4 * MiB, fragment, 0)
        for chop in (64, 128, 256, 512, 1024, 2048):
            yield Large(opcode, MiB, 0, chop)
        yield Large(opcode, 16 * MiB, 256, 0)  # 65536 fragments: the default max_fragments
        yield Large(opcode, 16 * MiB, 0, 1000)
        yield Large(opcode, 16 * MiB, 100003, 1009)


LARGE = [*_large()]

#: Many messages one after the other: size and count.
ROUNDS = [(0, 1000), (16, 1000), (64, 1000), (256, 1000), (1024, 1000), (4096, 500), (65536, 100)]
