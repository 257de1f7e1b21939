"""Who may connect: users, hosts, origins, tokens; and what a stranger costs."""

from __future__ import annotations

import os
import pathlib
import pwd
import random
import re
import resource
import selectors
import signal
import socket
import subprocess
from typing import Any, Iterator, Optional
from urllib.parse import quote

import pytest
import yaml

from conversation import Conversation
from managers import HandedOver
from polling import wait_until
from raw_peers import RawClient, RawServer, RawServerConnection, answer_pings
from scene import Kept, Scene
from websockets_peers import Refused
from wskeepd_process import Wskeepd, is_sanitized, run_to_end

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can play several users")
ME = pwd.getpwuid(os.geteuid()).pw_name
SOMEBODY_ELSE = "daemon" if os.geteuid() == 0 else "root"
TOKEN = "c0rrect-h0rse~battery+staple/w=="
ALLOWED = "https://allowed.example"


def away(scene: Scene) -> str:
    """An upstream that refuses connections."""
    return f"ws://127.0.0.1:{scene.port()}/"


def ask(scene: Scene, address: Any, target: str = "/", **options: Any) -> int:
    raw = scene.raw_client(address)
    raw.write(raw.request(target, **options))
    return raw.read_response().status


def refused(daemon: Wskeepd, status: int, why: str) -> dict[str, Any]:
    event = daemon.wait_for("client-refused", link="game")
    assert (event["status"], event["why"]) == (status, why)
    return event


# Users.


@pytest.fixture
def handed(scene: Scene) -> Iterator[HandedOver]:
    handed = HandedOver(scene)
    try:
        yield handed
    finally:
        handed.close()


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "s"


@pytest.mark.parametrize(
    "users,status",
    [
        ([], 101),
        ([ME], 101),
        ([os.geteuid()], 101),
        ([SOMEBODY_ELSE, ME], 101),
        ([SOMEBODY_ELSE], 403),
    ],
)
def test_only_listed_users_get_in(
    scene: Scene, path: pathlib.Path, users: list[Any], status: int
) -> None:
    """A stranger gets 403, and the log says which user it was; root is no exception."""
    daemon = scene.start(
        scene.link(away(scene), listen=f"ws+unix:{path}", client={"allow_users": users})
    )
    assert ask(scene, str(path)) == status
    if status == 403:
        assert refused(daemon, 403, "allow_users")["uid"] == os.geteuid()


@as_root
def test_the_user_is_the_process_that_connects(scene: Scene) -> None:
    """Each process by its own user, on one socket that all may write."""
    directory = scene.start().directory  # for its path; pytest's own are root's alone
    for parent in [directory, *directory.parents]:
        if parent != pathlib.Path("/tmp") and parent != pathlib.Path("/"):
            parent.chmod(parent.stat().st_mode | 0o555)
    path = directory / "s"
    daemon = scene.start(
        scene.link(
            away(scene),
            listen=f"ws+unix:{path}",
            client={"allow_users": ["nobody"], "mode": "0666"},
        )
    )
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        f"s.connect({str(path)!r})\n"
        "s.sendall(sys.stdin.buffer.read())\n"
        "print(s.recv(4096).decode().split(' ')[1])\n"
    )
    for user, status in (("nobody", "101"), ("daemon", "403"), ("root", "403")):
        done = subprocess.run(
            ["/usr/bin/python3", "-c", script],
            user=user,
            input=RawClient.request(),
            capture_output=True,
            cwd="/",
            timeout=30,
        )
        assert done.stdout.decode().strip() == status, done.stderr.decode()
    assert [e["uid"] for e in daemon.find("client-refused")] == [
        pwd.getpwnam(name).pw_uid for name in ("daemon", "root")
    ]


def test_a_reload_decides_anew(scene: Scene, path: pathlib.Path) -> None:
    """New clients meet the new list; an unknown user changes nothing and is named with its place."""
    link = scene.link(away(scene), listen=f"ws+unix:{path}", client={"allow_users": [ME]})
    daemon = scene.start(link)
    first = scene.raw_client(str(path))
    first.handshake()

    def reload(users: list[str], answer: str, count: int) -> None:
        daemon.write_configuration({"links": [{**link, "client": {"allow_users": users}}]})
        daemon.signal(signal.SIGHUP)
        daemon.wait_for(answer, count)

    reload([SOMEBODY_ELSE], "reloaded", 1)
    assert ask(scene, str(path)) == 403
    first.send(9, b"still here")
    assert first.read().payload == b"still here"
    reload([ME, "nobody-of-that-name"], "reload-failed", 1)
    (error,) = daemon.find("config-error")
    assert re.search(
        r"wskeep\.yaml:\d+:\d+: links\[0\]\.client\.allow_users\[1\]: there is no user "
        r'"nobody-of-that-name"',
        error["error"],
    )
    assert ask(scene, str(path)) == 403
    reload([ME], "reloaded", 2)
    assert ask(scene, str(path)) == 101


