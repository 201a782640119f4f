//! `vec_collect`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, StringArray, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::{Layout, assert_rows, error, ints, lists, query, session, value};

fn table() -> [(&'static str, ArrayRef); 5] {
    let biases: ArrayRef = Arc::new(Float32Array::from(vec![
        Some(0.5),
        Some(1.5),
        None,
        Some(-1.0),
        Some(-2.0),
        None,
    ]));
    let keys: ArrayRef = Arc::new(Int32Array::from(vec![
        Some(3),
        Some(1),
        Some(2),
        None,
        Some(7),
        Some(4),
    ]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["c", "a", "b", "x", "z", "y"]));
    let weights = lists(&[
        Some(&[3.0]),
        Some(&[1.0, 1.0]),
        None,
        Some(&[]),
        Some(&[7.0, 8.0]),
        Some(&[4.0]),
    ]);
    [
        ("k", ints(&[1, 1, 1, 2, 2, 2])),
        ("e", keys),
        ("b", biases),
        ("name", names),
        ("w", weights),
    ]
}

#[test]
fn values_follow_their_keys_and_nulls_are_kept() {
    assert_rows(
        &table(),
        "SELECT k, vec_collect(b ORDER BY e) FROM t GROUP BY k ORDER BY k",
        &["1|[1.5, NULL, 0.5]", "2|[NULL, -2.0, -1.0]"],
    );
}

#[test]
fn every_kind_of_order_is_kept() {
    for (order, expected) in [
        ("e DESC", ["[c, b, a]", "[x, z, y]"]),
        ("e DESC NULLS LAST", ["[c, b, a]", "[z, y, x]"]),
        ("e NULLS FIRST", ["[a, b, c]", "[x, y, z]"]),
        ("e ASC NULLS LAST", ["[a, b, c]", "[y, z, x]"]),
        ("name", ["[a, b, c]", "[x, y, z]"]),
        ("b IS NULL, e DESC NULLS LAST", ["[c, a, b]", "[z, x, y]"]),
        ("k, -e NULLS FIRST", ["[c, b, a]", "[x, z, y]"]),
    ] {
        let sql = format!("SELECT vec_collect(name ORDER BY {order}) FROM t GROUP BY k ORDER BY k");
        assert_rows(&table(), &sql, &expected);
    }
}

#[test]
fn lists_are_collected_into_lists_of_lists() {
    assert_rows(
        &table(),
        "SELECT vec_collect(w ORDER BY e) FROM t GROUP BY k ORDER BY k",
        &["[[1.0, 1.0], NULL, [3.0]]", "[[4.0], [7.0, 8.0], []]"],
    );
}

#[test]
fn aggregates_of_different_orders_share_a_query() {
    assert_rows(
        &table(),
        "SELECT vec_collect(e ORDER BY name), vec_collect(name ORDER BY e DESC NULLS LAST), \
         vec_sum([e]) FROM t WHERE k = 1",
        &["[1, 2, 3]|[c, b, a]|[6.0]"],
    );
}

#[test]
fn without_order_by_values_come_as_the_rows_do() {
    for layout in [Layout::Whole, Layout::Sorted] {
        let ctx = session(&table(), layout);
        let rows = query(
            &ctx,
            "SELECT vec_collect(name) FROM t GROUP BY k ORDER BY k",
        );
        assert_eq!(rows, ["[c, a, b]", "[x, z, y]"], "{layout:?}");
        assert_eq!(
            query(&ctx, "SELECT vec_collect(e) FROM t"),
            ["[3, 1, 2, NULL, 7, 4]"],
            "{layout:?}"
        );
    }
}

#[test]
fn rows_of_equal_keys_keep_their_order() {
    let ctx = session(&table(), Layout::Whole);
    assert_eq!(
        query(&ctx, "SELECT vec_collect(name ORDER BY k DESC) FROM t"),
        ["[x, z, y, c, a, b]"]
    );
}

#[test]
fn without_group_by_and_without_rows() {
    assert_rows(
        &table(),
        "SELECT vec_collect(name ORDER BY name) FROM t",
        &["[a, b, c, x, y, z]"],
    );
    assert_rows(
        &table(),
        "SELECT vec_collect(name ORDER BY name), vec_collect(w) FROM t WHERE k = 9",
        &["NULL|NULL"],
    );
}

#[test]
fn filter_clauses_choose_rows() {
    assert_rows(
        &table(),
        "SELECT k, vec_collect(name ORDER BY e) FILTER (WHERE e > 2), \
         vec_collect(b ORDER BY e) FILTER (WHERE b IS NOT NULL) FROM t GROUP BY k ORDER BY k",
        &["1|[c]|[1.5, 0.5]", "2|[y, z]|[-2.0, -1.0]"],
    );
    assert_rows(
        &table(),
        "SELECT k, vec_collect(name ORDER BY e) FILTER (WHERE k = 2) FROM t GROUP BY k ORDER BY k",
        &["1|NULL", "2|[y, z, x]"],
    );
}

#[test]
fn every_type_of_a_run_can_be_collected() {
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
    let numbers = ints(&[1, 2, 3]);
    let views: ArrayRef = Arc::new(StringViewArray::from(vec![
        "a string that is not short",
        "b",
        "c",
    ]));
    let dictionary_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let columns = [
        ("i", Arc::clone(&numbers)),
        ("long", cast(&numbers, &DataType::Int64).unwrap()),
        ("double", cast(&numbers, &DataType::Float64).unwrap()),
        ("flag", flags),
        ("dictionary", cast(&views, &dictionary_type).unwrap()),
        ("view", views),
    ];
    for (column, expected) in [
        ("i", "[3, 2, 1]"),
        ("long", "[3, 2, 1]"),
        ("double", "[3.0, 2.0, 1.0]"),
        ("flag", "[false, NULL, true]"),
        ("view", "[c, b, a string that is not short]"),
        ("dictionary", "[c, b, a string that is not short]"),
    ] {
        assert_rows(
            &columns,
            &format!("SELECT vec_collect({column} ORDER BY i DESC) FROM t"),
            &[expected],
        );
    }
    assert_rows(
        &columns,
        "SELECT vec_collect(i ORDER BY dictionary DESC, view) FROM t",
        &["[3, 2, 1]"],
    );
}

#[test]
fn an_untyped_null_is_collected_as_one() {
    assert_eq!(value("vec_collect(NULL)"), "[NULL]");
}

#[test]
fn collected_scalars_feed_the_other_functions() {
    assert_rows(
        &table(),
        "SELECT vec_norm(vec_collect(e ORDER BY e) FILTER (WHERE k = 1 AND e > 1)) > 3.6055, \
         vec_filter(vec_collect(name ORDER BY name), vec_collect(k = 2 ORDER BY name)) FROM t",
        &["true|[x, y, z]"],
    );
}

#[test]
fn slices_of_a_larger_table_are_read_where_they_begin() {
    let columns = table().map(|(name, array)| (name, array.slice(1, 4)));
    assert_rows(
        &columns,
        "SELECT k, vec_collect(w ORDER BY name) FROM t GROUP BY k ORDER BY k",
        &["1|[[1.0, 1.0], NULL]", "2|[[], [7.0, 8.0]]"],
    );
}

#[test]
fn growing_windows_see_every_row_so_far() {
    let ctx = session(&table(), Layout::Whole);
    let sql =
        "SELECT vec_collect(e) OVER (ORDER BY name ROWS UNBOUNDED PRECEDING) FROM t WHERE k = 1";
    assert_eq!(query(&ctx, sql), ["[1]", "[1, 2]", "[1, 2, 3]"]);
}

#[test]
fn a_wrong_number_of_arguments_is_refused() {
    let ctx = session(&table(), Layout::Whole);
    let message = error(&ctx, "SELECT vec_collect(e, k) FROM t");
    assert!(
        message.contains("2 arguments do not fit vec_collect(value [ORDER BY key, ...])"),
        "{message}"
    );
}
