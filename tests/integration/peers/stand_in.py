#!/usr/bin/env python3
"""What wskeepd is not, started as if it were it: `stand_in.py -c FILE`.

WSKEEP_STAND_IN=lossy   the client's side stays, but a message in ten is not passed on
WSKEEP_STAND_IN=swap    the same, but a message in ten is passed on after the next one
WSKEEP_STAND_IN=plain   a plain proxy: when the upstream ends, so does the client
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.parse

import websockets
import yaml


async def careless(path: str, url: str, swaps: bool) -> None:
    async def keep(client: "websockets.WebSocketServerProtocol") -> None:
        upstream = await websockets.connect(url)
        held: "list[str]" = []
        count = 0
        async for message in client:
            count += 1
            if count % 10 == 0:
                held = [message] if swaps else []
                continue
            try:
                for due in (message, *held):
                    await upstream.send(due)
            except (OSError, websockets.WebSocketException):
                try:
                    upstream = await websockets.connect(url)
                except (OSError, websockets.WebSocketException):
                    pass
            held = []

    await websockets.unix_serve(keep, path)


async def lossy(path: str, url: str) -> None:
    await careless(path, url, swaps=False)


async def swap(path: str, url: str) -> None:
    await careless(path, url, swaps=True)


async def plain(path: str, url: str) -> None:
    port = urllib.parse.urlsplit(url).port

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        writer.close()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_upstream, to_upstream = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, to_upstream), copy(from_upstream, writer))

    await asyncio.start_unix_server(keep, path)


async def main() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with open(sys.argv[sys.argv.index("-c") + 1]) as file:
        link = yaml.safe_load(file)["links"][0]
    stand_in = {"lossy": lossy, "swap": swap, "plain": plain}[os.environ["WSKEEP_STAND_IN"]]
    await stand_in(link["listen"].split(":", 1)[1], link["upstream"]["url"])
    print('{"event":"ready"}', file=sys.stderr, flush=True)
    await stopped.wait()
    os._exit(0)


asyncio.run(main())
