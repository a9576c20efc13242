"""Bodies name each field once: the quick look and the thorough one agree."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credit_scoring.serving.bodies import parsed
from credit_scoring.serving.problems import RefusedBodyError

NAMES = st.sampled_from(["a", "b", "a:b", "é", 'a"', "\\", ":"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet=':"\\é a', max_size=4),
)
PAIRS = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.lists(st.tuples(NAMES, inner), max_size=3).map(tuple)),
    max_leaves=8,
)
"""JSON with objects as tuples of pairs, so that a name may come twice."""


def written(found: object, *, escaped: bool) -> str:
    if isinstance(found, tuple):
        return "{" + ", ".join(f"{text(k, escaped)}:{written(v, escaped=escaped)}" for k, v in found) + "}"
    if isinstance(found, list):
        return "[" + ",".join(written(one, escaped=escaped) for one in found) + "]"
    return text(found, escaped) if isinstance(found, str) else json.dumps(found)


def text(found: str, escaped: bool) -> str:
    told = json.dumps(found, ensure_ascii=escaped)
    return told.replace(":", "\\u003a") if escaped else told


def repeats(found: object) -> bool:
    if isinstance(found, tuple):
        return len({name for name, _ in found}) < len(found) or any(repeats(value) for _, value in found)
    return isinstance(found, list) and any(map(repeats, found))


def as_json(found: object) -> object:
    if isinstance(found, tuple):
        return {name: as_json(value) for name, value in found}
    return [as_json(one) for one in found] if isinstance(found, list) else found


@given(PAIRS, st.booleans())
@example((("a", 1), ("a", 1)), False)
@example((("a", ":"), ("a", "")), False)
@example((("a", ""), ("a", "::")), True)
@example((("a", 10**30), ("a", 1)), False)
def test_a_body_is_refused_exactly_when_it_names_a_field_twice(found: object, escaped: bool) -> None:
    content = written(found, escaped=escaped).encode()
    if not repeats(found):
        assert parsed(content) == as_json(found)
        return
    with pytest.raises(RefusedBodyError, match="names a field twice") as refused:
        parsed(content)
    assert refused.value.code == "repeated_field"
