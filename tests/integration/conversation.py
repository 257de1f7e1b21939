"""One connection as a peer saw it, in the same words for every kind of peer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from messages import Message


@dataclass
class Conversation:
    number: int  #: 1 for the server's first connection
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)  #: names in lower case
    messages: list[Message] = field(default_factory=list)
    pings: int = 0
    pings_since_message: int = 0  #: each was answered before it was counted
    close_code: Optional[int] = None  #: 1005: an empty Close; 1006: none; None: still open
    close_reason: str = ""

    def took(self, message: Message) -> None:
        self.pings_since_message = 0
        self.messages.append(message)

    def answered_ping(self) -> None:
        self.pings += 1
        self.pings_since_message += 1

    @property
    def is_open(self) -> bool:
        return self.close_code is None

    @property
    def numbers(self) -> list[int]:
        return [message.number for message in self.messages]

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]


class Server:
    """What every recording server can be asked.  Its kinds differ in who speaks the protocol."""

    port: int
    scheme = "ws"

    def __init__(self) -> None:
        self.conversations: list[Conversation] = []

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/"

    @property
    def messages(self) -> list[Message]:
        return [m for c in list(self.conversations) for m in list(c.messages)]

    @property
    def numbers_by_connection(self) -> list[list[int]]:
        return [c.numbers for c in list(self.conversations)]

    @property
    def numbers_seen(self) -> set[int]:
        return {m.number for m in self.messages}

    @property
    def latest(self) -> Conversation:
        return self.conversations[-1]

    @property
    def is_connected(self) -> bool:
        return bool(self.conversations) and self.latest.is_open

    @property
    def has_acknowledged_all(self) -> bool:
        """A Ping that came after the last message has its Pong."""
        return self.is_connected and self.latest.pings_since_message > 0
