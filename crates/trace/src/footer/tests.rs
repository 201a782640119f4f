use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Fields as ArrowFields, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use proptest::prelude::*;

use super::*;

/// A file that is nothing but a footer.
fn file(footer: &[u8]) -> Bytes {
    let mut bytes = b"PAR1".to_vec();
    bytes.extend(footer);
    bytes.extend((footer.len() as u32).to_le_bytes());
    bytes.extend(b"PAR1");
    bytes.into()
}

fn refusal(footer: &[u8]) -> String {
    read_footer(&file(footer)).unwrap_err().to_string()
}

/// A number, as Thrift has it: seven bits a byte.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A list's head: of structs, so many.
fn list(length: u64) -> Vec<u8> {
    [vec![0xfc], varint(length)].concat()
}

/// An element of a schema that has children: required, called `a`.
fn group(num_children: u64) -> Vec<u8> {
    [
        &[0x35, 0, 0x18, 1, b'a', 0x15][..],
        &varint(num_children << 1),
        &[0],
    ]
    .concat()
}

/// A column of numbers, called `b`.
const COLUMN: [u8; 8] = [0x15, 2, 0x25, 0, 0x18, 1, b'b', 0];

/// A footer of a schema, its elements one after the other, and no row groups.
fn footer_of(length: u64, elements: &[u8]) -> Vec<u8> {
    let rest = [0x16, 0, 0x19, 0x0c, 0];
    [&[0x15, 2, 0x19][..], &list(length), elements, &rest].concat()
}

/// A footer of one column, and row groups that begin with a list's head.
fn footer_with_row_groups(head: &[u8]) -> Vec<u8> {
    let mut footer = footer_of(2, &[group(1), COLUMN.to_vec()].concat());
    footer.truncate(footer.len() - 2);
    footer.extend(head);
    footer.push(0);
    footer
}

/// parquet keeps of every column the names of all groups that it lies in.
#[test]
fn a_name_that_would_be_kept_too_often_is_refused() {
    let of = |name_bytes: usize, num_columns: usize| {
        let name = vec![b'n'; name_bytes];
        let group_of_columns = [
            &[0x35, 0, 0x18][..],
            &varint(name_bytes as u64),
            &name,
            &[0x15],
            &varint((num_columns as u64) << 1),
            &[0],
        ];
        let elements = [
            group(1),
            group_of_columns.concat(),
            COLUMN.repeat(num_columns),
        ];
        footer_of(2 + num_columns as u64, &elements.concat())
    };
    let refused = refusal(&of(100_000, 1_000));
    assert!(
        refused.contains("its columns have longer names than anybody reads"),
        "{refused}"
    );
    for (name_bytes, num_columns) in [(100_000, 100), (10, 10_000)] {
        let metadata = read_footer(&file(&of(name_bytes, num_columns))).unwrap();
        let schema = metadata.file_metadata().schema_descr();
        assert_eq!(schema.num_columns(), num_columns);
    }
}

#[test]
fn a_small_footer_is_read() {
    let footer = footer_with_row_groups(&[0x0c]);
    let metadata = read_footer(&file(&footer)).unwrap();
    assert_eq!(metadata.file_metadata().schema_descr().num_columns(), 1);
    // Cut anywhere it is none.
    for end in 0..footer.len() {
        assert!(read_footer(&file(&footer[..end])).is_err(), "{end}");
    }
}

/// parquet would make room for all of them first: 200 GB.
#[test]
fn row_groups_that_are_not_there_are_refused() {
    for length in [1, 1 << 15, (1 << 15) + 1, (1 << 31) - 1, u64::MAX] {
        refusal(&footer_with_row_groups(&list(length)));
    }
    // Nor are they counted where none has anything in it.
    let empty = [list(1 << 20), vec![0; 1 << 20]].concat();
    let error = refusal(&footer_with_row_groups(&empty));
    assert!(error.contains("more row groups"), "{error}");
    let empty = [list(1 << 10), vec![0; 1 << 10]].concat();
    assert!(refusal(&footer_with_row_groups(&empty)).contains(MALFORMED));
}

