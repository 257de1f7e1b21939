"""Names as a test wants them: a name server of its own, in a network namespace of its own.

The test's thread moves into new network and mount namespaces, and so does whatever it starts
there: servers, clients, wskeepd.  What /etc says about names is the test's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import socket
import struct
import subprocess
import threading
from typing import Callable, Iterator, Optional, Union

import pytest

from polling import DEADLINE_S

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_PRIVATE_REC = (1 << 18) | 16384

SERVER = "127.0.0.53"
A, AAAA = 1, 28
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3

Answer = Union[str, "list[str]"]

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


class NameServer:
    """Answers what `answers` says: addresses, or how it fails, or a function that says it.  Names
    that it does not have do not exist."""

    HANGS = "hangs"
    FAILS = "fails"  #: SERVFAIL
    GONE = "gone"  #: NXDOMAIN

    def __init__(self) -> None:
        self.answers: dict[str, Union[Answer, Callable[[], Answer]]] = {}
        self.asked: list[str] = []  #: one for each question for an IPv4 address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((SERVER, 53))
        self._socket.settimeout(0.2)
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="names", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopping:
            try:
                question, peer = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            answer = self._answer(question)
            if answer:
                self._socket.sendto(answer, peer)

    def _answer(self, question: bytes) -> Optional[bytes]:
        labels = []
        at = 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack_from(">H", question, at + 1)[0]
        end = at + 5
        name = ".".join(labels).lower()
        if kind == A:
            self.asked.append(name)
        found = self.answers.get(name, self.GONE)
        if callable(found):
            found = found()
        if found == self.HANGS:
            return None
        records = []
        code = NOERROR
        if isinstance(found, str):
            code = SERVFAIL if found == self.FAILS else NXDOMAIN
        else:
            for address in found:
                family, of_kind = (socket.AF_INET6, AAAA) if ":" in address else (socket.AF_INET, A)
                if of_kind == kind:
                    data = socket.inet_pton(family, address)
                    records.append(
                        b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data
                    )
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return head + question[12:end] + b"".join(records)

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(DEADLINE_S)
        self._socket.close()


def _replace(path: str, text: str, directory: pathlib.Path) -> None:
    """Another file at that path, for this mount namespace alone."""
    copy = directory / path.replace("/", "_")
    copy.write_text(text)
    target = os.path.realpath(path)  # resolv.conf may be a link
    if not os.path.exists(target):
        pytest.skip(f"no {target} to put another in the place of")
    _call("mount", str(copy).encode(), target.encode(), None, MS_BIND, None)


@contextlib.contextmanager
def own_network(directory: pathlib.Path) -> Iterator[None]:
    """The calling thread, and what it starts, in a network of its own with only a loopback."""
    directory.mkdir(parents=True, exist_ok=True)
    before = [os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]
    places = [os.open(path, os.O_PATH) for path in ("/", ".")]
    try:
        try:
            _call("unshare", CLONE_NEWNET | CLONE_NEWNS)
        except OSError as error:
            pytest.skip(f"no network namespace of its own for the test: {error}")
        try:
            try:
                _call("mount", None, b"/", None, MS_PRIVATE_REC, None)
            except OSError as error:
                pytest.skip(f"/ is no mount, as in a chroot; nothing can be put over a file: {error}")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            _replace("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", directory)
            services = "passwd: files\ngroup: files\nhosts: files dns\n"
            _replace("/etc/nsswitch.conf", services, directory)
            _replace(
                "/etc/resolv.conf",
                f"nameserver {SERVER}\noptions timeout:30 attempts:1\n",
                directory,
            )
            yield
        finally:
            _call("unshare", CLONE_FS)  # a thread that ends late would hold us here
            for descriptor in before:
                _call("setns", descriptor, 0)
            os.fchdir(places[0])  # in a chroot, setns() has led out of it
            os.chroot(".")
            os.fchdir(places[1])
    finally:
        for descriptor in before + places:
            os.close(descriptor)


class Door:
    """Listens on an address and leads to a port of 127.0.0.1."""

    def __init__(self, address: str, port: int, target_port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.entered = 0
        self._target_port = target_port
        self._stopping = False
        self._listener = socket.create_server((address, port), family=family)
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.entered += 1
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                near.close()
                continue
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                thread = threading.Thread(target=self._carry, args=(source, sink), daemon=True)
                self._threads.append(thread)
                thread.start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        for end in self._sockets:
            end.close()


class Swallower:
    """An address whose backlog is full: whoever connects hears nothing."""

    def __init__(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(0)
        self._fillers: list[socket.socket] = []
        for _ in range(4):
            filler = socket.socket(family)
            filler.setblocking(False)
            filler.connect_ex((address, port))
            self._fillers.append(filler)

    def stop(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._listener.close()
