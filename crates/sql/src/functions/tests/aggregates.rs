//! `vec_mean`, `vec_sum`, `vec_var`, `vec_var_samp`, `vec_min`, `vec_max`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::super::register_functions;
use super::{
    Layout, assert_rows, error, ints, lists, lists_with_null_element, query, session, value,
};
use crate::session::memory::spilling_batch_by_batch;

fn two_groups() -> [(&'static str, ArrayRef); 2] {
    [
        ("k", ints(&[1, 1, 2, 2, 3])),
        (
            "x",
            lists(&[
                Some(&[1.0, 2.0]),
                Some(&[3.0, 6.0]),
                Some(&[5.0, -5.0]),
                None,
                None,
            ]),
        ),
    ]
}

#[test]
fn each_aggregate_works_element_by_element_and_skips_null_lists() {
    for (function, expected) in [
        ("vec_mean", ["1|[2.0, 4.0]", "2|[5.0, -5.0]", "3|NULL"]),
        ("vec_sum", ["1|[4.0, 8.0]", "2|[5.0, -5.0]", "3|NULL"]),
        ("vec_var", ["1|[1.0, 4.0]", "2|[0.0, 0.0]", "3|NULL"]),
        ("vec_min", ["1|[1.0, 2.0]", "2|[5.0, -5.0]", "3|NULL"]),
        ("vec_max", ["1|[3.0, 6.0]", "2|[5.0, -5.0]", "3|NULL"]),
    ] {
        assert_rows(
            &two_groups(),
            &format!("SELECT k, {function}(x) FROM t GROUP BY k ORDER BY k"),
            &expected,
        );
    }
}

#[test]
fn several_aggregates_share_a_query() {
    let sql = "SELECT vec_min(x) AS low, vec_var(x) AS var, count(*) AS n FROM t WHERE k = 1";
    assert_rows(&two_groups(), sql, &["[1.0, 2.0]|[1.0, 4.0]|2"]);
}

/// Of 1, 3: mean 2, squares 2; of 2, 6: mean 4, squares 8. A single list has no sample variance.
#[test]
fn variance_is_of_the_population_or_of_a_sample() {
    for (function, expected) in [
        ("vec_var_pop", ["1|[1.0, 4.0]", "2|[0.0, 0.0]", "3|NULL"]),
        ("vec_var_samp", ["1|[2.0, 8.0]", "2|NULL", "3|NULL"]),
        ("vec_avg", ["1|[2.0, 4.0]", "2|[5.0, -5.0]", "3|NULL"]),
    ] {
        assert_rows(
            &two_groups(),
            &format!("SELECT k, {function}(x) FROM t GROUP BY k ORDER BY k"),
            &expected,
        );
    }
    // Of 1, 3, 5: squares 8; of 2, 6, -5: squares 62.
    assert_rows(
        &two_groups(),
        "SELECT vec_var_samp(x) FROM t",
        &["[4.0, 31.0]"],
    );
    assert_rows(
        &two_groups(),
        "SELECT vec_var_samp(x) FROM t WHERE k = 2",
        &["NULL"],
    );
}

#[test]
fn aggregates_without_group_by() {
    // Of 1, 3, 5: mean 3, variance 8/3. Of 2, 6, -5: mean 1, squares 1 + 25 + 36 = 62, variance
    // 62/3.
    assert_rows(
        &two_groups(),
        "SELECT vec_mean(x), vec_var(x), vec_sum(x) FROM t",
        &["[3.0, 1.0]|[2.6666667, 20.666666]|[9.0, 3.0]"],
    );
    assert_rows(
        &two_groups(),
        "SELECT vec_mean(x), vec_max(x) FROM t WHERE k > 3",
        &["NULL|NULL"],
    );
}

#[test]
fn result_lists_have_no_null_elements_by_type() {
    let ctx = session(&two_groups(), Layout::Whole);
    let types = query(
        &ctx,
        "SELECT arrow_typeof(vec_mean(x)), arrow_typeof(pad(vec_var(x), 3)) FROM t",
    );
    assert_eq!(types, ["List(non-null Float32)|List(non-null Float32)"]);
}

#[test]
fn a_group_whose_first_rows_are_null_keeps_its_place() {
    let columns = [
        ("k", ints(&[1, 2, 2, 1, 3])),
        (
            "x",
            lists(&[
                None,
                Some(&[1.0, 2.0]),
                None,
                Some(&[3.0]),
                Some(&[4.0, 5.0, 6.0]),
            ]),
        ),
    ];
    for layout in [
        Layout::Whole,
        Layout::Split,
        Layout::SplitWithoutPartialAggregation,
    ] {
        let ctx = session(&columns, layout);
        for function in ["vec_sum", "vec_mean"] {
            let rows = query(
                &ctx,
                &format!("SELECT k, {function}(x) FROM t GROUP BY k ORDER BY k"),
            );
            assert_eq!(
                rows,
                ["1|[3.0]", "2|[1.0, 2.0]", "3|[4.0, 5.0, 6.0]"],
                "{layout:?}"
            );
        }
    }
}

#[test]
fn nan_and_infinity_propagate() {
    let nan = f32::NAN;
    let inf = f32::INFINITY;
    let columns = [(
        "x",
        lists(&[
            Some(&[nan, 1.0, inf, inf]),
            Some(&[1.0, nan, 1.0, -inf]),
            Some(&[2.0, 2.0, 2.0, 2.0]),
        ]),
    )];
    assert_rows(
        &columns,
        "SELECT vec_min(x) FROM t",
        &["[NaN, NaN, 1.0, -inf]"],
    );
    assert_rows(
        &columns,
        "SELECT vec_max(x) FROM t",
        &["[NaN, NaN, inf, inf]"],
    );
    assert_rows(
        &columns,
        "SELECT vec_sum(x) FROM t",
        &["[NaN, NaN, inf, NaN]"],
    );
    assert_rows(
        &columns,
        "SELECT vec_mean(x) FROM t",
        &["[NaN, NaN, inf, NaN]"],
    );
    assert_rows(
        &columns,
        "SELECT vec_var(x) FROM t",
        &["[NaN, NaN, NaN, NaN]"],
    );
    assert_rows(
        &columns,
        "SELECT vec_var(x) FROM t WHERE x[3] = 'inf'::float",
        &["[NaN, 0.0, NaN, NaN]"],
    );
}

#[test]
fn an_empty_list_is_a_list_of_length_zero() {
    let columns = [
        ("k", ints(&[1, 1, 2])),
        ("x", lists(&[Some(&[]), Some(&[]), Some(&[7.0])])),
    ];
    assert_rows(
        &columns,
        "SELECT k, vec_mean(x) FROM t GROUP BY k ORDER BY k",
        &["1|[]", "2|[7.0]"],
    );
    assert_rows(
        &columns,
        "SELECT k, vec_var(x) FROM t GROUP BY k ORDER BY k",
        &["1|[]", "2|[0.0]"],
    );
    let ctx = session(&columns, Layout::Whole);
    assert!(
        error(&ctx, "SELECT vec_mean(x) FROM t")
            .contains("vec_mean: lists of unequal length in one group: 0 and 1")
    );
}

#[test]
fn unequal_lengths_are_named_wherever_they_meet() {
    let columns = [
        ("k", ints(&[1, 1])),
        ("x", lists(&[Some(&[1.0, 2.0]), Some(&[1.0, 2.0, 3.0])])),
    ];
    for layout in super::LAYOUTS {
        let ctx = session(&columns, layout);
        for sql in [
            "SELECT vec_sum(x) FROM t",
            "SELECT vec_sum(x) FROM t GROUP BY k",
        ] {
            let message = error(&ctx, sql);
            let names_both = message.contains("unequal length in one group: 2 and 3")
                || message.contains("unequal length in one group: 3 and 2");
            assert!(
                message.contains("vec_sum") && names_both,
                "{layout:?}: {message}"
            );
        }
    }
}

#[test]
fn a_null_element_is_refused_unless_filtered_out() {
    let columns = [("k", ints(&[1, 2])), ("x", lists_with_null_element())];
    let ctx = session(&columns, Layout::Whole);
    assert!(
        error(&ctx, "SELECT vec_max(x) FROM t").contains("vec_max: a list holds a NULL element")
    );
    assert_rows(
        &columns,
        "SELECT vec_max(x) FILTER (WHERE k = 1) FROM t",
        &["[1.0]"],
    );
}

#[test]
fn filter_clauses_choose_rows_and_null_conditions_do_not() {
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![
        Some(true),
        Some(false),
        None,
        Some(true),
        Some(true),
    ]));
    let columns = [
        ("k", ints(&[1, 1, 1, 2, 3])),
        ("f", flags),
        (
            "x",
            lists(&[Some(&[1.0]), Some(&[2.0]), Some(&[4.0]), Some(&[8.0]), None]),
        ),
    ];
    assert_rows(
        &columns,
        "SELECT k, vec_sum(x) FILTER (WHERE f), vec_sum(x) FILTER (WHERE NOT f), vec_sum(x) \
         FROM t GROUP BY k ORDER BY k",
        &[
            "1|[1.0]|[2.0]|[7.0]",
            "2|[8.0]|NULL|[8.0]",
            "3|NULL|NULL|NULL",
        ],
    );
    assert_rows(
        &columns,
        "SELECT vec_var(x) FILTER (WHERE f) FROM t",
        &["[12.25]"],
    );
}

