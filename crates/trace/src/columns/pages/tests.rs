use std::sync::Arc;

use arrow::array::{Float32Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::ZstdLevel;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::*;

/// A file with one column of zeros.
fn zeros(num_rows: usize) -> Vec<u8> {
    let values = Arc::new(Float32Array::from(vec![0.0; num_rows]));
    let rows = RecordBatch::try_from_iter([("zeros", values as _)]).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(usize::MAX)
        .set_data_page_row_count_limit(usize::MAX)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    bytes
}

fn checked(bytes: &[u8]) -> std::result::Result<(), String> {
    let bytes = Bytes::copy_from_slice(bytes);
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&bytes)
        .unwrap();
    check_pages(&bytes, &metadata, &[0]).map_err(|error| error.to_string())
}

/// Writes a number in as many bytes as stand there: Thrift's, with the sign in the lowest bit.
fn overwrite(bytes: &mut [u8], number: u64) {
    let mut rest = number << 1;
    let mut bytes = bytes.iter_mut();
    loop {
        let byte = bytes.next().unwrap();
        let goes_on = *byte & 0x80;
        *byte = (rest & 0x7f) as u8 | goes_on;
        rest >>= 7;
        if goes_on == 0 {
            return assert_eq!(rest, 0);
        }
    }
}

#[test]
fn zeros_take_few_bytes_and_are_read() {
    let bytes = zeros(2_000_000);
    assert!(bytes.len() < 8_000_000 / MAX_RATIO as usize);
    checked(&bytes).unwrap();
    checked(&zeros(1)).unwrap();
}

#[test]
fn a_page_that_would_unpack_to_gigabytes_is_refused() {
    let mut bytes = zeros(2_000_000);
    // Behind the file's sign: the page's type, and what it unpacks to.
    assert_eq!((bytes[4], bytes[6]), (0x15, 0x15));
    overwrite(&mut bytes[7..], 120 << 20);
    let error = checked(&bytes).unwrap_err();
    assert!(
        error.contains("a page of column \"zeros\" would be unpacked from"),
        "{error}"
    );
    assert!(error.ends_with("bytes to 125829120"), "{error}");
}

#[test]
fn headers_of_any_length_are_read() {
    let columns: [&[&str]; 2] = [&["a", "b"], &["a", &"b".repeat(10 * HEADER_BYTES)]];
    for texts in columns {
        let values = Arc::new(StringArray::from(texts.to_vec()));
        let rows = RecordBatch::try_from_iter([("texts", values as _)]).unwrap();
        let properties = WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_write_page_header_statistics(true)
            .set_statistics_truncate_length(None)
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        checked(&bytes).unwrap();
        // Behind the file's sign: the page's type, of which there is no such.
        bytes[4] = 0x1f;
        checked(&bytes).unwrap_err();
    }
}

#[test]
fn a_page_that_ends_in_its_header_is_refused() {
    let mut bytes = zeros(100);
    // A field of a type that no header has.
    bytes[4] = 0x1f;
    let error = checked(&bytes).unwrap_err();
    assert!(error.contains("has no header"), "{error}");
}

fn page(bytes: &[u8]) -> Option<Page> {
    let mut input = Input::new(bytes);
    let page = super::page(&mut input);
    assert!(input.num_bytes() <= bytes.len() as u64);
    page
}

/// As parquet.thrift has it: a type, sizes, and the header of a page of the second version, whose statistics
/// are nested.
#[test]
fn headers_are_read_with_what_is_nested_in_them() {
    let header = [
        0x15, 6, 0x15, 16, 0x15, 12, // type 3, unpacked 8, packed 6
        0x5c, 0x15, 14, 0x15, 0, // field 8: 7 values, no null
        0x6c, 0x18, 2, 9, 9, 0x11, 0, // field 8 of it: a struct of bytes and a flag
        0, 0,
    ];
    let expected = Page {
        packed: 6,
        unpacked: 8,
        num_values: 7,
    };
    assert_eq!(page(&header), Some(expected));
    // Cut anywhere it is none.
    for end in 0..header.len() {
        assert_eq!(page(&header[..end]), None, "{end}");
    }
    // Sizes are not negative, and nothing is nested without an end.
    assert_eq!(page(&[0x15, 6, 0x15, 17]), None);
    // Bytes that would be more than there are anywhere.
    let mut endless = vec![0x98];
    endless.extend([0xff; 9]);
    endless.push(1);
    assert_eq!(page(&endless), None);
    assert_eq!(page(&[0x9c; 1000]), None);
    assert_eq!(
        page(&[0x99, 0x19, 0x19, 0x19, 0x19, 0x19, 0x19, 0x19, 0x19, 0x19]),
        None
    );
}

/// What parquet reads as fields must not be passed over here as something else.
#[test]
fn headers_that_parquet_would_read_in_another_way_are_refused() {
    let hidden = [0x25, 0xfe, 0xff, 0xff, 0xff, 0x0f];
    let header = |field: &[u8]| [&[0x15, 6], field, &hidden, &[0]].concat();
    // Field 2 as bytes: parquet takes their length for a size, and goes on with what is in them.
    assert_eq!(page(&header(&[0x18, 6])), None);
    // A list of booleans that nobody knows: parquet passes over its head alone.
    assert_eq!(page(&header(&[0x89, 0x61])), None);
    // A size of 2³² + 100, which parquet takes for 100.
    assert_eq!(page(&[0x25, 0xc8, 0x81, 0x80, 0x80, 0x20, 0]), None);
    // An end that parquet takes for one.
    assert_eq!(page(&[0x25, 16, 0x15, 12, 0x10, 0]), None);
    // A page's own header is no number.
    assert_eq!(page(&[0x55, 16, 0]), None);
}
