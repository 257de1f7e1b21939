"""Every case: what it is called, who takes part, how long it lasts, and how one sample is taken."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from typing import Callable, Optional

import machine
import outbox
import proxies
import reconnection
from stage import Sample, Stage, play

KIB, MIB = 1024, 1024 * 1024
IDLE_MOST = 9900
BUSY = ("-c", 8, "-p", 4, "-s", 64)
WSKEEPD = ("wskeepd",)


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    text: str
    measure: Callable[[Stage, str], Sample]
    names: tuple[str, ...] = proxies.NAMES
    #: Besides the measured seconds: starting, opening, waiting, stopping. A first guess.
    overhead_s: float = 1.5
    #: Also in a quick run, which takes the ends of a series and leaves out what is between.
    is_quick: bool = True


def _timed(stage: Stage, seconds_least: float = 0) -> tuple[object, ...]:
    seconds = max(stage.seconds, seconds_least)
    return ("-t", seconds, "--warmup", min(0.5, seconds / 4), "--drain", 20)


def _echo(
    *options: object, tls: bool = False, seconds_least: float = 0
) -> Callable[[Stage, str], Sample]:
    def measure(stage: Stage, name: str) -> Sample:
        with stage.echo_behind(name, tls) as path:
            return path.load("bench", *_timed(stage, seconds_least), *options)

    return measure


def _idle(count: Optional[int]) -> Callable[[Stage, str], Sample]:
    """count None: as many as there may be."""

    def measure(stage: Stage, name: str) -> Sample:
        with stage.echo_behind(name) as path:
            return path.load("idle", "-c", count or stage.idle_pairs_max, "--hold", 0.5)

    return measure


def _growth(stage: Stage, name: str) -> Sample:
    """Bursts on all of 2,000 connections, between silence and silence."""
    linger_s = 2 if stage.is_quick else 10
    options = ("-c", 2000, "-p", 4, "-s", 4 * KIB, "--drain", 20)
    options += ("--settle", 1, "--linger", linger_s)
    with stage.echo_behind(name) as path:
        said = path.load("bench", "-t", stage.seconds, "--warmup", 0, *options)
        return {**said, "linger_s": linger_s}


def _beside(count: Optional[int]) -> Callable[[Stage, str], Sample]:
    def measure(stage: Stage, name: str) -> Sample:
        idle_count = count or stage.idle_pairs_max
        with stage.echo_behind(name) as path, path.idle(idle_count):
            return {**path.load("bench", *_timed(stage), *BUSY), "idle": idle_count}

    return measure


def _workers(count: int) -> Callable[[Stage, str], Sample]:
    def measure(stage: Stage, name: str) -> Sample:
        with stage.echo_behind(name, workers=count) as path:
            before = machine.thread_ns(path.watched.pid)
            said = path.load("bench", *_timed(stage), "-c", 64, "-p", 16, "-s", 64)
            after = machine.thread_ns(path.watched.pid)
        used = [after[thread] - before.get(thread, 0) for thread in after]
        shares = sorted((round(100 * ns / max(sum(used), 1), 1) for ns in used), reverse=True)
        return {**said, "thread_shares_pct": [share for share in shares if share >= 0.1]}

    return measure


def _deflate(size: int, threshold: int) -> Callable[[Stage, str], Sample]:
    """wskeepd before Node's ws, which compresses what it sends back, or that ws by itself."""

    def measure(stage: Stage, name: str) -> Sample:
        port = machine.free_port()
        place = stage.proxy_processors if name == "node" else stage.load_processors
        echo = stage.start(["node", DEFLATE, "echo", port, threshold], place)
        proxy = None
        try:
            echo.wait_for_port(port)
            if name == "wskeepd":
                proxy = proxies.start(
                    name, stage.directory, port, stage.proxy_processors, None, stage.wskeepd
                )
                port = proxy.port
            watched = proxy.process if proxy else echo
            load = stage.start(
                ["node", DEFLATE, "load", f"ws://127.0.0.1:{port}/", size, stage.seconds]
                + [watched.pid, "plain" if proxy else "deflate", threshold],
                stage.load_processors,
                output=True,
            )
            words = load.output(stage.seconds + 30).split()
            if len(words) != 2:
                raise machine.Failure(f"the load ended: {load.last_words()}")
            return {"watch_cpu_us_per_msg": float(words[0]), "msgs_per_s": float(words[1])}
        finally:
            if proxy:
                proxy.process.stop()
            echo.stop()

    return measure


DEFLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "deflate.js")
NODE_PATH = "/usr/share/nodejs"  # where Debian's node-ws is


def has_node_ws() -> bool:
    os.environ["NODE_PATH"] = os.environ.get("NODE_PATH", "") + ":" + NODE_PATH
    try:
        asked = ["node", "-e", 'require("ws")']
        return subprocess.run(asked, stderr=subprocess.DEVNULL, timeout=30).returncode == 0
    except FileNotFoundError:
        return False


def has_workers(stage: Stage) -> bool:
    """Whether wskeepd takes `workers: 2`."""
    path = stage.directory / "workers.yaml"
    path.write_text("workers: 2\n")
    words = [str(stage.wskeepd), "--check-config", "-c", str(path)]
    said = subprocess.run(words, stderr=subprocess.PIPE, timeout=10, encoding="utf-8").stderr
    return "not supported yet" not in said


