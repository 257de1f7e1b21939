"""Mistakes in the file, in the options, on the machine and in what clients send."""

from __future__ import annotations

import os
import pathlib
import socket
from typing import Any

import pytest
import yaml

from frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, close_payload, encode
from messages import numbered
from polling import wait_until
from scene import Scene
from wskeepd_process import run_to_end

THREE_MISTAKES = """\
log: {level: loud}
links:
  - name: game
    listen: ws://127.0.0.1:9001
    upstream: {url: "ws://127.0.0.1:9/"}
    hartbeat: {interval: 20s}
    reconnect: {initial_delay: soon}
"""

LINK = """\
links:
  - name: game
    listen: ws://127.0.0.1:9001
    upstream: {url: "ws://127.0.0.1:9/"}
"""


def place(text: str, part: str) -> str:
    """LINE:COLUMN of a part that occurs once."""
    assert text.count(part) == 1, part
    before = text[: text.index(part)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


@pytest.mark.parametrize("options", [[], ["--check-config"]])
def test_three_mistakes_are_all_reported(tmp_path: pathlib.Path, options: list[str]) -> None:
    """Every mistake comes with FILE:LINE:COLUMN and the key's path; the exit status is 2."""
    path = tmp_path / "wskeep.yaml"
    path.write_text(THREE_MISTAKES)
    done = run_to_end([*options, "-c", str(path)], tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if str(path) in line]
    expected = [
        (place(THREE_MISTAKES, "loud"), "log.level"),
        (place(THREE_MISTAKES, "hartbeat"), "links[0].hartbeat"),
        (place(THREE_MISTAKES, "soon"), "links[0].reconnect.initial_delay"),
    ]
    assert len(lines) == 3, done.stderr
    for line, (where, key) in zip(lines, expected):
        assert f"{path}:{where}: {key}: " in line
    assert "did you mean" in lines[1] and "heartbeat" in lines[1]


MISTAKES: list[tuple[str, str, str, str]] = [
    # why, text added to LINK, the part blamed, what the line must say
    ("unknown top key", "linkz: []\n", "linkz", "linkz"),
    ("wrong type", "workers: [1]\n", "[1]", "workers"),
    ("below the minimum", "    heartbeat: {interval: 1ms}\n", "1ms", "heartbeat.interval"),
    ("no unit", "    heartbeat: {interval: 20}\n", "20}", "heartbeat.interval"),
    ("unit of a size", "    delivery: {max_bytes: 64s}\n", "64s", "delivery.max_bytes"),
    ("unknown word", "    delivery: {overflow: wait}\n", "wait", "pause"),
    ("below max_message", "    delivery: {max_bytes: 1MiB}\n", "1MiB", "max_message"),
    ("bad rule", "    close_rules: [{code: 99999, then: end}]\n", "99999", "close_rules[0]"),
    ("rule without then", "    close_rules: [{code: 1000}]\n", "{code: 1000}", "then"),
    ("unbuilt spool", "    delivery: {spool: /tmp/x}\n", "/tmp/x", "not supported yet"),
    ("unbuilt sharing", "    session: {sharing: shared}\n", "shared}", "not supported yet"),
    ("unbuilt linger", "    session: {linger: 5s}\n", "5s", "not supported yet"),
    ("unbuilt rotation", "    reconnect: {rotate_after: 1h}\n", "1h", "not supported yet"),
    ("unset variable", "    client: {allow_hosts: ['${env:NO_SUCH}']}\n", "'${env", "NO_SUCH"),
    ("second link of a name", LINK.split("\n", 1)[1].replace("9001", "9002"), "", "name"),
]


@pytest.mark.parametrize("why,added,blamed,said", MISTAKES, ids=[m[0] for m in MISTAKES])
def test_mistake_is_reported_with_its_place(
    tmp_path: pathlib.Path, why: str, added: str, blamed: str, said: str
) -> None:
    """One mistake is one line that names place and key, and the exit status is 2."""
    path = tmp_path / "wskeep.yaml"
    text = LINK + added
    path.write_text(text)
    done = run_to_end(["--check-config", "-c", str(path)], tmp_path)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if f"{path}:" in line]
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    if blamed:
        assert f"{path}:{place(text, blamed)}: " in lines[0]


