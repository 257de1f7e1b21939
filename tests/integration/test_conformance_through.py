"""Through wskeepd, between an independent client and an independent server, all is as without it.

Each conversation is held three times with the same two libraries: directly, through wskeepd with
both legs plain, and through wskeepd with both legs deflated.  What both ends saw must be equal.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Optional, Sequence

import pytest

from messages import Data, noise
from polling import wait_until
from scene import AnyClient, AnyServer, Scene
from wskeepd_process import is_sanitized

pytestmark = pytest.mark.skipif(
    is_sanitized(), reason="compares peers; the frames themselves are in the other conformance tests"
)

KINDS = ["websockets", "node"]
PAIRS = [(client, server) for client in KINDS for server in KINDS]
SUBPROTOCOLS = ["chat.v2", "chat.v1"]

Seen = dict[str, Any]


class Setting:
    """Both kinds of server, and one wskeepd with two links to each."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.servers = {
            kind: scene.server(kind, echo=True, subprotocols=SUBPROTOCOLS, deflate=True)
            for kind in KINDS
        }
        self.urls: dict[str, list[str]] = {}
        links = []
        for kind, server in self.servers.items():
            plain = scene.link(
                server.url,
                name=kind,
                client={"compression": "off"},
                upstream={"compression": "off"},
            )
            deflated = scene.link(
                server.url,
                name=f"{kind}-deflated",
                client={"compression": "accept"},
                upstream={"compression": "offer"},
            )
            self.urls[kind] = [server.url, plain["listen"] + "/", deflated["listen"] + "/"]
            links += [plain, deflated]
        self.daemon = scene.start(*links)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    scene = Scene(tmp_path_factory.mktemp("through"))
    try:
        yield Setting(scene)
    finally:
        scene.stop()


class Talk:
    """One connection of a client, and the server's end of it."""

    def __init__(self, setting: Setting, pair: tuple[str, str], url: str, **options: Any) -> None:
        client_kind, server_kind = pair
        self.server: AnyServer = setting.servers[server_kind]
        before = len(self.server.conversations)
        self.client: AnyClient = setting.scene.client(url, client_kind, deflate=True, **options)
        # A message there and back, so that both ends are open.
        self.client.send("first")
        wait_until(lambda: len(self.client.messages) == 1, "the first echo")
        wait_until(lambda: len(self.server.conversations) > before, "the server to tell of it")
        self.conversation = self.server.conversations[before]

    def exchange(self, send: Callable[[], None], count: int = 1) -> None:
        """Send, and wait for the echoes."""
        wanted = len(self.client.messages) + count
        send()
        wait_until(
            lambda: len(self.client.messages) >= wanted,
            lambda: f"{wanted} echoes; there are {self.client.messages[-3:]}",
        )

    def seen(self) -> Seen:
        """To the end, which the server is the last to tell of."""
        wait_until(lambda: not self.conversation.is_open, "the server to see the end")
        return {
            "client": list(self.client.messages),
            "server": list(self.conversation.messages),
            "subprotocol": self.client.subprotocol,
            "path": self.conversation.path,
        }


def each_way(
    setting: Setting, pair: tuple[str, str], talk: Callable[[Talk], Optional[Seen]], **options: Any
) -> Seen:
    """Directly and through wskeepd; returns what was seen, which is the same."""
    seen = []
    for url in setting.urls[pair[1]]:
        conversation = Talk(setting, pair, url, **options)
        ended = talk(conversation)
        if ended is None:
            conversation.client.close(1000, "")
        seen.append({**conversation.seen(), **(ended or {})})
        conversation.client.stop()
    assert seen[1] == seen[0]
    assert seen[2] == seen[0]
    return seen[0]


pairs = pytest.mark.parametrize("pair", PAIRS, ids=[f"{c}-to-{s}" for c, s in PAIRS])

MESSAGES: list[Data] = [
    "",
    b"",
    "hello",
    "κόσμε € 𐍈 \U0010ffff \uffff \0",
    bytes(range(256)),
    *(noise(size) for size in (1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537)),
    *(noise(size).encode() for size in (1, 125, 126, 127, 65535, 65536, 65537)),
    "ä" * 70000,
    b"\0" * 200000,
    noise(1 << 20),
]


@pairs
def test_messages(setting: Setting, pair: tuple[str, str]) -> None:
    """Texts and binaries of every length form come back as they were."""

    def talk(talk: Talk) -> None:
        for data in MESSAGES:
            talk.exchange(lambda: talk.client.send(data))

    seen = each_way(setting, pair, talk)
    assert len(seen["server"]) == 1 + len(MESSAGES)
    assert seen["server"] == seen["client"]


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_16_MiB(setting: Setting, kind: str) -> None:
    """The largest message of the default max_message."""
    text = "16 MiB, " * (1 << 21)
    data: Data = text if kind == "text" else text.encode()
    pair = ("websockets", "websockets")
    seen = each_way(setting, pair, lambda talk: talk.exchange(lambda: talk.client.send(data)))
    assert [m.size for m in seen["server"]] == [5, 1 << 24]


