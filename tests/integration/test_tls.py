"""TLS on both sides: what it protects, and that nothing else is different with it."""

from __future__ import annotations

import datetime
import os
import pathlib
import shutil
import signal
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Callable, Optional

import pytest
from cryptography import x509

from certificates import Authority, Identity
from frames import CLOSE, PING, PONG, Frame
from messages import check_delivery, noise, numbered
from polling import wait_until, wait_until_still
from raw_peers import RawClient, RawServerConnection, answer_pings
from scene import Kept, Scene
from test_proxy import SOCKS_OPEN, Start, greet, read_request, start  # noqa: F401
from tls_peers import Flights, OpensslServer, secure_client, secure_server, wait_for_end
from wskeepd_process import is_sanitized, run_to_end

MIB = 1024 * 1024
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
VERSION_NAMES = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}


def version_id(version: ssl.TLSVersion) -> str:
    return version.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: pathlib.Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    """What servers and listeners show."""
    return authority.identity("127.0.0.1", "localhost")


def server_of(
    scene: Scene,
    kind: str,
    identity: Identity,
    version: Optional[ssl.TLSVersion] = None,
    **options: Any,
) -> Any:
    if kind == "websockets":
        return scene.websockets_server(tls=identity.server_context(version), **options)
    files: dict[str, str] = dict(identity.files)
    if version is not None:
        files["version"] = VERSION_NAMES[version]
    return scene.node_server(tls=files, **options)


def keep(
    scene: Scene, authority: Authority, port: int, host: str = "127.0.0.1", **sections: Any
) -> Kept:
    """A link to a wss:// server at this port."""
    upstream = dict(sections.pop("upstream", {}))
    upstream["tls"] = {"ca": authority.cert, **upstream.get("tls", {})}
    sections.setdefault("session", {"drain_timeout": "200ms"})
    return scene.keep(f"wss://{host}:{port}/", upstream=upstream, **sections)


def keep_listening(scene: Scene, identity: Identity, url: str, **sections: Any) -> Kept:
    """A link whose clients use TLS."""
    client = dict(sections.pop("client", {}))
    client["tls"] = {**identity.files, **client.get("tls", {})}
    return scene.keep(
        url, listen=f"wss://127.0.0.1:{scene.port()}", client=client, **sections
    )


def client_of(scene: Scene, kept: Kept, kind: str, authority: Authority, **options: Any) -> Any:
    if kind == "node":
        return scene.node_client(kept.url, ca=authority.cert, **options)
    return scene.websockets_client(kept.url, tls=authority.client_context(), **options)


# ---- messages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("kind", ["websockets", "node"])
def test_messages_pass_both_ways(
    scene: Scene, authority: Authority, identity: Identity, kind: str, version: ssl.TLSVersion
) -> None:
    """Every size arrives whole, each way, in either version of TLS."""
    server = server_of(scene, kind, identity, version, echo=True)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    sent = [noise(size) for size in (0, 1, 125, 126, 16383, 16384, 16385, 65536, 1_000_000)]
    for text in sent:
        client.send(text)
    client.send(b"\0\xff" * 5000)
    wait_until(lambda: len(client.messages) == len(sent) + 1, "the echoes")
    assert client.messages == server.messages
    assert [m.size for m in client.messages] == [len(text) for text in sent] + [10000]
    assert kept.daemon.wait_for("secured")["tls_version"] == VERSION_NAMES[version]


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("kind", ["websockets", "node"])
def test_clients_use_tls(
    scene: Scene, authority: Authority, identity: Identity, kind: str, version: ssl.TLSVersion
) -> None:
    server = scene.websockets_server(echo=True)
    kept = keep_listening(scene, identity, server.url)
    if kind == "websockets":
        context = authority.client_context()
        context.minimum_version = context.maximum_version = version
        client: Any = scene.websockets_client(kept.url, tls=context)
    else:
        client = client_of(scene, kept, kind, authority)
    for size in (0, 1, 16384, 16385, 1_000_000):
        client.send(noise(size))
    wait_until(lambda: len(client.messages) == 5, "the echoes")
    assert client.messages == server.messages
    assert client.close() == (1000, "")
    assert kept.daemon.wait_for("session-end")["given_up"] == 0


@pytest.mark.parametrize("up,down", [("wss", "wss"), ("wss", "ws"), ("ws", "wss")])
def test_large_messages(
    scene: Scene, authority: Authority, identity: Identity, up: str, down: str
) -> None:
    """15 MiB in one message, there and back."""
    server = server_of(scene, "websockets", identity, echo=True) if up == "wss" else (
        scene.websockets_server(echo=True)
    )
    if down == "wss":
        upstream = {"tls": {"ca": authority.cert}} if up == "wss" else {}
        kept = keep_listening(scene, identity, server.url, upstream=upstream)
        client = client_of(scene, kept, "websockets", authority)
    else:
        kept = keep(scene, authority, server.port)
        client = scene.client(kept.url)
    for number in range(3):
        client.send(numbered(number, 15 * MIB))
    wait_until(lambda: len(client.messages) == 3, "the echoes", 120)
    assert client.messages == server.messages
    assert client.numbers == [0, 1, 2]


