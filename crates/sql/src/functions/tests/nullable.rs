//! DataFusion's functions of lists, over lists as a run has them: elements are never NULL.

use super::{Layout, lists, query, session};

#[test]
fn functions_that_promise_elements_that_are_not_null_take_the_lists_of_a_run() {
    let columns = [("x", lists(&[Some(&[3.0, 4.0])]))];
    let ctx = session(&columns, Layout::Whole);
    for (call, expected) in [
        ("array_add(x, x)", "[6.0, 8.0]"),
        ("list_subtract(x, [1.0, 1.0])", "[2.0, 3.0]"),
        ("array_normalize(x)", "[0.6, 0.8]"),
        ("array_except(x, [4.0])", "[3.0]"),
        ("array_resize(x, 3)", "[3.0, 4.0, NULL]"),
        ("array_repeat(x, 2)", "[[3.0, 4.0], [3.0, 4.0]]"),
    ] {
        let rows = query(&ctx, &format!("SELECT {call} FROM t"));
        assert_eq!(rows, [expected], "{call}");
    }
}
