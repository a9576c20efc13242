"""What clients send under load: a function of a number, so that whoever checks the records knows it without being told.

Many are sent twice at the same time, with an ``Idempotency-Key`` or without, and some contradict the first.
"""

from dataclasses import dataclass
from typing import Any, Literal

TENANTS = ("north", "south")
APPLICANTS = 300
"""How many there are of each tenant; each applies again and again."""

BATCH = 50
BATCH_EVERY = 1_000
FIRST_OF_BATCHES = 1_000_000_000

Variant = Literal["", "other body", "other application"]
"""How a request differs from the first of its number; both others contradict it, and one of the two is refused."""

Item = tuple[int, Variant]


@dataclass(frozen=True)
class Sent:
    """A request for one decision."""

    tenant: str
    body: dict[str, Any]
    idempotency_key: str | None


def sent(number: int, variant: Variant = "") -> Sent:
    """What is sent under ``number``; both tenants use the same names for their applications and applicants."""
    tenant, own = TENANTS[number % 2], number // 2
    body: dict[str, Any] = {"application_id": f"a-{own}", "applicant_id": f"p-{own % APPLICANTS}"}
    if number % 3:
        body |= facts_of(own * 7 + number % 2)
    if variant == "other body":
        body |= facts_of(own + 11)
    if variant == "other application":
        body["application_id"] = f"k-{own}"
    return Sent(tenant, body, f"key-{number}" if number % 7 == 0 else None)


def facts_of(draw: int) -> dict[str, Any]:
    """Fields and events of one applicant, as a request brings them."""
    rows = [
        {"occurred_at": f"2005-0{4 + i}-28T00:00:00Z", "repayment_status": (draw + i) % 4 - 1, "bill_twd": 900 * i}
        for i in range(6)
    ]
    statements = [row | {"paid_twd": 500 + draw % 97} for row in rows]
    application = {"limit_twd": 10_000 + 1_000 * (draw % 400), "education": "university"}
    return {"application": application, "events": {"statements": statements}}


def batch_of(number: int) -> list[int]:
    """Numbers that are sent as one batch after ``number``, which is among them and is sent alone at the same time."""
    first = FIRST_OF_BATCHES + number * BATCH
    return [number, *(first + 2 * place + number % 2 for place in range(1, BATCH))]


def again_of(number: int) -> list[Item]:
    """What else is sent at the same time as ``number``."""
    items: list[Item] = []
    if number % 10 == 3:
        items += [(number, "")] * (1 + number % 3)
    if number % 100 == 17:
        items.append((number, "other body"))
    if number % 70 == 35:
        items.append((number, "other application"))
    return items
