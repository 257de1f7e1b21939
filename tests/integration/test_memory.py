"""memory_max holds for whatever a peer can make the daemon keep, and nobody waits for ever."""

from __future__ import annotations

import pathlib
import random
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Optional

import pytest

from frames import BINARY, CLOSE, PING, PONG, Frame, encode
from messages import numbered
from polling import let_time_pass, wait_until
from raw_peers import RawClient, RawServerConnection, answer_pings
from scene import Kept, Scene
from soaking import long_or_short, say
from wskeepd_process import is_sanitized

MIB = 1024 * 1024

#: The program itself, its shared buffers, and what malloc keeps.
SLACK_BYTES = 16 * MIB
KEY = b"\1\2\3\4"


def head(size: int, opcode: int = BINARY) -> bytes:
    """Of a client's frame."""
    return bytes([0x80 | opcode, 0xFF]) + struct.pack(">Q", size) + KEY


def check_memory(kept: Kept, bound_bytes: int) -> None:
    if not is_sanitized():
        assert kept.daemon.resident_bytes_max <= bound_bytes + SLACK_BYTES


def try_to_relay(scene: Scene, kept: Kept, size: int) -> bool:
    client = scene.raw_client(kept.port)
    client.handshake()
    client.write(head(size) + bytes(size))
    client.send_close(1000)
    frames = client.read_to_end()
    return bool(frames) and frames[-1].opcode == CLOSE and frames[-1].close_code == 1000


def early_end(client: RawClient) -> Optional[Frame]:
    """The Close that came already."""
    client.socket.settimeout(0.05)
    try:
        return client.read_until(CLOSE)
    except TimeoutError:
        return None
    finally:
        client.socket.settimeout(30)


