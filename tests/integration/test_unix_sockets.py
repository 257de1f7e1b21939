"""Unix sockets: made so that nobody meets them half-made, and nobody else's is touched."""

from __future__ import annotations

import ctypes
import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
from typing import Any, Iterator

import pytest
import yaml

from polling import wait_until
from scene import Scene
from wskeepd_process import Wskeepd, run_to_end

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can play several users")
AWAY = "ws://127.0.0.1:9/"


def link(path: pathlib.Path, **client: Any) -> dict[str, Any]:
    return {
        "name": "game",
        "listen": f"ws+unix:{path}",
        "client": client,
        "upstream": {"url": AWAY},
        "session": {"drain_timeout": "0s"},
    }


def cannot_run(directory: pathlib.Path, path: pathlib.Path, **client: Any) -> str:
    """The one line on standard error of a wskeepd that exits with 1."""
    file = directory / "refused.yaml"
    file.write_text(yaml.safe_dump({"log": {"level": "error"}, "links": [link(path, **client)]}))
    done = run_to_end(["-c", str(file)], directory)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert str(path) in line
    return line


def stale(path: pathlib.Path) -> None:
    """A socket as a crash leaves it."""
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
        crashed.listen()


def serves(scene: Scene, path: pathlib.Path) -> None:
    client = scene.raw_client(str(path))
    client.handshake()
    client.close()


@pytest.fixture
def directory() -> Iterator[pathlib.Path]:
    """Short, empty, and nobody else's."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="wskeep-socket-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


# What is there already.


def put(kind: str, path: pathlib.Path) -> None:
    elsewhere = path.with_name("elsewhere")
    if kind == "a file":
        path.write_text("precious")
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a fifo":
        os.mkfifo(path)
    elif kind == "a symlink to nothing":
        path.symlink_to(elsewhere)
    elif kind == "a symlink to a file":
        elsewhere.write_text("precious")
        path.symlink_to(elsewhere)
    elif kind == "a symlink to a stale socket":
        stale(elsewhere)
        path.symlink_to(elsewhere)


def picture(directory: pathlib.Path) -> dict[str, tuple[int, int, int]]:
    return {
        entry.name: (entry.stat(follow_symlinks=False).st_ino,
                     entry.stat(follow_symlinks=False).st_mode,
                     entry.stat(follow_symlinks=False).st_uid)
        for entry in os.scandir(directory)
    }


@pytest.mark.parametrize(
    "kind,why",
    [
        ("a file", "is not a socket: remove it, or use another name"),
        ("a directory", "is not a socket: remove it, or use another name"),
        ("a fifo", "is not a socket: remove it, or use another name"),
        ("a symlink to nothing", "is a symbolic link: name the place"),
        ("a symlink to a file", "is a symbolic link: name the place"),
        ("a symlink to a stale socket", "is a symbolic link: name the place"),
    ],
)
def test_what_is_no_socket_is_refused_and_left_alone(
    directory: pathlib.Path, tmp_path: pathlib.Path, kind: str, why: str
) -> None:
    """One line says what it is and what to do; nothing in the directory changes."""
    path = directory / "s"
    put(kind, path)
    before = picture(directory)
    assert why in cannot_run(tmp_path, path)
    assert picture(directory) == before


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_socket_in_use_is_refused_and_left_alone(
    directory: pathlib.Path, tmp_path: pathlib.Path, kind: int
) -> None:
    """Whatever kind of socket it is, who serves it keeps it."""
    path = directory / "s"
    with socket.socket(socket.AF_UNIX, kind) as live:
        live.bind(str(path))
        if kind != socket.SOCK_DGRAM:
            live.listen()
        before = picture(directory)
        line = cannot_run(tmp_path, path)
        assert "already served" in line or "if nobody needs it, remove it" in line
        assert picture(directory) == before


@as_root
@pytest.mark.parametrize("owner", ["nobody", "daemon"])
def test_another_users_socket_is_refused(
    scene: Scene, directory: pathlib.Path, tmp_path: pathlib.Path, owner: str
) -> None:
    """A stale socket of another user is only replaced when it is client.owner's; root is no one."""
    path = directory / "s"
    stale(path)
    user = pwd.getpwnam(owner)
    os.chown(path, user.pw_uid, -1)
    before = picture(directory)
    line = cannot_run(tmp_path, path)
    assert f"belongs to another user (uid {user.pw_uid}): if nobody needs it, remove it" in line
    assert picture(directory) == before
    scene.start(link(path, owner=owner))
    serves(scene, path)


@as_root
def test_a_stale_socket_of_the_daemons_user_is_replaced(
    scene: Scene, directory: pathlib.Path
) -> None:
    """What --user left behind at a crash is our own."""
    path = directory / "s"
    for _ in range(2):
        daemon = scene.launch({"links": [link(path)]}, arguments=["--user", "nobody"]).wait_ready()
        assert path.stat().st_uid == pwd.getpwnam("nobody").pw_uid
        serves(scene, path)
        daemon.kill()


# The directory.


@pytest.mark.parametrize("where", ["its own", "one above"])
def test_a_directory_that_everybody_can_write_is_refused(
    scene: Scene, directory: pathlib.Path, tmp_path: pathlib.Path, where: str
) -> None:
    """Anybody could put another socket there; with the sticky bit, as /tmp has it, nobody can."""
    inner = directory / "inner"
    inner.mkdir()
    path = inner / "s"
    open_one = inner if where == "its own" else directory
    open_one.chmod(0o777)
    line = cannot_run(tmp_path, path)
    assert f"everybody can write the directory {open_one}," in line and "chmod o-w" in line
    assert list(inner.iterdir()) == []
    open_one.chmod(0o1777)
    scene.start(link(path))
    serves(scene, path)


