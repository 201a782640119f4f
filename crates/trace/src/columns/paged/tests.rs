use arrow::array::{AsArray, Float32Array, Int32Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;

use super::super::read::tests::{batch, file, list_of, written};
use super::*;

fn metadata(file: &Arc<Bytes>) -> Arc<ParquetMetaData> {
    let reader = ParquetMetaDataReader::new();
    Arc::new(reader.parse_and_finish(file.as_ref()).unwrap())
}

/// Numbers, the same with nulls, and the lists.
fn rows_of(lists: &[Option<Vec<f32>>]) -> RecordBatch {
    let numbers = 0..lists.len() as i32;
    let some = numbers.clone().map(|n| (n % 3 != 0).then_some(n as f32));
    batch(vec![
        ("n", false, Arc::new(Int32Array::from_iter_values(numbers))),
        ("bias", true, Arc::new(some.collect::<Float32Array>())),
        ("lists", true, Arc::new(list_of(lists))),
    ])
}

/// The values are all different.
fn lists_of(lengths: impl IntoIterator<Item = usize>) -> Vec<Option<Vec<f32>>> {
    let mut next = 0;
    let lists = lengths.into_iter().map(|length| {
        next += length;
        Some((next - length..next).map(|n| n as f32).collect())
    });
    lists.collect()
}

/// A file whose lists are all in byte planes, a few to a page.
fn byte_planes(rows: &RecordBatch) -> Arc<Bytes> {
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::BYTE_STREAM_SPLIT)
        .set_data_page_row_count_limit(4)
        .set_write_batch_size(4);
    written(rows, properties)
}

fn read(
    file: &Arc<Bytes>,
    rows: &RecordBatch,
    wanted: Option<&[bool]>,
    batch_rows: usize,
) -> Option<Vec<RecordBatch>> {
    let (metadata, columns) = (metadata(file), rows.schema());
    let indices: Vec<usize> = (0..columns.fields().len()).collect();
    let num_rows = num_rows_of_one(&metadata, &indices, &columns)?;
    assert_eq!(num_rows, rows.num_rows());
    let of = (&indices[..], &columns);
    let wanted = wanted.map(BooleanBuffer::from);
    let some = PagedRows::try_new(Arc::clone(file), metadata, of, num_rows, wanted, batch_rows);
    Some(some.unwrap().collect::<Result<Vec<_>>>().unwrap())
}

fn expected(rows: &RecordBatch, wanted: Option<&[bool]>) -> RecordBatch {
    match wanted {
        None => rows.clone(),
        Some(wanted) => filter_record_batch(rows, &BooleanArray::from(wanted.to_vec())).unwrap(),
    }
}

#[test]
fn pages_without_a_row_that_is_wanted_are_passed_over() {
    let rows = rows_of(&lists_of([2; 12]));
    let file = file(&rows, 4, WriterVersion::PARQUET_2_0);
    let mut wanted = [false; 12];
    // Of the second page the last row, and of the last one the first.
    (wanted[7], wanted[8]) = (true, true);
    let read = read(&file, &rows, Some(&wanted), 4).unwrap();
    let numbers = read
        .iter()
        .map(|batch| batch.column(0).as_primitive::<Int32Type>().values());
    assert_eq!(numbers.collect::<Vec<_>>(), [&[7][..], &[8]]);
    let all = concat_batches(&rows.schema(), &read).unwrap();
    assert_eq!(all, expected(&rows, Some(&wanted)));

    let metadata = metadata(&file);
    let chunk = Chunk::new(&file, metadata.row_group(0), 2, 12);
    let mut pages = ListPages::new(chunk.pages().unwrap(), 2);
    let mut values = Vec::new();
    let wanted = BooleanBuffer::from(&wanted[..]);
    assert!(pages.append(0..6, Some(&wanted), &mut values).unwrap());
    // The page was decoded for its last row, which is not asked for yet.
    assert_eq!((values.len(), pages.decoded.0.clone()), (0, 4..8));
    assert!(pages.append(6..12, Some(&wanted), &mut values).unwrap());
    assert_eq!(values, [14.0, 15.0, 16.0, 17.0]);
    assert_eq!(pages.decoded.0, 8..12);
}

#[test]
fn a_page_that_is_passed_over_may_go_on_in_the_next_batch() {
    let rows = rows_of(&lists_of([1; 12]));
    let file = file(&rows, 2, WriterVersion::PARQUET_2_0);
    let mut wanted = [false; 12];
    (wanted[0], wanted[6]) = (true, true);
    let read = read(&file, &rows, Some(&wanted), 5).unwrap();
    let all = concat_batches(&rows.schema(), &read).unwrap();
    assert_eq!(all, expected(&rows, Some(&wanted)));
}

