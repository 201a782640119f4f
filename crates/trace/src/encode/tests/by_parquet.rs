//! What is written is what parquet's own writer makes of the same rows, table by table: lists of one length apart,
//! whose pages are cut and compressed otherwise, byte for byte. Whoever reads it, parquet or this crate, has every bit
//! again.

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Float64Array, ListArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, RowSelection, RowSelector};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::writer::SerializedFileWriter;

use super::super::checksummed::MAGIC;
use super::*;
use crate::columns::{read_row_group, write_column};
use crate::table::float_item;

/// How long the lists of a column are.
#[derive(Debug, Clone, Copy)]
struct Lists {
    name: &'static str,
    num_rows: usize,
    /// Of each row. A row that has none is an empty list.
    length: fn(usize) -> usize,
}

const fn lists_of(name: &'static str, num_rows: usize, length: fn(usize) -> usize) -> Lists {
    Lists {
        name,
        num_rows,
        length,
    }
}

/// Each of them in every table, with every kind of compression, nulls and precision.
const SHORT: [Lists; 8] = [
    lists_of("one row", 1, |_| 3),
    lists_of("empty lists", 40, |_| 0),
    lists_of("lists of one", 1100, |_| 1),
    lists_of("lists of three", 500, |_| 3),
    lists_of("lists of 47", 60, |_| 47),
    lists_of("lists of 48", 60, |_| 48),
    lists_of("unequal lists", 200, |row| 7 * row % 50),
    lists_of(
        "all but the last equal",
        64,
        |row| if row < 63 { 40 } else { 41 },
    ),
];

/// Each of them in every table with every kind of compression.
const LONG: [Lists; 6] = [
    lists_of("a page a list", 2, |_| PAGE_VALUES),
    lists_of("longer than a page", 2, |_| PAGE_VALUES + 1),
    lists_of("several pages", 300, |_| 1000),
    lists_of("several pages of unequal lists", 300, |row| 900 + row % 200),
    lists_of("long lists among short ones", 5, |row| {
        [1, 150_000, 0, 3, 140_000][row]
    }),
    lists_of("many rows", 45_000, |row| row % 3),
];

/// Which rows are null in the columns that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    No,
    Some,
    All,
}

/// Of how many digits floats are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    /// Of 32 bits, and those that are no numbers among them.
    All,
    /// Of 16 bits.
    Half,
}

impl Digits {
    fn floats(self, seed: usize, len: usize) -> Vec<f32> {
        let mut floats = noise(seed as u32, len);
        match self {
            // 10 bits of a fraction remain of 23.
            Self::Half => floats
                .iter_mut()
                .for_each(|x| *x = f32::from_bits(x.to_bits() & !0x1fff)),
            Self::All => {
                let odd = [0x7fc0_1234, 0x8000_0000, 0xff80_0000, 1, 0xffff_ffff];
                let places = floats.iter_mut().skip(seed % 7).step_by(97);
                for (float, bits) in places.zip(odd) {
                    *float = f32::from_bits(bits);
                }
            }
        }
        floats
    }
}