def test_users_want_unix_sockets(scene: Scene, tmp_path: pathlib.Path) -> None:
    """By TCP nobody has a user: such a link is a mistake, and exit status 2."""
    link = scene.link(away(scene), client={"allow_users": [ME]})
    file = tmp_path / "wskeep.yaml"
    file.write_text(yaml.safe_dump({"links": [link]}))
    done = run_to_end(["--check-config", "-c", str(file)], tmp_path)
    assert done.returncode == 2
    assert f"who comes to {link['listen']} has no user" in done.stderr


def test_users_of_a_socket_of_systemd(
    scene: Scene, handed: HandedOver, tmp_path: pathlib.Path
) -> None:
    """On its Unix socket they count, and by its TCP socket nobody gets in."""
    port = handed.add_tcp("game")
    path = tmp_path / "game.sock"
    handed.add_unix("game", path)
    link = scene.link(away(scene), listen="systemd:game", client={"allow_users": [ME]})
    daemon = handed.start(link)
    assert ask(scene, str(path)) == 101
    assert ask(scene, port) == 403
    assert "uid" not in refused(daemon, 403, "allow_users")


# Hosts.

HOSTS: list[tuple[Optional[str], int]] = [
    ("localhost", 101),
    ("LOCALHOST:{port}", 101),
    ("127.0.0.1:{port}", 101),
    ("[::1]:{port}", 101),
    ("[0:0::0:1]", 101),
    ("listed.example", 101),
    ("Listed.example:1", 101),
    ("evil.example", 403),
    ("evil.example:{port}", 403),
    ("127.0.0.1.evil.example", 403),
    ("localhost.evil.example:{port}", 403),
    ("evil-localhost", 403),
    ("listed.example.evil.example", 403),
    ("evil-listed.example", 403),
    ("localhost.", 403),
    ("listed.example.", 403),
    ("127.0.0.1.", 403),
    ("localhost:1", 403),
    ("127.0.0.1:1", 403),
    ("127.1", 403),
    ("0.0.0.0", 403),
    ("2130706433", 403),
    ("0x7f000001", 403),
    ("[::ffff:127.0.0.1]", 403),
    ("[::]", 403),
    ("192.0.2.1", 403),
    ("local%68ost", 403),
    ("localhost,evil.example", 403),
    ("", 400),
    (None, 400),
    ("localhost evil.example", 400),
    ("localhost, evil.example", 400),
    ("127.0.0.1@evil.example", 400),
    ("evil.example@127.0.0.1", 400),
    ("127.0.0.1:{port}@evil.example", 400),
    ("http://localhost", 400),
    ("localhost/", 400),
    ("localhost#evil.example", 400),
    ("localhost\\evil.example", 400),
    ("localhost:{port}:{port}", 400),
    ("localhost:99999", 400),
    ("localhost:http", 400),
    ("::1", 400),
    ("[::1", 400),
    ("[::1%25lo]", 400),
    ("[localhost]", 400),
    ("[::1]evil.example", 400),
    ("b\xfccher", 400),
    ("localhost\x01", 400),
]


def test_a_rebound_name_gets_nobody_in(scene: Scene) -> None:
    """Our own names with our port and the listed ones with any; what is no host at all gets 400."""
    kept = scene.keep(away(scene), client={"allow_hosts": ["listed.example"]})
    for host, status in HOSTS:
        given = host.format(port=kept.port) if host is not None else None
        assert ask(scene, kept.port, host=given) == status, host
    for second in ("localhost", "evil.example"):
        assert ask(scene, kept.port, host="localhost", extra=(f"Host: {second}",)) == 400