def test_a_symlink_to_the_directory_is_fine(scene: Scene, directory: pathlib.Path) -> None:
    """As /var/run is one to /run; the directory itself is what is judged."""
    (directory / "run").mkdir()
    (directory / "var").symlink_to("run")
    scene.start(link(directory / "var" / "s"))
    serves(scene, directory / "run" / "s")


# How it appears.

IN_ATTRIB, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x4, 0x40, 0x80, 0x100, 0x200


class Watch:
    """What happens to the names in a directory, in order."""

    def __init__(self, directory: pathlib.Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK)
        mask = IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
        assert libc.inotify_add_watch(self._fd, bytes(directory), mask) >= 0

    def events(self) -> list[tuple[str, int]]:
        raw = os.read(self._fd, 65536)
        os.close(self._fd)
        found = []
        while raw:
            _, mask, _, length = struct.unpack_from("iIII", raw)
            found.append((raw[16 : 16 + length].rstrip(b"\0").decode(), mask))
            raw = raw[16 + length :]
        return found


@pytest.mark.parametrize("before", ["nothing", "a stale socket"])
def test_it_appears_in_one_step_with_mode_and_owner(
    scene: Scene, directory: pathlib.Path, before: str
) -> None:
    """Mode, owner and group are set beside the name; then it is there, and never not there."""
    path = directory / "s"
    client: dict[str, Any] = {"mode": "0600"}
    if os.geteuid() == 0:
        client |= {"owner": "nobody", "group": "daemon"}
    if before == "a stale socket":
        stale(path)
    watch = Watch(directory)
    scene.launch(
        {"links": [link(path, **client)]}, wrapper=["sh", "-c", 'umask 0; exec "$@"', "sh"]
    ).wait_ready()
    events = watch.events()
    assert [mask for name, mask in events if name == "s"] == (
        [IN_MOVED_TO] if before == "nothing" else [IN_MOVED_TO, IN_MOVED_FROM]
    ), events
    assert any(mask == IN_ATTRIB for name, mask in events if name != "s")
    now = path.stat()
    assert stat.S_IMODE(now.st_mode) == 0o600
    if os.geteuid() == 0:
        assert now.st_uid == pwd.getpwnam("nobody").pw_uid
    assert os.listdir(directory) == ["s"]


def test_of_two_that_start_at_once_one_stays(scene: Scene, directory: pathlib.Path) -> None:
    """Both find the same stale socket; one serves the name, the other ends with 1."""
    path = directory / "s"
    for _ in range(5):
        stale(path)
        both = [scene.launch({"links": [link(path)]}) for _ in range(2)]

        def is_settled() -> bool:
            ready = [d for d in both if d.find("ready")]
            return len(ready) + len([d for d in both if not d.is_running]) == 2

        wait_until(is_settled, lambda: "\n".join(d.tail() for d in both))
        running = [d for d in both if d.find("ready")]
        assert len(running) == 1, "\n".join(d.tail() for d in both)
        (loser,) = [d for d in both if d is not running[0]]
        loser.expect_end(1)
        serves(scene, path)
        running[0].signal(signal.SIGTERM)
        running[0].expect_end(0)
        assert os.listdir(directory) == []


# While it runs, and at the end.


def test_only_our_own_socket_is_removed_at_the_end(scene: Scene, directory: pathlib.Path) -> None:
    """A socket that somebody put in its place stays theirs."""
    path = directory / "s"
    daemon = scene.start(link(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        inode = path.stat().st_ino
        daemon.signal(signal.SIGTERM)
        daemon.expect_end(0)
        assert path.stat().st_ino == inode


def reload(daemon: Wskeepd, path: pathlib.Path, **client: Any) -> None:
    daemon.write_configuration({"links": [link(path, **client)]})
    daemon.signal(signal.SIGHUP)


def test_a_reload_sets_the_mode_and_follows_no_name(scene: Scene, directory: pathlib.Path) -> None:
    """A symbolic link in the socket's place is refused, and what it leads to keeps its mode."""
    path = directory / "s"
    precious = directory / "precious"
    precious.write_text("")
    precious.chmod(0o600)
    daemon = scene.start(link(path, mode="0600"))
    inode = path.stat().st_ino
    reload(daemon, path, mode="0666")
    daemon.wait_for("reloaded")
    assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (inode, 0o666)
    path.unlink()
    path.symlink_to(precious)
    reload(daemon, path, mode="0622")
    daemon.wait_for("reload-failed")
    assert "is a symbolic link" in daemon.find("cannot-listen")[0]["why"]
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600
    daemon.signal(signal.SIGTERM)
    daemon.expect_end(0)
    assert path.is_symlink()


def test_a_name_without_a_file_is_a_mistake(tmp_path: pathlib.Path) -> None:
    """Abstract sockets have no mode, and anybody can take their name: exit status 2."""
    file = tmp_path / "wskeep.yaml"
    file.write_text(yaml.safe_dump({"links": [{**link(tmp_path), "listen": "ws+unix:@game"}]}))
    done = run_to_end(["--check-config", "-c", str(file)], tmp_path)
    assert done.returncode == 2
    assert "a name without a file, which anybody may take and enter" in done.stderr


@as_root
def test_who_may_not_write_the_socket_cannot_connect(
    scene: Scene, directory: pathlib.Path
) -> None:
    """The mode is what the kernel goes by."""
    path = directory / "s"
    knock = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    for mode, status in (("0600", 1), ("0666", 0)):
        daemon = scene.start(link(path, mode=mode))
        done = subprocess.run(
            ["/usr/bin/python3", "-c", knock], user="nobody", capture_output=True, cwd="/"
        )
        assert done.returncode == status, done.stderr
        daemon.signal(signal.SIGTERM)
        daemon.expect_end(0)