def test_small_messages_share_records(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """What is sent in one turn is one record, or as few as hold it: each costs 22 bytes."""
    count, size = 1000, 10
    server = server_of(scene, "websockets", identity)
    wire = scene.wire(server)
    kept = keep(scene, authority, wire.port)
    client = scene.raw_client(kept.port)
    client.handshake()
    kept.wait_open(server)
    before = wire.forwarded_bytes("up")
    client.write(b"".join(b"\x82\x8a\0\0\0\0" + b"%010d" % n for n in range(count)))
    wait_until(lambda: len(server.messages) == count, "the messages")
    wire.settle()
    sent = wire.forwarded_bytes("up") - before
    assert count * (size + 6) < sent < count * (size + 6) * 1.2


# ---- breaks -----------------------------------------------------------------------------------


@dataclass
class Stage:
    server: Any
    wire: Any
    kept: Kept


def lose_what_is_held(stage: Stage) -> None:
    stage.wire.reset()
    stage.wire.flow()


BREAKS: dict[str, tuple[Callable[[Stage], None], Callable[[Stage], None], dict[str, Any]]] = {
    "reset": (lambda s: s.wire.reset(), lambda s: None, {"cause": "tcp-reset"}),
    "fin": (lambda s: s.wire.cut(), lambda s: None, {"cause": "tcp-eof"}),
    "interrupted": (
        lambda s: s.server.close(1000, "interrupted"),
        lambda s: None,
        {"cause": "closed", "code": 1000},
    ),
    "silence": (lambda s: s.wire.stall(), lose_what_is_held, {"cause": "heartbeat-timeout"}),
}


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("kind", ["websockets", "node"])
@pytest.mark.parametrize("name", BREAKS)
def test_client_stays_through(
    scene: Scene,
    authority: Authority,
    identity: Identity,
    name: str,
    kind: str,
    version: ssl.TLSVersion,
) -> None:
    """Nothing is lost in a break of a TLS connection, and its session is resumed."""
    strike, mend, expect = BREAKS[name]
    server = server_of(scene, kind, identity, version)
    wire = scene.wire(server, seed=7, ragged=True)
    kept = keep(
        scene,
        authority,
        wire.port,
        upstream={"connect_timeout": "1s"},
        heartbeat={"interval": "500ms", "timeout": "2s"},
    )
    stage = Stage(server, wire, kept)
    client = scene.client(kept.url)
    kept.wait_open(server)
    for number in range(20):
        client.send(numbered(number, 2000))
    wait_until(lambda: server.messages, "a message")
    strike(stage)
    for number in range(20, 40):
        client.send(numbered(number, 2000))
    kept.daemon.wait_for_move("waiting", from_="open", **expect)
    mend(stage)
    for number in range(40, 60):
        client.send(numbered(number, 2000))
    wait_until(lambda: server.numbers_seen >= set(range(60)), "60 messages")
    check_delivery(server.numbers_by_connection, 60)
    server.send("after")
    wait_until(lambda: client.messages, "a message from the server")
    assert client.texts == ["after"]
    kept.daemon.wait_for("secured", tls_session="resumed")


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
def test_last_words_before_a_reset(
    scene: Scene, authority: Authority, identity: Identity, version: ssl.TLSVersion
) -> None:
    """20 messages, a Pong and Close 4001 count although a reset follows while wskeepd writes."""
    acknowledged: list[int] = []
    context = identity.server_context(version)

    def script(connection: RawServerConnection) -> None:
        secure_server(connection, context)
        connection.upgrade()

        def last_words(connection: RawServerConnection, ping: Frame) -> None:
            messages = len(connection.conversation.messages)
            if messages < 3:
                connection.pong(ping)
                return
            acknowledged.append(messages)
            for number in range(20):
                connection.send_text(numbered(number))
            connection.send(PONG, ping.payload)
            connection.send_close(4001, "bye")
            connection.wait_flushed()
            connection.reset()

        connection.serve(last_words)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    client.send_many([numbered(number, 500_000) for number in range(60)])
    assert client.wait_closed() == (4001, "bye")
    assert client.numbers == list(range(20))
    end = kept.daemon.wait_for("session-end")
    assert (end["cause"], end["received"]) == ("closed", 20)
    assert end["given_up"] <= 60 - acknowledged[0]
    assert len(server.conversations) == 1


def test_last_message_and_close_notify_in_one_piece(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """A server that says goodbye and waits for ours: the end is seen without another byte."""
    context = identity.server_context()
    answers: list[str] = []

    def script(connection: RawServerConnection) -> None:
        sock = secure_server(connection, context)
        connection.upgrade()
        if connection.number > 1:
            connection.serve_to_end(answer_pings)
            return
        connection.send_text("last")
        sock.settimeout(20)
        sock.unwrap()  # returns when wskeepd has said goodbye as well
        answers.append("goodbye")

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port, heartbeat={"interval": "never"})
    client = scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="tcp-eof", from_="open")
    wait_until(lambda: client.texts == ["last"], "the message")
    wait_until(lambda: answers == ["goodbye"], "our goodbye")


def test_garbage_on_an_open_connection(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """What came before it counts, nothing after; then there is a new connection."""
    context = identity.server_context()

    def script(connection: RawServerConnection) -> None:
        raw = connection.socket.dup()
        secure_server(connection, context)
        connection.upgrade()
        if connection.number == 1:
            connection.send_text("good")
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x81\x04evil" * 5 + b"xx")
            wait_for_end(raw)
        raw.close()
        connection.send_text("again")
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = keep(
        scene,
        authority,
        server.port,
        close_rules=[{"cause": "tls-failed", "then": "reconnect"}],
    )
    client = scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="tls-failed", from_="open")
    assert move["why"] == "decryption failed or bad record mac"
    wait_until(lambda: client.texts == ["good", "again"], lambda: str(client.texts))


