"""What stands between load and echo: nothing, HAProxy, nginx or wskeepd; how each is set up."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import resource
import shutil
import subprocess
from typing import Optional, Sequence

import machine

NAMES = ("direct", "haproxy", "nginx", "wskeepd")

HAPROXY = """\
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 5m
    timeout server 5m
    timeout tunnel 1h
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s1 127.0.0.1:{upstream} {tls}
"""

# The buffers that nginx has by default (4 KiB) make it look worse with large messages than it is.
NGINX = """\
daemon off;
worker_processes 1;
{user}
pid {directory}/nginx.pid;
error_log {directory}/nginx.err error;
worker_rlimit_nofile {descriptors};
events {{ worker_connections 32768; }}
http {{
    access_log off;
    client_body_temp_path {directory}/a; proxy_temp_path {directory}/b;
    fastcgi_temp_path {directory}/c; uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
    map $http_upgrade $conn_up {{ default upgrade; '' close; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass {http}://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $conn_up;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
            proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;
        }}
    }}
}}
"""

WSKEEPD = """\
log: {{level: warning}}
workers: {workers}
links:
  - name: bench
    listen: ws://127.0.0.1:{port}
    client: {{max_clients: 20000}}
    upstream: {{url: '{scheme}://127.0.0.1:{upstream}/'{upstream_more}}}
{link_more}
"""


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Of the echo server, for itself: nobody else has signed it."""

    cert: pathlib.Path
    key: pathlib.Path

    @classmethod
    def create(cls, directory: pathlib.Path) -> "Certificate":
        made = cls(directory / "cert.pem", directory / "key.pem")
        if not made.cert.exists():
            subprocess.run(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
                " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost".split()
                + ["-keyout", str(made.key), "-out", str(made.cert)],
                check=True,
                stderr=subprocess.DEVNULL,
                timeout=60,
            )
        return made


@dataclasses.dataclass
class Proxy:
    process: machine.Process
    port: int


def missing(names: Sequence[str]) -> list[str]:
    """Looked for where daemons are, too: an ordinary user's PATH may be without it."""
    if "/usr/sbin" not in os.environ.get("PATH", "").split(":"):
        os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin"
    return [name for name in names if name in ("haproxy", "nginx") and not shutil.which(name)]


def versions(names: Sequence[str], wskeepd: pathlib.Path) -> dict[str, str]:
    """One line of each, as it says it itself."""
    asked = {
        "haproxy": ["haproxy", "-v"],
        "nginx": ["nginx", "-v"],
        "wskeepd": [str(wskeepd), "--version"],
    }
    found = {}
    for name in names:
        if name in asked:
            said = subprocess.run(
                asked[name],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=10,
                encoding="utf-8",
            ).stdout.splitlines()
            found[name] = said[0] if said else "?"
    return found


def start(
    name: str,
    directory: pathlib.Path,
    upstream: int,
    processors: machine.Processors,
    tls: Optional[Certificate] = None,
    wskeepd: Optional[pathlib.Path] = None,
) -> Proxy:
    """haproxy, nginx or wskeepd before 127.0.0.1:upstream, ready."""
    if name == "wskeepd":
        assert wskeepd
        return start_wskeepd(wskeepd, directory, upstream, processors, tls)
    port = machine.free_port()
    if name == "haproxy":
        path = directory / "haproxy.cfg"
        path.write_text(
            HAPROXY.format(port=port, upstream=upstream, tls="ssl verify none" if tls else "")
        )
        command = ["haproxy", "-db", "-q", "-f", str(path)]
    else:
        path = directory / "nginx.conf"
        path.write_text(
            NGINX.format(
                port=port,
                upstream=upstream,
                directory=directory,
                http="https" if tls else "http",
                user="user root;" if directory.owner() == "root" else "",
                descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            )
        )
        command = ["nginx", "-p", str(directory), "-e", f"{directory}/nginx.err", "-c", str(path)]
    process = machine.Process(command, processors, directory / f"{name}.log")
    process.wait_for_port(port)
    return Proxy(process, port)


def start_wskeepd(
    wskeepd: pathlib.Path,
    directory: pathlib.Path,
    upstream: int,
    processors: machine.Processors,
    tls: Optional[Certificate] = None,
    workers: int = 1,
    upstream_more: str = "",
    link_more: Sequence[str] = (),
) -> Proxy:
    """upstream_more, link_more: keys besides those of WSKEEPD, and lines."""
    port = machine.free_port()
    path = directory / "wskeep.yaml"
    if tls:
        upstream_more += f", tls: {{ca: '{tls.cert}'}}"
    path.write_text(
        WSKEEPD.format(
            workers=workers,
            port=port,
            scheme="wss" if tls else "ws",
            upstream=upstream,
            upstream_more=upstream_more,
            link_more="\n".join("    " + line for line in link_more),
        )
    )
    process = machine.Process([str(wskeepd), "-c", str(path)], processors, directory / "wskeepd.log")
    process.wait_for_port(port)
    return Proxy(process, port)
