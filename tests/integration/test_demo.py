"""wskeepctl demo: it shows that nothing is lost, and would notice if something were."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
from typing import Iterator, Optional

import pytest

from polling import DEADLINE_S, wait_until
from wskeepd_process import SANITIZER_REPORT, WSKEEPCTL, WSKEEPD

STAND_IN = pathlib.Path(__file__).parent / "peers" / "stand_in.py"


@pytest.fixture
def directory() -> Iterator[pathlib.Path]:
    """$TMPDIR of the demo: a short path, because a socket is made in it."""
    with tempfile.TemporaryDirectory(prefix="wskeep-", dir="/tmp") as name:
        yield pathlib.Path(name)


def start(
    directory: pathlib.Path, *arguments: str, stand_in: Optional[str] = None
) -> "subprocess.Popen[str]":
    environment = {**os.environ, "TMPDIR": str(directory)}
    if stand_in is not None:
        program = directory / "wskeepd"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
        program.chmod(0o755)
        environment["WSKEEP_STAND_IN"] = stand_in
        arguments += ("--wskeepd", str(program))
    return subprocess.Popen(
        [str(WSKEEPCTL), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def run(
    directory: pathlib.Path, *arguments: str, stand_in: Optional[str] = None
) -> "tuple[int, str, str]":
    """Exit status, standard output and standard error."""
    with start(directory, *arguments, stand_in=stand_in) as process:
        out, err = process.communicate(timeout=DEADLINE_S + 30)
    assert not SANITIZER_REPORT.search(out + err), out + err
    assert not list(directory.glob("wskeep-demo-*")), "its directory is removed"
    return process.returncode, out, err


def count(out: str, what: str) -> int:
    """A number of the summary."""
    found = re.search(rf"^  {what} +(\d+)", out, re.MULTILINE)
    assert found is not None, out
    return int(found.group(1))


def with_wskeepd(*arguments: str) -> "tuple[str, ...]":
    return ("demo", *arguments, "--wskeepd", str(WSKEEPD))


@pytest.mark.slow(5)
def test_nothing_is_lost(directory: pathlib.Path) -> None:
    """A short run breaks something, and each message arrives."""
    status, out, err = run(directory, *with_wskeepd("--seconds", "4"))
    assert (status, err) == (0, ""), out + err
    assert count(out, "sent") == count(out, "arrived") > 20
    assert count(out, "lost") == count(out, "out of order") == 0
    assert count(out, "upstream connections") >= 2
    assert "server: connection reset (RST)" in out
    assert "wskeepd: open again after tcp-reset" in out
    assert out.endswith("The client stayed on one connection for 4 s.\n")
    assert "\x1b" not in out and "\r" not in out


@pytest.mark.slow(16)
def test_every_fault_is_survived(directory: pathlib.Path) -> None:
    """At its usual length the server breaks in every way, and wskeepd says why each time."""
    status, out, err = run(directory, *with_wskeepd())
    assert (status, err) == (0, ""), out + err
    done = re.findall(r"^ +\d+ x  (.*)$", out, re.MULTILINE)
    assert len(done) == 6, out
    for cause in (
        "tcp-reset",
        'closed 1000 "interrupted"',
        "tcp-eof",
        "heartbeat-timeout",
        "tcp-refused",
        "http-status 503",
    ):
        assert f"wskeepd: open again after {cause}" in out
    assert count(out, "lost") == 0


@pytest.mark.slow(4)
def test_verbose_shows_the_log(directory: pathlib.Path) -> None:
    """--verbose shows each line of wskeepd's log."""
    status, out, err = run(directory, *with_wskeepd("--seconds", "2", "--verbose"))
    assert (status, err) == (0, ""), out + err
    for event in ("ready", "move", "session-end", "stopped"):
        assert re.search(rf'^wskeepd: {{.*"event":"{event}"', out, re.MULTILINE), out


