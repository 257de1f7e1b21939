"""What is fresh at every attempt: secret files, forwarded headers, cookies, and how long to wait."""

from __future__ import annotations

import email.utils
import os
import pathlib
import shutil
import subprocess
import time
from typing import Any, Callable, Optional, Sequence

import pytest

from frames import accept_value
from polling import wait_until, wait_until_still
from raw_peers import RawServer, RawServerConnection, answer_pings
from scene import Kept, Scene
from wskeepd_process import at, is_sanitized

SECRET = "s3cr3t-of-the-test"
#: A wait that only a changed secret, or nothing at all, ends within a test.
SLOW = {"initial_delay": "60s", "max_delay": "120s", "jitter": "none"}

Fields = Sequence[tuple[str, str]]


class Upstream:
    """Answers each upgrade as it is told; records what every request said, to the letter."""

    def __init__(self, scene: Scene) -> None:
        self.requests: list[tuple[str, list[tuple[str, str]]]] = []
        self.status = 101
        self.fields: Fields = ()
        self.expect: Optional[tuple[str, str]] = None  #: else 401
        self.server: RawServer = scene.raw_server(self._serve)

    @property
    def url(self) -> str:
        return self.server.url

    def _serve(self, connection: RawServerConnection) -> None:
        raw = connection.reader.until(b"\r\n\r\n").decode("latin-1")
        first, *lines = raw.rstrip("\r\n").split("\r\n")
        fields = [(n.lower(), v.strip(" \t")) for n, v in (line.split(":", 1) for line in lines)]
        self.requests.append((first.split(" ")[1], fields))
        status = self.status
        if self.expect is not None and self.expect not in fields:
            status = 401
        answer = [f"{n}: {v}" for n, v in self.fields]
        if status != 101:
            head = [f"HTTP/1.1 {status} No", "Content-Length: 0", *answer, "", ""]
            connection.write("\r\n".join(head).encode("latin-1"))
            return
        key = dict(fields)["sec-websocket-key"]
        head = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_value(key)}",
            *answer,
            "",
            "",
        ]
        connection.write("\r\n".join(head).encode("latin-1"))
        connection.serve_to_end(answer_pings)

    def values(self, name: str, request: int = -1) -> list[str]:
        return [v for n, v in self.requests[request][1] if n == name.lower()]

    def wait_for_requests(self, count: int) -> None:
        wait_until(lambda: len(self.requests) >= count, f"request {count}")

    def cut(self) -> None:
        self.server.accepted[-1].close()  # a reset would wait for the thread that reads


def reconnect(upstream: Upstream, kept: Kept) -> None:
    """Break the open connection and wait until another one is open."""
    kept.wait_open()
    count = len(kept.daemon.moves(to="open"))
    upstream.cut()
    kept.daemon.wait_for_move("open", count + 1)


def replace(path: pathlib.Path, text: str) -> None:
    """As secrets are replaced: whole, by rename."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.rename(path)


def swap_link(path: pathlib.Path, text: str) -> None:
    """As Kubernetes does: path -> ..data/path, and ..data is a link that is swapped."""
    folder = path.parent / f"..{time.monotonic_ns()}"
    folder.mkdir()
    (folder / path.name).write_text(text)
    data = path.parent / "..data"
    new = path.parent / "..data_new"
    new.symlink_to(folder.name)
    new.rename(data)
    if not path.is_symlink():
        path.symlink_to(f"..data/{path.name}")


def bearer(path: object) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer ${{file:{path}}}"}}


# Files.


def test_token_is_read_at_every_attempt(scene: Scene, tmp_path: pathlib.Path) -> None:
    """A renewed token is used by the next connection, without a reload."""
    token = tmp_path / "token"
    token.write_text("one\n")
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream=bearer(token))
    scene.client(kept.url)
    upstream.wait_for_requests(1)
    replace(token, "two\r\n")
    reconnect(upstream, kept)
    assert upstream.values("Authorization", 0) == ["Bearer one"]
    assert upstream.values("Authorization", 1) == ["Bearer two"]


def test_token_that_vanishes_and_comes_back(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Without its file an attempt is secret-unreadable; when it is back, the wait ends early."""
    token = tmp_path / "token"
    token.write_text(SECRET)
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream=bearer(token), reconnect=SLOW | {"initial_delay": "0ms"})
    client = scene.client(kept.url)
    kept.wait_open()
    token.unlink()
    upstream.cut()
    kept.daemon.wait_for_move("waiting", cause="secret-unreadable")
    said = kept.daemon.wait_for("secret-unreadable", path=str(token))
    assert "No such file" in said["why"]
    client.send("kept")
    replace(token, SECRET + "2")
    kept.daemon.wait_for_move("open", 2)
    kept.daemon.wait_for("secret-changed", path=str(token))
    assert upstream.values("Authorization") == [f"Bearer {SECRET}2"]
    wait_until(lambda: upstream.server.latest.texts == ["kept"], "the message")
    assert len(upstream.requests) == 2