INCOMPLETE: list[tuple[str, str]] = [
    ("name", "links: [{listen: 'ws://127.0.0.1:9001', upstream: {url: 'ws://127.0.0.1:9/'}}]\n"),
    ("listen", "links: [{name: game, upstream: {url: 'ws://127.0.0.1:9/'}}]\n"),
    ("url", "links: [{name: game, listen: 'ws://127.0.0.1:9001'}]\n"),
    ("name", "links: [{name: Game One, listen: 'ws://127.0.0.1:1', upstream: {url: 'ws://h/'}}]\n"),
    ("listen", "links: [{name: game, listen: 'http://h', upstream: {url: 'ws://h/'}}]\n"),
    ("url", "links: [{name: game, listen: 'ws://127.0.0.1:1', upstream: {url: 'http://h/'}}]\n"),
    ("url", "links: [{name: game, listen: 'ws://127.0.0.1:1', upstream: {url: 'wss://h:0/'}}]\n"),
]


@pytest.mark.parametrize("key,text", INCOMPLETE)
def test_link_needs_its_keys(tmp_path: pathlib.Path, key: str, text: str) -> None:
    """A missing or impossible name, listen or url is named, with exit status 2."""
    path = tmp_path / "wskeep.yaml"
    path.write_text(text)
    done = run_to_end(["--check-config", "-c", str(path)], tmp_path)
    assert done.returncode == 2, done.stderr
    assert any(f"{path}:" in line and key in line for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    "text", ["links: [\n", "\tlinks: []\n", "links: []\nlinks: []\n", "- 1\n", "a: &a [*a]\n"]
)
def test_file_that_is_no_configuration(tmp_path: pathlib.Path, text: str) -> None:
    """Broken YAML, a key given twice, a list at the top: exit status 2 and a place."""
    path = tmp_path / "wskeep.yaml"
    path.write_text(text)
    done = run_to_end(["-c", str(path)], tmp_path)
    assert done.returncode == 2
    assert f"{path}:" in done.stderr


def test_values_that_mean_off_are_accepted(tmp_path: pathlib.Path) -> None:
    """A key of a feature that is not built may be given when it means off."""
    path = tmp_path / "wskeep.yaml"
    path.write_text(
        LINK
        + "    client: {compression: 'off', token: ''}\n"
        + "    delivery: {spool: '', expire_after: never, poison_after: never, rules: []}\n"
        + "    reconnect: {rotate_after: never}\n"
        + "    session: {linger: 0s, idle_after: never}\n"
        + "workers: 1\n"
    )
    done = run_to_end(["--check-config", "-c", str(path)], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["-c"],
        ["--listen", "ws://127.0.0.1:9001"],
        ["--upstream", "ws://127.0.0.1:9/"],
        ["--listen", "nonsense", "--upstream", "ws://127.0.0.1:9/"],
        ["stray"],
    ],
)
def test_wrong_options(tmp_path: pathlib.Path, arguments: list[str]) -> None:
    """Wrong options are explained on standard error, with exit status 2."""
    done = run_to_end(arguments, tmp_path)
    assert done.returncode == 2
    assert done.stderr and not done.stdout


# What the machine refuses.


def cannot_run(tmp_path: pathlib.Path, listen: str) -> str:
    """The one line on standard error of a wskeepd that exits with 1."""
    link = {"name": "game", "listen": listen, "upstream": {"url": "ws://127.0.0.1:9/"}}
    path = tmp_path / "wskeep.yaml"
    path.write_text(yaml.safe_dump({"log": {"level": "error"}, "links": [link]}))
    done = run_to_end(["-c", str(path)], tmp_path)
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_port_in_use(tmp_path: pathlib.Path) -> None:
    """One line names the address, and the exit status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in cannot_run(tmp_path, f"ws://127.0.0.1:{port}")


def test_unix_path_too_long(tmp_path: pathlib.Path) -> None:
    """One line says that the path is too long."""
    path = tmp_path / ("x" * 108)
    assert "long" in cannot_run(tmp_path, f"ws+unix:{path}")


def test_unix_directory_missing(tmp_path: pathlib.Path) -> None:
    """One line names the path."""
    path = tmp_path / "none" / "s"
    assert str(path) in cannot_run(tmp_path, f"ws+unix:{path}")


def test_live_socket_is_never_replaced(tmp_path: pathlib.Path) -> None:
    """A Unix socket that somebody serves stays theirs."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        inode = path.stat().st_ino
        assert str(path) in cannot_run(tmp_path, f"ws+unix:{path}")
        assert path.stat().st_ino == inode
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
def test_what_is_no_socket_is_never_replaced(tmp_path: pathlib.Path, kind: str) -> None:
    """A file, a directory or a symbolic link in the place of the socket is left alone."""
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "precious").write_text("precious")
        path.symlink_to(tmp_path / "precious")
    assert str(path) in cannot_run(tmp_path, f"ws+unix:{path}")
    if kind == "directory":
        assert path.is_dir()
    else:
        assert path.read_text() == "precious"
        assert path.is_symlink() == (kind == "symlink")