#[test]
fn distinct_is_refused() {
    let ctx = session(&two_groups(), Layout::Whole);
    for sql in [
        "SELECT vec_mean(DISTINCT x) FROM t",
        "SELECT k, vec_sum(DISTINCT x) FROM t GROUP BY k",
        "SELECT vec_sum(DISTINCT x), vec_sum(x) FROM t",
        "SELECT vec_min(DISTINCT x) FILTER (WHERE k > 1) FROM t",
        "SELECT vec_collect(DISTINCT k) FROM t",
    ] {
        assert!(
            error(&ctx, sql).contains("(DISTINCT ...) is not supported"),
            "{sql}"
        );
    }
}

#[test]
fn growing_windows_see_every_row_so_far() {
    let ctx = session(&two_groups(), Layout::Whole);
    let sql = "SELECT vec_sum(x) OVER (ORDER BY k, x[1] ROWS UNBOUNDED PRECEDING) \
               FROM t WHERE k < 3 AND x IS NOT NULL";
    assert_eq!(query(&ctx, sql), ["[1.0, 2.0]", "[4.0, 8.0]", "[9.0, 3.0]"]);
}

#[test]
fn other_kinds_of_lists_are_read_as_lists_of_floats() {
    let narrow = lists(&[Some(&[1.0, 2.0]), Some(&[3.0, 5.0])]);
    let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
    for list_type in [
        DataType::List(item(DataType::Float64)),
        DataType::List(item(DataType::Int32)),
        DataType::List(item(DataType::Int64)),
        DataType::List(item(DataType::UInt8)),
        DataType::List(item(DataType::Decimal128(10, 2))),
        DataType::LargeList(item(DataType::Float32)),
        DataType::LargeList(item(DataType::Float64)),
        DataType::FixedSizeList(item(DataType::Float32), 2),
    ] {
        let columns = [("x", cast(&narrow, &list_type).unwrap())];
        assert_rows(
            &columns,
            "SELECT vec_mean(x), vec_max(x) FROM t",
            &["[2.0, 3.5]|[3.0, 5.0]"],
        );
    }
    assert_eq!(value("vec_sum([1, 2])"), "[1.0, 2.0]");
    assert_eq!(value("vec_sum(NULL)"), "NULL");
}

