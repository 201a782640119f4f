use proptest::prelude::*;

use super::*;
use crate::Table;

fn path(text: String) -> RunPath {
    RunPath::try_from(text).unwrap()
}

/// A record with `num_files` files, different for every number.
pub(crate) fn record(number: u64, num_files: usize) -> CommitRecord {
    CommitRecord {
        number,
        nonce: Nonce::draw().unwrap(),
        run_id: None,
        run_crc32c: None,
        previous_crc32c: None,
        time: format!("2026-01-01T00:00:{:02}.000Z", number % 60),
        rank: Rank(0),
        session: (number == 0)
            .then(|| serde_json::json!({"epochs": 3, "name": "a \"quoted\" one"})),
        run_json: (number == 0).then(|| "{\n  \"run_id\": \"é\"\n}\n".to_owned()),
        is_final: number % 3 == 2,
        captures: vec![CaptureId {
            epoch: Epoch((number % 1_000_000) as i32),
            step: Step(24 * (number as i64 + 1)),
        }],
        files: (0..num_files)
            .map(|i| FileEntry {
                table: if i == 0 {
                    Table::Metrics
                } else {
                    Table::Weights
                }
                .into(),
                epoch: Epoch((number % 1_000_000) as i32),
                layer: (i > 0).then(|| LayerLabel::try_new(&format!("l{i}")).unwrap()),
                path: match i {
                    0 => path(format!("metrics/epoch={number}/step-1-r0-g0.parquet")),
                    i => path(format!(
                        "weights/epoch={number}/layer=l{i}/step-1-r0-g0.parquet"
                    )),
                },
                rows: i as u64,
                bytes: 100 + i as u64,
                // What an earlier version wrote has none.
                footer_bytes: (number != 1).then_some(90),
                footer_crc32c: (number != 1).then(|| Crc32c::of(b"footer")),
                // Worked out later, of a file whose footer has none.
                column_crc32c: (number == 2)
                    .then(|| ColumnChecksums::new(vec![Crc32c(i as u32), Crc32c::of(b"column")])),
                crc32c: Crc32c::of(&[i as u8]),
            })
            .collect(),
        retired: if number == 2 {
            vec![path(
                "weights/epoch=0/layer=l1/step-1-r0-g0.parquet".to_owned(),
            )]
        } else {
            vec![]
        },
    }
}

#[test]
fn the_checksum_is_the_published_crc32c_of_the_bytes_before_its_comma() {
    // The check value of CRC-32C (RFC 3720, B.4 and the catalogue of parametrised CRCs).
    assert_eq!(Crc32c::of(b"123456789"), Crc32c(0xe306_9283));

    let bytes = record(1, 2).encode();
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.ends_with("\"}\n"));
    let comma = text.len() - ",\"crc32c\":\"00000000\"}\n".len();
    assert_eq!(&text[comma..comma + 11], ",\"crc32c\":\"");
    assert_eq!(
        &text[comma + 11..comma + 19],
        Crc32c::of(&bytes[..comma]).to_string()
    );
}

#[test]
fn any_changed_or_missing_byte_is_noticed() {
    let record = record(0, 3);
    let bytes = record.encode();
    assert_eq!(CommitRecord::decode(&bytes).unwrap(), record);
    for i in 0..bytes.len() - 1 {
        let mut damaged = bytes.clone();
        damaged[i] ^= 1;
        assert!(CommitRecord::decode(&damaged).is_err(), "byte {i}");
        assert!(CommitRecord::decode(&bytes[..i]).is_err(), "cut at {i}");
    }
}

proptest! {
    #[test]
    fn records_round_trip(number in 0u64..1 << 40, num_files in 0usize..5) {
        let record = record(number, num_files);
        prop_assert_eq!(CommitRecord::decode(&record.encode()).unwrap(), record);
    }
}