def test_missing_at_start_is_no_error(scene: Scene, tmp_path: pathlib.Path) -> None:
    """The daemon starts without the file, waits, and opens when it is there."""
    token = tmp_path / "token"
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream=bearer(token), reconnect=SLOW)
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="secret-unreadable")
    token.write_text("here")
    kept.wait_open()
    assert upstream.values("Authorization") == ["Bearer here"]


@pytest.mark.parametrize("change", [replace, swap_link])
def test_renewed_token_ends_the_wait_after_401(
    scene: Scene, tmp_path: pathlib.Path, change: Callable[[pathlib.Path, str], None]
) -> None:
    """The token was refused; another one is tried long before max_delay."""
    token = tmp_path / "token"
    change(token, "stale")
    upstream = Upstream(scene)
    upstream.expect = ("authorization", "Bearer fresh")
    kept = scene.keep(upstream.url, upstream=bearer(token), reconnect=SLOW)
    scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="http-status", http_status=401)
    assert move["delay_ms"] >= 60000
    change(token, "fresh")
    kept.wait_open()
    assert len(upstream.requests) == 2


def test_wait_for_a_secret_polls_nothing_else(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Only a change ends the wait: an unchanged file, or another refusal, does not."""
    token = tmp_path / "token"
    token.write_text("stale")
    upstream = Upstream(scene)
    upstream.status = 404
    kept = scene.keep(upstream.url, upstream=bearer(token), reconnect=SLOW)
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="http-status", http_status=404)
    replace(token, "fresh")
    wait_until_still(lambda: len(kept.daemon.events), still_s=2.5)
    assert len(upstream.requests) == 1
    assert not kept.daemon.find("secret-changed")


def test_renewed_secret_waits_for_retry_after(scene: Scene, tmp_path: pathlib.Path) -> None:
    """A changed secret does not end the time that the server asked for."""
    token = tmp_path / "token"
    token.write_text("stale")
    upstream = Upstream(scene)
    upstream.expect = ("authorization", "Bearer fresh")
    upstream.fields = [("Retry-After", "4")]
    kept = scene.keep(upstream.url, upstream=bearer(token), reconnect=SLOW)
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="http-status", http_status=401)
    replace(token, "fresh")
    kept.daemon.wait_for("secret-changed")
    kept.wait_open()
    (refused,) = kept.daemon.moves(to="waiting")
    again = kept.daemon.moves(to="resolving")[1]
    assert at(kept.daemon.find("secret-changed")[0]) < at(again), "noticed while it waited"
    assert at(again) - at(refused) > 3.9


UNREADABLE: list[tuple[str, Callable[[pathlib.Path], object], str]] = [
    ("a FIFO", lambda path: os.mkfifo(path), "regular file"),
    ("a directory", lambda path: path.mkdir(), "regular file"),
    ("a device", lambda path: path.symlink_to("/dev/zero"), "regular file"),
    ("a loop of links", lambda path: path.symlink_to(path.name), "cannot be read"),
    ("nothing in it", lambda path: path.write_text("\n"), "empty"),
    ("too much", lambda path: path.write_text("x" * (64 * 1024 + 1)), "too big"),
    ("two lines", lambda path: path.write_text(f"{SECRET}\n{SECRET}\n"), "control character"),
    ("another header", lambda path: path.write_text(f"{SECRET}\r\nX-Evil: 1\r\n"), "control"),
    ("NUL", lambda path: path.write_bytes(SECRET.encode() + b"\0x"), "control character"),
    ("DEL", lambda path: path.write_bytes(SECRET.encode() + b"\x7f"), "control character"),
]


@pytest.mark.parametrize("why,make,said", UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_file_that_cannot_be_used(
    scene: Scene,
    tmp_path: pathlib.Path,
    why: str,
    make: Callable[[pathlib.Path], object],
    said: str,
) -> None:
    """It is said with path and reason, nothing is sent, and other links are not held up."""
    bad = tmp_path / "bad"
    good = tmp_path / "good"
    make(bad)
    good.write_text("well")
    upstream = Upstream(scene)
    broken = scene.link(upstream.url + "broken", name="broken", upstream=bearer(bad))
    sound = scene.link(upstream.url + "sound", name="sound", upstream=bearer(good))
    daemon = scene.start(broken, sound)
    scene.client(broken["listen"])
    event = daemon.wait_for("secret-unreadable", link="broken", path=str(bad))
    assert said in event["why"]
    daemon.wait_for_move("waiting", link="broken", cause="secret-unreadable")
    scene.client(sound["listen"])
    daemon.wait_for_move("open", link="sound")
    assert [target for target, _ in upstream.requests] == ["/sound"]
    assert SECRET not in daemon.stderr


#: open() of a file called dead hangs, as it does when a file server is away, until it may be run.
HANG = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>
int open(const char *path, int flags, unsigned mode)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    while (strstr(path, "/dead") && access(path, X_OK) != 0)
        usleep(1000);
    return real(path, flags, mode);
}
int open64(const char *path, int flags, unsigned mode)
{
    return open(path, flags, mode);
}
"""


def hanging_open(tmp_path: pathlib.Path) -> str:
    """A library to preload: files called /dead... hang until they are executable."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or is_sanitized():
        pytest.skip("needs a compiler, and a preloaded library does not go with sanitizers")
    source = tmp_path / "hang.c"
    source.write_text(HANG)
    library = tmp_path / "hang.so"
    subprocess.run(
        [compiler, "-O1", "-w", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"],
        check=True,
    )
    return str(library)


def test_file_beside_one_that_hangs_is_not_to_blame(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Of two files the second hangs: every attempt has that cause, and the log names that file."""
    library = hanging_open(tmp_path)
    good, dead = tmp_path / "good", tmp_path / "dead"
    for path in (good, dead):
        path.write_text("well")
    headers = {"A": f"${{file:{good}}}", "B": f"${{file:{dead}}}"}
    link = scene.link(
        Upstream(scene).url, upstream={"headers": headers, "connect_timeout": "3s"}
    )
    daemon = scene.launch({"links": [link]}, environment={"LD_PRELOAD": library})
    daemon.wait_ready()
    scene.client(link["listen"])
    daemon.wait_for_move("waiting", 2)
    causes = [move["cause"] for move in daemon.moves(to="waiting")]
    assert causes[:2] == ["secret-unreadable"] * 2
    assert any(str(dead) in event["why"] + event["path"] for event in
               daemon.find("secret-unreadable"))
    dead.chmod(0o700)


def test_file_that_hangs(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Given up at connect_timeout under its own cause; others go on; the daemon still stops."""
    library = hanging_open(tmp_path)
    dead, dead_for_good, good = tmp_path / "dead", tmp_path / "deader", tmp_path / "good"
    for path in (dead, dead_for_good, good):
        path.write_text("well")
    upstream = Upstream(scene)
    links = []
    for name, path in (("dead", dead), ("deader", dead_for_good), ("sound", good)):
        sections = {**bearer(path), "connect_timeout": "1s" if name == "dead" else "20s"}
        links.append(scene.link(upstream.url + name, name=name, upstream=sections))
    daemon = scene.launch({"links": links}, environment={"LD_PRELOAD": library})
    daemon.wait_ready()
    for link in links:
        scene.client(link["listen"])
    event = daemon.wait_for("secret-unreadable", link="dead", path=str(dead))
    assert event["why"] == "was not read within connect_timeout"
    move = daemon.wait_for_move("waiting", link="dead")
    assert move["cause"] == "secret-unreadable"
    daemon.wait_for_move("open", link="sound")
    # An attempt or two may begin before it is known.
    daemon.wait_for("secret-unreadable", link="dead", why="does not answer: reading it hangs")
    dead.chmod(0o700)
    daemon.wait_for_move("open", link="dead")
    assert sorted(target for target, _ in upstream.requests) == ["/dead", "/sound"]
    daemon.stop()  # with "deader" still hanging


def test_many_attempts_leave_nothing(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Hundreds of attempts with secrets and cookies, failed and open: no growth."""
    token = tmp_path / "token"
    token.write_text(SECRET)
    upstream = Upstream(scene)
    upstream.fields = [("Set-Cookie", "a=b")]
    kept = scene.keep(
        upstream.url,
        upstream=bearer(token),
        reconnect={"initial_delay": "1ms", "max_delay": "100ms", "multiplier": 1},
        close_rules=[
            {"http": 403, "then": "reconnect"},
            {"cause": "secret-unreadable", "then": "reconnect"},
        ],
    )
    scene.client(kept.url)
    kept.wait_open()
    upstream.status = 403

    def fail(count: int) -> tuple[int, int]:
        waits = len(kept.daemon.moves(to="waiting")) + count
        kept.daemon.wait_for_move("waiting", waits)
        return kept.daemon.descriptor_count, kept.daemon.resident_bytes

    upstream.cut()
    fail(100)
    token.unlink()
    descriptors, resident = fail(100)
    token.write_text(SECRET)
    fail(200)
    token.unlink()
    descriptors_later, resident_later = fail(100)
    assert abs(descriptors_later - descriptors) <= 1  # an attempt may be under way
    assert is_sanitized() or resident_later - resident < 1 << 20
    upstream.status = 101
    token.write_text(SECRET)
    kept.daemon.wait_for_move("open", 2)
    assert upstream.values("Cookie") == ["a=b"]


def test_secret_is_never_logged(scene: Scene, tmp_path: pathlib.Path) -> None:
    """At debug level, through every end that an attempt with a secret may have."""
    token = tmp_path / "token"
    token.write_text(SECRET)
    upstream = Upstream(scene)
    sections = bearer(token)
    sections["headers"]["Cookie"] = f"session={SECRET}"
    sections["forward_headers"] = ["X-Client"]
    kept = scene.keep(f"{upstream.url}?key=${{file:{token}}}", upstream=sections)
    upstream.status = 401
    upstream.fields = [("Set-Cookie", f"sticky={SECRET}")]
    scene.client(kept.url, headers={"X-Client": SECRET})
    kept.daemon.wait_for_move("waiting", 2, cause="http-status")
    upstream.status = 101
    kept.wait_open()
    token.write_text(SECRET + "\n\n")
    upstream.cut()
    kept.daemon.wait_for("secret-unreadable")
    token.write_text(SECRET)
    kept.daemon.wait_for_move("open", 2)
    assert upstream.values("Cookie") == [f"session={SECRET}; sticky={SECRET}"]
    assert upstream.values("X-Client") == [SECRET]
    assert SECRET not in kept.daemon.stderr + kept.daemon.stdout


def test_blanks_around_a_secret_are_not_part_of_it(scene: Scene, tmp_path: pathlib.Path) -> None:
    """What is sent is what the server reads: no blanks around a value."""
    token = tmp_path / "token"
    token.write_text(" one \t\n")
    upstream = Upstream(scene)
    kept = scene.keep(
        upstream.url, upstream={"headers": {"X-A": f"${{file:{token}}}", "X-B": "  b "}}
    )
    scene.client(kept.url)
    upstream.wait_for_requests(1)
    assert upstream.values("X-A") == ["one"] and upstream.values("X-B") == ["b"]


# Files in the URL.


def test_url_with_a_file(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Path and query may hold files, read at every attempt, with the client's path appended."""
    token = tmp_path / "token"
    token.write_text("one\n")
    upstream = Upstream(scene)
    url = f"{upstream.url}v1?key=${{file:{token}}}&x"
    kept = scene.keep(url, upstream={"path": "append"})
    scene.client(kept.url + "/room?y=2")
    kept.wait_open()
    replace(token, "two")
    reconnect(upstream, kept)
    targets = [target for target, _ in upstream.requests]
    assert targets == ["/v1/room?key=one&x&y=2", "/v1/room?key=two&x&y=2"]


@pytest.mark.parametrize(
    "text,why",
    [
        ("a b", "encoded"),
        ("a#b", "encoded"),
        ("\xe4", "encoded"),
        ("x" * 2049, "too long"),
        ("a\r\nX: y", "control character"),
    ],
)
def test_url_with_a_file_that_is_no_target(
    scene: Scene, tmp_path: pathlib.Path, text: str, why: str
) -> None:
    """What cannot stand in a request line is secret-unreadable, and no request is made."""
    token = tmp_path / "token"
    token.write_text(text)
    upstream = Upstream(scene)
    kept = scene.keep(f"{upstream.url}?key=${{file:{token}}}", reconnect=SLOW)
    scene.client(kept.url)
    kept.daemon.wait_for_move("waiting", cause="secret-unreadable")
    assert why in kept.daemon.find("secret-unreadable")[0]["why"]
    token.write_text("right")
    kept.wait_open()
    assert [target for target, _ in upstream.requests] == ["/?key=right"]


# Headers of the client.


def test_headers_are_forwarded(scene: Scene) -> None:
    """Those that are named, each as often as it came and in its order, at every attempt."""
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream={"forward_headers": ["x-tag", "Accept-Language"]})
    raw = scene.raw_client(kept.port)
    extra = ("X-Tag: 1", "Accept-Language: de", "X-Other: no", "X-TAG:  two, 3 ", "X-Tag:")
    raw.handshake(extra=extra)
    reconnect(upstream, kept)
    for request in (0, 1):
        assert upstream.values("X-Tag", request) == ["1", "two, 3", ""]
        assert upstream.values("Accept-Language", request) == ["de"]
        assert not upstream.values("X-Other", request)


def test_configured_header_wins(scene: Scene) -> None:
    """A header of the configuration replaces all of the client's of that name."""
    upstream = Upstream(scene)
    kept = scene.keep(
        upstream.url,
        upstream={"headers": {"X-Role": "user"}, "forward_headers": ["x-role", "Authorization"]},
    )
    raw = scene.raw_client(kept.port)
    raw.handshake(extra=("X-Role: admin", "x-role: root", "Authorization: Basic Zm9v"))
    upstream.wait_for_requests(1)
    assert upstream.values("X-Role") == ["user"]
    assert upstream.values("Authorization") == ["Basic Zm9v"]


INJECTIONS = [
    "X-Tag: a\nX-Evil: 1",
    "X-Tag: a\rX-Evil: 1",
    "X-Tag: a\r\n X-Evil: 1",
    "X-Tag: a\0b",
    "X-Tag: a\x0bb",
    "X-Tag: a\x7fb",
    "X-Tag : a",
    "X-Tag\r\n: a",
]


@pytest.mark.parametrize("line", INJECTIONS)
def test_injection_is_refused(scene: Scene, line: str) -> None:
    """A value that could end its line never reaches the upstream: the client gets 400."""
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream={"forward_headers": ["X-Tag"]})
    raw = scene.raw_client(kept.port)
    raw.write(raw.request(extra=(line,)))
    assert raw.read_response().status == 400
    scene.client(kept.url)  # it goes on, and this is the first request that gets through
    upstream.wait_for_requests(1)
    assert len(upstream.requests) == 1 and not upstream.values("X-Evil")


def test_every_byte_is_forwarded_or_refused(scene: Scene) -> None:
    """What the upstream reads is what the client sent, or nothing at all."""
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream={"forward_headers": ["X-Tag"]})
    sent = []
    for byte in range(256):
        raw = scene.raw_client(kept.port)
        raw.write(raw.request(extra=(f"X-Tag: a{chr(byte)}b",)))
        if raw.read_response().status == 101:
            sent.append(f"a{chr(byte)}b")
    assert len(sent) == 256 - 33 + 1
    upstream.wait_for_requests(len(sent))
    got = [dict(fields)["x-tag"] for _, fields in upstream.requests]
    assert sorted(got) == sorted(sent)
    assert {len(fields) for _, fields in upstream.requests} == {7}  # no field of its own