@pytest.mark.parametrize(
    "target,host,status",
    [
        ("http://localhost:{port}/x", "localhost", 101),
        ("ws://127.0.0.1/", "localhost", 101),
        ("http://evil.example:{port}/", "localhost", 403),
        ("http://localhost/", "evil.example", 403),
        ("http://localhost@evil.example/", "localhost", 400),
        ("http:///", "localhost", 400),
        ("ftp://localhost/", "localhost", 400),
        ("localhost:{port}", "localhost", 400),
        ("*", "localhost", 400),
    ],
)
def test_the_host_of_a_url_counts_as_well(
    scene: Scene, target: str, host: str, status: int
) -> None:
    """A request may name a URL; then its host is the one that is asked for (RFC 9112 3.2.2)."""
    kept = scene.keep(away(scene))
    assert ask(scene, kept.port, target.format(port=kept.port), host=host) == status


def test_on_a_unix_socket_any_host_is_fine_that_is_one(scene: Scene, path: pathlib.Path) -> None:
    """No page in a browser gets there."""
    scene.start(scene.link(away(scene), listen=f"ws+unix:{path}"))
    assert ask(scene, str(path), host="whatever.example:1") == 101
    assert ask(scene, str(path), host="a@b") == 400
    assert ask(scene, str(path), extra=(f"Origin: {ALLOWED}",)) == 403  # a proxy may lead one


# Origins: the table is in test_handshake.py.


@pytest.mark.parametrize("second", [ALLOWED, "https://evil.example", "null", ""])
def test_two_origins_are_refused(scene: Scene, second: str) -> None:
    """Also when both are listed, or the same."""
    kept = scene.keep(away(scene), client={"allow_origins": [ALLOWED]})
    assert ask(scene, kept.port, extra=(f"Origin: {ALLOWED}", f"Origin: {second}")) == 400
    assert ask(scene, kept.port, extra=(f"Origin: {second}", f"Origin: {ALLOWED}")) == 400


@pytest.mark.parametrize(
    "origin", [f"{ALLOWED}, {ALLOWED}", f"{ALLOWED} https://b.example", f"https://a@{ALLOWED[8:]}"]
)
def test_a_list_of_origins_is_no_origin(scene: Scene, origin: str) -> None:
    """RFC 6454 allows a list; no browser sends one, and none is listed."""
    kept = scene.keep(away(scene), client={"allow_origins": [ALLOWED]})
    assert ask(scene, kept.port, extra=(f"Origin: {origin}",)) == 403


