"""Everything one test puts together, taken down in the right order whatever happens."""

from __future__ import annotations

import pathlib
from typing import Any, Callable, Optional, Union

from conversation import Server
from loop_thread import LoopThread
from node_peers import NodeClient, NodeServer
from polling import wait_until
from ports import ReservedPort
from raw_peers import RawClient, RawServer, RawServerConnection
from websockets_peers import WebsocketsClient, WebsocketsServer
from wire import Wire
from wskeepd_process import Configuration, Wskeepd

AnyServer = Union[WebsocketsServer, NodeServer]
AnyClient = Union[WebsocketsClient, NodeClient]

#: Retries soon and drains shortly, for tests that are not about those times.
QUICK: dict[str, dict[str, Any]] = {
    "reconnect": {"initial_delay": "50ms", "max_delay": "400ms"},
    "session": {"drain_timeout": "3s"},
}


class Scene:
    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._unix_sockets = 0
        self._loop: Optional[LoopThread] = None
        self._clients: list[Any] = []
        self._daemons: list[Wskeepd] = []
        self._wires: list[Wire] = []
        self._servers: list[Any] = []
        self._ports: list[ReservedPort] = []

    @property
    def loop(self) -> LoopThread:
        if self._loop is None:
            self._loop = LoopThread("peers")
        return self._loop

    # Servers and what is between.

    def port(self) -> int:
        port = ReservedPort()
        self._ports.append(port)
        return port.number

    def websockets_server(self, **options: Any) -> WebsocketsServer:
        server = WebsocketsServer(self.loop, **options)
        self._servers.append(server)
        return server

    def node_server(self, **options: Any) -> NodeServer:
        server = NodeServer(**options)
        self._servers.append(server)
        return server

    def server(self, kind: str, **options: Any) -> AnyServer:
        return (self.node_server if kind == "node" else self.websockets_server)(**options)

    def raw_server(self, script: Callable[[RawServerConnection], None]) -> RawServer:
        server = RawServer(script)
        self._servers.append(server)
        return server

    def wire(self, server: Server, **options: Any) -> Wire:
        wire = Wire(server.port, **options)
        self._wires.append(wire)
        return wire

    # wskeepd.

    def link(
        self,
        url: str,
        /,
        name: str = "game",
        quick: bool = True,
        listen: Optional[object] = None,
        **sections: Any,
    ) -> dict[str, Any]:
        """One entry of `links`; sections are added to QUICK's."""
        link: dict[str, Any] = {
            "name": name,
            "listen": listen or f"ws://127.0.0.1:{self.port()}",
            "upstream": {"url": url, **sections.pop("upstream", {})},
        }
        for section, values in (QUICK if quick else {}).items():
            link[section] = {**values, **sections.pop(section, {})}
        return {**link, **sections}

    def unix_listen(self) -> str:
        """For who is to be held back: unlike TCP's, a Unix socket's buffers do not grow to 32 MiB."""
        self._unix_sockets += 1
        return f"ws+unix:{self._directory}/{self._unix_sockets}.sock"

    def launch(self, configuration: Optional[Configuration] = None, **options: Any) -> Wskeepd:
        """Start wskeepd and do not wait for it."""
        directory = self._directory / f"wskeepd-{len(self._daemons)}"
        daemon = Wskeepd(directory, configuration, **options)
        self._daemons.append(daemon)
        return daemon

    def start(self, *links: dict[str, Any], **top: Any) -> Wskeepd:
        """Start wskeepd with these links and wait until it listens."""
        return self.launch({**top, "links": list(links)}).wait_ready()

    def keep(self, url: str, /, **sections: Any) -> "Kept":
        """Start wskeepd with one link, `game`."""
        link = self.link(url, **sections)
        return Kept(self.start(link), link)

    # Clients.

    def websockets_client(self, url: str, **options: Any) -> WebsocketsClient:
        client = WebsocketsClient(self.loop, url, **options)
        self._clients.append(client)
        return client

    def node_client(self, url: str, **options: Any) -> NodeClient:
        client = NodeClient(url, **options)
        self._clients.append(client)
        return client

    def client(self, url: str, kind: str = "websockets", **options: Any) -> AnyClient:
        return (self.node_client if kind == "node" else self.websockets_client)(url, **options)

    def raw_client(self, address: Union[int, str]) -> RawClient:
        client = RawClient(address)
        self._clients.append(client)
        return client

    def stop(self) -> None:
        """Take down all of it; the first thing that went wrong is raised at the end."""
        failure: Optional[BaseException] = None
        actors = [*self._clients, *self._daemons, *self._wires, *self._servers]
        for actor in actors:
            try:
                actor.stop()
            except BaseException as error:
                failure = failure or error
        for daemon in self._daemons:
            daemon.kill()
        if self._loop is not None:
            self._loop.stop()
        for port in self._ports:
            port.release()
        if failure is not None:
            raise failure


class Kept:
    """wskeepd with one link."""

    def __init__(self, daemon: Wskeepd, link: dict[str, Any]) -> None:
        self.daemon = daemon
        self.link = link
        self.url: str = link["listen"]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def is_open(self) -> bool:
        """The upstream's handshake is over for wskeepd, too, not only for the server."""
        moves = self.daemon.moves()
        return bool(moves) and moves[-1]["to"] == "open"

    def wait_open(self, server: Optional[Server] = None) -> None:
        """And for the server, too, when it is given."""
        wait_until(
            lambda: self.is_open and (server is None or server.is_connected),
            lambda: f"an open upstream; log:\n{self.daemon.tail()}",
        )