def test_header_that_is_for_us_only_is_not_forwarded(scene: Scene) -> None:
    """RFC 9110 7.6.1: what Connection names ends at the next hop."""
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream={"forward_headers": ["X-Tag", "X-Hop"]})
    raw = scene.raw_client(kept.port)
    raw.handshake(extra=("Connection: x-hop", "X-Hop: 1", "X-Tag: 2"))
    upstream.wait_for_requests(1)
    assert upstream.values("X-Tag") == ["2"] and not upstream.values("X-Hop")


def test_too_much_to_forward_is_refused(scene: Scene) -> None:
    upstream = Upstream(scene)
    kept = scene.keep(upstream.url, upstream={"forward_headers": ["X-Tag"]})
    raw = scene.raw_client(kept.port)
    raw.write(raw.request(extra=tuple(f"X-Tag: {i}{'x' * 1000}" for i in range(9))))
    assert raw.read_response().status == 431


@pytest.mark.parametrize("header", ["Authorization: Bearer c", "Cookie: id=c"])
def test_client_whose_credential_is_refused_ends(scene: Scene, header: str) -> None:
    """401 to what the client itself brought, before anything opened: no waiting helps."""
    upstream = Upstream(scene)
    upstream.status = 401
    kept = scene.keep(upstream.url, upstream={"forward_headers": ["Authorization", "Cookie"]})
    raw = scene.raw_client(kept.port)
    raw.handshake(extra=(header,))
    assert raw.read().close_code == 1014
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("case", ["not sent", "configured", "opened before"])
def test_client_whose_credential_may_come_right_stays(scene: Scene, case: str) -> None:
    """401 waits when the client brought none, or another was shown, or it was right once."""
    upstream = Upstream(scene)
    sections: dict[str, Any] = {"forward_headers": ["Authorization"]}
    if case == "configured":
        sections["headers"] = {"authorization": "Bearer ours"}
    kept = scene.keep(upstream.url, upstream=sections)
    if case != "opened before":
        upstream.status = 401
    raw = scene.raw_client(kept.port)
    raw.handshake(extra=() if case == "not sent" else ("Authorization: Bearer c",))
    if case == "opened before":
        kept.wait_open()
        upstream.status = 401
        upstream.cut()
    kept.daemon.wait_for_move("waiting", 2, cause="http-status", http_status=401)
    upstream.status = 101
    kept.wait_open()