def test_half_messages_cannot_fill_the_memory(scene: Scene) -> None:
    """60 clients with 2 of 4 MiB each, and memory_max is 16 MiB: each one finishes or is told to try
    again, and who comes later is served."""
    count, size = 60, 4 * MIB
    server = scene.websockets_server()
    link = scene.link(server.url, delivery={"acknowledge": "sent"})
    kept = Kept(scene.start(link, memory_max="16MiB"), link)
    clients = [scene.raw_client(kept.port) for _ in range(count)]

    def send_half(client: RawClient) -> None:
        client.handshake()
        try:
            client.write(head(size) + bytes(size // 2))
        except OSError:
            pass  # told to go meanwhile

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_half, clients))
    ended = [frame for frame in map(early_end, clients) if frame]
    assert ended and {(f.close_code, f.close_reason) for f in ended} == {
        (1013, "wskeep: memory_max")
    }
    kept.daemon.wait_for("session-end", len(ended), cause="overflow")
    check_memory(kept, 16 * MIB)
    done = 0
    for client in clients:
        try:
            client.write(bytes(size // 2))
            client.send_close(1000)
            done += client.read_until(CLOSE).close_code == 1000
        except (EOFError, OSError):
            pass
    assert done > 0
    kept.daemon.wait_for("session-end", count - done, cause="overflow")
    kept.daemon.wait_for("session-end", count)  # nobody is left
    wait_until(lambda: len(server.messages) == done, kept.daemon.tail)
    assert try_to_relay(scene, kept, size)
    check_memory(kept, 16 * MIB)


def test_message_over_memory_max_is_named(scene: Scene) -> None:
    """What can never be kept is refused at once, and with the name of the limit."""
    link = scene.link(scene.websockets_server().url)
    kept = Kept(scene.start(link, memory_max="1MiB"), link)
    client = scene.websockets_client(kept.url)
    client.send(bytes(2 * MIB))
    assert client.wait_closed() == (1009, "wskeep: over memory_max")


def test_half_message_waits_for_what_leaves(scene: Scene) -> None:
    """While outboxes hold the memory a message that is not whole is not read; later it arrives."""
    server = scene.websockets_server()
    wire = scene.wire(server)
    wire.refuse()
    link = scene.link(
        wire.url, client={"heartbeat": {"interval": "500ms", "timeout": "500ms"}}
    )
    kept = Kept(scene.start(link, memory_max="4MiB"), link)
    first = scene.websockets_client(kept.url)
    first.send(bytes(3 * MIB))
    first.ping()
    second = scene.raw_client(kept.port)
    second.handshake()
    second.write(head(3 * MIB) + bytes(3 * MIB // 2))
    let_time_pass(2)  # its Pongs are not read: that is not held against it
    assert early_end(second) is None
    wire.open_listener()
    wait_until(lambda: len(server.messages) == 1, kept.daemon.tail)
    second.write(bytes(3 * MIB // 2))
    wait_until(lambda: len(server.messages) == 2, kept.daemon.tail)
    assert {m.size for m in server.messages} == {3 * MIB}
    assert kept.daemon.find("given-up") == []


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_that_ends_while_it_starves_is_noticed(scene: Scene, how: str) -> None:
    """It is not read, and all the same its session ends and its memory comes back."""
    link = scene.link(f"ws://127.0.0.1:{scene.port()}/", session={"drain_timeout": "1s"})
    kept = Kept(scene.start(link, memory_max="4MiB"), link)
    first = scene.websockets_client(kept.url)
    first.send(bytes(3 * MIB))
    first.ping()
    second = RawClient(kept.port)
    second.handshake()
    second.write(head(3 * MIB) + bytes(3 * MIB // 2))
    let_time_pass(0.5)
    getattr(second, how)()
    kept.daemon.wait_for("session-end", cause="client-lost")


def test_upstreams_half_messages_cannot_fill_the_memory(scene: Scene) -> None:
    """The same the other way: connections end with no-resources, and later all is well."""
    count, size = 60, 4 * MIB
    calm = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        whole = encode(BINARY, bytes(size))
        if not calm.is_set():
            connection.write(whole[: len(whole) // 2])
            calm.wait(60)
            connection.write(whole[len(whole) // 2 :])
        else:
            connection.write(whole)
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    link = scene.link(server.url, reconnect={"initial_delay": "1s", "max_delay": "2s"})
    kept = Kept(scene.start(link, memory_max="16MiB"), link)
    clients = [scene.raw_client(kept.port) for _ in range(count)]
    for client in clients:
        client.handshake()
    kept.daemon.wait_for_move("waiting", 10, cause="no-resources")
    check_memory(kept, 16 * MIB)
    calm.set()
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda client: len(client.read_until(BINARY).payload), clients))
    assert sizes == [size] * count
    check_memory(kept, 16 * MIB)


def test_compressed_half_messages_count_as_they_are(scene: Scene) -> None:
    """30 upstreams are in the middle of 200 KiB each: that is 6 MiB, whatever max_message would let
    come, and nobody has to go for it."""
    count, size = 30, 200 * 1024
    payload = random.Random(4).randbytes(size // 4).hex().encode() * 2
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    whole = encode(BINARY, packed, rsv=4)
    arrived = threading.Semaphore(0)
    calm = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade(extensions="permessage-deflate")
        connection.write(whole[:-5])
        connection.wait_read()
        arrived.release()
        calm.wait(60)
        connection.write(whole[-5:])
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    link = scene.link(server.url)
    kept = Kept(scene.start(link, memory_max="64MiB"), link)
    clients = [scene.raw_client(kept.port) for _ in range(count)]
    for client in clients:
        client.handshake()
    for _ in range(count):
        assert arrived.acquire(timeout=30)
    calm.set()
    assert all(client.read_until(BINARY).payload == payload for client in clients)
    assert kept.daemon.moves(from_="open") == []


def test_half_heads_cannot_fill_the_memory(scene: Scene) -> None:
    """Requests that are not whole count too: at memory_max those that go on hear 503."""
    link = scene.link(f"ws://127.0.0.1:{scene.port()}/", client={"handshake_timeout": "1m"})
    kept = Kept(scene.start(link, memory_max="1MiB"), link)
    clients = [scene.raw_client(kept.port) for _ in range(100)]
    for client in clients:
        client.write(client.request()[:-2] + b"X-Long: " + b"x" * 15000)
    refused = kept.daemon.wait_for("client-refused", 20, status=503, why="memory_max")
    assert refused["link"] == "game"
    statuses = []
    for client in clients:
        client.write(b"\r\n\r\n")
        statuses.append(client.read_response().status)
    assert statuses.count(503) == len(kept.daemon.find("client-refused", why="memory_max"))
    assert statuses.count(101) == 100 - statuses.count(503) >= 50


# Whoever stops reading, at full rate.


class Flood:
    """Frames as fast as they are taken, from a thread of its own."""

    def __init__(self, write: Callable[[bytes], None], frame: bytes) -> None:
        self.bytes = 0
        self.stopped = threading.Event()

        def run() -> None:
            try:
                while not self.stopped.is_set():
                    write(frame)
                    self.bytes += len(frame)
            except OSError:
                pass

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()


def hold(kept: Kept, flood: Flood, bound_bytes: int) -> None:
    """It fills what there is, and then it is held back for as long as nobody reads."""
    last = -1

    def is_still() -> bool:
        nonlocal last
        let_time_pass(0.5)
        moved, last = flood.bytes != last, flood.bytes
        return not moved

    wait_until(is_still, lambda: f"{flood.bytes} bytes were taken, and more", 60)
    taken = flood.bytes
    end = time.monotonic() + long_or_short(600, 2)
    while time.monotonic() < end:
        let_time_pass(1)
        say(f"{kept.daemon.resident_bytes >> 20} MiB, {flood.bytes >> 20} MiB taken")
        check_memory(kept, bound_bytes)
        assert flood.bytes == taken, "it is read again"
    assert kept.daemon.moves(from_="open") == []


PATIENT = {
    "heartbeat": {"stall_timeout": "never", "interval": "1h", "timeout": "1h"},
    "client": {"heartbeat": {"interval": "never"}, "max_message": "1MiB"},
}


@pytest.mark.soak
@pytest.mark.slow(6)
def test_client_that_stops_reading(scene: Scene, tmp_path: pathlib.Path) -> None:
    floods: list[Flood] = []
    over = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.socket.settimeout(None)
        floods.append(Flood(connection.write, encode(BINARY, bytes(65536))))
        over.wait()

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        listen=f"ws+unix:{tmp_path}/s",
        delivery={"inbox_max_bytes": "16MiB"},
        session={"drain_timeout": "100ms"},
        **PATIENT,
    )
    client = scene.raw_client(f"{tmp_path}/s")
    client.handshake()
    kept.wait_open(server)
    wait_until(lambda: floods, "the flood")
    try:
        hold(kept, floods[0], 16 * MIB)
    finally:
        floods[0].stopped.set()
        over.set()


@pytest.mark.soak
@pytest.mark.slow(6)
def test_server_that_stops_reading(scene: Scene, tmp_path: pathlib.Path) -> None:
    over = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        over.wait()

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url,
        listen=f"ws+unix:{tmp_path}/s",
        delivery={"max_bytes": "16MiB", "ack_timeout": "1h"},
        session={"drain_timeout": "100ms"},
        **PATIENT,
    )
    client = scene.raw_client(f"{tmp_path}/s")
    client.handshake()
    kept.wait_open(server)
    client.socket.settimeout(None)
    flood = Flood(client.write, head(65536) + bytes(65536))
    try:
        hold(kept, flood, 16 * MIB)
    finally:
        flood.stopped.set()
        over.set()


# Tiny fragments.

FRAGMENTS = {"max_fragments": 16777216}


def fragments(size: int, count: int, first: bool, last: bool) -> bytes:
    """Frames of one message; the payload is as good as any."""
    middle = bytes([0, 0x80 | size]) + KEY + bytes(size)
    begin = bytes([BINARY, 0x80 | size]) + KEY + bytes(size) if first else middle
    end = bytes([0x80, 0x80 | size]) + KEY + bytes(size) if last else middle
    return begin + middle * (count - 2) + end


@pytest.mark.slow(5)
@pytest.mark.parametrize("size", [0, 1])
def test_tiny_fragments_cost_their_bytes(scene: Scene, size: int) -> None:
    """A message of ten million fragments is a message of that many bytes."""
    batch, batches = 100_000, 100
    server = scene.websockets_server()
    kept = scene.keep(server.url, client=FRAGMENTS)
    client = scene.raw_client(kept.port)
    client.handshake()
    client.socket.settimeout(120)
    kept.wait_open(server)
    before = kept.daemon.resident_bytes
    for number in range(batches):
        client.write(fragments(size, batch, number == 0, number == batches - 1))
    wait_until(lambda: server.messages, kept.daemon.tail, 120)
    assert server.messages[0].size == size * batch * batches
    if not is_sanitized():
        bytes_ = size * batch * batches
        assert kept.daemon.resident_bytes_max - before < 3 * bytes_ + 4 * MIB


@pytest.mark.parametrize("size", [0, 1])
def test_too_many_fragments_are_too_big(scene: Scene, size: int) -> None:
    server = scene.websockets_server()
    kept = scene.keep(server.url, client={"max_fragments": 1000})
    client = scene.raw_client(kept.port)
    client.handshake()
    client.write(fragments(size, 1000, True, False))
    assert early_end(client) is None
    client.write(fragments(size, 2, False, False))
    assert client.read_until(CLOSE).close_code == 1009
    kept.daemon.wait_for("session-end", cause="message-too-big")


def test_message_is_not_in_its_own_way(scene: Scene) -> None:
    """What was held of a message while it came is not counted against it once it is whole."""
    size, count = 256 * 1024, 15  # with the last one 3.75 of 4 MiB are taken, with it twice 4
    link = scene.link(f"ws://127.0.0.1:{scene.port()}/")
    kept = Kept(scene.start(link, memory_max="4MiB"), link)
    client = scene.raw_client(kept.port)
    client.handshake()
    message = head(size) + bytes(size)
    client.write(message * (count - 1) + message[: size // 2])
    client.wait_read()
    client.write(message[size // 2 :])
    client.send(PING)
    client.read_until(PONG)  # all of it is in the outbox


def test_pongs_behind_a_message_are_read(scene: Scene) -> None:
    """What fills the memory leaves with Pongs: the upstream whose message comes before them is read,
    or nothing would ever go on."""
    size, count = 256 * 1024, 15

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.write(encode(BINARY, bytes(MIB)))
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    wire = scene.wire(server)
    wire.refuse()
    link = scene.link(wire.url)
    kept = Kept(scene.start(link, memory_max="4MiB"), link)
    client = scene.raw_client(kept.port)
    client.handshake()
    client.write((head(size) + bytes(size)) * count)
    client.send(PING)
    client.read_until(PONG)  # all of it is in the outbox
    wire.open_listener()
    assert len(client.read_until(BINARY).payload) == MIB
    wait_until(lambda: len(server.messages) == count, kept.daemon.tail)
    client.send_close(1000)
    assert client.read_until(CLOSE).close_code == 1000


#: The session is 936 of it; pages that fill while the pairs come are counted, too.
PAIR_BYTES_MAX = 1280
PAIRS = 300
WARM_PAIRS = 30


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's heap is not ours")
def test_quiet_pairs_cost_little_also_after_a_burst(scene: Scene) -> None:
    """What a connection needs while something is under way exists only then."""

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    link = scene.link(server.url, upstream={"compression": "off"})
    kept = Kept(scene.start(link, workers=1), link)  # each has buffers of its own

    def open_pairs(count: int) -> list[RawClient]:
        clients = []
        for _ in range(count):
            clients.append(scene.raw_client(kept.port))
            clients[-1].handshake()
        return clients

    def pair_bytes() -> float:
        return (kept.daemon.resident_bytes - before) / PAIRS

    def all_are_open(count: int) -> bool:
        return len(server.conversations) == count

    clients = open_pairs(WARM_PAIRS)
    wait_until(lambda: all_are_open(WARM_PAIRS), kept.daemon.tail)
    for number, client in enumerate(clients):
        client.send_text(numbered(number, 500))
    wait_until(lambda: len(server.numbers_seen) == WARM_PAIRS, kept.daemon.tail)
    before = kept.daemon.resident_bytes
    clients += open_pairs(PAIRS)
    wait_until(lambda: all_are_open(WARM_PAIRS + PAIRS), kept.daemon.tail)
    wait_until(lambda: pair_bytes() <= PAIR_BYTES_MAX, lambda: f"{pair_bytes():.0f} bytes a pair")
    for number, client in enumerate(clients):
        client.send_text(numbered(number, 500))
    wait_until(lambda: len(server.numbers_seen) == len(clients), kept.daemon.tail)
    wait_until(lambda: pair_bytes() <= PAIR_BYTES_MAX, lambda: f"{pair_bytes():.0f} bytes a pair")


@pytest.mark.skipif(is_sanitized(), reason="resident memory is the sanitizer's")
@pytest.mark.parametrize("size", [1000, 65536, MIB])
def test_memory_goes_back_to_the_system_after_a_burst(scene: Scene, size: int) -> None:
    """32 MiB waited in the outbox; a while after they left, the daemon is as small as before."""
    may_read = threading.Event()

    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        may_read.wait(60)
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = scene.keep(server.url, delivery={"max_bytes": "64MiB"})
    client = scene.raw_client(kept.port)
    client.handshake()
    before = kept.daemon.resident_bytes
    message = encode(BINARY, bytes(size), masked=True, key=KEY)
    for _ in range(32 * MIB // size):
        client.write(message)
    wait_until(lambda: kept.daemon.resident_bytes > before + 24 * MIB, "an outbox of 32 MiB")
    may_read.set()
    wait_until(
        lambda: kept.daemon.resident_bytes < before + 4 * MIB,
        lambda: f"{(kept.daemon.resident_bytes - before) / MIB:.1f} MiB to go back",
    )
