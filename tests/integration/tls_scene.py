"""What the tests of TLS share: an authority of their own, and links that speak TLS."""

from __future__ import annotations

import pathlib
import ssl
from typing import Any, Optional

import pytest

from certificates import Authority, Identity
from scene import Kept, Scene


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