#[test]
fn what_is_no_list_of_numbers_is_refused_by_name() {
    let ctx = session(&two_groups(), Layout::Whole);
    assert!(
        error(&ctx, "SELECT vec_mean(k) FROM t")
            .contains("vec_mean takes a list of numbers, not Int32")
    );
    assert!(
        error(&ctx, "SELECT vec_mean(['a']) FROM t").contains("vec_mean takes a list of numbers")
    );
    assert!(
        error(&ctx, "SELECT vec_mean(x, 2) FROM t")
            .contains("2 arguments do not fit vec_mean(list)")
    );
}

#[test]
fn sums_are_kept_in_f64() {
    // In f32, 16,777,216 + 1 is 16,777,216.
    let columns = [(
        "x",
        lists(&[Some(&[16_777_216.0]), Some(&[1.0]), Some(&[1.0])]),
    )];
    assert_rows(&columns, "SELECT vec_sum(x) FROM t", &["[16777218.0]"]);
}

#[test]
fn variance_survives_a_mean_far_from_zero() {
    // Squares of 1e9 leave no digits for a variance of 2/3.
    let values = Float64Array::from(vec![1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]);
    let field = Arc::new(Field::new_list_field(DataType::Float64, true));
    let offsets = arrow::buffer::OffsetBuffer::from_repeated_length(1, 3);
    let lists: ArrayRef = Arc::new(arrow::array::ListArray::new(
        field,
        offsets,
        Arc::new(values),
        None,
    ));
    assert_rows(
        &[("x", lists)],
        "SELECT vec_var(x) FROM t",
        &["[0.6666667]"],
    );
}