#[test]
fn children_that_are_not_there_are_refused() {
    for num_children in [2, 3, 1 << 20, (1 << 31) - 1] {
        let elements = [group(num_children), COLUMN.to_vec()].concat();
        assert!(refusal(&footer_of(2, &elements)).contains(MALFORMED));
    }
    // Each group could have them for itself, and all together not.
    let elements = [group(2), group(2), group(2), COLUMN.repeat(3)].concat();
    assert!(refusal(&footer_of(6, &elements)).contains(MALFORMED));
    let elements = [group(2), group(2), group(1), COLUMN.repeat(3)].concat();
    read_footer(&file(&footer_of(6, &elements))).unwrap();
    // What lies in no group.
    let elements = [group(1), COLUMN.repeat(2)].concat();
    assert!(refusal(&footer_of(3, &elements)).contains(MALFORMED));
}

/// parquet calls itself for each level, and so does whatever frees the schema: 40 KB of them end the process.
#[test]
fn a_schema_of_many_levels_is_refused() {
    let nested = |levels: usize| {
        let elements = [group(1).repeat(levels), COLUMN.to_vec()].concat();
        file(&footer_of(levels as u64 + 1, &elements))
    };
    for levels in [MAX_NESTING + 1, 1000, 5000, 200_000] {
        let error = read_footer(&nested(levels)).unwrap_err().to_string();
        assert!(error.contains("lie deeper in each other"), "{error}");
    }
    // With as many as there may be all is done that is done with a schema, on a thread's stack.
    let metadata = read_footer(&nested(MAX_NESTING)).unwrap();
    let options = ArrowReaderOptions::new();
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options).unwrap();
    assert_eq!(metadata.parquet_schema().num_columns(), 1);
    // Groups beside each other lie no deeper.
    let side_by_side = [group(500), [group(1), COLUMN.to_vec()].concat().repeat(500)].concat();
    read_footer(&file(&footer_of(1001, &side_by_side))).unwrap();
}

#[test]
fn a_schema_of_too_many_columns_is_refused() {
    let footer = |num_columns: u64| {
        let columns = COLUMN.repeat(num_columns as usize);
        footer_of(num_columns + 1, &[group(num_columns), columns].concat())
    };
    read_footer(&file(&footer(1000))).unwrap();
    let error = refusal(&footer(MAX_ELEMENTS));
    assert!(error.contains("more columns"), "{error}");
}

/// parquet would take the bytes of a text for fields, among them row groups without an end.
#[test]
fn what_parquet_would_read_in_another_way_is_refused() {
    let row_groups = [&[0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07][..]].concat();
    let hidden = |field: &[u8]| {
        let footer = footer_with_row_groups(&[0x0c]);
        let (end, start) = footer.split_last().unwrap();
        [start, field, &row_groups[..], &[*end]].concat()
    };
    let length = row_groups.len() as u8;
    // Fields that have been there and come again, as texts: the version, the schema, the rows.
    for number in [1_u8, 2, 3, 4, 5, 7] {
        let error = refusal(&hidden(&[0x08, number << 1, length]));
        assert!(error.contains(MALFORMED), "{number}: {error}");
    }
    // A list of booleans by a number that nobody knows.
    let error = refusal(&hidden(&[0x09, 40, length << 4 | 1]));
    assert!(error.contains(MALFORMED), "{error}");
    // In bytes that are bytes it does no harm.
    read_footer(&file(&hidden(&[0x08, 6 << 1, length]))).unwrap_err();
    read_footer(&file(&hidden(&[0x08, 40, length]))).unwrap();
}

/// What a later version of Parquet adds is passed over, by parquet and by who looks before.
#[test]
fn a_field_that_nobody_knows_yet_is_passed_over() {
    let with = |field: &[u8]| {
        let footer = footer_with_row_groups(&[0x0c]);
        let (end, start) = footer.split_last().unwrap();
        file(&[start, field, &[*end]].concat())
    };
    let identifier = [7; 16];
    for field in [
        // By the number 20: maps without entries, of texts by texts, and of lists by identifiers.
        &[0x0b, 40, 0][..],
        &[0x0b, 40, 2, 0x88, 1, b'a', 1, b'b', 1, b'c', 0],
        &[&[0x0b, 40, 1, 0xd9], &identifier[..], &[0x25, 2, 4]].concat(),
        &[&[0x0d, 40], &identifier[..]].concat(),
        &[&[0x09, 40, 0x2d], &identifier[..], &identifier[..]].concat(),
    ] {
        let file = with(field);
        let expected = ParquetMetaDataReader::new().parse_and_finish(&file);
        assert_eq!(read_footer(&file).unwrap(), expected.unwrap(), "{field:?}");
    }
    // parquet would take no bytes for the booleans: what follows would be read as fields.
    let row_groups = [0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
    for types in [0x11, 0x12, 0x13, 0x31] {
        let map = [&[0x0b, 40, 4, types][..], &row_groups, &[1]].concat();
        let error = read_footer(&with(&map)).unwrap_err().to_string();
        assert!(error.contains(MALFORMED), "{error}");
    }
}

#[test]
fn what_is_no_footer_is_told() {
    let told = |bytes: &'static [u8]| {
        let error = read_footer(&Bytes::from_static(bytes)).unwrap_err();
        error.to_string()
    };
    assert!(told(b"").contains("too small"));
    assert!(told(b"PAR1PA").contains("too small"));
    assert!(told(b"\x09\0\0\0PAR1").contains("too small"));
    assert!(told(b"\0\0\0\0PAR2").contains("Corrupt footer"));
    assert!(told(b"\0\0\0\0PARE").contains("encrypted"));
}