# Cookies.


def test_cookies_are_returned(scene: Scene) -> None:
    """Set by one 101, returned at the next attempt; replaced by name; taken back."""
    upstream = Upstream(scene)
    upstream.fields = [
        ("Set-Cookie", "AWSALB=one; Path=/; HttpOnly"),
        ("Set-Cookie", "secure=no; Secure"),
        ("Set-Cookie", "other=no; Domain=example.com"),
        ("Set-Cookie", "gone=soon"),
        ("set-cookie", "kept=yes; Max-Age=3600"),
    ]
    kept = scene.keep(upstream.url)
    scene.client(kept.url)
    kept.wait_open()
    upstream.fields = [("Set-Cookie", "AWSALB=two; Path=/"), ("Set-Cookie", "gone=; Max-Age=0")]
    reconnect(upstream, kept)
    reconnect(upstream, kept)
    assert upstream.values("Cookie", 0) == []
    assert upstream.values("Cookie", 1) == ["AWSALB=one; gone=soon; kept=yes"]
    assert upstream.values("Cookie", 2) == ["kept=yes; AWSALB=two"]


def test_cookies_off(scene: Scene) -> None:
    upstream = Upstream(scene)
    upstream.fields = [("Set-Cookie", "a=b")]
    kept = scene.keep(upstream.url, upstream={"cookies": "off"})
    scene.client(kept.url)
    reconnect(upstream, kept)
    assert upstream.values("Cookie", 0) == [] and upstream.values("Cookie", 1) == []


