//! What errors advise, tried.

use std::sync::Arc;

use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::super::register_functions;
use super::{Layout, batch, error, ints, lists, lists_with_null_element, query, session};

#[test]
fn too_many_elements_at_once_are_fewer_after_a_filter_and_in_shorter_lists() {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(1 << 20)))
        .build_arc()
        .unwrap();
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    register_functions(&ctx);
    let columns = [
        ("k", ints(&[1, 2, 3])),
        ("x", lists(&[Some(&[1.0]), Some(&[2.0]), Some(&[3.0])])),
    ];
    ctx.register_batch("t", batch(&columns)).unwrap();

    // Three lists of a gibi of elements each are more than 32-bit offsets can tell apart.
    let refused = error(&ctx, "SELECT pad(x, 1073741824) FROM t");
    assert!(
        refused.contains("make them shorter, or fewer of them, as with WHERE"),
        "{refused}"
    );
    assert!(!refused.contains("datafusion."), "{refused}");
    // One such list is not; what stops it is the memory that it may use.
    let filtered = error(&ctx, "SELECT pad(x, 1073741824) FROM t WHERE k = 1");
    assert!(filtered.contains("take 4294967296 bytes"), "{filtered}");
    assert_eq!(
        query(&ctx, "SELECT pad(x, 2) FROM t WHERE k = 1"),
        ["[1.0, 0.0]"]
    );
}

#[test]
fn distinct_lists_are_selected_first() {
    let columns = [
        ("k", ints(&[1, 1, 1])),
        ("x", lists(&[Some(&[1.0]), Some(&[1.0]), Some(&[4.0])])),
    ];
    let ctx = session(&columns, Layout::Whole);
    let refused = error(&ctx, "SELECT vec_mean(DISTINCT x) FROM t");
    assert!(
        refused.contains("select the distinct lists in a subquery first"),
        "{refused}"
    );
    assert_eq!(
        query(&ctx, "SELECT vec_mean(x) FROM (SELECT DISTINCT x FROM t)"),
        ["[2.5]"]
    );
}

#[test]
fn nulls_are_left_out_where_a_list_is_made() {
    let ctx = session(&[("x", lists_with_null_element())], Layout::Whole);
    let refused = error(&ctx, "SELECT vec_sum(x) FROM t");
    assert!(
        refused.contains("vec_collect(x) FILTER (WHERE x IS NOT NULL)"),
        "{refused}"
    );
    let ctx = SessionContext::new();
    register_functions(&ctx);
    let sql = "SELECT vec_norm(vec_collect(x) FILTER (WHERE x IS NOT NULL)) \
               FROM (VALUES (3.0), (NULL), (4.0)) AS t(x)";
    assert_eq!(query(&ctx, sql), ["5.0"]);
}

#[test]
fn lists_of_unequal_length_are_padded() {
    let columns = [
        ("k", ints(&[1, 1])),
        ("x", lists(&[Some(&[1.0]), Some(&[2.0, 3.0])])),
    ];
    let ctx = session(&columns, Layout::Whole);
    for sql in [
        "SELECT vec_sum(x) FROM t",
        "SELECT vec_l2_distance(x, [1.0, 2.0]) FROM t",
    ] {
        let refused = error(&ctx, sql);
        assert!(
            refused.contains("pad(list, width) makes them equal"),
            "{refused}"
        );
    }
    assert_eq!(
        query(&ctx, "SELECT vec_sum(pad(x, 2)) FROM t"),
        ["[3.0, 3.0]"]
    );
    assert_eq!(
        query(
            &ctx,
            "SELECT vec_l2_distance(pad(x, 2), [1.0, 0.0]) FROM t WHERE x[1] = 1"
        ),
        ["0.0"]
    );
}
