from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from cached_features import key, row, same
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.adapters.feature_cache.packed import key_text, pack, unpack
from credit_scoring.core.cached_features import CachedFeatures, FeatureKey
from credit_scoring.core.errors import FeatureCacheError
from credit_scoring.core.owners import Applicant, Owner

NAME = key_text(key())

moments = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.sampled_from([UTC, timezone.max])
)
ids = st.text(alphabet=st.characters(), max_size=12) | st.text(alphabet=":0123456789,%\ud800", max_size=6)
keys = st.builds(FeatureKey, st.builds(Applicant, st.builds(Owner, ids, ids), ids), ids, moments)
bits = st.lists(st.integers(0, 2**32 - 1), max_size=70)
rows = st.builds(
    lambda words, observed_at, revision: CachedFeatures(
        np.array(words, np.uint32).view(np.float32), observed_at, revision
    ),
    bits,
    moments,
    ids,
)


@given(keys, rows)
def test_every_row_comes_back_bit_for_bit(found, kept):
    name = key_text(found)
    back = unpack(name, pack(name, kept))
    assert same(back, kept)
    assert back.values.dtype == np.float32


def test_missing_stays_missing_and_zero_keeps_its_sign():
    kept = row(np.nan, -0.0, 0.0, 1e-45, -1e-40, np.inf, 3.4e38)
    back = unpack(NAME, pack(NAME, kept)).values
    assert back.tobytes() == kept.values.tobytes()
    assert np.isnan(back[0])
    assert np.signbit(back[1:3]).tolist() == [True, False]
    assert (back[3:5] != 0).all()


def test_values_that_come_back_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        unpack(NAME, pack(NAME, row())).values[0] = 2


@given(st.binary(max_size=400))
def test_rubbish_is_recognised(rubbish):
    with pytest.raises(FeatureCacheError):
        unpack(NAME, rubbish)


@given(rows, st.data())
def test_a_truncated_or_lengthened_row_is_recognised(kept, data):
    packed = pack(NAME, kept)
    cut = data.draw(st.integers(0, len(packed) - 1))
    for spoilt in (packed[:cut], packed[cut + 1 :], packed + b"\0"):
        with pytest.raises(FeatureCacheError):
            unpack(NAME, spoilt)


@given(rows, st.data())
def test_a_single_changed_bit_is_recognised(kept, data):
    packed = bytearray(pack(NAME, kept))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FeatureCacheError):
        unpack(NAME, bytes(packed))


@given(keys, keys, rows)
def test_a_row_of_one_key_is_refused_under_any_other(one, other, kept):
    packed = pack(key_text(one), kept)
    if one == other:
        assert same(unpack(key_text(other), packed), kept)
    else:
        assert key_text(one) != key_text(other)
        with pytest.raises(FeatureCacheError):
            unpack(key_text(other), packed)


@pytest.mark.parametrize(
    "twins",
    [
        (key("b", tenant="a:1"), key("1:b", tenant="a")),
        (key("", tenant="a", portfolio=":"), key("", tenant="a:", portfolio="")),
        (key("1:x", feature_set="f"), key("x", feature_set="f:1")),
        (key("3:abc"), key("abc")),
        (key("\u00e9"), key("e\u0301")),
        (key("a\0"), key("a")),
        (key("%3A"), key(":")),
        (key("\ud800"), key("?")),
    ],
    ids=map(str, range(8)),
)
def test_keys_that_look_alike_have_names_of_their_own(twins):
    one, other = twins
    assert key_text(one) != key_text(other)


def test_the_same_moment_elsewhere_is_the_same_key():
    east = key().as_of.astimezone(timezone(timedelta(hours=9)))
    assert key_text(key(as_of=east)) == NAME


def test_a_message_about_a_damaged_row_tells_no_value_and_no_id():
    with pytest.raises(FeatureCacheError, match="bytes in the feature cache are damaged") as told:
        unpack(key_text(key("secret-id")), b"secret-value" * 5)
    assert "secret" not in str(told.value)


def test_a_row_is_one_row_of_float32_at_a_moment_that_is_the_same_everywhere():
    with pytest.raises(ValueError, match="one row of float32"):
        CachedFeatures(np.zeros(3), key().as_of, "r1")
    with pytest.raises(ValueError, match="one row of float32"):
        CachedFeatures(np.zeros((1, 3), np.float32), key().as_of, "r1")
    with pytest.raises(ValueError, match="without a time zone"):
        row(observed_at=datetime(2024, 6, 1))
    with pytest.raises(ValueError, match="without a time zone"):
        key(as_of=datetime(2024, 6, 1))