def test_end_is_not_cut_short(scene: Scene, authority: Authority, identity: Identity) -> None:
    """After our Close comes close_notify, then the end of TCP."""
    ends: list[object] = []
    context = identity.server_context()

    def script(connection: RawServerConnection) -> None:
        sock = secure_server(connection, context)
        connection.upgrade()
        close = connection.serve(answer_pings)
        connection.send(CLOSE, close.payload)
        try:
            ends.append(sock.recv(1))
        except OSError as error:
            ends.append(error)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    client.send("x")
    assert client.close(1000, "done") == (1000, "done")
    wait_until(lambda: ends, "the end")
    assert ends == [b""]  # an end without close_notify raises


@pytest.mark.slow(14)
def test_many_reconnections(scene: Scene, authority: Authority, identity: Identity) -> None:
    """100 reconnections: no growth of descriptors or memory."""
    server = server_of(scene, "websockets", identity)
    wire = scene.wire(server)
    kept = keep(
        scene,
        authority,
        wire.port,
        reconnect={"initial_delay": "0ms", "max_delay": "100ms", "jitter": "none"},
    )
    client = scene.client(kept.url)
    descriptors, memory = 0, 0
    for number in range(100):
        kept.wait_open(server)
        if number == 30:
            descriptors, memory = kept.daemon.descriptor_count, kept.daemon.resident_bytes
        wire.reset() if number % 2 else wire.cut()
        kept.daemon.wait_for_move("waiting", number + 1)
    kept.wait_open(server)
    client.send("x")
    wait_until(lambda: server.messages, "the message")
    assert kept.daemon.descriptor_count <= descriptors + 1
    if not is_sanitized():
        assert kept.daemon.resident_bytes - memory < 256 * 1024
    assert len(kept.daemon.find("secured", tls_session="resumed")) >= 99


# ---- backpressure -----------------------------------------------------------------------------


