"""Long forms of some tests: `make soak` asks for them."""

from __future__ import annotations

import os

IS_SOAK = bool(os.environ.get("WSKEEP_SOAK"))


def long_or_short(long: int, short: int) -> int:
    return long if IS_SOAK else short


def say(what: str) -> None:
    """Progress of a long form."""
    if IS_SOAK:
        print(what, flush=True)