def test_stale_socket_is_replaced(scene: Scene, tmp_path: pathlib.Path) -> None:
    """The Unix socket that a crash left behind is replaced, also twice."""
    server = scene.websockets_server()
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    link = scene.link(server.url, listen=f"ws+unix:{path}")
    for _ in range(2):
        daemon = scene.start(link)
        scene.websockets_client("ws://localhost/", unix_path=str(path)).ping()
        daemon.kill()
    scene.start(link)
    scene.websockets_client("ws://localhost/", unix_path=str(path)).ping()


def test_second_daemon_does_not_take_the_socket(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Two wskeepd with one Unix socket: the second ends, the first goes on."""
    path = tmp_path / "s"
    scene.start(scene.link("ws://127.0.0.1:9/", listen=f"ws+unix:{path}"))
    directory = tmp_path / "second"
    directory.mkdir()
    assert str(path) in cannot_run(directory, f"ws+unix:{path}")
    scene.websockets_client("ws://localhost/", unix_path=str(path)).ping()


# What clients send.


def masked(opcode: int, payload: bytes = b"", **shape: Any) -> bytes:
    return encode(opcode, payload, masked=True, **shape)


MAX_MESSAGE = 65536

BROKEN_FRAMES: list[tuple[str, bytes, int]] = [
    ("unmasked", encode(TEXT, b"a"), 1002),
    ("unmasked Ping", encode(PING), 1002),
    *((f"RSV {rsv}", masked(TEXT, b"a", rsv=rsv), 1002) for rsv in (1, 2, 4)),
    ("RSV in a control frame", masked(PING, rsv=4), 1002),
    *((f"opcode {op:#x}", masked(op, b"a"), 1002) for op in (3, 7, 0xB, 0xF)),
    ("fragmented Ping", masked(PING, b"a", fin=False), 1002),
    ("Ping of 126 bytes", masked(PING, b"a" * 126), 1002),
    ("Close of 126 bytes", masked(CLOSE, close_payload(1000, "a" * 124)), 1002),
    ("continuation of nothing", masked(CONTINUATION, b"a"), 1002),
    ("message inside a message", masked(TEXT, b"a", fin=False) + masked(TEXT, b"b"), 1002),
    ("5 bytes written as 16 bits", masked(TEXT, b"hello", length_form=2), 1002),
    ("5 bytes written as 64 bits", masked(TEXT, b"hello", length_form=8), 1002),
    ("200 bytes written as 64 bits", masked(TEXT, b"a" * 200, length_form=8), 1002),
    ("length with the highest bit", masked(BINARY, announced_bytes=1 << 63), 1002),
    ("all bits of the length", masked(BINARY, announced_bytes=(1 << 64) - 1), 1002),
    ("Close of one byte", masked(CLOSE, b"\x03"), 1002),
    *(
        (f"Close {code}", masked(CLOSE, close_payload(code)), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    ),
    ("Close reason no UTF-8", masked(CLOSE, close_payload(1000) + b"\xff"), 1007),
    ("text no UTF-8", masked(TEXT, b"a\xff"), 1007),
    ("surrogate", masked(TEXT, b"\xed\xa0\x80"), 1007),
    ("overlong", masked(TEXT, b"\xc0\x80"), 1007),
    ("above U+10FFFF", masked(TEXT, b"\xf4\x90\x80\x80"), 1007),
    ("character cut off", masked(TEXT, b"\xe2\x82"), 1007),
    (
        "wrong over two fragments",
        masked(TEXT, b"\xe2", fin=False) + masked(CONTINUATION, b"\x41"),
        1007,
    ),
    (
        "wrong before the message ends",
        masked(TEXT, b"\xff", fin=False),
        1007,
    ),
    ("one byte too long", masked(BINARY, announced_bytes=MAX_MESSAGE + 1), 1009),
    ("4 GiB", masked(BINARY, announced_bytes=1 << 32), 1009),
    ("2^63-1 bytes", masked(BINARY, announced_bytes=(1 << 63) - 1), 1009),
    (
        "too long in fragments",
        masked(BINARY, b"a" * 40_000, fin=False) + masked(CONTINUATION, b"a" * 40_000),
        1009,
    ),
    (
        "too many fragments",
        masked(BINARY, b"", fin=False) + masked(CONTINUATION, b"", fin=False) * 200,
        1009,
    ),
]


@pytest.mark.parametrize("why,raw,code", BROKEN_FRAMES, ids=[b[0] for b in BROKEN_FRAMES])
def test_client_that_breaks_the_protocol(scene: Scene, why: str, raw: bytes, code: int) -> None:
    """It gets the right code, what it said before is delivered, and nobody else notices."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(
        server.url, client={"max_message": "64KiB", "max_fragments": 100}
    )
    other = scene.websockets_client(kept.url)
    other.send("first")
    wait_until(lambda: other.messages, "the other client's echo")
    bad = scene.raw_client(kept.port)
    bad.handshake()
    bad.write(masked(TEXT, b"before it broke") + raw)
    assert bad.read_until(CLOSE).close_code == code
    bad.read_to_end()
    wait_until(
        lambda: "before it broke" in [m.text for m in server.messages], "what was sent before"
    )
    kept.daemon.wait_for("session-end")
    other.send("second")
    wait_until(lambda: other.texts == ["first", "second"], "the other client's echo")
    assert len(server.messages) == 3