/// A column of a table, its number in it being `seed`.
fn column_of(field: &Field, seed: usize, lists: Lists, nulls: Nulls, digits: Digits) -> ArrayRef {
    let n = lists.num_rows;
    let is_valid = |row: usize| match nulls {
        Nulls::Some if field.is_nullable() => !(row + seed).is_multiple_of(3),
        Nulls::All => !field.is_nullable(),
        Nulls::No | Nulls::Some => true,
    };
    let floats = |len: usize| digits.floats(seed, len).into_iter().enumerate();
    match field.data_type() {
        DataType::Int64 if field.name() == "step" => Arc::new(Int64Array::from_value(96, n)),
        DataType::Int32 if field.name() == "neuron" => {
            Arc::new(Int32Array::from_iter_values(10..10 + n as i32))
        }
        DataType::Int64 => Arc::new(Int64Array::from_iter(
            (0..n).map(|row| is_valid(row).then_some(row as i64)),
        )),
        DataType::Int32 => Arc::new(Int32Array::from_iter(
            (0..n).map(|row| is_valid(row).then_some((row * row % 11) as i32)),
        )),
        DataType::Float32 => Arc::new(Float32Array::from_iter(
            floats(n).map(|(row, value)| is_valid(row).then_some(value)),
        )),
        DataType::Float64 => Arc::new(Float64Array::from_iter(
            floats(n).map(|(row, value)| is_valid(row).then_some(f64::from(value))),
        )),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(
            (0..n).map(|row| is_valid(row).then_some(row % 5 < 2)),
        )),
        DataType::Utf8 => {
            let texts = ["loss", "", "Verlust \u{fc}ber alles", "\u{1f9e0}"];
            let text = |row: usize| match row % 9 {
                8 => format!("only of {row}"),
                nth => texts[nth % 4].to_owned(),
            };
            Arc::new(StringArray::from_iter(
                (0..n).map(|row| is_valid(row).then(|| text(row))),
            ))
        }
        DataType::List(_) => {
            let lengths: Vec<usize> = (0..n).map(lists.length).collect();
            let values = digits.floats(seed, lengths.iter().sum());
            let validity: NullBuffer = (0..n).map(is_valid).collect();
            // What lies behind a null is there, and is no value.
            Arc::new(ListArray::new(
                Arc::new(float_item()),
                OffsetBuffer::from_lengths(lengths),
                Arc::new(Float32Array::from(values)),
                Some(validity).filter(|validity| validity.null_count() > 0),
            ))
        }
        other => panic!("no table has a column of type {other}"),
    }
}

