//! What recording cost.

use super::*;

#[test]
fn metrics_say_what_recording_cost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (_, summary) = final_parameters(&options(&path, Some(EVERYTHING)));
    let total = summary.recorded.unwrap().1.sink;

    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    let mut sums = std::collections::BTreeMap::<String, f64>::new();
    for file in catalog.files().filter(|f| f.table == "metrics") {
        let file = std::fs::File::open(path.join(file.path)).unwrap();
        for rows in ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap()
        {
            let rows = rows.unwrap();
            let names = rows["name"].as_string::<i32>();
            let values = rows["value"].as_primitive::<arrow::datatypes::Float64Type>();
            for (name, value) in names.iter().flatten().zip(values.values()) {
                *sums.entry(name.to_owned()).or_default() += value;
            }
        }
    }
    // Increments: they add up to the totals, save what the last publish itself cost.
    assert_eq!(sums["sink.num_captures"], 3.0);
    assert_eq!(sums["sink.num_parts"], total.num_parts as f64 - 1.0);
    assert!(sums["sink.publish_ms"] > 0.0 && sums["sink.publish_ms"] < total.publish_ms);
    assert!(sums["recorder.read_back_ms"] > 0.0);
    for name in [
        "recorder.hand_off_ms",
        "recorder.stall_ms",
        "recorder.rows_ms",
        "learning_rate",
    ] {
        assert!(sums.contains_key(name), "{name}");
    }
}