GOOD_FRAMES: list[tuple[str, bytes, bytes]] = [
    ("exactly max_message", masked(BINARY, b"a" * MAX_MESSAGE), b"a" * MAX_MESSAGE),
    (
        "exactly max_fragments",
        masked(BINARY, b"a", fin=False)
        + masked(CONTINUATION, b"", fin=False) * 98
        + masked(CONTINUATION, b"b"),
        b"ab",
    ),
    ("U+10FFFF", masked(TEXT, b"\xf4\x8f\xbf\xbf"), b"\xf4\x8f\xbf\xbf"),
    ("noncharacter", masked(TEXT, b"\xef\xbf\xbf"), b"\xef\xbf\xbf"),
    (
        "Ping of 125 bytes inside a message",
        masked(TEXT, b"a", fin=False) + masked(PING, b"p" * 125) + masked(CONTINUATION, b"b"),
        b"ab",
    ),
]


@pytest.mark.parametrize("why,raw,payload", GOOD_FRAMES, ids=[g[0] for g in GOOD_FRAMES])
def test_frames_at_the_limit_are_fine(
    scene: Scene, why: str, raw: bytes, payload: bytes
) -> None:
    """The other side of each limit is relayed."""
    server = scene.websockets_server(echo=True)
    kept = scene.keep(
        server.url, client={"max_message": "64KiB", "max_fragments": 100}
    )
    client = scene.raw_client(kept.port)
    client.handshake()
    client.write(raw)
    while True:
        frame = client.read()
        assert frame.opcode != CLOSE, frame.payload
        if frame.opcode in (TEXT, BINARY):
            break
    assert frame.payload == payload


def test_many_bad_clients(scene: Scene) -> None:
    """A hundred clients that break off anywhere leave nothing behind."""
    server = scene.websockets_server()
    kept = scene.keep(server.url)
    other = scene.websockets_client(kept.url)
    kept.wait_open(server)
    before = kept.daemon.descriptor_count
    for number in range(100):
        bad = scene.raw_client(kept.port)
        request = bad.request() + masked(TEXT, numbered(number).encode()) + os.urandom(64)
        bad.write(request[: 7 * number])
        bad.reset() if number % 2 else bad.close()
    wait_until(lambda: kept.daemon.descriptor_count <= before, "the descriptors to come back")
    other.ping()
