"""Whoever writes a value, a client, a file or the environment: it stays the value that it is."""

from __future__ import annotations

import pathlib
import string

import pytest

from polling import wait_until
from raw_peers import RawServerConnection, answer_pings
from scene import Scene
from wskeepd_process import run_to_end

LINK = """\
links:
  - name: game
    listen: ws://127.0.0.1:9001
    upstream: {%s}
"""

URL = 'url: "ws://127.0.0.1:9/", '

PLACES = {
    "header": URL + 'headers: {X: "%s"}',
    "subprotocol": URL + 'subprotocols: ["%s"]',
    "forwarded name": URL + 'forward_headers: ["%s"]',
    "path": 'url: "ws://127.0.0.1:9/%s"',
    "host": 'url: "ws://%s/"',
    "proxy's password": URL + 'proxy: "http://user:%s@127.0.0.1:9"',
    "proxy's host": URL + 'proxy: "http://%s:9"',
    "server's name": URL + 'tls: {server_name: "%s"}',
}

LINE_ENDS = {"CR LF": "a\r\nX: b", "LF": "a\nb", "CR": "a\rb", "SOH": "a\x01b", "DEL": "a\x7fb"}


#: Files in headers and path are read at each attempt: test_fresh.py.
SOURCES = [
    (source, place)
    for source in ("env", "file", "yaml")
    for place in PLACES
    if (source, place) not in (("file", "header"), ("file", "path"))
]


@pytest.mark.parametrize("source,place", SOURCES)
def test_line_end_in_the_configuration(tmp_path: pathlib.Path, source: str, place: str) -> None:
    """It is a mistake with its place, whichever way it comes in."""
    path = tmp_path / "wskeep.yaml"
    secret = tmp_path / "secret"
    for name, value in LINE_ENDS.items():
        secret.write_text(value)
        written = {
            "env": "${env:WSKEEP_TEST_VALUE}",
            "file": f"${{file:{secret}}}",
            "yaml": "".join(f"\\x{ord(c):02x}" for c in value),
        }[source]
        path.write_text(LINK % (PLACES[place] % written))
        environment = {"WSKEEP_TEST_VALUE": value}
        done = run_to_end(["--check-config", "-c", str(path)], tmp_path, environment)
        assert done.returncode == 2, f"{name}: {done.stderr}"
        assert f"{path}:4:" in done.stderr, name
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("name", ["X\\r\\nY", "X Y", "X:", "", "Höst", "X\\0", "(X)"])
def test_header_needs_a_name(tmp_path: pathlib.Path, name: str) -> None:
    """A name that is no token is a mistake with its place."""
    path = tmp_path / "wskeep.yaml"
    path.write_text(LINK % (URL + 'headers: {"%s": a}' % name))
    done = run_to_end(["--check-config", "-c", str(path)], tmp_path)
    assert done.returncode == 2
    assert f"{path}:4:" in done.stderr


class Recorder:
    """Takes every upgrade with the first subprotocol that was offered; keeps the heads."""

    def __init__(self, scene: Scene) -> None:
        self.heads: list[str] = []
        self.server = scene.raw_server(self._serve)

    def _serve(self, connection: RawServerConnection) -> None:
        connection.upgrade()
        assert connection.head is not None
        self.heads.append(connection.head.first_line)
        connection.serve_to_end(answer_pings)


def test_every_byte_of_a_subprotocol(scene: Scene) -> None:
    """A subprotocol is a token, or the client gets 400; the upstream reads what was offered."""
    offers: list[str] = []

    def script(connection: RawServerConnection) -> None:
        raw = connection.reader.until(b"\r\n\r\n").decode("latin-1")
        fields = [line.split(": ", 1) for line in raw.split("\r\n")[1:-2]]
        offers.extend(value for name, value in fields if name == "Sec-WebSocket-Protocol")
        assert len(fields) == 7, raw
        connection.write(b"HTTP/1.1 400 No\r\n\r\n")

    server = scene.raw_server(script)
    kept = scene.keep(server.url)
    token = set(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
    for byte in range(256):
        client = scene.raw_client(kept.port)
        client.write(client.request(extra=(f"Sec-WebSocket-Protocol: a{chr(byte)}b",)))
        expected = 502 if chr(byte) in token or chr(byte) == "," else 400
        assert client.read_response().status == expected, hex(byte)
        client.close()
    assert sorted(offers) == sorted(["a, b"] + [f"a{c}b" for c in token])


def test_every_byte_of_a_path(scene: Scene) -> None:
    """What the upstream reads is what the client wrote, or the client gets 400."""
    server = Recorder(scene)
    kept = scene.keep(server.server.url + "base", upstream={"path": "append"})
    sent: list[str] = []
    for form in ("/a%sb", "/?a%sb"):
        for byte in range(256):
            client = scene.raw_client(kept.port)
            client.write(client.request(form % chr(byte)))
            status = client.read_response().status
            assert status in (101, 400)
            if status == 101:
                sent.append(f"GET /base{form % chr(byte)} HTTP/1.1".replace("base/?", "base?"))
    assert len(sent) == 2 * (0x7F - 0x21) - 5  # in both: no #, no \; in a path no % without digits
    wait_until(lambda: len(server.heads) >= len(sent), "all requests")
    got = [line.replace("/base/?", "/base?") for line in server.heads]
    assert sorted(got) == sorted(sent)