@pytest.mark.parametrize("name", ["Host", "Origin"])
def test_noise_in_host_and_origin(scene: Scene, name: str) -> None:
    """Whatever is in there, it is answered, and another client notices nothing."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url)
    other = scene.websockets_client(kept.url)
    chance = random.Random(name)
    spice = b"[]:%@./?#\\\"'<>, \t0123456789abcdefx\x00\x01\x7f\x80\xff\xc3\xbc"
    for _ in range(400):
        noise = bytes(chance.choice(spice) for _ in range(chance.randrange(40)))
        raw = scene.raw_client(kept.port)
        host = b"localhost" if name == "Origin" else noise
        extra = b"Origin: " + noise + b"\r\n" if name == "Origin" else b""
        raw.write(
            raw.request(host=None).replace(b"\r\n", b"\r\nHost: " + host + b"\r\n" + extra, 1)
        )
        assert raw.read_response().status in (400, 403)
        raw.close()
    other.send("unaffected")
    wait_until(lambda: other.texts == ["unaffected"], "the other client's echo")
    assert kept.daemon.stray_lines == []


# Tokens.

BEARER = f"Authorization: Bearer {TOKEN}"
PARAMETER = f"wskeep-token={TOKEN}"
ENCODED = "".join(f"%{byte:02x}" for byte in TOKEN.encode())

TOKENS: list[tuple[str, str, tuple[str, ...], int]] = [
    ("right in the header", "/", (BEARER,), 101),
    ("a scheme has no case", "/", (BEARER.replace("Bearer", "bearer"),), 101),
    ("right in the query", f"/?{PARAMETER}", (), 101),
    ("among others", f"/x?a=b&{PARAMETER}&c=d", (), 101),
    ("encoded as URLs do", f"/?wskeep-token={quote(TOKEN, safe='')}", (), 101),
    ("encoded altogether", f"/?%77skeep-token={ENCODED}", (), 101),
    ("right in both", f"/?{PARAMETER}", (BEARER,), 101),
    ("right beside the upstream's", f"/?{PARAMETER}", ("Authorization: Basic YTpi",), 101),
    ("missing", "/", (), 401),
    ("an empty header", "/", ("Authorization:",), 401),
    ("a scheme alone", "/", ("Authorization: Bearer",), 401),
    ("another scheme", "/", (f"Authorization: Basic {TOKEN}",), 401),
    ("another header", "/", (f"Proxy-Authorization: Bearer {TOKEN}",), 401),
    ("no scheme", "/", (f"Authorization: {TOKEN}",), 401),
    ("an empty parameter", "/?wskeep-token=", (), 401),
    ("a parameter without a value", "/?wskeep-token", (), 401),
    ("wrong", "/", ("Authorization: Bearer wrong",), 401),
    ("wrong in the query", "/?wskeep-token=wrong", (), 401),
    ("wrong in the query, right in the header", "/?wskeep-token=wrong", (BEARER,), 401),
    ("another case", "/", (f"Authorization: Bearer {TOKEN.upper()}",), 401),
    ("its front", "/", (BEARER[:-1],), 401),
    ("one more", "/", (BEARER + "=",), 401),
    ("encoded in the header", "/", (f"Authorization: Bearer {ENCODED}",), 401),
    ("encoded twice", f"/?wskeep-token={ENCODED.replace('%', '%25')}", (), 401),
    ("a very long one", "/", (f"Authorization: Bearer {'a' * 5000}",), 401),
    ("in the path", f"/{PARAMETER}", (), 401),
    ("in a value", f"/?a={PARAMETER}", (), 401),
    ("two headers", "/", (BEARER, "Authorization: Bearer wrong"), 400),
    ("the same header twice", "/", (BEARER, BEARER), 400),
    ("two parameters", f"/?{PARAMETER}&wskeep-token=wrong", (), 400),
    ("the same parameter twice", f"/?{PARAMETER}&{PARAMETER}", (), 400),
    ("two, one in disguise", f"/?{PARAMETER}&wskeep%2dtoken={TOKEN}", (), 400),
    ("a bad percent sign", f"/?{PARAMETER}%f", (), 400),
]


def test_who_shows_the_token_gets_in(scene: Scene) -> None:
    """Missing or wrong: 401 and what would do; twice, or not to be read: 400."""
    kept = scene.keep(away(scene), client={"token": TOKEN})
    for why, target, fields, status in TOKENS:
        raw = scene.raw_client(kept.port)
        raw.write(raw.request(target, extra=fields))
        response = raw.read_response()
        assert response.status == status, why
        challenge = response.headers.get("www-authenticate")
        assert challenge == ('Bearer realm="wskeep"' if status == 401 else None), why
        raw.close()
    refusals = len([1 for row in TOKENS if row[3] != 101])
    kept.daemon.wait_for("client-refused", refusals, why="token")


def test_a_listed_page_needs_the_token_as_well(scene: Scene) -> None:
    """Host and Origin come first: who guesses from a strange page learns nothing of the token."""
    kept = scene.keep(away(scene), client={"token": TOKEN, "allow_origins": [ALLOWED]})
    for origin, target, status in (
        (ALLOWED, f"/?{PARAMETER}", 101),
        (ALLOWED, "/", 401),
        ("https://evil.example", f"/?{PARAMETER}", 403),
        ("https://evil.example", "/", 403),
    ):
        assert ask(scene, kept.port, target, extra=(f"Origin: {origin}",)) == status


def test_clients_of_others_show_it(scene: Scene) -> None:
    """By header from python, by query from Node."""
    kept = scene.keep(away(scene), client={"token": TOKEN})
    with pytest.raises(Refused) as got:
        scene.websockets_client(kept.url)
    assert got.value.status == 401
    scene.websockets_client(kept.url, headers={"Authorization": f"Bearer {TOKEN}"}).ping()
    with pytest.raises(Refused) as got:
        scene.node_client(f"{kept.url}/?wskeep-token=wrong")
    assert got.value.status == 401
    scene.node_client(f"{kept.url}/?wskeep-token={quote(TOKEN, safe='')}").ping()


def recorder(scene: Scene) -> RawServer:
    def script(connection: RawServerConnection) -> None:
        connection.upgrade()
        connection.serve_to_end(answer_pings)

    return scene.raw_server(script)


FORWARDED: list[tuple[str, str, tuple[str, ...], str, Optional[str]]] = [
    ("by header", "/x?a=b", (BEARER,), "/base/x?a=b", None),
    ("by query", f"/x?a=b&{PARAMETER}&c", (), "/base/x?a=b&c", None),
    ("alone in the query", f"/x?{PARAMETER}", (), "/base/x", None),
    ("in disguise", f"/x?a&%77skeep-token={ENCODED}", (), "/base/x?a", None),
    ("by both", f"/x?{PARAMETER}", (BEARER,), "/base/x", None),
    (
        "beside the upstream's own",
        f"/x?{PARAMETER}",
        ("Authorization: Bearer upstream",),
        "/base/x",
        "Bearer upstream",
    ),
    ("by header, other parameters of ours", "/x?wskeep-a=b&c", (BEARER,), "/base/x?c", None),
]


@pytest.mark.parametrize("why,target,fields,path,authorization", FORWARDED)
def test_the_upstream_never_sees_the_token(
    scene: Scene,
    why: str,
    target: str,
    fields: tuple[str, ...],
    path: str,
    authorization: Optional[str],
) -> None:
    """It is in no path, no header, and no line of the log at its most talkative."""
    server = recorder(scene)
    kept = scene.keep(
        server.url + "base",
        client={"token": TOKEN},
        upstream={"path": "append", "forward_headers": ["Authorization", "X-Other"]},
    )
    raw = scene.raw_client(kept.port)
    raw.handshake(target, extra=(*fields, "X-Other: kept"))
    kept.wait_open(server)
    conversation: Conversation = server.latest
    assert conversation.path == path, why
    assert conversation.headers["x-other"] == "kept"
    assert conversation.headers.get("authorization") == authorization, why
    assert TOKEN not in str(conversation.headers) + conversation.path
    ask(scene, kept.port, f"/?{PARAMETER}x", extra=(BEARER,))
    kept.daemon.wait_for("client-refused", why="token")
    assert TOKEN[:8] not in kept.daemon.stderr and ENCODED[:9] not in kept.daemon.stderr


def test_without_a_token_authorization_is_the_upstreams(scene: Scene) -> None:
    """Where nobody asks for one, a client's Authorization is what it was."""
    server = recorder(scene)
    kept = scene.keep(server.url, upstream={"forward_headers": ["Authorization"]})
    scene.raw_client(kept.port).handshake(f"/?{PARAMETER}", extra=(BEARER,))
    kept.wait_open(server)
    assert server.latest.headers["authorization"] == f"Bearer {TOKEN}"