#[test]
fn slices_of_a_larger_table_are_read_where_they_begin() {
    let columns = two_groups().map(|(name, array)| (name, array.slice(1, 3)));
    assert_rows(
        &columns,
        "SELECT k, vec_sum(x) FROM t GROUP BY k ORDER BY k",
        &["1|[3.0, 6.0]", "2|[5.0, -5.0]"],
    );
}

#[test]
fn more_groups_than_memory_spill_to_disk_and_come_back_whole() {
    const NUM_GROUPS: i64 = 4_000;
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .with_batch_size(64);
    let config = spilling_batch_by_batch(config).unwrap();
    let pool = Arc::new(FairSpillPool::new(2_000_000));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .build_arc()
        .unwrap();
    let ctx = SessionContext::new_with_config_rt(config, runtime);
    register_functions(&ctx);
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(
        (0..2 * NUM_GROUPS).map(|row| row % NUM_GROUPS),
    ));
    let rows = (0..2 * NUM_GROUPS)
        .map(|row| vec![row as f32; 64])
        .collect::<Vec<_>>();
    let rows = rows
        .iter()
        .map(|row| Some(row.as_slice()))
        .collect::<Vec<_>>();
    ctx.register_batch("t", super::batch(&[("k", keys), ("x", lists(&rows))]))
        .unwrap();

    // A group's lists are its number and that plus 4,000: the mean is the number plus 2,000, the
    // variance 4,000,000.
    let inner = "SELECT k, vec_mean(x) AS mean, vec_var(x) AS var FROM t GROUP BY k";
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE mean[1] = k + 2000 AND mean[64] = k + 2000 \
         AND var[64] = 4e6) FROM ({inner})"
    );
    assert_eq!(query(&ctx, &sql), ["4000|4000"]);
    let plan = query(&ctx, &format!("EXPLAIN ANALYZE {inner}")).join("\n");
    let spills = plan
        .split("spill_count=")
        .skip(1)
        .filter(|rest| !rest.starts_with('0'))
        .count();
    assert!(spills > 0, "nothing was spilled: {plan}");
}
