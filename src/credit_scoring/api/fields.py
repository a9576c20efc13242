"""How a field is described: what it is, an example of it, and its range."""

from typing import Any

from pydantic import Field


def told(
    description: str, *examples: Any, low: float | None = None, high: float | None = None, unit: str | None = None
) -> Any:
    """Return what the API's description says of a field.

    Args:
        description: What it is.
        examples: Values as they are answered.
        low: Least value. It is told, not checked: an answer that was decided is given.
        high: Greatest value.
        unit: What a number counts or measures.
    """
    extra: dict[str, Any] = {"minimum": low, "maximum": high, "unit": unit}
    given = {name: value for name, value in extra.items() if value is not None}
    return Field(description=description, examples=list(examples) or None, json_schema_extra=given)
