//! Files that ask for more than they have: few bytes that would become gigabytes.

use ::parquet::basic::ZstdLevel;
use arrow::array::{Float64Array, NullArray};

use super::*;

#[test]
fn what_gzip_packed_is_unpacked_only_so_far() {
    let files = Files::new();
    let zeros = vec![b'0'; 4 << 20];
    let csv = files.write("data.csv.gz", gzip(&[b"a,y\n", &zeros[..]].concat()));
    let said = files.refusal(&FileSpec::new(FileFormat::Csv, csv, &["y"]));
    assert_eq!(
        said,
        "data.csv.gz: gzip packed it to less than 1/100 of itself: if it is what it should be, unpack \
         it before"
    );
    let images = files.write(
        "images",
        gzip(&idx_bytes(&[1 << 6, 1 << 8, 1 << 8], &zeros)),
    );
    files.write("labels", idx_bytes(&[4], &[0, 1, 0, 1]));
    let said = files.refusal(&idx(images));
    assert!(said.contains("less than 1/100 of itself"), "{said}");
    // Small files are unpacked whatever they are.
    let rows = "0,0\n".repeat(10_000) + &"1,1\n".repeat(10_000);
    let mut encoder = GzEncoder::new(Vec::new(), GzipLevel::best());
    write!(encoder, "a,y\n{rows}").unwrap();
    let packed = encoder.finish().unwrap();
    assert!(packed.len() * 100 < rows.len());
    let csv = files.write("data.csv.gz", packed);
    load(&FileSpec::new(FileFormat::Csv, csv, &["y"]), 1).unwrap();
}

#[test]
fn images_and_tables_have_no_more_inputs_than_anybody_learns_from() {
    let files = Files::new();
    let images = idx_bytes(&[1, 1 << 11, 1 << 10], &vec![0; 1 << 21]);
    let images = files.write("images", images);
    files.write("labels", idx_bytes(&[1], &[0]));
    let said = files.refusal(&idx(images));
    assert_eq!(
        said,
        "images: an image of it has 2097152 values, more than 1048576"
    );
    let csv = files.csv(&format!("{}y\n", ",".repeat(1 << 20)), &["y"]);
    let said = files.refusal(&csv);
    assert_eq!(said, "data.csv: it has 1048577 columns, more than 1048576");
}

#[test]
fn a_category_a_sample_does_not_become_the_square_of_the_samples() {
    let files = Files::new();
    let rows: String = (0..20_000)
        .map(|row| format!("n{row},{}\n", row % 2))
        .collect();
    let spec = FileSpec {
        categorical: vec!["name".to_owned()],
        ..files.csv(&format!("name,y\n{rows}"), &["y"])
    };
    let said = files.refusal(&spec);
    assert_eq!(
        said,
        "data.csv, column \"name\": it has 20000 categories, each of which would become an input, and \
         all of them 400000000 values: --ignore name leaves it out"
    );
}

#[test]
fn parquet_has_no_more_values_than_its_bytes_can_mean() {
    let files = Files::new();
    let num_rows = 3_000_000;
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0; num_rows]));
    let nulls: ArrayRef = Arc::new(NullArray::new(num_rows));
    for input in [column, nulls] {
        let target: ArrayRef = Arc::new(Int64Array::from(vec![0; num_rows]));
        let columns = vec![("a", input), ("y", target)];
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let file = files.write("data.parquet", parquet_bytes(columns, zstd));
        let said = files.refusal(&FileSpec::new(FileFormat::Parquet, file, &["y"]));
        assert!(
            said.contains("its footer says that it has 6000000 values in"),
            "{said}"
        );
    }
}