@pytest.mark.slow(5)
def test_loss_is_noticed(directory: pathlib.Path) -> None:
    """With something in the middle that loses messages, the exit status is 1."""
    status, out, err = run(directory, "demo", "--seconds", "4", stand_in="lossy")
    assert status == 1, out + err
    assert count(out, "lost") >= 2
    assert count(out, "sent") == count(out, "arrived") + count(out, "lost")


@pytest.mark.slow(5)
def test_disorder_is_noticed(directory: pathlib.Path) -> None:
    """With something in the middle that swaps messages, the exit status is 1."""
    status, out, err = run(directory, "demo", "--seconds", "4", stand_in="swap")
    assert status == 1, out + err
    assert count(out, "out of order") >= 2


def test_lost_client_is_noticed(directory: pathlib.Path) -> None:
    """With a plain proxy in the middle the client's connection breaks, and the exit status is 1."""
    status, out, err = run(directory, "demo", "--seconds", "4", stand_in="plain")
    assert status == 1, out + err
    assert err.startswith("wskeepctl: the client lost its connection: ")
    assert "stayed on one connection" not in out


@pytest.mark.parametrize(
    "path, why",
    [
        ("/nonexistent/wskeepd", "cannot start /nonexistent/wskeepd: No such file or directory"),
        ("/bin/false", "/bin/false ended with exit status 1"),
    ],
)
def test_without_wskeepd(directory: pathlib.Path, path: str, why: str) -> None:
    """A wskeepd that cannot be started is one clear line, and exit status 1."""
    assert run(directory, "demo", "--wskeepd", path) == (1, "", f"wskeepctl: {why}\n")


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["demo", "--seconds", "x"], "x"),
        (["demo", "--seconds", "0"], "0"),
        (["demo", "--seconds", "3601"], "3601"),
        (["demo", "--seconds", "1s"], "1s"),
        (["demo", "--seconds"], "--seconds"),
        (["demo", "--loud"], "--loud"),
        (["demo", "twice"], "twice"),
        (["dance"], "dance"),
        ([], "command"),
    ],
)
def test_wrong_options(directory: pathlib.Path, arguments: "list[str]", named: str) -> None:
    """Wrong options are one line that names the mistake, and exit status 2."""
    status, out, err = run(directory, *arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"wskeepctl: .*{re.escape(named)}.*; see wskeepctl --help\n", err)


@pytest.mark.parametrize(
    "option, starts", [("--help", "Usage: wskeepctl demo"), ("-V", "wskeepctl ")]
)
def test_help_and_version(directory: pathlib.Path, option: str, starts: str) -> None:
    """They are printed on standard output, and it ends with 0."""
    status, out, err = run(directory, option)
    assert (status, err) == (0, "")
    assert out.startswith(starts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_all(directory: pathlib.Path, number: signal.Signals) -> None:
    """It ends by the signal, with wskeepd stopped and its directory removed."""
    with start(directory, *with_wskeepd("--seconds", "600", "--verbose")) as process:
        assert process.stdout is not None
        shown = ""
        while "open again" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        process.send_signal(number)
        shown += process.communicate(timeout=DEADLINE_S)[0]
    assert process.returncode == -number, shown
    assert '"event":"stopped"' in shown
    assert not list(directory.iterdir())


def children(pid: int) -> "list[int]":
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def is_alive(pid: int) -> bool:
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status  # ended, whether or not anyone has asked how


def test_wskeepd_does_not_outlive_it(directory: pathlib.Path) -> None:
    """Even when the demo is killed, no wskeepd stays behind."""
    with start(directory, *with_wskeepd("--seconds", "600")) as process:
        daemon = wait_until(lambda: children(process.pid), "wskeepd to be started")[0]
        wait_until(lambda: list(directory.glob("*/demo.sock")), "its listener")
        process.kill()
        process.communicate(timeout=DEADLINE_S)
    wait_until(lambda: not is_alive(daemon), "wskeepd to end")
