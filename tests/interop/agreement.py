"""Whether two tables agree: the same columns, rows, order and keys; numbers within 1e-6 relative or 1e-7 absolute."""

import numpy as np
import pandas as pd
import pyarrow as pa

RELATIVE, ABSOLUTE = 1e-6, 1e-7


def assert_agrees(actual, expected, what=""):
    """`actual` is an Arrow table, `expected` a DataFrame. Floats and lists of floats are values, the rest are keys."""
    assert actual.column_names == list(expected.columns), f"{what}: columns"
    assert actual.num_rows == len(expected), f"{what}: rows"
    for name in actual.column_names:
        column, wanted = actual[name].combine_chunks(), expected[name]
        if is_list(column.type):
            assert_lists_close(column, wanted, f"{what}: {name}")
        elif pa.types.is_floating(column.type):
            assert pd.api.types.is_float_dtype(wanted), f"{what}: {name} is {column.type}, wanted {wanted.dtype}"
            assert_close(floats(column), wanted.to_numpy(np.float64), f"{what}: {name}")
        else:
            assert_equal(column.to_pylist(), plain(wanted), f"{what}: {name}")


def is_list(type_):
    return pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)


def floats(column):
    """As doubles, a null as NaN."""
    return column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)


def plain(column):
    """Python values, None for what is missing."""
    return column.astype(object).where(column.notna(), None).tolist()


def assert_lists_close(column, wanted, what):
    assert column.null_count == 0, f"{what}: has null lists"
    lengths, wanted_lengths = column.value_lengths().to_numpy(), wanted.map(len).to_numpy()
    assert np.array_equal(lengths, wanted_lengths), f"{what}: lengths of lists"
    assert_close(floats(column.flatten()), np.concatenate(wanted.to_list()).astype(np.float64), what)


def assert_close(actual, wanted, what):
    difference = np.abs(actual - wanted)
    same = (np.isnan(actual) & np.isnan(wanted)) | (actual == wanted)
    near = same | (difference <= np.maximum(RELATIVE * np.abs(wanted), ABSOLUTE))
    if not near.all():
        at = int(np.argmin(near))
        raise AssertionError(f"{what}: {(~near).sum()} differ, first at {at}: {actual[at]!r}, wanted {wanted[at]!r}")


def assert_equal(actual, wanted, what):
    for at, (one, other) in enumerate(zip(actual, wanted, strict=True)):
        assert type(one) is type(other) and one == other, f"{what}: at {at}: {one!r}, wanted {other!r}"