def test_cookies_are_each_sessions_own(scene: Scene) -> None:
    """What the server sets for one session is not returned by another."""
    upstream = Upstream(scene)
    upstream.fields = [("Set-Cookie", "a=first")]
    kept = scene.keep(upstream.url)
    scene.client(kept.url)
    kept.wait_open()
    scene.client(kept.url)
    upstream.wait_for_requests(2)
    assert upstream.values("Cookie", 1) == []


def test_cookies_of_a_refusal_are_not_kept(scene: Scene) -> None:
    upstream = Upstream(scene)
    upstream.status = 503
    upstream.fields = [("Set-Cookie", "a=b")]
    kept = scene.keep(upstream.url)
    scene.client(kept.url)
    upstream.wait_for_requests(2)
    assert upstream.values("Cookie", 1) == []


def test_cookies_of_client_and_server_are_one_header(scene: Scene) -> None:
    """Forwarded and kept ones are merged: the server's newer value wins, the rest stays."""
    upstream = Upstream(scene)
    upstream.fields = [("Set-Cookie", "id=new"), ("Set-Cookie", "lb=7")]
    kept = scene.keep(upstream.url, upstream={"forward_headers": ["Cookie"]})
    raw = scene.raw_client(kept.port)
    raw.handshake(extra=("Cookie: id=old; theme=dark", "Cookie: lang=de"))
    reconnect(upstream, kept)
    assert upstream.values("Cookie", 0) == ["id=old; theme=dark; lang=de"]
    assert upstream.values("Cookie", 1) == ["theme=dark; lang=de; id=new; lb=7"]