fn types() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::Int8),
        Just(DataType::UInt16),
        Just(DataType::Int32),
        Just(DataType::UInt64),
        Just(DataType::Float16),
        Just(DataType::Float32),
        Just(DataType::Float64),
        Just(DataType::Utf8),
        Just(DataType::LargeBinary),
        Just(DataType::Date32),
        Just(DataType::Time64(TimeUnit::Nanosecond)),
        Just(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into())
        )),
        Just(DataType::Timestamp(TimeUnit::Millisecond, None)),
        Just(DataType::Decimal128(20, 3)),
        Just(DataType::FixedSizeBinary(5)),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
        prop_oneof![
            inner
                .clone()
                .prop_map(move |of| DataType::List(field("item", of))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(move |of| {
                let fields = of.into_iter().enumerate();
                let fields = fields.map(|(index, of)| field(&format!("f{index}"), of));
                DataType::Struct(fields.collect::<ArrowFields>())
            }),
            inner.prop_map(move |of| {
                let key = Arc::new(Field::new("keys", DataType::Utf8, false));
                let entries = DataType::Struct(vec![key, field("values", of)].into());
                DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
            }),
        ]
    })
}

/// How files are written: all that writers put into footers.
fn properties() -> impl Strategy<Value = WriterProperties> {
    let statistics = prop_oneof![
        Just(EnabledStatistics::None),
        Just(EnabledStatistics::Chunk),
        Just(EnabledStatistics::Page),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (statistics, flags, 1..5_usize, "[a-zé ]{0,20}").prop_map(
        |(statistics, (is_packed, is_second, has_dictionary, is_sorted), group_rows, text)| {
            let compression = match is_packed {
                true => Compression::ZSTD(ZstdLevel::default()),
                false => Compression::UNCOMPRESSED,
            };
            let version = match is_second {
                true => WriterVersion::PARQUET_2_0,
                false => WriterVersion::PARQUET_1_0,
            };
            let order = SortingColumn {
                column_idx: 0,
                descending: is_packed,
                nulls_first: is_second,
            };
            let value = (!text.is_empty()).then(|| text.clone());
            WriterProperties::builder()
                .set_statistics_enabled(statistics)
                .set_compression(compression)
                .set_writer_version(version)
                .set_dictionary_enabled(has_dictionary)
                .set_max_row_group_row_count(Some(group_rows))
                .set_sorting_columns(is_sorted.then(|| vec![order]))
                .set_key_value_metadata(Some(vec![KeyValue::new("key".to_owned(), value)]))
                .set_created_by(text)
                .build()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a writer writes is read, and says what it says without a look before.
    #[test]
    fn what_writers_write_is_read(
        types in prop::collection::vec(types(), 1..6),
        properties in properties(),
        num_rows in 0..12_usize,
    ) {
        let fields = types.into_iter().enumerate();
        let fields = fields.map(|(index, of)| Field::new(format!("c{index}"), of, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = schema.fields().iter();
        let columns: Vec<ArrayRef> = columns
            .map(|field| new_null_array(field.data_type(), num_rows))
            .collect();
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let bytes = Bytes::from(bytes);
        let expected = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
        prop_assert_eq!(read_footer(&bytes).unwrap(), expected);
    }

    /// Whatever a footer has become, it is read or refused.
    #[test]
    fn footers_that_were_changed_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let elements = [group(2), group(1), COLUMN.to_vec(), COLUMN.to_vec()].concat();
        let mut footer = footer_of(4, &elements);
        for (at, byte) in changes {
            let at = at.index(footer.len());
            footer[at] = byte;
        }
        let _ = read_footer(&file(&footer));
    }
}
