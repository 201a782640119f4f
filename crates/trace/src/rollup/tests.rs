use parquet::file::metadata::ParquetMetaDataReader;
use proptest::prelude::*;

use super::*;
use crate::commit::tests::record as unlinked;

/// A record as this version writes it, or, if its number is odd, as an earlier one did.
fn record(number: u64, num_files: usize) -> CommitRecord {
    let is_linked = number.is_multiple_of(2);
    CommitRecord {
        run_id: is_linked.then(|| Nonce::draw().unwrap()),
        run_crc32c: is_linked.then(|| Crc32c::of(b"run.json")),
        previous_crc32c: is_linked.then(|| Crc32c::of(&[number as u8])),
        ..unlinked(number, num_files)
    }
}

/// A roll-up of `records`.
pub(crate) fn encoded(records: &[CommitRecord]) -> Result<Vec<u8>, ParquetError> {
    encoded_as(records, Compress::Auto)
}

fn encoded_as(records: &[CommitRecord], compress: Compress) -> Result<Vec<u8>, ParquetError> {
    let mut encoder = Encoder::try_new(compress)?;
    for record in records {
        encoder.push(record, Some(record.encode_with_checksum().1))?;
    }
    encoder.finish()
}

fn decoded(bytes: Vec<u8>) -> Result<Vec<CommitRecord>, ReadRollupError> {
    let mut records = Vec::new();
    let mut checksums = Vec::new();
    decode(bytes, &mut |record, crc32c| {
        checksums.extend(crc32c.map(|crc32c| crc32c == record.encode_with_checksum().1));
        records.push(record);
    })?;
    let of_each = checksums.iter().all(|is_right| *is_right);
    assert!(checksums.is_empty() || of_each && checksums.len() == records.len());
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

/// Whoever cannot unpack zstd reads a run of which nothing is compressed.
#[test]
fn a_roll_up_is_compressed_unless_nothing_is() {
    let records: Vec<_> = (0..7).map(|n| record(n, 200)).collect();
    for (name, compress) in Compress::ALL {
        let bytes = encoded_as(&records, compress).unwrap();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(bytes.clone()));
        let metadata = metadata.unwrap();
        let groups = metadata.row_groups().iter();
        let compressed: Vec<String> = groups
            .flat_map(|group| group.columns())
            .filter(|column| column.compression() != Compression::UNCOMPRESSED)
            .map(|column| column.column_path().string())
            .collect();
        let expected = match compress {
            Compress::None => Vec::new(),
            Compress::Auto | Compress::Size => COMPRESSED.repeat(metadata.num_row_groups()),
        };
        let sorted = |mut columns: Vec<String>| {
            columns.sort();
            columns
        };
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(sorted(compressed), sorted(expected), "{name}");
        assert_eq!(decoded(bytes).unwrap(), records, "{name}");
    }
}

/// The records' roll-up with other columns than it has, which `change` makes of them.
fn with_columns(records: &[CommitRecord], change: impl Fn(RecordBatch) -> RecordBatch) -> Vec<u8> {
    let bytes = Arc::new(Bytes::from(encoded(records).unwrap()));
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes.as_ref());
    let metadata = metadata.unwrap();
    let columns: Vec<usize> = (0..rollup_schema().fields().len()).collect();
    let rows = read_row_group(&bytes, metadata.row_group(0), &columns, &rollup_schema());
    let rows = change(rows.unwrap());
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            CHECKSUM_KEY.to_owned(),
            NO_DIGITS.to_owned(),
        )]))
        .build();
    let mut file = Vec::new();
    let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer =
        parquet::arrow::ArrowWriter::try_new_with_options(&mut file, rows.schema(), options)
            .unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let digits = find_digits(&file).unwrap();
    let crc = Crc32c::of(&file);
    file[digits].copy_from_slice(crc.to_string().as_bytes());
    file
}

#[test]
fn a_roll_up_of_an_earlier_version_lacks_the_later_columns() {
    let records: Vec<_> = (0..3).map(|n| record(n, 2)).collect();
    let earlier = with_columns(&records, |rows| {
        rows.project(&(0..NUM_FIRST_COLUMNS).collect::<Vec<_>>())
            .unwrap()
    });
    let mut expected = records.clone();
    for record in &mut expected {
        (record.run_id, record.is_final) = (None, false);
        (record.run_crc32c, record.previous_crc32c) = (None, None);
        record.run_json = None;
    }
    for file in expected.iter_mut().flat_map(|record| &mut record.files) {
        (file.footer_bytes, file.footer_crc32c) = (None, None);
        file.column_crc32c = None;
    }
    assert_eq!(decoded(earlier).unwrap(), expected);
    let fewer = with_columns(&records, |rows| {
        rows.project(&(0..NUM_FIRST_COLUMNS - 1).collect::<Vec<_>>())
            .unwrap()
    });
    assert!(decoded(fewer).is_err());
}

#[test]
fn columns_of_a_later_version_are_passed_over() {
    let records: Vec<_> = (0..3).map(|n| record(n, 2)).collect();
    let later = |nullable: bool| {
        with_columns(&records, |rows| {
            let mut fields = rows.schema().fields().to_vec();
            fields.push(Arc::new(Field::new("later", DataType::Int64, nullable)));
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::clone(rows.column(0)));
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
        })
    };
    assert_eq!(decoded(later(true)).unwrap(), records);
    assert!(decoded(later(false)).is_err(), "nobody may pass over that");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn records_round_trip(sizes in prop::collection::vec(0usize..6, 1..12)) {
        let records: Vec<_> = (0u64..).zip(&sizes).map(|(n, files)| record(n, *files)).collect();
        prop_assert_eq!(decoded(encoded(&records).unwrap()).unwrap(), records);
    }
}
