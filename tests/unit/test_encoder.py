import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.encoder import EncodedColumn, Encoder, Matrix
from credit_scoring.core.scoring import ModelBundle

VALUES = (-2.0, -1.0, -0.0, 0.0, 0.1, 1.0, 3.0, 1e30, -1e-45)


def f32(*values: float) -> Matrix:
    return np.asarray(values, dtype=np.float32)


def plainly_encoded(encoder: Encoder, row: Matrix) -> list[float]:
    """One row column by column, as the declaration of a column reads."""
    found = []
    for column in encoder.columns:
        value = row[encoder.inputs.index(column.feature)]
        if column.codes is not None:
            codes = [code for named, code in column.codes if np.float32(named) == value]
            found.append(codes[-1] if codes else np.nan)
        else:
            blank = any(np.float32(named) == value for named in column.blank)
            found.append(np.nan if blank else value)
    return found


values = st.sampled_from([*VALUES, np.nan, np.inf, -np.inf]) | st.floats(width=32)
named = st.lists(st.sampled_from(VALUES), max_size=4)
coded = st.lists(st.tuples(st.sampled_from(VALUES), st.floats(0, 9, width=32)), max_size=4)


@st.composite
def encoders(draw: st.DrawFn) -> Encoder:
    inputs = tuple("abcd"[: draw(st.integers(1, 4))])
    amount = st.builds(EncodedColumn, feature=st.sampled_from(inputs), blank=named.map(tuple))
    state = st.builds(EncodedColumn, feature=st.sampled_from(inputs), codes=coded.map(tuple))
    return Encoder(inputs=inputs, columns=tuple(draw(st.lists(amount | state, min_size=1, max_size=7))))


@given(encoder=encoders(), data=st.data())
def test_every_value_is_encoded_as_its_column_says(encoder: Encoder, data: st.DataObject):
    width = len(encoder.inputs)
    rows = data.draw(st.lists(st.lists(values, min_size=width, max_size=width), max_size=5))
    matrix = np.asarray(rows, dtype=np.float32).reshape(len(rows), width)
    encoded = encoder.encode(matrix)
    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous
    expected = np.asarray([plainly_encoded(encoder, row) for row in matrix], dtype=np.float32)
    np.testing.assert_array_equal(encoded, expected.reshape(len(rows), len(encoder.columns)))


@given(encoder=encoders(), data=st.data())
def test_a_feature_is_given_the_sum_of_its_columns(encoder: Encoder, data: st.DataObject):
    width = len(encoder.columns)
    numbers = st.floats(-9, 9)
    rows = data.draw(st.lists(st.lists(numbers, min_size=width, max_size=width), max_size=3))
    of_columns = np.asarray(rows, dtype=np.float64).reshape(len(rows), width)
    expected = np.zeros((len(rows), len(encoder.inputs)))
    for position, column in enumerate(encoder.columns):
        expected[:, encoder.inputs.index(column.feature)] += of_columns[:, position]
    np.testing.assert_array_equal(encoder.by_feature(of_columns), expected)


@pytest.mark.parametrize("rows", [1, 2, 1_023, 1_024, 1_025, 2_500])
def test_a_row_is_encoded_alone_as_in_company(boosted_trees_bundle: ModelBundle, matrix: Matrix, rows: int):
    encoder = boosted_trees_bundle.classifier.encoder
    many = np.resize(matrix, (rows, matrix.shape[1]))
    together = encoder.encode(many)
    for row in {0, rows // 2, rows - 1}:
        assert encoder.encode(many[row : row + 1]).tobytes() == together[row : row + 1].tobytes()
    assert encoder.encode(np.asfortranarray(many)).tobytes() == together.tobytes()


def test_encoding_leaves_the_features_as_they_were(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    before = matrix.copy()
    boosted_trees_bundle.classifier.encoder.encode(matrix)
    assert matrix.tobytes() == before.tobytes()


def test_special_values_are_blank_as_amounts_and_coded_as_states():
    amount = EncodedColumn(feature="x", blank=(-1.0, 0.0))
    state = EncodedColumn(feature="x", codes=((-1.0, 1.0), (0.0, 0.0)))
    encoded = Encoder(inputs=("x",), columns=(amount, state)).encode(f32(-1, -0.0, 2, np.nan)[:, None])
    np.testing.assert_array_equal(encoded.T, [[np.nan, np.nan, 2, np.nan], [1, 0, np.nan, np.nan]])


def test_a_category_without_code_is_missing_and_columns_keep_their_order():
    encoder = Encoder(
        inputs=("x", "c"),
        columns=(EncodedColumn(feature="c", codes=((0.0, 1.0), (1.0, 0.0))), EncodedColumn(feature="x")),
    )
    np.testing.assert_array_equal(encoder.encode(f32(5, 0, 6, 7).reshape(2, 2)), [[1, 5], [np.nan, 6]])
