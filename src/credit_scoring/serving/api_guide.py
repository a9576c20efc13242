"""What the API's description says of all routes together, in Markdown."""

from credit_scoring.serving.problem_codes import CODES

_GENERAL = """\
Decides applications for credit: a score, a recommendation, and the reasons for both. Every decision is on record.

## Keys

Send an API key or a token as `Authorization: Bearer ...`. Each route names the scope that it asks for: `decide`,
`ingest` or `read`. What a key reads and writes belongs to its lender alone.

## Sending again

`POST /v1/decisions` answers the same `application_id` with the same body as it did first. Routes that take an
`Idempotency-Key` answer it with the same body as they did first, for 30 days; batches and events then carry the header
`Idempotent-Replayed: true`. So a decision, and whatever has a key, may be sent again when no answer came: it is done
once. Events that have no `event_id` need a key for that.

## Retries

Send the same again after a 409, 429, 503 or 504 that has a `Retry-After`, not before its seconds are over. Other
problems stay what they are until the request is changed. `RateLimit-Remaining` tells how many requests are left, and
`RateLimit-Reset` in how many seconds there are more.

## Ids

An id has 1 to 128 characters and no control characters and line separators. `X-Request-ID` names a request in answers,
records and logs.

## Problems

Every error is `application/problem+json` (RFC 9457). Programs branch on `code`:

| code | status | what it means | what to do |
|---|---|---|---|
"""

GUIDE = _GENERAL + "\n".join(
    f"| `{name}` | {code.status.value} | {code.meaning} | {code.remedy} |" for name, code in CODES.items()
)
"""The guide with the table of all problems."""
