"""TLS on both sides: who is trusted, and handshakes that go wrong."""

from __future__ import annotations

import datetime
import os
import pathlib
import shutil
import signal
import socket
import ssl
from typing import Any, Callable, Optional

import pytest
from cryptography import x509

from certificates import Authority, Identity
from frames import PING
from messages import check_delivery, numbered
from polling import wait_until
from raw_peers import RawClient, RawServerConnection, answer_pings
from scene import Kept, Scene
from test_proxy import SOCKS_OPEN, Start, greet, read_request, start  # noqa: F401
from tls_peers import Flights, OpensslServer, secure_client, secure_server, wait_for_end
from tls_scene import (  # noqa: F401
    VERSIONS,
    authority,
    client_of,
    folder,
    identity,
    keep,
    keep_listening,
    server_of,
    version_id,
)
from wskeepd_process import run_to_end


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


@pytest.mark.slow(9)
def test_session_does_not_outlive_its_certificate(scene: Scene, authority: Authority) -> None:
    """Resumed, a server shows no certificate; once the first one has expired, it must."""
    brief = authority.identity("127.0.0.1", valid_for=datetime.timedelta(seconds=8))
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


@pytest.mark.parametrize(
    "kind,host",
    [("tinyproxy", "localhost"), ("microsocks", "127.0.0.1")],  # it tries one address of a name
)
def test_through_a_proxy(
    scene: Scene, start: Start, authority: Authority, kind: str, host: str
) -> None:
    """The name in the certificate is the server's; TLS begins behind the proxy, at each attempt."""
    server = server_of(scene, "websockets", authority.identity(host))
    proxy = start(kind)
    kept = keep(scene, authority, server.port, host=host, upstream={"proxy": proxy.url()})
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
