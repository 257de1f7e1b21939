"""Messages as peers record them, and the check that numbered ones arrived in order."""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import dataclass
from typing import Iterable, Optional, Sequence, Union

Data = Union[str, bytes]

KEPT_BYTES_MAX = 4096


@dataclass(frozen=True)
class Message:
    kind: str  #: "text" or "binary"
    size: int  #: payload bytes
    digest: str  #: SHA-256 of the payload
    head: str  #: the first bytes of the payload, one character each

    @classmethod
    def of(cls, data: Data) -> "Message":
        payload = data.encode() if isinstance(data, str) else bytes(data)
        return cls(
            kind="text" if isinstance(data, str) else "binary",
            size=len(payload),
            digest=hashlib.sha256(payload).hexdigest(),
            head=payload[:KEPT_BYTES_MAX].decode("latin-1"),
        )

    @property
    def text(self) -> str:
        assert self.kind == "text" and self.size <= KEPT_BYTES_MAX
        return self.head.encode("latin-1").decode()

    @property
    def number(self) -> int:
        """Of a message made by numbered()."""
        return int(self.head[:8])

    def __repr__(self) -> str:
        return f"<{self.kind} {self.size} {self.head[:24]!r}>"


#: Printable, and of no use to permessage-deflate.
_NOISE = base64.b64encode(random.Random(1).randbytes(1 << 21)).decode()


def noise(size: int, start: int = 0) -> str:
    """Characters that do not compress; another start gives others."""
    repeated = _NOISE * (1 + (start + size) // len(_NOISE))
    return repeated[start : start + size]


def numbered(number: int, size: int = 8) -> str:
    """A message that starts with its number and is `size` characters long."""
    return f"{number:08d}" + noise(size - 8, number * 65521 % (1 << 20))


@dataclass(frozen=True)
class Delivery:
    repeated: int  #: messages that arrived again
    connections: int  #: connections that carried at least one message


def check_delivery(
    connections: Sequence[Iterable[int]],
    count: int,
    acknowledged: Optional[Sequence[int]] = None,
) -> Delivery:
    """Numbers 0 to count-1 arrived, in order, without a gap.

    connections   the numbers each connection received, in the order the connections were made
    acknowledged  for each connection, how many messages were acknowledged for certain before the
                  next one began; none of those may come again

    On one connection each number is one more than the last.  A new connection starts again at or
    before the first one missing, and never at one that was acknowledged.
    """
    missing = 0
    repeated = 0
    carrying = 0
    for index, numbers in enumerate(connections):
        expected: Optional[int] = None
        for number in numbers:
            if expected is None:
                carrying += 1
                assert number <= missing, (
                    f"gap: connection {index} starts at {number}, {missing} never arrived"
                )
                if acknowledged is not None and index > 0:
                    assert number >= acknowledged[index - 1], (
                        f"connection {index} repeats {number}, but the {acknowledged[index - 1]} "
                        "messages before that were acknowledged"
                    )
            else:
                assert number == expected, (
                    f"connection {index}: {number} arrived where {expected} was next"
                )
            expected = number + 1
            if number < missing:
                repeated += 1
            missing = max(missing, number + 1)
    assert missing == count, f"{missing} of {count} arrived"
    return Delivery(repeated=repeated, connections=carrying)