#[test]
fn several_lists_of_different_lengths_are_read_side_by_side() {
    let lists = |length: usize| -> ArrayRef { Arc::new(list_of(&lists_of([length; 30]))) };
    let rows = batch(vec![("short", true, lists(1)), ("long", true, lists(7))]);
    let file = file(&rows, 4, WriterVersion::PARQUET_2_0);
    // The encoding is chosen by the column's name in `file`: these have another.
    assert_eq!(read(&file, &rows, None, 8), None);

    let metadata = metadata(&byte_planes(&rows));
    assert!(num_rows_of_one(&metadata, &[0, 1], &rows.schema()).is_some());
    for wanted in [None, Some([false, false, true].repeat(10))] {
        let wanted = wanted.as_deref();
        let read = read(&byte_planes(&rows), &rows, wanted, 8).unwrap();
        let all = concat_batches(&rows.schema(), &read).unwrap();
        assert_eq!(all, expected(&rows, wanted));
    }
}

#[test]
fn row_groups_of_very_many_rows_are_left_to_others() {
    for (num_rows, is_read) in [(MAX_ROWS, true), (MAX_ROWS + 1, false)] {
        let numbers = Int32Array::from_iter_values(0..num_rows as i32);
        let rows = batch(vec![("n", false, Arc::new(numbers))]);
        let file = file(&rows, 1000, WriterVersion::PARQUET_2_0);
        let read = read(&file, &rows, None, 8192);
        let num_read = read.map(|read| read.iter().map(RecordBatch::num_rows).sum::<usize>());
        assert_eq!(num_read, is_read.then_some(num_rows));
    }
}

#[test]
fn rows_without_columns_are_counted() {
    let rows = rows_of(&lists_of([2; 12]));
    let file = file(&rows, 4, WriterVersion::PARQUET_2_0);
    let columns = Arc::new(rows.schema().project(&[]).unwrap());
    let of = (&[][..], &columns);
    let read = PagedRows::try_new(Arc::clone(&file), metadata(&file), of, 12, None, 5).unwrap();
    let counts = read.map(|batch| batch.unwrap().num_rows());
    assert_eq!(counts.collect::<Vec<_>>(), [5, 5, 2]);
}

#[test]
fn lists_of_another_kind_are_left_to_others_or_decoded_at_once() {
    // In pages of another encoding.
    let equal = rows_of(&lists_of([2; 12]));
    let plain = file(&equal, 3, WriterVersion::PARQUET_1_0);
    assert_eq!(read(&plain, &equal, None, 4), None);
    // Of lengths that cannot be one.
    let unequal = rows_of(&lists_of([2, 3, 2]));
    let of_lengths = file(&unequal, 2, WriterVersion::PARQUET_2_0);
    assert_eq!(read(&of_lengths, &unequal, None, 2), None);
    // Of lengths that could be one, and of nulls.
    for lists in [
        lists_of([2, 2, 2, 1, 3, 2]),
        vec![None, None, None, None],
        vec![
            Some(vec![1.0, 2.0]),
            None,
            Some(vec![3.0, 4.0]),
            Some(vec![5.0, 6.0]),
        ],
    ] {
        let rows = rows_of(&lists);
        let file = file(&rows, 2, WriterVersion::PARQUET_2_0);
        if let Some(read) = read(&file, &rows, None, 2) {
            assert_eq!(read.len(), rows.num_rows().div_ceil(2));
            assert_eq!(concat_batches(&rows.schema(), &read).unwrap(), rows);
        }
    }
}

#[test]
fn a_filter_that_says_nothing_or_holds_for_all_leaves_all() {
    let rows = rows_of(&lists_of([1; 3]));
    let holds = |holds: Option<Vec<Option<bool>>>| {
        let filter = RowFilter::new(vec![0], move |_| holds.clone().map(BooleanArray::from));
        filter
            .wanted(&rows)
            .map(|wanted| wanted.iter().collect::<Vec<_>>())
    };
    assert_eq!(holds(None), None);
    assert_eq!(holds(Some(vec![Some(true); 3])), None);
    // Of other rows, and where it does not bear them.
    assert_eq!(holds(Some(vec![Some(false); 2])), None);
    let panics = RowFilter::new(vec![0], |_| panic!("this one cannot"));
    assert_eq!(panics.wanted(&rows), None);
    let some = holds(Some(vec![Some(true), None, Some(false)]));
    assert_eq!(some, Some(vec![true, false, false]));
}

proptest! {
    #[test]
    fn as_a_row_group_that_is_read_at_once(
        length in 1_usize..7,
        wanted in prop::collection::vec(prop::bool::weighted(0.15), 1..60),
        are_all in prop::bool::weighted(0.2),
        page_rows in 1_usize..9,
        batch_rows in 1_usize..30,
    ) {
        let rows = rows_of(&lists_of(vec![length; wanted.len()]));
        let file = file(&rows, page_rows, WriterVersion::PARQUET_2_0);
        let wanted = Some(&wanted[..]).filter(|_| !are_all);
        let read = read(&file, &rows, wanted, batch_rows).unwrap();
        prop_assert!(read.iter().all(|batch| (1..=batch_rows).contains(&batch.num_rows())));
        let read = concat_batches(&rows.schema(), &read).unwrap();
        prop_assert_eq!(read, expected(&rows, wanted));
    }
}
