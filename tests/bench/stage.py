"""What the cases share: the programs, where they run, how long; and wskeepd before a scripted server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import selectors
import ssl
from typing import Any, AsyncIterator, Coroutine, Iterator, Optional, Sequence

import machine
import proxies
import websocket

Sample = dict[str, Any]
#: What wsload counts when a connection or an answer is not what it should be.
ERRORS = ("lost", "duplicated", "corrupted", "out_of_order", "connect_errors", "handshake_errors",
          "protocol_errors", "closed_early")


@dataclasses.dataclass
class Stage:
    directory: pathlib.Path
    wskeepd: pathlib.Path
    wsload: pathlib.Path
    load_processors: machine.Processors
    proxy_processors: machine.Processors
    seconds: float
    is_quick: bool
    idle_pairs_max: int

    def certificate(self) -> proxies.Certificate:
        return proxies.Certificate.create(self.directory)

    def start(
        self, command: Sequence[object], processors: machine.Processors, output: bool = False
    ) -> machine.Process:
        words = [str(word) for word in command]
        return machine.Process(words, processors, self.directory / "load.log", output)

    @contextlib.contextmanager
    def echo_behind(
        self, name: str, tls: bool = False, workers: Optional[int] = None
    ) -> Iterator["Path"]:
        """An echo server and what stands before it; for `direct` the echo has the proxy's place.

        workers: as many for wskeepd, on all processors.
        """
        certificate = self.certificate() if tls else None
        port = machine.free_port()
        words: list[object] = [self.wsload, "echo", "--listen", f"127.0.0.1:{port}"]
        if certificate:
            words += ["--tls", certificate.cert, certificate.key]
        place = self.proxy_processors if name == "direct" else self.load_processors
        echo = self.start(words, place)
        proxy = None
        try:
            echo.wait_for_port(port)
            if name == "direct":
                yield Path(self, f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/", echo, echo)
                return
            if workers:
                everywhere = sorted({*self.proxy_processors, *self.load_processors})
                proxy = proxies.start_wskeepd(
                    self.wskeepd, self.directory, port, everywhere, certificate, workers
                )
            else:
                proxy = proxies.start(
                    name, self.directory, port, self.proxy_processors, certificate, self.wskeepd
                )
            yield Path(self, f"ws://127.0.0.1:{proxy.port}/", proxy.process, echo)
        finally:
            if proxy:
                proxy.process.stop()
            echo.stop()

    @contextlib.asynccontextmanager
    async def server_behind(
        self,
        link_more: Sequence[str] = (),
        upstream_more: str = "",
        tls: Optional[proxies.Certificate] = None,
        relay_port: Optional[int] = None,
        server: Optional[websocket.Server] = None,
    ) -> AsyncIterator["Scene"]:
        """A scripted server and wskeepd before it; relay_port: of what stands between the two."""
        if server is None:
            server = websocket.Server()
            await server.start()
        upstream = relay_port or server.port
        proxy = proxies.start_wskeepd(
            self.wskeepd,
            self.directory,
            upstream,
            self.proxy_processors,
            tls,
            upstream_more=upstream_more,
            link_more=link_more,
        )
        scene = Scene(server, proxy)
        try:
            yield scene
        finally:
            for client in scene.clients:
                client.leave()
            server.stop()
            proxy.process.stop(0.5)


@dataclasses.dataclass
class Path:
    """From the load to the echo."""

    stage: Stage
    url: str
    watched: machine.Process
    echo: machine.Process

    def load(self, mode: str, *options: object, limit_s: float = 150) -> Sample:
        """One run of wsload to its end: what it reported."""
        process = self._start(mode, options)
        return self._report(process, process.output(limit_s + self.stage.seconds))

    @contextlib.contextmanager
    def idle(self, count: int, limit_s: float = 150) -> Iterator[Sample]:
        """Connections that are open and silent meanwhile."""
        process = self._start("idle", ("-c", count, "--hold", 3600))
        try:
            yield self._report(process, process.line(limit_s))
            process.popen.terminate()
            self._report(process, process.output(60))
        finally:
            process.stop()

    def _start(self, mode: str, options: Sequence[object]) -> machine.Process:
        words = [self.stage.wsload, mode, "--connect", self.url, "--watch-pid", self.watched.pid]
        if mode == "bench":
            words += ["--also-pid", self.echo.pid]
        return self.stage.start([*words, *options], self.stage.load_processors, output=True)

    def _report(self, process: machine.Process, output: str) -> Sample:
        lines = output.splitlines()
        if not lines:
            raise machine.Failure(f"the load said nothing: {process.last_words()}")
        reports = [json.loads(line) for line in lines]
        for report in reports:
            if report.get("errors"):
                counts = (f"{key} {report[key]}" for key in ERRORS if report.get(key))
                raise machine.Failure(", ".join(counts))
        return {key: value for key, value in reports[0].items() if key not in ("url", "mode")}


@dataclasses.dataclass
class Scene:
    server: websocket.Server
    proxy: proxies.Proxy
    clients: list[websocket.Client] = dataclasses.field(default_factory=list)

    async def clients_connect(self, count: int) -> list[websocket.Client]:
        new = []
        while len(new) < count:  # some at a time: the listener's queue is finite
            some = min(64, count - len(new))
            port = self.proxy.port
            new += await asyncio.gather(*(websocket.Client.connect(port) for _ in range(some)))
        self.clients += new
        return new

    def processor_ns(self) -> int:
        return machine.process_ns(self.proxy.process.pid)


def server_context(certificate: proxies.Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


def play(scenario: Coroutine[Any, Any, Sample], limit_s: float, is_precise: bool = False) -> Sample:
    """is_precise: waits are kept to microseconds instead of milliseconds, for up to 1,000 sockets."""
    selector = selectors.SelectSelector() if is_precise else selectors.DefaultSelector()

    async def limited() -> Sample:
        try:
            async with asyncio.timeout(limit_s):
                return await scenario
        except TimeoutError:
            raise machine.Failure(f"not done within {limit_s:.0f} s") from None
        except (ConnectionError, OSError) as error:
            raise machine.Failure(str(error)) from None

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(limited())
