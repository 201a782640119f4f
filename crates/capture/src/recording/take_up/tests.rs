use super::*;

#[test]
fn there_is_room_where_what_two_captures_took_fits_beside_a_commit() {
    let stats = SinkStats {
        part_bytes: 10 << 20,
        num_parts: 40,
        ..SinkStats::default()
    };
    // Ten captures of 1 MiB and 4 files.
    let needed = Needed::of(&stats, 10, 0);
    let expected = Needed {
        bytes: 2 * ((1 << 20) + 4 * BLOCK_BYTES) + BESIDE_BYTES,
        files: 2 * 2 * 4 + BESIDE_FILES,
    };
    assert_eq!(needed, expected);
    // Three were lost, and what they took is free now.
    let after_three = Needed::of(&stats, 10, 3);
    assert_eq!(
        after_three.bytes - BESIDE_BYTES,
        4 * (needed.bytes - BESIDE_BYTES)
    );
    let room = |bytes, files| Room { bytes, files };
    assert!(needed.fits(room(needed.bytes, Some(needed.files))));
    assert!(needed.fits(room(needed.bytes, None)));
    assert!(!needed.fits(room(needed.bytes - 1, None)));
    assert!(!needed.fits(room(needed.bytes, Some(needed.files - 1))));
    // Metrics that wait have to fit as well.
    let waiting = needed.with_metrics(3);
    assert!(!waiting.fits(room(needed.bytes, None)));
    assert_eq!(waiting.files, needed.files + 3);
    // Nothing is known of captures where none was made.
    assert_eq!(Needed::of(&SinkStats::default(), 0, 0).bytes, BESIDE_BYTES);
}

#[test]
fn what_is_tried_in_vain_is_tried_ever_more_rarely() {
    let mut attempts = Attempts::default();
    let mut left_out = Vec::new();
    for _ in 0..9 {
        attempts = attempts.failed();
        left_out.push(attempts.left_out);
    }
    assert_eq!(left_out, [0, 1, 2, 4, 8, 16, 32, 64, 64]);
}