def test_our_token_is_no_credential_for_the_upstream(scene: Scene) -> None:
    """401 from the upstream ends a session for the client's own Authorization, not for ours."""

    def script(connection: RawServerConnection) -> None:
        connection.read_head()
        connection.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    server = scene.raw_server(script)
    kept = scene.keep(
        server.url, client={"token": TOKEN}, upstream={"forward_headers": ["Authorization"]}
    )
    scene.raw_client(kept.port).handshake(extra=(BEARER,))
    kept.daemon.wait_for_move("waiting", cause="http-status", http_status=401)
    theirs = scene.raw_client(kept.port)
    theirs.handshake(f"/?{PARAMETER}", extra=("Authorization: Bearer upstream",))
    kept.daemon.wait_for_move("ended", cause="http-status", http_status=401)


def test_a_token_in_a_file_is_read_at_start_and_reload(
    scene: Scene, tmp_path: pathlib.Path
) -> None:
    """A renewed one counts from SIGHUP on, for new clients; an empty file changes nothing."""
    file = tmp_path / "token"
    file.write_text("first\n")
    kept = scene.keep(away(scene), client={"token": f"${{file:{file}}}"})
    stays = scene.raw_client(kept.port)
    stays.handshake("/?wskeep-token=first")
    file.write_text("second\n")
    assert ask(scene, kept.port, "/?wskeep-token=first") == 101
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reloaded")
    assert ask(scene, kept.port, "/?wskeep-token=first") == 401
    assert ask(scene, kept.port, "/?wskeep-token=second") == 101
    file.write_text("\n")
    kept.daemon.signal(signal.SIGHUP)
    kept.daemon.wait_for("reload-failed")
    assert "links[0].client.token: empty, expected" in kept.daemon.find("config-error")[0]["error"]
    assert ask(scene, kept.port, "/?wskeep-token=second") == 101
    assert ask(scene, kept.port) == 401
    stays.send(9, b"still here")
    assert stays.read().payload == b"still here"


