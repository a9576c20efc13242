import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.bin_steps import BinSteps
from credit_scoring.core.feature_bins import FeatureBins, Matrix

EDGES = (-1e30, -2.0, -1.0, 0.0, 1e-45, 0.1, 1.0, 3.0, 3.4028235e38)
LEAST, MOST = np.float32(-np.inf), np.float32(np.inf)

numbers = st.builds(
    FeatureBins,
    feature=st.just("x"),
    edges=st.lists(st.sampled_from(EDGES) | st.floats(width=32, allow_nan=False), max_size=5, unique_by=np.float32).map(
        lambda edges: tuple(sorted(edges))
    ),
    special=st.lists(st.sampled_from([*EDGES, -0.0, np.inf, -np.inf]), max_size=3).map(tuple),
)
categories = st.builds(
    FeatureBins,
    feature=st.just("x"),
    groups=st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple),
)


def plainly_binned(bins: FeatureBins, value: np.float32) -> int:
    """The bin of one value, as ``FeatureBins`` words it."""
    if np.isnan(value):
        return bins.size - 1
    special = [place for place, one in enumerate(bins.special) if np.float32(one) == value]
    if special:
        return bins.regular + special[-1]
    if bins.groups is not None:
        return bins.groups[int(value)]
    return sum(bool(value >= np.float32(edge)) for edge in bins.edges)


def critical(bins: FeatureBins) -> Matrix:
    """Values at, and next to, everything that parts bins."""
    if bins.groups is not None:
        return np.asarray([*range(len(bins.groups)), np.nan], dtype=np.float32)
    at = np.asarray([*bins.edges, *bins.special, 0, np.inf, -np.inf, np.nan], dtype=np.float32)
    with np.errstate(all="ignore"):
        return np.concatenate([at, np.nextafter(at, LEAST), np.nextafter(at, MOST)])


def found(features: list[FeatureBins], matrix: Matrix, columns: list[int]) -> np.ndarray:
    """``(n, f)`` bins by the flat arrays; NaN where no value belongs."""
    steps = BinSteps.of(features, columns)
    table = steps.table(np.arange(bins.size, dtype=np.float64) for bins in features)
    return table.take(steps.places(matrix)).T


@given(features=st.lists(numbers | categories, min_size=1, max_size=4), data=st.data())
def test_every_value_is_found_in_its_bin(features: list[FeatureBins], data: st.DataObject):
    values = [critical(bins) for bins in features]
    rows = max(len(own) for own in values)
    matrix = np.column_stack([np.resize(own, rows) for own in values])
    columns = data.draw(st.permutations(range(len(features))))
    placed = np.empty_like(matrix)
    placed[:, columns] = matrix
    expected = [[plainly_binned(bins, value) for bins, value in zip(features, row, strict=True)] for row in matrix]
    np.testing.assert_array_equal(found(features, placed, list(columns)), expected)


@given(bins=numbers, values=st.lists(st.floats(width=32), max_size=20))
def test_any_number_is_found_where_the_bins_assign_it(bins: FeatureBins, values: list[float]):
    column = np.asarray(values, dtype=np.float32)
    np.testing.assert_array_equal(found([bins], column[:, None], [0])[:, 0], bins.assign(column))


def test_what_is_none_of_the_categories_has_no_bin():
    bins = FeatureBins(feature="c", groups=(1, 0))
    outside = np.asarray([-np.inf, -1, 2, 7, np.inf], dtype=np.float32)
    assert np.isnan(found([bins], outside[:, None], [0])).all()


def test_no_features_have_no_places():
    assert BinSteps.of([], []).places(np.zeros((3, 2), dtype=np.float32)).shape == (0, 3)


def test_hundreds_of_edges_are_counted_too():
    edges = tuple(float(edge) for edge in range(600))
    values = np.asarray([-1, 0, 254, 255, 256, 599, 1e9, np.nan], dtype=np.float32)
    narrow = FeatureBins(feature="y", edges=(0.0,))
    expected = [[0, 0], [1, 1], [255, 1], [256, 1], [257, 1], [600, 1], [600, 1], [601, 2]]
    np.testing.assert_array_equal(
        found([FeatureBins(feature="x", edges=edges), narrow], np.column_stack([values, values]), [0, 1]), expected
    )
