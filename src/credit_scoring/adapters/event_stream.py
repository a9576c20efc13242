"""Pushed events on a Redis stream, shared by the consumers of a group."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import StreamError
from credit_scoring.core.pushed import Lag, Message, SetAside, read_message
from credit_scoring.ports import Clock

_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 15.0  # a stream is waited for a second at most
_CLAIMED_AT_ONCE = 100
_MILLISECOND_S = 1e-3

Entry = tuple[bytes, Mapping[bytes, bytes]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Membership:
    """Which stream is read, by which consumer of which group, and when others' unfinished messages are taken over."""

    stream: str
    group: str
    consumer: str
    take_over_after_s: float = 60.0


class RedisEventStream:
    """``EventStream`` on Redis 6.2 or newer.

    The group is made when it is absent and then begins with the oldest message, so that none is lost. What is
    trimmed before it was read is lost to it, and told.
    """

    def __init__(self, url: str, membership: Membership, clock: Clock = utc_now) -> None:
        """Connect to the server at ``url``.

        Raises:
            StreamError: If the URL cannot be used, the server does not answer, or the key is no stream.
        """
        self._membership = membership
        self._clock = clock
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_connect_timeout=_CONNECT_TIMEOUT_S,
                socket_timeout=_ANSWER_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),  # the follower waits and tries again, and tells so
                protocol=2,
            )
        except ValueError as exc:
            raise StreamError(
                "CREDIT_REDIS_URL is not a Redis URL. Write it like 'redis://127.0.0.1:6379/0', or 'rediss://' for TLS."
            ) from exc
        self._join()

    @property
    def server(self) -> str:
        """Where the server is, without credentials."""
        told = self._client.connection_pool.connection_kwargs
        return str(told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}")

    def unfinished(self, most: int) -> Sequence[Message | SetAside]:
        """See ``EventStream.unfinished``."""
        while entries := self._entries("0", most, None):
            if messages := self._messages(entries):
                return messages
        return []

    def next(self, most: int, wait_s: float) -> Sequence[Message | SetAside]:
        """See ``EventStream.next``."""
        return self._messages(self._entries(">", most, max(1, round(wait_s * 1000))))

    def take_over(self) -> int:
        """See ``EventStream.take_over``."""
        own, claimed, start = self._membership, 0, "0-0"
        idle_ms = round(own.take_over_after_s * 1000)
        with self._told("taking over messages"):
            while True:
                told: Any = self._client.xautoclaim(
                    own.stream, own.group, own.consumer, idle_ms, start, count=_CLAIMED_AT_ONCE
                )
                start, claimed = told[0].decode(), claimed + len(told[1])
                if trimmed := told[2:] and told[2]:  # Redis 7 takes these off the list by itself
                    self._warn_of_lost(len(trimmed))
                if start == "0-0":
                    return claimed

    def acknowledge(self, messages: Sequence[Message | SetAside]) -> None:
        """See ``EventStream.acknowledge``."""
        ids = [(one if isinstance(one, Message) else one.message).message_id for one in messages]
        with self._told("acknowledging messages"):
            self._client.xack(self._membership.stream, self._membership.group, *ids)

    def lag(self) -> Lag:
        """See ``EventStream.lag``; the server counts waiting messages since Redis 7."""
        own = self._membership
        with self._told("asking for the lag"):
            groups: Any = self._client.xinfo_groups(own.stream)
            newest: Any = self._client.xinfo_stream(own.stream)
        [group] = [told for told in groups if told["name"] == own.group.encode()]
        given, last = (
            _milliseconds(found["last-" + name + "-id"])
            for found, name in ((group, "delivered"), (newest, "generated"))
        )
        everything = group["last-delivered-id"] == newest["last-generated-id"]
        waiting = 0 if everything else group.get("lag")
        return Lag(group["pending"], waiting, max(0, last - given) * _MILLISECOND_S)

    def leave(self) -> None:
        """Take this consumer off the group's list if it has nothing unfinished, and close the connection."""
        own = self._membership
        with self._told("leaving the group"):
            if not self._client.xpending_range(own.stream, own.group, "-", "+", 1, consumername=own.consumer):
                self._client.xgroup_delconsumer(own.stream, own.group, own.consumer)
            self._client.close()

    def _entries(self, after: str, most: int, wait_ms: int | None) -> Sequence[Entry]:
        own = self._membership
        with self._told("reading messages"):
            try:
                told: Any = self._client.xreadgroup(own.group, own.consumer, {own.stream: after}, most, wait_ms)
            except redis.ResponseError as exc:
                if not str(exc).startswith("NOGROUP"):
                    raise
                self._join()  # the stream was deleted; its producers begin it anew
                return []
        return [entry for _, found in told for entry in found]

    def _messages(self, entries: Sequence[Entry]) -> Sequence[Message | SetAside]:
        """Read entries; those that were trimmed from the stream in the meantime have no fields any more."""
        received_at, stream = self._clock(), self._membership.stream
        trimmed = [message_id for message_id, fields in entries if not fields]
        if trimmed:
            self._warn_of_lost(len(trimmed))
            with self._told("acknowledging messages"):
                self._client.xack(stream, self._membership.group, *trimmed)
        return [read_message(stream, name.decode(), fields, received_at) for name, fields in entries if fields]

    @staticmethod
    def _warn_of_lost(messages: int) -> None:
        logger.warning("messages_lost trimmed_before_read=%d: let the stream keep more (MAXLEN)", messages)

    def _join(self) -> None:
        own = self._membership
        with self._told(f"joining the stream '{own.stream}'"):
            try:
                self._client.xgroup_create(own.stream, own.group, id="0", mkstream=True)
            except redis.ResponseError as exc:
                if not str(exc).startswith("BUSYGROUP"):
                    raise

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except redis.ResponseError as exc:
            kind = str(exc).partition(" ")[0]
            raise StreamError(
                f"Redis at {self.server} refused while {doing} ({kind}). Give --stream the key of a stream, and "
                f"CREDIT_REDIS_URL a user that may read it."
            ) from exc
        except redis.RedisError as exc:
            raise StreamError(
                f"Redis at {self.server} failed while {doing} ({type(exc).__name__}). Check CREDIT_REDIS_URL, and "
                f"that the server runs and can be reached."
            ) from exc


def _milliseconds(message_id: bytes) -> int:
    return int(message_id.partition(b"-")[0])
