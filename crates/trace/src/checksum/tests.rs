use proptest::prelude::*;

use super::*;

#[test]
fn eight_lower_case_digits_are_a_checksum_and_nothing_else_is() {
    let crc = Crc32c::of(b"123456789");
    assert_eq!(Crc32c::from_digits(b"e3069283"), Some(crc));
    assert_eq!(Crc32c::from_digits(b"0000000a"), Some(Crc32c(10)));
    for wrong in [
        "",
        "e306928",
        "e30692833",
        "E3069283",
        "+3069283",
        "e306928g",
    ] {
        assert_eq!(Crc32c::from_digits(wrong.as_bytes()), None, "{wrong}");
        assert!(Crc32c::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn checksums_of_stretches_are_put_together(bytes: Vec<u8>, at: prop::sample::Index) {
        let (before, after) = bytes.split_at(at.index(bytes.len() + 1));
        let whole = Crc32c::of(&bytes);
        prop_assert_eq!(Crc32c::of(before).combine(Crc32c::of(after), after.len()), whole);
        prop_assert_eq!(Crc32c::of(before).append(after), whole);
    }
}