def test_cookies_are_dropped_when_the_host_changes(scene: Scene) -> None:
    """A reload leads to another host: it is not shown the first one's cookies."""
    upstream = Upstream(scene)
    upstream.fields = [("Set-Cookie", "a=b")]
    link = scene.link(upstream.url)
    daemon = scene.start(link)
    kept = Kept(daemon, link)
    scene.client(kept.url)
    kept.wait_open()
    link["upstream"]["url"] = upstream.url.replace("127.0.0.1", "localhost")
    daemon.write_configuration({"links": [link]})
    daemon.signal(1)
    daemon.wait_for("reloaded")
    reconnect(upstream, kept)
    assert upstream.values("Host", 1)[0].startswith("localhost:")
    assert upstream.values("Cookie", 1) == []


# Retry-After.


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_a_lower_bound(scene: Scene, status: int) -> None:
    """The server asks for 2 s, the backoff would be far less."""
    upstream = Upstream(scene)
    upstream.status = status
    upstream.fields = [("Retry-After", "2")]
    kept = scene.keep(upstream.url)
    scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="http-status", http_status=status)
    assert move["delay_ms"] == 2000
    upstream.status = 101
    kept.wait_open()
    assert at(kept.daemon.moves(to="resolving")[1]) - at(move) > 1.9


