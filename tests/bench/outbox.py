"""What waits in the outbox must cost nothing: a message taken or repeated costs the same, however
many there are; and how fast they are repeated."""

from __future__ import annotations

import asyncio
import time

import machine
import websocket
from stage import Sample, Scene, Stage

DELIVERY = "delivery: {max_messages: 200000}"
BLOCK = 1000


async def depth(stage: Stage, waiting: int) -> Sample:
    """Messages of 64 B: the cost of one more when `waiting` wait, and of one when those are sent."""
    pushed = await _push(stage, waiting)
    return {**pushed, **await _replay(stage, waiting)}


def _server_that_is_away(scene: Scene) -> websocket.Server:
    """It holds the answer to the upgrade back, so that no attempt is made meanwhile."""
    scene.server.answers_upgrades = False
    return scene.server


async def _push(stage: Stage, waiting: int) -> Sample:
    """Blocks of 1,000: each in a session of its own where they would deepen it, else all in one."""
    blocks = 5 if stage.is_quick else 20
    each = 1 if waiting <= BLOCK else blocks
    async with stage.server_behind([DELIVERY], ", connect_timeout: 60s") as scene:
        _server_that_is_away(scene)
        clients = await scene.clients_connect(blocks // each)
        for client in clients:
            client.send(websocket.numbered(0, waiting))
            await client.barrier()
        used_ns = 0
        for client in clients:
            for block in range(each):
                more = websocket.numbered(waiting + block * BLOCK, BLOCK)
                before_ns = scene.processor_ns()
                client.send(more)
                await client.barrier()
                used_ns += scene.processor_ns() - before_ns
        return {"waiting": waiting, "push_us": round(used_ns / 1000 / blocks / BLOCK, 4)}


async def _replay(stage: Stage, waiting: int) -> Sample:
    """Everything in one go, the opening of the connection included: much of it where few wait."""
    total = 2_000 if stage.is_quick else 20_000
    sessions = max(min(total // waiting, 500), 1)
    async with stage.server_behind([DELIVERY], ", connect_timeout: 60s") as scene:
        server = _server_that_is_away(scene)
        clients = await scene.clients_connect(sessions)
        for client in clients:
            client.send(websocket.numbered(0, waiting))
            await client.barrier()
        await server.until(lambda: sum(link.is_open for link in server.connections) == sessions)
        before_ns = scene.processor_ns()
        server.answers_upgrades = True
        for link in server.connections:
            link.answer()
        await server.until(lambda: server.received >= sessions * waiting)
        await server.until(lambda: all(link.acknowledged == waiting for link in server.connections))
        used_ns = scene.processor_ns() - before_ns
        if server.received != sessions * waiting:
            raise machine.Failure(f"{server.received} messages arrived")
        return {
            "replay_us": round(used_ns / 1000 / sessions / waiting, 4),
            "sessions": sessions,
        }


async def replay(stage: Stage) -> Sample:
    """Messages sent once, and as many repeated after a break, to the same server."""
    count = 20_000 if stage.is_quick else 100_000
    messages = websocket.numbered(1, count)
    async with stage.server_behind([DELIVERY, "reconnect: {initial_delay: 0ms}"]) as scene:
        server = scene.server
        plain = await _plain(scene, messages, count)

        server.answers_pings, server.keeps_frames = True, False
        (client,) = await scene.clients_connect(1)
        received = server.received
        client.send(websocket.numbered(0, 1))
        await server.until(lambda: server.received > received)
        link = server.connections[-1]
        await server.until(lambda: link.acknowledged == 1)
        await asyncio.sleep(1.2)  # an older link may be dialled again at once
        server.answers_pings = False
        client.send(messages)
        await client.barrier()
        seen = -1
        while server.received != seen:  # until the window is full
            seen = server.received
            await asyncio.sleep(0.3)
        server.answers_pings = server.keeps_frames = True
        before_ns = scene.processor_ns()
        websocket.reset(link.transport)
        await server.until(lambda: server.connections[-1] is not link)
        again = server.connections[-1]
        await server.until(lambda: again.messages >= count)
        await server.until(lambda: again.acknowledged == count)
        used_ns = scene.processor_ns() - before_ns
        if websocket.numbers(b"".join(again.frames)) != list(range(1, count + 1)):
            raise machine.Failure("what was repeated is not what was sent")
        took = again.last_message_at - again.first_message_at
        return {
            **plain,
            "messages": count,
            "exposed": seen - received - 1,
            "replay_per_s": round(count / took),
            "replay_cpu_us": round(used_ns / 1000 / count, 4),
        }


async def _plain(scene: Scene, messages: bytes, count: int) -> Sample:
    server = scene.server
    (client,) = await scene.clients_connect(1)
    client.send(websocket.numbered(0, 1))
    await server.until(lambda: server.received == 1)
    before_ns, began = scene.processor_ns(), time.monotonic()
    client.send(messages)
    await server.until(lambda: server.received == count + 1)
    link = server.connections[-1]
    await server.until(lambda: link.acknowledged == count + 1)
    used_ns = scene.processor_ns() - before_ns
    client.leave()
    return {
        "plain_per_s": round(count / (link.last_message_at - began)),
        "plain_cpu_us": round(used_ns / 1000 / count, 4),
    }
