use proptest::prelude::*;

use super::*;
use crate::commit::tests::record;

/// A roll-up of `records`.
pub(crate) fn encoded(records: &[CommitRecord]) -> Result<Vec<u8>, ParquetError> {
    let mut encoder = Encoder::try_new()?;
    for record in records {
        encoder.push(record)?;
    }
    encoder.finish()
}

fn decoded(bytes: Vec<u8>) -> Result<Vec<CommitRecord>, ReadRollupError> {
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

/// Whoever writes or reads it holds one row group, however many records there are.
#[test]
fn many_files_go_in_several_row_groups_and_come_back_whole() {
    // 1 + 1 + 200 rows each, and one of the third that retires a file: records span row groups.
    let records: Vec<_> = (0..7).map(|n| record(n, 200)).collect();
    let bytes = encoded(&records).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(bytes.clone()));
    let row_groups: Vec<_> = metadata
        .unwrap()
        .row_groups()
        .iter()
        .map(|group| group.num_rows())
        .collect();
    assert_eq!(row_groups, [512, 512, 391]);
    assert_eq!(decoded(bytes).unwrap(), records);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn records_round_trip(sizes in prop::collection::vec(0usize..6, 1..12)) {
        let records: Vec<_> = (0u64..).zip(&sizes).map(|(n, files)| record(n, *files)).collect();
        prop_assert_eq!(decoded(encoded(&records).unwrap()).unwrap(), records);
    }
}