def http_date(seconds: int) -> str:
    return email.utils.formatdate(784111777 + seconds, usegmt=True)


RETRY_AFTER: list[tuple[str, Fields, Callable[[int], bool]]] = [
    ("a date, by the server's own clock", [("Date", http_date(0)), ("Retry-After", http_date(90))],
     lambda ms: ms == 90000),
    ("a date without a Date", [("Retry-After", email.utils.formatdate(time.time() + 90, usegmt=True))],
     lambda ms: ms <= 400),
    ("no number", [("Retry-After", "soon")], lambda ms: ms <= 400),
    ("two", [("Retry-After", "90"), ("Retry-After", "91")], lambda ms: ms <= 400),
    ("a day is 10 minutes", [("Retry-After", "86400")], lambda ms: ms == 600000),
    ("more than any number", [("Retry-After", "9" * 40)], lambda ms: ms == 600000),
]  # fmt: skip


@pytest.mark.parametrize("why,fields,is_right", RETRY_AFTER, ids=[row[0] for row in RETRY_AFTER])
def test_retry_after_is_read(
    scene: Scene, why: str, fields: Fields, is_right: Callable[[int], bool]
) -> None:
    """Seconds, or a date relative to Date; at most 10 minutes; anything else asks for nothing."""
    upstream = Upstream(scene)
    upstream.status = 503
    upstream.fields = fields
    kept = scene.keep(upstream.url)
    scene.client(kept.url)
    move = kept.daemon.wait_for_move("waiting", cause="http-status", http_status=503)
    assert is_right(move["delay_ms"]), move["delay_ms"]