@pytest.mark.slow(10)
def test_client_that_does_not_read(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """It holds the server back through TLS on both sides, in bounded memory; then all arrives."""
    count, size = 1500, 65536
    server = server_of(scene, "node", identity, push={"count": count, "size": size})
    kept = keep_listening(
        scene,
        identity,
        server.url,
        upstream={"tls": {"ca": authority.cert}, "max_message": "1MiB"},
        delivery={"inbox_max_bytes": "4MiB"},
    )
    client = client_of(scene, kept, "websockets", authority, reading=False)
    kept.wait_open(server)
    wait_until_still(lambda: kept.daemon.resident_bytes, 0.5)
    if not is_sanitized():
        assert kept.daemon.resident_bytes_max < 32 * MIB
    client.send("meanwhile")
    wait_until(lambda: server.messages, "the other direction")
    client.read()
    wait_until(lambda: len(client.messages) == count, "all messages", 120)
    assert client.numbers == list(range(count))


@pytest.mark.slow(10)
def test_server_that_does_not_read(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """It holds the client back, too."""
    count, size = 1000, 65536
    server = server_of(scene, "node", identity)
    kept = keep_listening(
        scene,
        identity,
        server.url,
        upstream={"tls": {"ca": authority.cert}},
        client={"max_message": "1MiB"},
        delivery={"max_bytes": "4MiB", "window_bytes": "64MiB", "ack_timeout": "300s"},
        heartbeat={"interval": "never", "stall_timeout": "never"},
    )
    client = client_of(scene, kept, "websockets", authority)
    kept.wait_open(server)
    wait_until(lambda: server.is_connected, "the connection")
    server.read(False)
    client.send_many([numbered(number, size) for number in range(count)])
    wait_until_still(lambda: client.sent_count, 0.5)
    assert client.sent_count < count
    if not is_sanitized():
        assert kept.daemon.resident_bytes_max < 32 * MIB
    server.send("meanwhile")
    wait_until(lambda: client.messages, "the other direction")
    server.read(True)
    wait_until(lambda: len(server.messages) == count, "all messages", 120)
    assert check_delivery(server.numbers_by_connection, count).repeated == 0


# ---- who the server is ------------------------------------------------------------------------


def other_authority(folder: pathlib.Path) -> Authority:
    return Authority(folder, "stranger")


GAME = {"tls": {"server_name": "game.example.com"}}
EXPIRED = datetime.timedelta(days=-1)

BAD: dict[str, tuple[Callable[[Authority, pathlib.Path], Identity], dict[str, Any], str]] = {
    "wrong-host": (lambda a, f: a.identity("other.example.com"), GAME, "hostname mismatch"),
    "expired": (
        lambda a, f: a.identity("127.0.0.1", valid_for=EXPIRED),
        {},
        "certificate has expired",
    ),
    "self-signed": (
        lambda a, f: a.identity("127.0.0.1", self_signed=True),
        {},
        "self-signed certificate",
    ),
    "unknown-ca": (
        lambda a, f: other_authority(f).identity("127.0.0.1"),
        {},
        "unable to get local issuer certificate",
    ),
    "wildcard-too-deep": (lambda a, f: a.identity("*.example.com"), {
        "tls": {"server_name": "a.game.example.com"}
    }, "hostname mismatch"),
    "partial-wildcard": (lambda a, f: a.identity("g*.example.com"), GAME, "hostname mismatch"),
    "cn-only": (
        lambda a, f: a.identity(common_name="game.example.com"),
        GAME,
        "hostname mismatch",
    ),
    "wrong-ip": (lambda a, f: a.identity("127.0.0.2"), {}, "IP address mismatch"),
    "ip-as-name": (
        lambda a, f: a.identity("localhost", common_name="127.0.0.1"),
        {},
        "IP address mismatch",
    ),
}


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("name", BAD)
def test_bad_certificate(
    scene: Scene,
    authority: Authority,
    folder: pathlib.Path,
    name: str,
    version: ssl.TLSVersion,
) -> None:
    """It is refused, the log says which check failed, and no byte of the application passes."""
    make, upstream, why = BAD[name]
    context = make(authority, folder).server_context(version)
    heard: list[bytes] = []

    def script(connection: RawServerConnection) -> None:
        try:
            sock = secure_server(connection, context)
            heard.append(sock.recv(65536))
        except ssl.SSLError:
            pass

    server = scene.raw_server(script)
    kept = keep(
        scene,
        authority,
        server.port,
        upstream=upstream,
        close_rules=[{"cause": "tls-untrusted", "then": "reconnect"}],
    )
    client = scene.client(kept.url)
    client.send("secret")
    move = kept.daemon.wait_for_move("waiting", 2, cause="tls-untrusted")
    assert move["why"] == why
    assert move["from"] == "securing"
    assert not any(heard)
    assert not kept.daemon.moves(to="upgrading")
    assert client.is_open


def refuse_tls(connection: RawServerConnection, context: ssl.SSLContext) -> None:
    """The handshake fails here, and our alert is read before TCP ends."""
    raw = connection.socket.dup()
    with pytest.raises(ssl.SSLError):
        secure_server(connection, context)
    raw.shutdown(socket.SHUT_WR)
    wait_for_end(raw)
    raw.close()


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
def test_client_certificate_is_missing(
    scene: Scene, authority: Authority, identity: Identity, version: ssl.TLSVersion
) -> None:
    """The eighth: the server wants one and we have none."""
    context = identity.server_context(version, client_ca=authority.cert)
    server = scene.raw_server(lambda connection: refuse_tls(connection, context))
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    client.send("secret")
    move = kept.daemon.wait_for_move("waiting", cause="tls-failed")
    assert move["why"] == {
        ssl.TLSVersion.TLSv1_2: "sslv3 alert handshake failure",
        ssl.TLSVersion.TLSv1_3: "tlsv13 alert certificate required",
    }[version]
    assert not kept.daemon.moves(to="open")


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
def test_client_certificate_is_shown(
    scene: Scene, authority: Authority, identity: Identity, version: ssl.TLSVersion
) -> None:
    own = authority.identity("wskeepd")
    server = scene.websockets_server(
        tls=identity.server_context(version, client_ca=authority.cert)
    )
    kept = keep(scene, authority, server.port, upstream={"tls": own.files})
    client = scene.client(kept.url)
    client.send("secret")
    wait_until(lambda: server.messages, "the message")


GOOD = {
    "address": ("127.0.0.1", "127.0.0.1", {}, None),
    "name": ("localhost", "localhost", {}, "localhost"),
    "trailing-dot": (
        "127.0.0.1",
        "game.example.com",
        {"tls": {"server_name": "game.example.com."}},
        "game.example.com",
    ),
    "server-name": ("127.0.0.1", "game.example.com", GAME, "game.example.com"),
    "wildcard": ("127.0.0.1", "*.example.com", GAME, "game.example.com"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_certificate(scene: Scene, authority: Authority, name: str) -> None:
    """A name is asked for (SNI), an address is not; http/1.1 is offered."""
    host, certified, upstream, asked = GOOD[name]
    context = authority.identity(certified).server_context()
    names: list[Optional[str]] = []
    protocols: list[Optional[str]] = []
    context.sni_callback = lambda sock, name, ctx: names.append(name)  # type: ignore[assignment]
    context.set_alpn_protocols(["h2", "http/1.1"])

    def script(connection: RawServerConnection) -> None:
        sock = secure_server(connection, context)
        protocols.append(sock.selected_alpn_protocol())
        connection.upgrade()
        connection.serve_to_end(answer_pings)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port, host=host, upstream=upstream)
    client = scene.client(kept.url)
    client.send("x")
    wait_until(lambda: server.messages, "the message")
    assert names == [asked]
    assert protocols == ["http/1.1"]


def test_authorities_of_the_system(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """Without `ca` they decide, as OpenSSL finds them."""
    server = server_of(scene, "websockets", identity)
    link = scene.link(server.url)
    trusting = scene.launch({"links": [link]}, environment={"SSL_CERT_FILE": authority.cert})
    trusting.wait_ready()
    client = scene.client(link["listen"])
    client.send("x")
    wait_until(lambda: server.messages, "the message")


def test_verify_false_is_said(scene: Scene, authority: Authority, folder: pathlib.Path) -> None:
    """At every start and reload, and then anybody may be the server."""
    identity = other_authority(folder).identity("other.example.com", valid_for=EXPIRED)
    server = server_of(scene, "websockets", identity)
    kept = keep(scene, authority, server.port, upstream={"tls": {"verify": False}})
    assert kept.daemon.wait_for("tls-unverified", level="warning")["link"] == "game"
    client = scene.client(kept.url)
    client.send("x")
    wait_until(lambda: server.messages, "the message")
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reloaded")
    kept.daemon.wait_for("tls-unverified", 2)


def test_nothing_is_said_when_all_is_verified(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    server = server_of(scene, "websockets", identity)
    kept = keep(scene, authority, server.port)
    kept.daemon.wait_ready()
    assert not kept.daemon.find("tls-unverified")


def test_old_versions_are_refused(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    context = identity.server_context(ssl.TLSVersion.TLSv1_2)
    server = scene.raw_server(lambda connection: refuse_tls(connection, context))
    kept = keep(scene, authority, server.port, upstream={"tls": {"min_version": "1.3"}})
    scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="tls-failed", from_="securing")
    assert move["why"] == "tlsv1 alert protocol version"


# ---- handshakes that go wrong -----------------------------------------------------------------

STALLS = {
    "silence": (ssl.TLSVersion.TLSv1_3, 0, 0),
    "some-bytes": (ssl.TLSVersion.TLSv1_3, 0, 3),
    "half-a-flight-1.3": (ssl.TLSVersion.TLSv1_3, 0, 400),
    "half-a-flight-1.2": (ssl.TLSVersion.TLSv1_2, 0, 400),
    "no-second-flight-1.2": (ssl.TLSVersion.TLSv1_2, 1, 0),
    "half-a-second-flight-1.2": (ssl.TLSVersion.TLSv1_2, 1, 20),
}


@pytest.mark.parametrize("name", STALLS)
def test_handshake_that_stalls(
    scene: Scene, authority: Authority, identity: Identity, name: str
) -> None:
    """Wherever the server stops, connect_timeout ends it, and the next attempt may succeed."""
    version, whole, part = STALLS[name]
    context = identity.server_context(version)
    ends: list[int] = []

    def script(connection: RawServerConnection) -> None:
        if connection.number > 2:
            secure_server(connection, context)
            connection.upgrade()
            connection.serve_to_end(answer_pings)
            return
        flights = Flights(connection, context)
        for _ in range(whole):
            connection.write(flights.next())
        if part:
            connection.write(flights.next()[:part])
        wait_for_end(connection.socket)
        ends.append(connection.number)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port, upstream={"connect_timeout": "300ms"})
    client = scene.client(kept.url)
    client.send("x")
    kept.daemon.wait_for_move("waiting", 2, cause="tls-timeout", from_="securing")
    wait_until(lambda: sorted(ends) == [1, 2], "both connections to be ended")
    wait_until(lambda: server.messages, "the message")


def test_garbage_instead_of_server_hello(scene: Scene, authority: Authority) -> None:
    def script(connection: RawServerConnection) -> None:
        connection.socket.recv(65536)
        connection.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        wait_for_end(connection.socket)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="tls-failed", from_="securing")
    assert move["why"] in ("wrong version number", "http request", "packet length too long")
    assert client.is_open


@pytest.mark.parametrize("end,cause", [("reset", "tcp-reset"), ("fin", "tcp-eof")])
@pytest.mark.parametrize("flight", [0, 1])
def test_tcp_ends_in_the_handshake(
    scene: Scene, authority: Authority, identity: Identity, end: str, cause: str, flight: int
) -> None:
    """It is TCP's end, not TLS's."""
    context = identity.server_context(ssl.TLSVersion.TLSv1_2)

    def script(connection: RawServerConnection) -> None:
        flights = Flights(connection, context)
        answer = flights.next()
        if flight:
            connection.write(answer)
            connection.socket.recv(65536)
        connection.wait_flushed()
        connection.reset() if end == "reset" else connection.fin()
        if end == "fin":
            wait_for_end(connection.socket)

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port)
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", 2, cause=cause, from_="securing")


# ---- sessions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
def test_session_is_resumed(
    scene: Scene, authority: Authority, identity: Identity, version: ssl.TLSVersion
) -> None:
    """After a reset, too; not after a reload, which may have changed who is trusted."""
    context = identity.server_context(version)
    reused: list[bool] = []

    def script(connection: RawServerConnection) -> None:
        sock = secure_server(connection, context)
        reused.append(bool(sock.session_reused))
        connection.upgrade()
        connection.read_until(PING)
        connection.wait_flushed()
        connection.reset()

    server = scene.raw_server(script)
    kept = keep(scene, authority, server.port)
    client = scene.client(kept.url)
    client.send("x")
    wait_until(lambda: len(reused) >= 3, "two reconnections")
    assert reused[:3] == [False, True, True]
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reloaded")
    already = len(reused)
    wait_until(lambda: len(reused) >= already + 2, "two more")
    assert False in reused[already - 1 :]


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_openssl_sees_a_resumed_session(
    scene: Scene, authority: Authority, identity: Identity, tmp_path: pathlib.Path, flag: str
) -> None:
    server = OpensslServer(tmp_path, "-cert", identity.cert, "-key", identity.key, flag)
    try:
        kept = keep(scene, authority, server.port, upstream={"connect_timeout": "300ms"})
        scene.client(kept.url)
        wait_until(lambda: "Reused session-id" in server.output, lambda: server.output[-2000:])
        assert "Upgrade: websocket" in server.output
        first = server.output.split("Reused session-id")[0]
        assert first.count("-----BEGIN SSL SESSION PARAMETERS-----") >= 1
    finally:
        server.stop()


def test_session_belongs_to_one_server(
    scene: Scene, authority: Authority, folder: pathlib.Path
) -> None:
    """Two links to two servers with the same name: neither shows the other's session."""
    servers = []
    for _ in range(2):
        context = authority.identity("127.0.0.1").server_context()
        reused: list[bool] = []

        def script(
            connection: RawServerConnection,
            context: ssl.SSLContext = context,
            reused: list[bool] = reused,
        ) -> None:
            sock = secure_server(connection, context)
            reused.append(bool(sock.session_reused))
            connection.upgrade()
            connection.serve_to_end(answer_pings)

        servers.append((scene.raw_server(script), reused))
    links = [
        scene.link(f"wss://127.0.0.1:{server.port}/", name=f"link-{number}", upstream={
            "tls": {"ca": authority.cert}
        })
        for number, (server, _) in enumerate(servers)
    ]
    scene.start(*links)
    for link in links:
        for text in ("a", "b"):
            client = scene.client(link["listen"])
            client.send(text)
            client.close()
    for _, reused in servers:
        assert reused == [False, True]


@pytest.mark.slow(5)
def test_session_does_not_outlive_its_certificate(scene: Scene, authority: Authority) -> None:
    """Resumed, a server shows no certificate; once the first one has expired, it must."""
    brief = authority.identity("127.0.0.1", valid_for=datetime.timedelta(seconds=4))
    server = server_of(scene, "websockets", brief)
    wire = scene.wire(server)
    kept = keep(scene, authority, wire.port)
    client = scene.client(kept.url)
    kept.wait_open(server)

    def is_refused() -> bool:
        if kept.is_open:
            wire.reset()
        return bool(kept.daemon.moves(cause="tls-untrusted", why="certificate has expired"))

    wait_until(is_refused, "the certificate to be refused")
    assert kept.daemon.find("secured", tls_session="resumed")
    assert client.is_open


# ---- clients ----------------------------------------------------------------------------------


def test_client_certificate_is_wanted(
    scene: Scene, authority: Authority, identity: Identity, folder: pathlib.Path
) -> None:
    """client_ca: no certificate, a stranger's, an expired one: refused, and nothing is relayed."""
    server = scene.websockets_server()
    kept = keep_listening(
        scene, identity, server.url, client={"tls": {"client_ca": authority.cert}}
    )
    stranger = other_authority(folder).identity("client")
    expired = authority.identity("client", valid_for=EXPIRED)
    for number, shown in enumerate((None, stranger, expired)):
        client = scene.raw_client(kept.port)
        with pytest.raises((OSError, EOFError)):
            secure_client(client, authority.client_context(shown))
            client.handshake()
        refused = kept.daemon.wait_for("client-tls-failed", number + 1)
        assert refused["link"] == "game"
    assert {e["why"] for e in kept.daemon.find("client-tls-failed")} >= {
        "certificate has expired",
        "unable to get local issuer certificate",
    }
    good = scene.websockets_client(
        kept.url, tls=authority.client_context(authority.identity("client"))
    )
    good.send("x")
    wait_until(lambda: server.messages, "the message")
    assert server.requests == 1


@pytest.mark.parametrize("version", VERSIONS, ids=version_id)
@pytest.mark.parametrize("wanted", [False, True], ids=["no-certificate", "certificate"])
def test_client_resumes_when_it_need_not_show_itself(
    scene: Scene, authority: Authority, identity: Identity, wanted: bool, version: ssl.TLSVersion
) -> None:
    """A resumed handshake shows no certificate, so with client_ca there is none."""
    server = scene.websockets_server(echo=True)
    tls = {"client_ca": authority.cert} if wanted else {}
    kept = keep_listening(scene, identity, server.url, client={"tls": tls})
    context = authority.client_context(authority.identity("client"))
    context.minimum_version = context.maximum_version = version
    session: Optional[ssl.SSLSession] = None
    reused = []
    for _ in range(2):
        client = scene.raw_client(kept.port)
        sock = secure_client(client, context, session)
        client.handshake()
        client.send_text("x")
        client.read()
        session = sock.session
        reused.append(sock.session_reused)
    assert reused == [False, not wanted]


PLAIN = RawClient.request()


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    bio = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        bio.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    "first",
    [PLAIN, PLAIN + client_hello(), b"\0" + client_hello(), b"\x81\x80\0\0\0\0" + client_hello()],
    ids=["plain", "glued", "a-byte", "a-frame"],
)
def test_bytes_before_the_handshake(
    scene: Scene, authority: Authority, identity: Identity, first: bytes
) -> None:
    """They end that connection, and are never taken for what a client says."""
    server = scene.websockets_server()
    kept = keep_listening(scene, identity, server.url)
    client = scene.raw_client(kept.port)
    client.write(first)
    got = bytearray()
    try:
        while data := client.socket.recv(65536):
            got += data
    except ConnectionError:
        pass
    assert not got or got[0] == 21  # an alert at most
    assert b"HTTP" not in got
    kept.daemon.wait_for("client-tls-failed")
    good = client_of(scene, kept, "websockets", authority)
    good.send("x")
    wait_until(lambda: server.messages, "the message")
    assert server.requests == 1


@pytest.mark.parametrize("part", ["nothing", "half-a-hello", "hello", "finished"])
def test_client_that_stalls(
    scene: Scene, authority: Authority, identity: Identity, part: str
) -> None:
    """handshake_timeout covers the TLS handshake and the head, from accept."""
    server = scene.websockets_server()
    kept = keep_listening(scene, identity, server.url, client={"handshake_timeout": "1s"})
    client = scene.raw_client(kept.port)
    hello = client_hello()
    if part == "finished":
        secure_client(client, authority.client_context())
        client.write(PLAIN[:-2])
    else:
        client.write({"nothing": b"", "half-a-hello": hello[:50], "hello": hello}[part])
    got = bytearray()
    try:
        while data := client.socket.recv(65536):
            got += data
    except ConnectionError:
        pass
    assert (b"HTTP/1.1 408" in got) == (part == "finished")
    kept.daemon.wait_for("client-refused", status=408)
    assert not server.requests


def serial_of(port: int, authority: Authority) -> int:
    context = authority.client_context()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        with context.wrap_socket(sock, server_hostname="127.0.0.1") as secure:
            shown = secure.getpeercert(binary_form=True)
            assert shown is not None
            return int(x509.load_der_x509_certificate(shown).serial_number)


def test_renewed_certificate(
    scene: Scene, authority: Authority, tmp_path: pathlib.Path
) -> None:
    """It is used after SIGHUP, and no client is dropped; a broken one changes nothing."""
    cert, key = str(tmp_path / "c.pem"), str(tmp_path / "c.key")
    old, new = authority.identity("127.0.0.1"), authority.identity("127.0.0.1")
    old.write_to(cert, key)
    server = scene.websockets_server(echo=True)
    kept = keep_listening(scene, old, server.url, client={"tls": {"cert": cert, "key": key}})
    client = client_of(scene, kept, "websockets", authority)
    client.send("before")
    new.write_to(cert, key)
    assert serial_of(kept.port, authority) == old.serial
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reloaded")
    assert serial_of(kept.port, authority) == new.serial

    shutil.copy(old.key, key)
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reload-failed")
    error = kept.daemon.wait_for("cannot-secure")
    assert (error["key"], error["file"]) == ("client.tls.key", key)
    assert error["why"] == "key values mismatch"
    assert serial_of(kept.port, authority) == new.serial
    client.send("after")
    wait_until(lambda: client.texts == ["before", "after"], "the echoes")
    assert len(server.conversations) == 1


def test_renewed_authority(
    scene: Scene, authority: Authority, folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Whom the upstream's side trusts is read again, too: for the next connection."""
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.cert, ca)
    stranger = other_authority(folder)
    server = server_of(scene, "websockets", stranger.identity("127.0.0.1"))
    kept = keep(scene, authority, server.port, upstream={"tls": {"ca": str(ca)}})
    client = scene.client(kept.url)
    client.send("x")
    kept.daemon.wait_for_move("waiting", cause="tls-untrusted")
    shutil.copy(stranger.cert, ca)
    kept.daemon.signal(signal.SIGHUP)
    wait_until(lambda: server.messages, "the message")
    assert client.is_open


def test_listener_changes_to_tls(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """At the same port, at a reload, while a client of before stays."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url)
    plain = scene.client(kept.url)
    plain.send("plain")
    kept.link["listen"] = kept.url.replace("ws:", "wss:")
    kept.daemon.write_configuration(
        {"links": [{**kept.link, "client": {"tls": identity.files}}]}
    )
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reloaded")
    secure = scene.websockets_client(kept.link["listen"], tls=authority.client_context())
    secure.send("secure")
    plain.send("still")
    wait_until(lambda: plain.texts == ["plain", "still"], "the echoes")
    wait_until(lambda: secure.texts == ["secure"], "the echo")


# ---- proxies and fail-over --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tinyproxy", "microsocks"])
def test_through_a_proxy(
    scene: Scene, start: Start, authority: Authority, kind: str
) -> None:
    """The name in the certificate is the server's; TLS begins behind the proxy, at each attempt."""
    server = server_of(scene, "websockets", authority.identity("localhost"))
    proxy = start(kind)
    kept = keep(scene, authority, server.port, host="localhost", upstream={"proxy": proxy.url()})
    client = scene.client(kept.url)
    for number in range(3):
        client.send(numbered(number, 100_000))
        wait_until(lambda: number in server.numbers_seen, "the message")
        server.close(1012, "restart")
        kept.daemon.wait_for_move("waiting", number + 1, cause="closed")
    check_delivery(server.numbers_by_connection, 3)
    moves = [(m["from"], m["to"]) for m in kept.daemon.moves()]
    assert ("tunnelling", "securing") in moves and ("securing", "upgrading") in moves
    kept.daemon.wait_for("secured", tls_session="resumed")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_bytes_glued_to_a_proxys_answer(
    scene: Scene, authority: Authority, scheme: str
) -> None:
    """They are read as TLS, which they are not: never as what an authenticated server says."""

    def script(connection: RawServerConnection) -> None:
        if scheme == "http":
            connection.read_head()
            answer = b"HTTP/1.1 200 OK\r\n\r\n"
        else:
            greet(connection)
            read_request(connection)
            answer = SOCKS_OPEN
        connection.write(answer + b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x04evil")
        wait_for_end(connection.socket)

    proxy = scene.raw_server(script)
    kept = keep(
        scene, authority, 443, upstream={"proxy": f"{scheme}://127.0.0.1:{proxy.port}"}
    )
    client = scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="tls-failed", from_="securing")
    assert move["why"] == "wrong version number"
    assert not client.messages and client.is_open


def test_each_url_has_its_own_identity(
    scene: Scene, authority: Authority, identity: Identity
) -> None:
    """Of two urls the first shows the wrong certificate, and the second is plain."""
    wrong = server_of(scene, "websockets", authority.identity("other.example.com"))
    plain = scene.websockets_server()
    link = scene.link(
        wrong.url,
        upstream={"url": [wrong.url, plain.url], "tls": {"ca": authority.cert}},
        session={"drain_timeout": "200ms"},
    )
    kept = Kept(scene.start(link), link)
    client = scene.client(kept.url)
    client.send("x")
    kept.daemon.wait_for_move("waiting", cause="tls-untrusted", why="IP address mismatch")
    wait_until(lambda: plain.messages, "the message")
    assert not wrong.requests


# ---- files ------------------------------------------------------------------------------------


def unusable(
    identity: Identity, authority: Authority, folder: pathlib.Path
) -> dict[str, tuple[str, dict[str, str], str, str]]:
    """Side, what is changed, the key that is named, and the reason."""
    empty = folder / "empty.pem"
    empty.write_text("nothing of use\n")
    fifo = folder / "fifo.pem"
    if not fifo.exists():
        os.mkfifo(fifo)
    encrypted = str(folder / "encrypted.key")
    identity.write_to(str(folder / "encrypted.pem"), encrypted, passphrase=b"secret")
    other = authority.identity("other")
    return {
        "absent": ("client", {"cert": "absent.pem"}, "cert", "No such file or directory"),
        "no-pem": ("client", {"cert": str(empty)}, "cert", "no start line"),
        "fifo": ("client", {"key": str(fifo)}, "key", "not a file"),
        "encrypted": ("client", {"key": encrypted}, "key", "it is encrypted"),
        "mismatch": ("client", {"key": other.key}, "key", "key values mismatch"),
        "client-ca": ("client", {"client_ca": str(empty)}, "client_ca", "no certificate"),
        "ca": ("upstream", {"ca": str(empty)}, "ca", "no certificate"),
        "folder": ("upstream", {"ca": str(folder)}, "ca", "not a file"),
        "own-key": ("upstream", {**identity.files, "key": str(empty)}, "key", ""),
    }


@pytest.mark.parametrize(
    "name",
    ["absent", "no-pem", "fifo", "encrypted", "mismatch", "client-ca", "ca", "folder", "own-key"],
)
def test_unusable_file_stops_the_start(
    scene: Scene, authority: Authority, identity: Identity, folder: pathlib.Path, name: str
) -> None:
    """Exit status 1 and one line that names link, key and reason."""
    side, change, key, why = unusable(identity, authority, folder)[name]
    link = scene.link(
        "wss://127.0.0.1:9/",
        listen=f"wss://127.0.0.1:{scene.port()}",
        client={"tls": {**identity.files, **(change if side == "client" else {})}},
        upstream={"tls": {"ca": authority.cert, **(change if side == "upstream" else {})}},
    )
    daemon = scene.launch({"links": [link]})
    daemon.expect_end(1)
    (line,) = daemon.find("cannot-secure")
    assert (line["link"], line["key"]) == ("game", f"{side}.tls.{key}")
    assert why in line["why"]
    assert len(daemon.find("cannot-secure")) == len(daemon.events) == 1


def test_a_listener_without_certificate_is_a_mistake(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "links:\n- name: a\n  listen: wss://127.0.0.1:9001\n  upstream: {url: 'ws://h/'}\n"
    )
    done = run_to_end(["-c", str(path), "--check-config"], tmp_path)
    assert done.returncode == 2
    assert ":3:11: links[0].listen: wss://127.0.0.1:9001 wants a certificate" in done.stderr


# ---- memory -----------------------------------------------------------------------------------


@pytest.mark.slow(5)
def test_idle_pairs_cost_little(
    scene: Scene, authority: Authority, identity: Identity, record_property: Any
) -> None:
    """A client and its upstream, both with TLS, at rest."""
    count = 100
    server = server_of(scene, "websockets", identity)
    kept = keep_listening(
        scene, identity, server.url, upstream={"tls": {"ca": authority.cert}}
    )

    def connect(number: int) -> None:
        client = client_of(scene, kept, "websockets", authority)
        client.send("x" * 1000)

    for number in range(10):
        connect(number)
    wait_until(lambda: len(server.messages) == 10, "ten messages")
    wait_until_still(lambda: kept.daemon.resident_bytes, 0.3)
    before = kept.daemon.resident_bytes
    for number in range(count):
        connect(number)
    wait_until(lambda: len(server.messages) == 10 + count, "the messages")
    wait_until_still(lambda: kept.daemon.resident_bytes, 0.3)
    each = (kept.daemon.resident_bytes - before) // count
    record_property("bytes_of_an_idle_pair", each)
    print(f"an idle TLS pair: {each} bytes")
    if not is_sanitized():
        assert each < 80 * 1024


def test_check_config_opens_the_certificates(scene: Scene, tmp_path: pathlib.Path) -> None:
    """What a start would refuse, the check does too: with the link, the key and the file."""
    path = tmp_path / "wskeep.yaml"
    path.write_text(
        "links:\n"
        "  - {name: game, listen: 'ws://127.0.0.1:1', upstream: {url: 'wss://h/', "
        f"tls: {{ca: {tmp_path}/none.pem}}}}}}\n"
    )
    done = run_to_end(["--check-config", "-c", str(path)], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("game: upstream.tls.ca: ") and "none.pem" in done.stderr
