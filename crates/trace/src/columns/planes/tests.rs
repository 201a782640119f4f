use super::*;
use crate::testing::noise;

fn planes(values: &[f32]) -> Vec<u8> {
    let byte = |n: usize| values.iter().map(move |value| value.to_le_bytes()[n]);
    (0..4).flat_map(byte).collect()
}

#[test]
fn a_plane_has_one_byte_of_every_value() {
    let values = [f32::from_bits(0x0403_0201), f32::from_bits(0x1413_1211)];
    let mut page = vec![9];
    put_planes(&values, &mut page);
    assert_eq!(page, [9, 0x01, 0x11, 0x02, 0x12, 0x03, 0x13, 0x04, 0x14]);
    for len in [
        0,
        1,
        VALUES_AT_ONCE - 1,
        VALUES_AT_ONCE,
        3 * VALUES_AT_ONCE + 5,
    ] {
        let values = noise(1, len);
        let mut page = Vec::new();
        put_planes(&values, &mut page);
        assert_eq!(page, planes(&values), "{len} values");
    }
}

#[test]
fn a_frame_holds_the_planes() {
    let mut zeros = noise(1, 300_000);
    zeros[1000..200_000].fill(0.0);
    for values in [noise(1, 1), noise(1, 4_000), noise(1, 131_072), zeros] {
        let mut page = vec![7, 7];
        assert!(put_compressed_planes(&values, usize::MAX, &mut page).unwrap());
        let unpacked = zstd::bulk::decompress(&page[2..], 4 * values.len()).unwrap();
        assert_eq!(page[..2], [7, 7]);
        assert!(unpacked == planes(&values), "{} values", values.len());
    }
}

/// Signs and fractions are random, exponents are not: each plane has tables of its own, however short it is.
#[test]
fn exponents_become_short_in_small_pages_too() {
    for len in [4_000, 12_544, 131_072] {
        let values = noise(1, len);
        let mut page = Vec::new();
        assert!(put_compressed_planes(&values, 4 * len * 87 / 100, &mut page).unwrap());
    }
}

#[test]
fn what_does_not_become_small_enough_is_left_out() {
    let values = noise(1, 50_000);
    let mut page = vec![1, 2, 3];
    for _ in 0..2 {
        assert!(!put_compressed_planes(&values, 100_000, &mut page).unwrap());
        assert_eq!(page, [1, 2, 3]);
    }
    // The next frame is whole.
    assert!(put_compressed_planes(&values, usize::MAX, &mut page).unwrap());
    let unpacked = zstd::bulk::decompress(&page[3..], 200_000).unwrap();
    assert!(unpacked == planes(&values));
}

#[test]
fn the_memory_of_a_plane_is_used_again_and_that_of_a_very_long_one_given_back() {
    let kept =
        || COMPRESSOR.with_borrow(|kept| kept.as_ref().map_or(0, |kept| kept.plane.capacity()));
    let compress = |len: usize, most: usize| {
        put_compressed_planes(&noise(1, len), most, &mut Vec::new()).unwrap();
        kept()
    };
    assert_eq!(compress(PAGE_VALUES, usize::MAX), PAGE_VALUES);
    assert_eq!(compress(1000, usize::MAX), PAGE_VALUES);
    // However it went.
    for most in [usize::MAX, 0] {
        assert_eq!(compress(PAGE_VALUES + 1, most), 0);
        assert!((1000..=PAGE_VALUES).contains(&compress(1000, most)));
    }
}
