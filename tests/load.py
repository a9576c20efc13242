"""Load on the service, as from many lenders' machines: clients that break off, send again and send twice.

Run as a process of its own (``python load.py PLAN``), so that what is measured is the service.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sent_requests import BATCH_EVERY, Item, again_of, batch_of, sent

TELL_EVERY = 200
BREAKS_OFF = 0.04
"""Share of requests whose client closes the connection before the answer."""


@dataclass(frozen=True)
class Plan:
    """What is sent: ``decisions`` numbers from ``first`` on, or as many as there is time for when it is None."""

    port: int
    keys: dict[str, str]
    acknowledged: str
    clients: int
    decisions: int | None = None
    first: int = 0
    seed: int = 0
    answered_within_s: float = 20.0
    longest_wait_s: float = 0.3
    plain: bool = False
    """Whether nothing is sent twice, broken off or in batches, as for measuring."""


@dataclass
class Report:
    """What came of it: answers by status and code, what should not have come, and seconds of each answer."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    broken: int = 0
    acknowledged: int = 0
    seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


def _draws(seed: int, client: int) -> random.Random:
    return random.Random(f"{seed}/{client}")  # noqa: S311 - the same load each time


class Load:
    """All clients of one process."""

    def __init__(self, plan: Plan, acknowledged: IO[str]) -> None:
        self.plan = plan
        self.report = Report()
        self.stopping = False
        self._acknowledged = acknowledged
        self._next = plan.first
        self._again: deque[Item] = deque()
        self._times_s: list[float] = []

    async def run(self) -> None:
        started = time.perf_counter()
        clients = [_Client(self, _draws(self.plan.seed, n)) for n in range(self.plan.clients)]
        await asyncio.gather(*(client.run() for client in clients))
        self.report.seconds = time.perf_counter() - started
        if self._times_s:
            times = sorted(self._times_s)
            self.report.p50_ms = round(1000 * times[len(times) // 2], 1)
            self.report.p99_ms = round(1000 * times[len(times) * 99 // 100], 1)

    def take(self) -> Item | None:
        """What is sent next, None when nothing is."""
        if self.stopping:
            return None
        if self._again:
            return self._again.popleft()
        number, plan = self._next, self.plan
        if plan.decisions is not None and number >= plan.first + plan.decisions:
            return None
        self._next += 1
        if not plan.plain:
            self._again.extend(again_of(number))
        return number, ""

    def answered(self, item: Item, decision: str, seconds: float | None = None) -> None:
        """Note an acknowledgement, with the text that acknowledged it."""
        self._acknowledged.write(json.dumps([*item, decision]) + "\n")
        self.report.acknowledged += 1
        if seconds is not None:
            self._times_s.append(seconds)
        if self.report.acknowledged % TELL_EVERY == 0:
            self._acknowledged.flush()
            print(self.report.acknowledged, flush=True)  # noqa: T201 - what the parent process waits for


class _Client:
    """One client: a connection that it opens again when it breaks."""

    def __init__(self, load: Load, draws: random.Random) -> None:
        self._load = load
        self._draws = draws
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        while (item := self._load.take()) is not None:
            if item[1] == "" and item[0] % BATCH_EVERY == BATCH_EVERY // 2 and not self._load.plan.plain:
                await asyncio.gather(self._decided(item), _Client(self._load, self._draws).decide_batch(item[0]))
            else:
                await self._decided(item)
        self._close()

    async def decide_batch(self, number: int) -> None:
        """Have a batch decided; items that were not are sent alone."""
        numbers = batch_of(number)
        bodies = [sent(one).body for one in numbers]
        answer = await self._until_final(
            "/v1/decisions/batch", sent(number).tenant, {"applications": bodies}, f"batch-{number}"
        )
        results = [] if answer is None else json.loads(answer)["results"]
        left = numbers if answer is None else []
        for one, result in zip(numbers, results, strict=answer is not None):
            if result.get("decision") is None:
                self._load.report.answers[f"batch {result['problem']['code']}"] += 1
                left.append(one)
            else:
                self._load.answered((one, ""), json.dumps(result["decision"]))
        for one in left:
            await self._decided((one, ""))
        self._close()

    async def _decided(self, item: Item) -> None:
        asked, since = sent(*item), time.perf_counter()
        answer = await self._until_final("/v1/decisions", asked.tenant, asked.body, asked.idempotency_key)
        if answer is not None:
            self._load.answered(item, answer, time.perf_counter() - since)

    async def _until_final(self, path: str, tenant: str, body: Any, key: str | None) -> str | None:
        """Send the same until it is answered for good; None when it is refused, or time is up."""
        request = self._request(path, tenant, json.dumps(body).encode(), key)
        while not self._load.stopping:
            found = await self._exchanged(request)
            if found is None:
                await asyncio.sleep(self._draws.uniform(0.02, 0.2))
                continue
            status, headers, text = found
            if status == 200:
                self._load.report.answers["200"] += 1
                return text
            if self._is_final(status, headers, text):
                return None
            wait_s = float(headers.get("retry-after", 0))
            await asyncio.sleep(self._draws.uniform(0.2, 1) * min(wait_s, self._load.plan.longest_wait_s))
        return None

    def _is_final(self, status: int, headers: dict[str, str], text: str) -> bool:
        """Count an answer that is no decision; whatever is not expected of a service under load is kept."""
        code = json.loads(text).get("code") if "json" in headers.get("content-type", "") else text[:80]
        report = self._load.report
        report.answers[f"{status} {code}"] += 1
        if status == 422 and code in {"application_reused", "idempotency_key_reused"}:
            return True
        if status not in {409, 503} or "retry-after" not in headers:
            report.wrong.append(f"{status} {text[:300]}")
        return False

    async def _exchanged(self, request: bytes) -> tuple[int, dict[str, str], str] | None:
        """The answer to a request, None when there is none."""
        breaks_off = not self._load.plan.plain and self._draws.random() < BREAKS_OFF
        within_s = self._draws.uniform(0, 0.05) if breaks_off else self._load.plan.answered_within_s
        try:
            async with self._giving_up(within_s) as (reader, writer):
                writer.write(request)
                return await _response(reader)
        except (OSError, EOFError, TimeoutError, ValueError) as exc:
            self._close()
            if not breaks_off:
                self._load.report.broken += 1
                if isinstance(exc, TimeoutError):
                    self._load.report.wrong.append(f"no answer in {within_s} s")
            return None

    @asynccontextmanager
    async def _giving_up(self, within_s: float) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(within_s):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._load.plan.port)
            yield self._streams

    def _request(self, path: str, tenant: str, body: bytes, key: str | None) -> bytes:
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: service",
            "Content-Type: application/json",
            f"Authorization: Bearer {self._load.plan.keys[tenant]}",
            f"Content-Length: {len(body)}",
            *([] if key is None else [f"Idempotency-Key: {key}"]),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, body.decode()


async def _main(plan: Plan) -> Report:
    with Path(plan.acknowledged).open("a") as acknowledged:
        load = Load(plan, acknowledged)
        ended, loop = asyncio.create_task(load.run()), asyncio.get_running_loop()

        def stop() -> None:
            load.stopping = True
            loop.remove_reader(sys.stdin.fileno())

        loop.add_reader(sys.stdin.fileno(), stop)  # whoever started this closes its input when it is enough
        await ended
        return load.report


if __name__ == "__main__":
    told = asyncio.run(_main(Plan(**json.loads(sys.argv[1]))))
    print(json.dumps(vars(told)), flush=True)  # noqa: T201 - the result