FRAGMENTED: list[Sequence[Data]] = [
    ["fr", "ag", "ment"],
    ["", "a", "", "b", ""],
    ["", ""],
    [b"fr", b"ag", b"ment"],
    [b"", b"a", b""],
    [noise(1000, at) for at in range(0, 100_000, 1000)],
    [noise(70000).encode(), noise(70000, 7).encode()],
]


@pairs
def test_fragments(setting: Setting, pair: tuple[str, str]) -> None:
    """Messages in fragments, also empty ones, from the client and from the server."""

    def talk(talk: Talk) -> None:
        for parts in FRAGMENTED:
            talk.exchange(lambda: talk.client.send_fragments(parts))
            talk.exchange(lambda: talk.server.send_fragments(parts))

    seen = each_way(setting, pair, talk)
    assert len(seen["client"]) == 1 + 2 * len(FRAGMENTED)


@pairs
def test_many_in_a_row(setting: Setting, pair: tuple[str, str]) -> None:
    """Messages without waiting keep their order both ways."""

    def talk(talk: Talk) -> None:
        def send() -> None:
            for number in range(50):
                talk.client.send(noise(10 * number, number))

        talk.exchange(send, 50)

    seen = each_way(setting, pair, talk)
    assert len(seen["server"]) == 51
    assert seen["client"] == seen["server"]


@pairs
def test_pings(setting: Setting, pair: tuple[str, str]) -> None:
    """Pings of both ends are answered, empty ones and those of 125 bytes, also between messages."""

    def talk(talk: Talk) -> None:
        for payload in (b"ping", b"p" * 125):
            talk.client.ping()
            talk.server.ping(payload)
            talk.exchange(lambda: talk.client.send("between"))
        for _ in range(10):
            talk.client.ping()

    each_way(setting, pair, talk)


@pairs
@pytest.mark.parametrize(
    "offer,chosen",
    [(["chat.v1"], "chat.v1"), (["other", "chat.v1", "chat.v2"], "chat.v2")],
    ids=["one", "several"],
)
def test_subprotocol(
    setting: Setting, pair: tuple[str, str], offer: list[str], chosen: str
) -> None:
    """What the client offers reaches the server, and the server's choice the client."""
    seen = each_way(setting, pair, lambda talk: None, subprotocols=offer)
    assert seen["subprotocol"] == chosen


CLOSES = [(1000, ""), (3999, "r" * 123), (4000, "ü€𐍈")]
closes = pytest.mark.parametrize("code,reason", CLOSES, ids=[f"{c}-{len(r)}" for c, r in CLOSES])


@pairs
@closes
def test_client_closes(setting: Setting, pair: tuple[str, str], code: int, reason: str) -> None:
    """The server sees the client's code and reason, the client the answer."""

    def talk(talk: Talk) -> Seen:
        answer = talk.client.close(code, reason)
        conversation = talk.conversation
        wait_until(lambda: not conversation.is_open, "the server to see the Close")
        return {
            "answer": answer,
            "close": (conversation.close_code, conversation.close_reason),
        }

    seen = each_way(setting, pair, talk)
    assert seen["close"] == (code, reason)


@pairs
@closes
def test_server_closes(setting: Setting, pair: tuple[str, str], code: int, reason: str) -> None:
    """The client sees the server's code and reason, the server the code of the answer."""

    def talk(talk: Talk) -> Seen:
        talk.server.close(code, reason)
        close = talk.client.wait_closed()
        wait_until(lambda: not talk.conversation.is_open, "the server to see the answer")
        return {"close": close, "answer": talk.conversation.close_code}

    seen = each_way(setting, pair, talk)
    assert (seen["close"], seen["answer"]) == ((code, reason), code)


@pairs
def test_client_closes_without_a_code(setting: Setting, pair: tuple[str, str]) -> None:
    """An empty Close is 1005 on the other end."""

    def talk(talk: Talk) -> Seen:
        talk.client.start_close_empty()
        answer = talk.client.wait_closed()
        wait_until(lambda: not talk.conversation.is_open, "the server to see the Close")
        return {"answer": answer, "close": talk.conversation.close_code}

    assert each_way(setting, pair, talk)["close"] == 1005


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[1] == "websockets"], ids=KINDS)
def test_server_closes_behind_messages(setting: Setting, pair: tuple[str, str]) -> None:
    """200 messages and a Close in one go: the client has them all, with the code at the end."""

    def talk(talk: Talk) -> Seen:
        talk.server.send_many([noise(100, n) for n in range(200)]).result(30)
        talk.server.close(4000, "done")
        return {"close": talk.client.wait_closed()}

    seen = each_way(setting, pair, talk)
    assert seen["close"] == (4000, "done")
    assert len(seen["client"]) == 201
