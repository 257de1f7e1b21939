"""Waiting for conditions.  The only place in these tests that sleeps."""

from __future__ import annotations

import os
import time
from typing import Callable, TypeVar, Union

T = TypeVar("T")

#: Generous: a condition that holds is noticed within POLL_S, so only a failure waits this long.
DEADLINE_S = float(os.environ.get("WSKEEP_TEST_DEADLINE_S", "30"))
POLL_S = 0.01


def wait_until(
    condition: Callable[[], T],
    what: Union[str, Callable[[], str]],
    deadline_s: float = DEADLINE_S,
) -> T:
    """Return the condition's first true value; fail with `what` when it stays false."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            shown = what() if callable(what) else what
            raise AssertionError(f"not within {deadline_s:g} s: {shown}")
        time.sleep(POLL_S)


def wait_until_still(value: Callable[[], object], still_s: float = 1.0) -> object:
    """Return the value once it has not changed for `still_s`: whoever moves it is held back."""
    seen = value()
    since = time.monotonic()

    def is_still() -> bool:
        nonlocal seen, since
        now = value()
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since >= still_s

    wait_until(is_still, lambda: f"still moving, now {seen!r}", 120)
    return seen


def let_time_pass(seconds: float) -> None:
    """For promises about a span of time: nothing else can stand for 60 seconds but 60 seconds."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time to pass", seconds + 1)
