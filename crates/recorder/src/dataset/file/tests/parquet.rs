//! Parquet.

use arrow::array::{BooleanArray, DictionaryArray, Float64Array, ListArray};
use arrow::datatypes::{Float32Type, Int32Type};

use super::*;

#[test]
fn parquet_says_the_same_as_csv_whatever_its_types_and_compression() {
    let files = Files::new();
    let csv = "a,b,c,y\n1,0.5,true,no\n-2,1.5,false,yes\n3,2.5,true,no\n4,-1,false,yes\n";
    let from_csv = load(&files.csv(csv, &["y"]), 1).unwrap();
    let kinds: DictionaryArray<Int32Type> = ["no", "yes", "no", "yes"].into_iter().collect();
    let texts = StringArray::from(vec!["no", "yes", "no", "yes"]);
    let targets: [ArrayRef; 2] = [Arc::new(kinds), Arc::new(texts)];
    let codecs = [Compression::SNAPPY, Compression::LZ4_RAW];
    for (target, compression) in targets.into_iter().zip(codecs) {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Int64Array::from(vec![1, -2, 3, 4]))),
            ("b", Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5, -1.0]))),
            (
                "c",
                Arc::new(BooleanArray::from(vec![true, false, true, false])),
            ),
            ("y", target),
        ];
        let file = files.write("data.parquet", parquet_bytes(columns, compression));
        let spec = FileSpec::new(FileFormat::Parquet, file, &["y"]);
        let dataset = load(&spec, 1).unwrap();
        assert_eq!(dataset.held_out(), from_csv.held_out());
        assert_eq!(trained_on(&dataset), trained_on(&from_csv));
        assert_eq!(dataset.class_names(), ["no", "yes"]);
    }
}

#[test]
fn parquet_that_cannot_be_learned_from_is_refused_with_row_column_and_reason() {
    let files = Files::new();
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
    let refusal = |bytes: Vec<u8>| {
        let file = files.write("data.parquet", bytes);
        files.refusal(&FileSpec::new(FileFormat::Parquet, file, &["y"]))
    };
    let of_input = |input: ArrayRef| {
        let columns = vec![("a", input), ("y", Arc::clone(&ones))];
        refusal(parquet_bytes(columns, Compression::UNCOMPRESSED))
    };
    assert_eq!(
        of_input(Arc::new(Float64Array::from(vec![Some(1.0), None]))),
        "data.parquet, row 1 (from 0), column \"a\": it is null (1 of 2 samples lack it): --missing \
         drop leaves such samples out, --missing mean puts the mean of the samples that are trained \
         on in their place"
    );
    assert_eq!(
        of_input(Arc::new(Float64Array::from(vec![f64::NAN, 1.0]))),
        "data.parquet, row 0 (from 0), column \"a\": NaN stands for a missing value (1 of 2 samples \
         lack it): --missing drop leaves such samples out, --missing mean puts the mean of the \
         samples that are trained on in their place"
    );
    assert_eq!(
        of_input(Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0]))),
        "data.parquet, row 0 (from 0), column \"a\": inf is not finite, or too large for a 32-bit \
         float"
    );
    assert_eq!(
        of_input(Arc::new(StringArray::from(vec!["1", "2"]))),
        "data.parquet, column \"a\": it is of type Utf8, inputs are numbers: --categorical a takes it \
         as categories (--categorical alone every column of texts), --ignore a leaves it out"
    );
    let lists = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0)]); 2]);
    let list: ArrayRef = Arc::new(lists);
    assert!(of_input(Arc::clone(&list)).contains("inputs are numbers"));
    let columns = vec![("a", Arc::clone(&ones)), ("y", list)];
    let of_target = refusal(parquet_bytes(columns, Compression::UNCOMPRESSED));
    assert!(
        of_target.contains("what is predicted are numbers or texts"),
        "{of_target}"
    );
    let without = refusal(parquet_bytes(vec![("a", ones)], Compression::UNCOMPRESSED));
    assert!(without.contains("there is no column \"y\""), "{without}");
    let not_parquet = refusal(b"a,y\n1,0\n".to_vec());
    assert!(not_parquet.starts_with("data.parquet: "), "{not_parquet}");
}
