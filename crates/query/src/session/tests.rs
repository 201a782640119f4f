use super::*;

#[test]
fn a_batch_has_fewer_rows_where_lists_are_long() {
    // 16 MiB are 4 Mi floats.
    for (longest_list, rows) in [
        (0, 8192),
        (20, 8192),
        (512, 8192),
        (1024, 4096),
        (11_008, 381),
        (262_144, 16),
        (300_000, 16),
        (100_000_000, 16),
    ] {
        assert_eq!(batch_rows(longest_list), rows, "{longest_list}");
    }
}
