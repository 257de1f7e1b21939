"""Processes that are started and stopped, where they run, and what /proc says of them."""

from __future__ import annotations

import ctypes
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import time
from typing import Callable, Optional, Sequence

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1

Processors = Sequence[int]


class Failure(Exception):
    """What this sample could not be measured for; the others go on."""


class Process:
    """A child that ends with us, whatever ends us."""

    running: list["Process"] = []

    def __init__(
        self,
        command: Sequence[str],
        processors: Processors,
        log: pathlib.Path,
        output: bool = False,
    ) -> None:
        self.log = log
        with open(log, "ab") as errors:
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if output else errors,
                stderr=errors,
                preexec_fn=_child_setup(processors),
            )
        Process.running.append(self)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_for_port(self, port: int, limit_s: float = 10) -> None:
        until = time.monotonic() + limit_s
        while time.monotonic() < until and self.popen.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failure(f"nobody listens: {self.last_words()}")

    def line(self, limit_s: float) -> str:
        """The next line of its output. One at a time: what follows it must wait for this call."""
        assert self.popen.stdout
        if not select.select([self.popen.stdout], [], [], limit_s)[0]:
            raise Failure(f"no answer within {limit_s:.0f} s")
        return self.popen.stdout.readline().decode()

    def output(self, limit_s: float) -> str:
        """All of its output, once it has ended."""
        try:
            output, _ = self.popen.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Failure(f"not done within {limit_s:.0f} s") from None
        Process.running.remove(self)
        return output.decode()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self, patience_s: float = 3) -> None:
        if self not in Process.running:
            return
        self.popen.terminate()
        try:
            self.popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        if self.popen.stdout:
            self.popen.stdout.close()
        Process.running.remove(self)


def stop_all() -> None:
    for process in reversed(Process.running[:]):
        process.stop(1)


def _child_setup(processors: Processors) -> Callable[[], None]:
    def setup() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, processors)

    return setup


def free_port() -> int:
    """Below the ports that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


# ---- what it cost


def thread_ns(pid: int) -> dict[int, int]:
    """Processor time of each thread of a process."""
    times = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:  # a kernel without it, or a thread that has ended
            try:
                fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            except FileNotFoundError:
                continue
            ticks = int(fields[11]) + int(fields[12])
            times[int(task.name)] = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return times


def process_ns(pid: int) -> int:
    return sum(thread_ns(pid).values())


# ---- the neighbours


def _machine_ticks() -> tuple[int, int]:
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def noise_percent() -> float:
    """How much of the machine others use; for when nothing of ours runs."""
    busy, total = _machine_ticks()
    time.sleep(0.25)
    busy_after, total_after = _machine_ticks()
    return round(100 * (busy_after - busy) / max(total_after - total, 1), 1)


def wait_until_quiet(limit_s: float) -> float:
    """The noise that is left after waiting for at most that long."""
    until = time.monotonic() + limit_s
    while True:
        noise = noise_percent()
        if noise <= 15 or time.monotonic() >= until:
            return noise
        time.sleep(0.5)


def describe() -> dict[str, object]:
    model: Optional[str] = None
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for text in file:
            if text.startswith("model name"):
                model = text.split(":", 1)[1].strip()
                break
    system = os.uname()
    return {
        "processor": model or system.machine,
        "processors": len(os.sched_getaffinity(0)),
        "kernel": f"{system.sysname} {system.release}",
    }
