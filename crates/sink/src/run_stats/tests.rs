use super::*;
use crate::testing::{HIDDEN, OUTPUT, capture, capture_parts, create_run};
use crate::{Part, Sink, SinkOptions};

#[test]
fn rows_files_and_bytes_are_counted_by_table_and_layer() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    assert_eq!(run_stats(&run).unwrap().epochs, None);

    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    for epoch in 2..5 {
        let mut open = sink.begin(Some(capture(epoch)));
        for (path, rows) in capture_parts(epoch) {
            open.send(Part { path, rows }).unwrap();
        }
        open.end().unwrap();
    }
    sink.finish().unwrap();

    let stats = run_stats(&run).unwrap();
    assert_eq!((stats.num_captures, stats.epochs), (3, Some((2, 4))));
    // The size as the file system says it.
    let on_disk = |table: &str, layer: &str| -> u64 {
        (2..5)
            .map(|epoch| {
                let step = 24 * (epoch + 1);
                let path = format!("{table}/epoch={epoch}/{layer}step-{step}-r0-g0.parquet");
                std::fs::metadata(run.path().join(path)).unwrap().len()
            })
            .sum()
    };
    let hidden = on_disk("weights", "layer=L_hidden_1/");
    let output = on_disk("weights", "layer=L_output/");
    let metrics = on_disk("metrics", "");
    let entry = |table: &str, layer: Option<&str>, num_rows, bytes, num_weights| TableStats {
        table: table.to_owned(),
        layer: layer.map(str::to_owned),
        amount: Amount {
            num_files: 3,
            num_rows,
            bytes,
        },
        num_weights,
    };
    assert_eq!(
        stats.tables,
        [
            // 4 neurons of 3 weights and 2 of 4, three times.
            entry("weights", Some(HIDDEN), 12, hidden, Some(36)),
            entry("weights", Some(OUTPUT), 6, output, Some(24)),
            entry("metrics", None, 6, metrics, None),
        ]
    );
    assert_eq!(
        stats.tables[1].bytes_per_weight(),
        Some(output as f64 / 24.0)
    );
    assert_eq!(stats.tables[2].bytes_per_weight(), None);
    assert_eq!(
        stats.total,
        Amount {
            num_files: 9,
            num_rows: 24,
            bytes: hidden + output + metrics
        }
    );
}