def _round_trips(delay_ms: int, is_tls: bool) -> Callable[[Stage, str], Sample]:
    return lambda stage, _: play(
        reconnection.round_trips(stage, delay_ms, is_tls), 60, is_precise=True
    )


def _storm(jitter: str, delay_ms: int) -> Callable[[Stage, str], Sample]:
    return lambda stage, _: play(reconnection.storm(stage, jitter, delay_ms), 90)


def _depth(waiting: int) -> Callable[[Stage, str], Sample]:
    return lambda stage, _: play(outbox.depth(stage, waiting), 120)


def _replay(stage: Stage, _: str) -> Sample:
    return play(outbox.replay(stage), 120)


SIZES = (("64", 64, "64 B"), ("1k", KIB, "1 KiB"), ("16k", 16 * KIB, "16 KiB"))
SIZES += (("64k", 64 * KIB, "64 KiB"), ("1m", MIB, "1 MiB"), ("16m", 16 * MIB, "16 MiB"))
DEFLATE_SIZES = ((256, 1024, "256 B, threshold 1,024"), (256, 0, "256 B"))
DEFLATE_SIZES += ((KIB, 0, "1 KiB"), (16 * KIB, 0, "16 KiB"))

ALL = [
    Case("c1s64", "1 connection, 1 in flight, 64 B", _echo("-c", 1, "-p", 1, "-s", 64)),
    Case("c64s64", "64 connections, 16 in flight, 64 B", _echo("-c", 64, "-p", 16, "-s", 64)),
    Case("c64s1k", "64 connections, 16 in flight, 1 KiB", _echo("-c", 64, "-p", 16, "-s", KIB),
         is_quick=False),
    Case("c16s64k", "16 connections, 8 in flight, 64 KiB",
         _echo("-c", 16, "-p", 8, "-s", 64 * KIB)),
    Case("c4s1m", "4 connections, 2 in flight, 1 MiB", _echo("-c", 4, "-p", 2, "-s", MIB)),
    Case("c1s16m", "1 connection, 1 in flight, 16 MiB",
         _echo("-c", 1, "-p", 1, "-s", 16 * MIB, seconds_least=2)),
    Case("wss1k", "TLS upstream, 64 connections, 16 in flight, 1 KiB",
         _echo("-c", 64, "-p", 16, "-s", KIB, tls=True), is_quick=False),
    Case("wss64k", "TLS upstream, 16 connections, 8 in flight, 64 KiB",
         _echo("-c", 16, "-p", 8, "-s", 64 * KIB, tls=True)),
    Case("rate", "2,000 messages/s over 64 connections, 128 B",
         _echo("-c", 64, "-s", 128, "--rate", 2000)),
    Case("idle2k", "2,000 idle connections", _idle(2000)),
    Case("idlemax", "as many idle connections as descriptors allow", _idle(None), overhead_s=4),
    Case("growth", "2,000 idle connections, 4 x 4 KiB in flight on each for a while", _growth,
         overhead_s=14),
    *(Case(f"beside{name}", f"8 busy connections beside {text} idle", _beside(count),
           overhead_s=wait, is_quick=count in (1, None))
      for name, count, text, wait in (("1", 1, "1", 2), ("100", 100, "100", 2),
                                      ("1k", 1000, "1,000", 2.5), ("max", None, "the most", 6))),
    *(Case(f"size{name}", f"2 connections, 1 in flight, {text}",
           _echo("-c", 2, "-p", 1, "-s", size, seconds_least=2 if size > MIB else 0),
           is_quick=size in (64, 16 * MIB))
      for name, size, text in SIZES),
    *(Case(f"deflate{size}{'t' if threshold else ''}", f"compressed upstream, {text}",
           _deflate(size, threshold), ("node", "wskeepd"), is_quick=size == KIB)
      for size, threshold, text in DEFLATE_SIZES),
    *(Case(f"depth{name}", f"{text} messages waiting", _depth(waiting), WSKEEPD, wait)
      for name, waiting, text, wait in (("10", 10, "10", 3), ("1k", 1000, "1,000", 3),
                                        ("100k", 100_000, "100,000", 5))),
    *(Case(f"trips{delay_ms}{scheme}", f"{scheme}, {delay_ms} ms each way",
           _round_trips(delay_ms, scheme == "wss"), WSKEEPD, 3 + delay_ms / 20,
           is_quick=delay_ms < 100)
      for delay_ms in (0, 20, 100) for scheme in ("ws", "wss")),
    Case("stormnone", "1,000 sessions cut at once, jitter: none", _storm("none", 250), WSKEEPD, 4),
    Case("stormfull", "1,000 sessions cut at once, jitter: full", _storm("full", 1000), WSKEEPD, 5),
    Case("replay", "100,000 messages of 64 B repeated", _replay, WSKEEPD, 5),
    *(Case(f"workers{count}", f"64 connections, 16 in flight, 64 B, workers: {count}",
           _workers(count), WSKEEPD) for count in (1, 2)),
]
