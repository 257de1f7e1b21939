"""A real wskeepd: started from a configuration, watched through its log, stopped and judged."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
from typing import Any, Optional, Sequence, Union

import yaml

from polling import DEADLINE_S, wait_until

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def _program(name: str) -> pathlib.Path:
    return pathlib.Path(os.environ.get(name.upper()) or REPOSITORY / "build" / name).resolve()


WSKEEPD = _program("wskeepd")
WSKEEPCTL = _program("wskeepctl")
#: The same daemon, in which calls fail when the environment says so (tests/faults/faults.c).
WSKEEPD_FAULTS = pathlib.Path(
    os.environ.get("WSKEEPD_FAULTS") or WSKEEPD.parent / "tests/faults/wskeepd_faults"
).resolve()

SANITIZER_REPORT = re.compile(r"Sanitizer|runtime error:")
LOG_JSON = {"level": "debug", "format": "json"}

Event = dict[str, Any]
Configuration = Union[str, dict[str, Any]]


def at(event: Event) -> float:
    """When it was logged, in seconds, by wskeepd's own clock."""
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def is_sanitized() -> bool:
    """Built with a sanitizer: memory bounds do not mean much then."""
    program = WSKEEPD.read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


class Wskeepd:
    def __init__(
        self,
        directory: pathlib.Path,
        configuration: Optional[Configuration] = None,
        arguments: Sequence[str] = (),
        environment: Optional[dict[str, str]] = None,
        wrapper: Sequence[str] = (),
        descriptors: Sequence[int] = (),
        program: pathlib.Path = WSKEEPD,
    ) -> None:
        """Start it; a configuration is written to a file first and named with -c.

        wrapper      a command in front of it, which becomes it by exec
        descriptors  stay open in it, under their numbers
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.configuration_path = directory / "wskeep.yaml"
        command = [*wrapper, str(program)]
        if configuration is not None:
            self.write_configuration(configuration)
            command += ["-c", str(self.configuration_path)]
        self._stderr_path = directory / "stderr"
        self._stdout_path = directory / "stdout"
        with self._stderr_path.open("wb") as stderr, self._stdout_path.open("wb") as stdout:
            self.process = subprocess.Popen(
                command + list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                pass_fds=tuple(descriptors),
            )
        self._killed = False
        self._read_bytes = 0
        self._partial = b""
        self._events: list[Event] = []
        self.stray_lines: list[str] = []  #: lines of standard error that are no JSON object

    def write_configuration(self, configuration: Configuration) -> None:
        if isinstance(configuration, dict):
            configuration = yaml.safe_dump(
                {"log": LOG_JSON, **configuration}, sort_keys=False, allow_unicode=True
            )
        self.configuration_path.write_text(configuration)

    # The log.

    @property
    def stderr(self) -> str:
        return self._stderr_path.read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return self._stdout_path.read_text(errors="replace")

    @property
    def events(self) -> list[Event]:
        """Every complete line logged so far."""
        with self._stderr_path.open("rb") as log:
            log.seek(self._read_bytes)
            new = log.read()
        self._read_bytes += len(new)
        *lines, self._partial = (self._partial + new).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            try:
                event = json.loads(text)
            except ValueError:
                event = None
            if isinstance(event, dict):
                self._events.append(event)
            else:
                self.stray_lines.append(text)
        return self._events

    def find(self, event: str, **fields: Any) -> list[Event]:
        """Events of this name with these fields; `from` is written from_."""
        wanted = {name.rstrip("_"): value for name, value in fields.items()}
        return [
            e
            for e in self.events
            if e.get("event") == event and all(e.get(n) == v for n, v in wanted.items())
        ]

    def moves(self, **fields: Any) -> list[Event]:
        return self.find("move", **fields)

    def wait_for(self, event: str, count: int = 1, **fields: Any) -> Event:
        """The newest such event, once there are `count` of them."""

        def found() -> list[Event]:
            events = self.find(event, **fields)
            if len(events) < count:
                assert self.is_running, f"wskeepd ended:\n{self.tail()}"
                return []
            return events

        return wait_until(found, lambda: f"{count} x {event} {fields}; log:\n{self.tail()}")[-1]

    def wait_for_move(self, to: str, count: int = 1, **fields: Any) -> Event:
        return self.wait_for("move", count, to=to, **fields)

    def wait_ready(self) -> "Wskeepd":
        self.wait_for("ready")
        return self

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.stderr.splitlines()[-lines:])

    # The process.

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_for_exit(self, deadline_s: float = DEADLINE_S) -> int:
        wait_until(
            lambda: not self.is_running, lambda: f"wskeepd to end; log:\n{self.tail()}", deadline_s
        )
        return self.process.returncode

    def _status_bytes(self, name: str) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found.group(1)) * 1024

    @property
    def resident_bytes(self) -> int:
        return self._status_bytes("VmRSS")

    @property
    def resident_bytes_max(self) -> int:
        return self._status_bytes("VmHWM")

    @property
    def descriptor_count(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def expect_end(self, status: int) -> None:
        """It ends with this status, and nothing was found by a sanitizer."""
        got = self.wait_for_exit()
        assert got == status, f"exit status {got}, not {status}; log:\n{self.tail()}"
        self.check_sanitizers()

    def check_sanitizers(self) -> None:
        assert not SANITIZER_REPORT.search(self.stderr), self.stderr[-20000:]

    def stop(self) -> None:
        """SIGTERM when it still runs; then it must have ended with 0."""
        self.check_sanitizers()
        if self._killed or (self.process.returncode or -1) >= 0:
            return  # the test itself killed it or saw it end
        try:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self.expect_end(0)
        finally:
            self.kill()

    def kill(self) -> None:
        self._killed = True
        if self.is_running:
            self.process.kill()
        self.process.wait()


def run_to_end(
    arguments: Sequence[str], directory: pathlib.Path, environment: Optional[dict[str, str]] = None
) -> "subprocess.CompletedProcess[str]":
    """wskeepd when it is expected to end by itself."""
    done = subprocess.run(
        [str(WSKEEPD), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        timeout=DEADLINE_S,
    )
    assert not SANITIZER_REPORT.search(done.stderr), done.stderr
    return done
