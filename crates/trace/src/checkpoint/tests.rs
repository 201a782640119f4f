use proptest::prelude::*;

use super::*;
use crate::commit::tests::record;

/// A checkpoint of `records`.
pub(crate) fn encoded(records: &[CommitRecord]) -> Result<Vec<u8>, ParquetError> {
    let mut encoder = Encoder::default();
    records.iter().for_each(|record| encoder.push(record));
    encoder.finish()
}

fn decoded(bytes: Vec<u8>) -> Result<Vec<CommitRecord>, ReadCheckpointError> {
    let mut records = Vec::new();
    decode(bytes, &mut |record| records.push(record))?;
    Ok(records)
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let records: Vec<_> = (0..3).map(|n| record(n, 2)).collect();
    let bytes = encoded(&records).unwrap();
    for i in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[i] ^= 0x10;
        assert!(decoded(damaged).is_err(), "byte {i}");
        assert!(decoded(bytes[..i].to_vec()).is_err(), "cut at {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn records_round_trip(sizes in prop::collection::vec(0usize..6, 1..12)) {
        let records: Vec<_> = (0u64..).zip(&sizes).map(|(n, files)| record(n, *files)).collect();
        prop_assert_eq!(decoded(encoded(&records).unwrap()).unwrap(), records);
    }
}