/// Rows of a table, of whose columns of lists the first has these, and others have short ones.
fn rows_of(table: Table, lists: Lists, nulls: Nulls, digits: Digits) -> RecordBatch {
    let schema = table.schema();
    let mut fields = schema.fields().iter();
    let first = fields.position(|field| matches!(field.data_type(), DataType::List(_)));
    let columns = schema.fields().iter().enumerate().map(|(nth, field)| {
        let lists = match first {
            Some(first) if nth > first => Lists {
                length: |row| row % 2,
                ..lists
            },
            _ => lists,
        };
        column_of(field, nth, lists, nulls, digits)
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn part_of(table: Table, rows: &RecordBatch) -> Part {
    Part {
        path: part_path(table, 3, table.has_layer().then_some(HIDDEN)),
        rows: rows.clone(),
    }
}

/// The same columns by parquet's own writer of files and columns, so many rows in a row group.
fn by_parquet(table: Table, rows: &RecordBatch, compress: Compress, group_rows: usize) -> Bytes {
    let schema = parquet_schema(table);
    let fields = rows.schema_ref().fields();
    let columns = fields.iter().zip(rows.columns());
    let shares: Vec<Option<f64>> = columns
        .map(|(field, array)| share_of(field, array, compress, MAX_PAGE_BYTES))
        .collect();
    let properties = Arc::new(properties(table, schema, &shares));
    let root = schema.root_schema_ptr();
    let mut file = SerializedFileWriter::new(Vec::new(), root, properties).unwrap();
    for start in (0..rows.num_rows()).step_by(group_rows) {
        let rows = rows.slice(start, group_rows.min(rows.num_rows() - start));
        let mut row_group = file.next_row_group().unwrap();
        for (field, array) in fields.iter().zip(rows.columns()) {
            let mut column = row_group.next_column().unwrap().unwrap();
            write_column(column.untyped(), array, field.is_nullable()).unwrap();
            column.close().unwrap();
        }
        row_group.close().unwrap();
    }
    file.into_inner().unwrap().into()
}

/// All rows as this crate reads them.
fn read(file: &Bytes, table: Table) -> RecordBatch {
    let metadata = metadata(file);
    let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
    let file = Arc::new(file.clone());
    let groups = metadata.row_groups().iter();
    let groups: Vec<RecordBatch> = groups
        .map(|group| read_row_group(&file, group, &columns, &table.schema()).unwrap())
        .collect();
    concat_batches(&table.schema(), &groups).unwrap()
}

/// The last row, as parquet finds it by the offset index.
fn read_last(file: &Bytes, num_rows: usize) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options);
    let last = vec![RowSelector::skip(num_rows - 1), RowSelector::select(1)];
    let mut batches = reader
        .unwrap()
        .with_row_selection(RowSelection::from(last))
        .build()
        .unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

/// Whether two batches have the same bits: NaN is then equal to itself, and 0 is not to -0.
fn has_bits_of(one: &RecordBatch, other: &RecordBatch) -> bool {
    let bits = |array: &dyn Array| -> Vec<Option<u64>> {
        if let Some(floats) = array.as_primitive_opt::<Float32Type>() {
            let bits = floats.iter().map(|x| x.map(|x| u64::from(x.to_bits())));
            return bits.collect();
        }
        let floats = array
            .as_primitive_opt::<Float64Type>()
            .into_iter()
            .flatten();
        floats.map(|x| x.map(f64::to_bits)).collect()
    };
    // Arrow holds values against each other, and where it may take two floats for equal their bits are looked at.
    one.columns() == other.columns()
        && one.columns().iter().zip(other.columns()).all(|(a, b)| {
            match (a.as_list_opt::<i32>(), b.as_list_opt::<i32>()) {
                (Some(a), Some(b)) => a.iter().zip(b.iter()).all(|lists| match lists {
                    (Some(a), Some(b)) => bits(&a) == bits(&b),
                    (a, b) => a.is_none() && b.is_none(),
                }),
                _ => bits(a) == bits(b),
            }
        })
}

/// Holds the file of these rows against parquet's, and what both are read as against the rows.
fn check(table: Table, rows: &RecordBatch, compress: Compress) -> Bytes {
    let num_rows = rows.num_rows();
    let theirs = by_parquet(table, rows, compress, num_rows);
    let ours = encode_part(&part_of(table, rows), compress, Vec::new()).unwrap();
    let ours = Bytes::from(ours.output);
    assert_same_footer(rows, &theirs, &ours);
    let groups = by_parquet(table, rows, compress, num_rows.div_ceil(3));
    for file in [&ours, &theirs] {
        assert!(has_bits_of(&decode(file), rows), "read by parquet");
        assert!(has_bits_of(&read(file, table), rows), "read by this crate");
    }
    assert!(has_bits_of(&read(&groups, table), rows), "of row groups");
    let last = rows.slice(num_rows - 1, 1);
    assert!(has_bits_of(&read_last(&ours, num_rows), &last), "the last");
    ours
}

fn assert_same_footer(rows: &RecordBatch, theirs: &Bytes, ours: &Bytes) {
    let (theirs_says, ours_says) = (metadata(theirs), metadata(ours));
    let (theirs_file, ours_file) = (theirs_says.file_metadata(), ours_says.file_metadata());
    assert_eq!(theirs_file.version(), ours_file.version());
    assert_eq!(theirs_file.num_rows(), ours_file.num_rows());
    assert_eq!(theirs_file.schema_descr(), ours_file.schema_descr());
    assert_eq!(theirs_file.column_orders(), ours_file.column_orders());
    assert_eq!(
        (theirs_says.num_row_groups(), ours_says.num_row_groups()),
        (1, 1)
    );
    let (theirs_group, ours_group) = (theirs_says.row_group(0), ours_says.row_group(0));
    assert_eq!(theirs_group.num_rows(), ours_group.num_rows());
    assert_eq!(theirs_group.sorting_columns(), ours_group.sorting_columns());
    assert_eq!(theirs_group.file_offset(), ours_group.file_offset());
    assert_eq!(theirs_group.ordinal(), ours_group.ordinal());
    let bytes = |file: &Bytes, chunk: &ColumnChunkMetaData| {
        let (start, length) = chunk.byte_range();
        file.slice(start as usize..(start + length) as usize)
    };
    let mut end = MAGIC.len() as i64;
    let mut total = 0;
    let columns = theirs_group.columns().iter().zip(ours_group.columns());
    for ((one, other), array) in columns.zip(rows.columns()) {
        let path = other.column_path().string();
        let first = other.data_page_offset();
        let first = first.min(other.dictionary_page_offset().unwrap_or(i64::MAX));
        assert_eq!(first, end, "{path}");
        end += other.compressed_size();
        total += other.uncompressed_size();
        assert_eq!(one.num_values(), other.num_values(), "{path}");
        assert_eq!(one.statistics(), other.statistics(), "{path}");
        assert_eq!(one.encodings_mask(), other.encodings_mask(), "{path}");
        if EqualLists::of(array).is_none() {
            assert_eq!(one.compression(), other.compression(), "{path}");
            let stats = (one.page_encoding_stats(), other.page_encoding_stats());
            assert_eq!(stats.0, stats.1, "{path}");
            assert_eq!(bytes(theirs, one), bytes(ours, other), "{path}");
        } else {
            let kinds = |chunk: &ColumnChunkMetaData| {
                let stats = chunk.page_encoding_stats().unwrap().iter();
                let kinds = stats.map(|stats| (stats.page_type, stats.encoding));
                kinds.collect::<Vec<_>>()
            };
            assert_eq!(kinds(one), kinds(other), "{path}");
            let counts = other.page_encoding_stats().unwrap().iter();
            let num_pages: i32 = counts.map(|stats| stats.count).sum();
            assert_eq!(num_pages as usize, pages(ours, &path).len(), "{path}");
        }
    }
    assert_eq!(ours_group.total_byte_size(), total);
}

/// Whether any page of a column is compressed.
fn is_any_compressed(file: &Bytes) -> bool {
    let metadata = metadata(file);
    let mut columns = metadata.row_group(0).columns().iter();
    columns.any(|column| column.compression() != parquet::basic::Compression::UNCOMPRESSED)
}

#[test]
fn files_of_short_lists_are_those_of_parquets_own_writer() {
    for table in Table::ALL {
        for lists in SHORT {
            for nulls in [Nulls::No, Nulls::Some, Nulls::All] {
                for digits in [Digits::All, Digits::Half] {
                    let rows = rows_of(table, lists, nulls, digits);
                    for (word, compress) in Compress::ALL {
                        let of = format!("{table}, {}, {nulls:?}, {digits:?}, {word}", lists.name);
                        let file = told(&of, || check(table, &rows, compress));
                        if compress == Compress::None {
                            assert!(!is_any_compressed(&file), "{of}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn files_of_long_lists_are_those_of_parquets_own_writer() {
    for table in Table::ALL {
        for (nth, lists) in LONG.into_iter().enumerate() {
            for (word, compress) in Compress::ALL {
                let (nulls, digits) = match (nth + word.len()) % 4 {
                    0 => (Nulls::Some, Digits::All),
                    1 => (Nulls::No, Digits::Half),
                    2 => (Nulls::Some, Digits::Half),
                    _ => (Nulls::No, Digits::All),
                };
                let rows = rows_of(table, lists, nulls, digits);
                let of = format!("{table}, {}, {nulls:?}, {digits:?}, {word}", lists.name);
                told(&of, || check(table, &rows, compress));
            }
        }
    }
}

/// Rows that somebody cut out of others: their arrays do not begin at the first value.
#[test]
fn rows_that_are_cut_out_of_others_are_written_as_if_they_were_alone() {
    for table in Table::ALL {
        for lists in SHORT.into_iter().filter(|lists| lists.num_rows > 1) {
            let rows = rows_of(table, lists, Nulls::Some, Digits::All);
            let cut = rows.slice(7, lists.num_rows - 20);
            let copied = cut.columns().iter().map(|array| {
                let indices = Int32Array::from_iter_values(0..cut.num_rows() as i32);
                arrow::compute::take(array, &indices, None).unwrap()
            });
            let alone = RecordBatch::try_new(cut.schema(), copied.collect()).unwrap();
            for (word, compress) in Compress::ALL {
                let of = format!("{table}, {}, {word}", lists.name);
                let [one, other] =
                    [&cut, &alone].map(|rows| told(&of, || check(table, rows, compress)));
                assert!(one == other, "{of}");
            }
        }
    }
}

/// Does something, and says of what where it panics.
fn told<T>(of: &str, check: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        eprintln!("this was of {of}");
        std::panic::resume_unwind(panic)
    })
}
