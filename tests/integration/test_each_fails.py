"""Whatever fails, and whenever: a named result, never a crash, a leak, or a silent loss.

For each kind of call the first, the second, ... one of a life fails, and later conversations must
be as good as ever.  `make soak` lets each one fail, of a few thousand every third or so; otherwise
some do, spread over the life.
"""

from __future__ import annotations

import errno
import pathlib
from typing import Iterator

import pytest

from certificates import Authority
from lives import Fault, Peers, live
from soaking import long_or_short, say
from wskeepd_process import WSKEEPD_FAULTS, is_sanitized

SAMPLES = long_or_short(1500, 6 if is_sanitized() else 12)  #: of one kind, at most

pytestmark = pytest.mark.skipif(not WSKEEPD_FAULTS.exists(), reason="wskeepd_faults is not built")

KINDS = [
    ("memory", errno.ENOMEM),
    ("libraries", errno.ENOMEM),
    ("read", errno.ECONNRESET),
    ("read", errno.EIO),
    ("write", errno.EPIPE),
    ("write", errno.ENOBUFS),
    ("connect", errno.ENETUNREACH),
    ("connect", errno.EADDRNOTAVAIL),
    ("accept", errno.EMFILE),
    ("accept", errno.ECONNABORTED),
    ("socket", errno.EMFILE),
    ("open", errno.EMFILE),
    ("open", errno.EIO),
    ("epoll", errno.ENOMEM),
    ("thread", errno.EAGAIN),
]


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def peers(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Peers]:
    peers = Peers(tmp_path, Authority(tmp_path) if request.param else None)
    try:
        yield peers
    finally:
        peers.stop()


def picks(count: int) -> list[int]:
    """All of them, or some from the first to the last: the same ones, though the count of a life
    depends on what meets what."""
    if count <= SAMPLES:
        return list(range(1, count + 1))
    step = 1
    while count // step >= SAMPLES:
        step *= 2
    return [1, *range(step, count + 1, step)]


def fail_each(peers: Peers, folder: pathlib.Path, kind: str, error: int, times: int) -> None:
    """A life that has fewer calls than the first one had may end before the chosen one."""
    count = live(peers, folder / "0", Fault(kind, 0, 0, error), 1).count
    assert count > 0
    felt = 0
    for nth in picks(count):
        story = live(peers, folder / str(nth), Fault(kind, nth, times, error), 10 * (nth + 1))
        assert story.failed or story.count < nth, f"{kind}: call {nth} of {story.count} did not fail"
        felt += bool(story.failed)
        if nth % 20 == 0:
            say(f"{kind}: {nth} of {count}")
    assert felt > 0


@pytest.mark.soak
@pytest.mark.slow(20)
@pytest.mark.parametrize("kind,error", KINDS, ids=lambda v: errno.errorcode.get(v, v))
def test_the_nth_call_fails(peers: Peers, tmp_path: pathlib.Path, kind: str, error: int) -> None:
    fail_each(peers, tmp_path, kind, error, 1)


@pytest.mark.soak
@pytest.mark.slow(20)
@pytest.mark.parametrize("kind", ["memory", "libraries"])
def test_a_few_in_a_row_fail(peers: Peers, tmp_path: pathlib.Path, kind: str) -> None:
    """What is done about the first may fail, too."""
    fail_each(peers, tmp_path, kind, errno.ENOMEM, 3)