def test_token_and_user_must_both_be_right(scene: Scene, path: pathlib.Path) -> None:
    """Everything that is set must agree."""
    daemon = scene.start(
        scene.link(
            away(scene), listen=f"ws+unix:{path}", client={"allow_users": [ME], "token": TOKEN}
        )
    )
    assert ask(scene, str(path), f"/?{PARAMETER}") == 101
    assert ask(scene, str(path)) == 401
    assert refused(daemon, 401, "token")["uid"] == os.geteuid()


# Logs.


@pytest.mark.parametrize("format_", ["json", "text"])
def test_what_a_stranger_writes_cannot_forge_a_line(
    scene: Scene, tmp_path: pathlib.Path, format_: str
) -> None:
    """Escapes, ends of lines and broken UTF-8 in path, Host, Origin and token: one line each."""
    link = scene.link(away(scene), client={"token": TOKEN})
    unix = scene.link(
        away(scene), name="unix", listen=f"ws+unix:{tmp_path}/s", client={"allow_users": [ME]}
    )
    daemon = scene.launch({"log": {"level": "debug", "format": format_}, "links": [link, unix]})
    wait_until(lambda: "ready" in daemon.stderr, "wskeepd to be ready")
    port = int(link["listen"].rsplit(":", 1)[1])
    nasty = ["\x1b[31mred", "\xff\xfe", "a\x00b", "a\rb", "a\nforged", '"quoted"', "\xc2\x85"]
    count = 0
    for text in nasty:
        for address in (port, f"{tmp_path}/s"):
            for target, host, extra in (
                (f"/{text}", "localhost", ()),
                (f"/?wskeep-token={text}", "localhost", ()),
                ("/", text, ()),
                ("/", "localhost", (f"Origin: {text}",)),
                ("/", "localhost", (f"Authorization: Bearer {text}", f"Cookie: {text}")),
            ):
                status = ask(scene, address, target, host=host, extra=extra)
                count += status != 101
                assert status in (400, 401, 403) or address != port
    wait_until(
        lambda: len(re.findall(r"refused a client with|client-refused", daemon.stderr)) == count
        if format_ == "text"
        else len(daemon.find("client-refused")) == count,
        lambda: f"{count} refusals; log:\n{daemon.tail()}",
    )
    raw = daemon.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]", raw)
    assert "forged" not in raw and "red" not in re.sub(r"refused|credential", "", raw)
    if format_ == "json":
        assert daemon.stray_lines == []


# Many that say nothing.

SLOW_COUNT = 10_000


class Halves:
    """Clients that never come to the end of their request's head."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.open: set[socket.socket] = set()
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port))
            one.setblocking(False)
            one.send(b"GET / HTTP/1.1\r\nX: ")
            self._selector.register(one, selectors.EVENT_READ)
            self.open.add(one)

    def drip(self) -> None:
        """Another byte from each, and those that were answered leave."""
        for one in self.open:
            try:
                one.send(b"a")
            except OSError:
                pass  # it can be read, too
        for key, _ in self._selector.select(0):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            try:
                if one.recv(4096):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            self._selector.unregister(one)
            self.open.discard(one)
            one.close()

    def close(self) -> None:
        for one in self.open:
            one.close()
        self._selector.close()


@pytest.mark.slow(20)
def test_ten_thousand_half_open_heads(scene: Scene) -> None:
    """All are closed at a deadline that no byte moves, and meanwhile new clients are served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(SLOW_COUNT if not is_sanitized() else 2_000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = scene.websockets_server(echo=True)
    kept = scene.keep(server.url, client={"handshake_timeout": "5s"})
    other = scene.websockets_client(kept.url)
    halves = Halves(kept.port, count)
    try:
        scene.websockets_client(kept.url).ping()
        assert halves.open, "a new client was served only when they had gone"
        rounds = 0

        def are_closed() -> bool:
            nonlocal rounds
            halves.drip()
            other.send(str(rounds))
            rounds += 1
            return not halves.open

        wait_until(are_closed, lambda: f"{len(halves.open)} to be closed", 120)
        wait_until(lambda: len(other.texts) == rounds, "the echoes")
        kept.daemon.wait_for("client-refused", count, status=408, why="handshake_timeout")
    finally:
        halves.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
