use std::io::{self, BufRead as _, BufReader, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use serde_json::{Value, json};
use trace::{Catalog, Part, Rank, RunDir};

use crate::on_commit::OnCommit;
use crate::testing::{capture, capture_parts, create_run, metrics_rows, part_path};
use crate::{Resume, Sink, SinkOptions};

fn start(run: &RunDir, on_commit: OnCommit, resume: Option<Resume>) -> Sink {
    let options = SinkOptions {
        on_commit: Some(on_commit),
        resume,
        ..SinkOptions::default()
    };
    Sink::start(run, options).unwrap()
}

fn record(sink: &Sink, epoch: i32) {
    let mut open = sink.begin(Some(capture(epoch)));
    for (path, rows) in capture_parts(epoch) {
        open.send(Part { path, rows }).unwrap();
    }
    open.end().unwrap();
}

/// The lines that were written, without their times, which are there.
fn told(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        line
    });
    lines.collect()
}

fn line(number: u64, epochs: &[i32], files: usize, retired: usize, is_final: bool) -> Value {
    let captures = epochs.iter().map(|epoch| {
        let id = capture(*epoch);
        json!({"epoch": id.epoch.0, "step": id.step.0})
    });
    json!({
        "number": number, "rank": 0, "captures": captures.collect::<Vec<_>>(), "files": files,
        "retired": retired, "final": is_final,
    })
}

#[test]
fn every_commit_is_a_line_of_the_file_before_a_flush_returns() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let file = dir.path().join("commits.jsonl");
    let text = || std::fs::read_to_string(&file).unwrap();
    let sink = start(&run, OnCommit::append_to(&file).unwrap(), None);
    for epoch in 0..2 {
        record(&sink, epoch);
        sink.flush().unwrap();
        assert_eq!(text().lines().count(), epoch as usize + 1);
    }
    sink.finish().unwrap();
    let session = [
        line(0, &[0], 3, 0, false),
        line(1, &[1], 3, 0, false),
        line(2, &[], 0, 0, true),
    ];
    assert_eq!(told(&text()), session);

    // Gone on with: the record that takes a capture back is told as well, behind what was told before.
    let lock = Arc::new(run.lock_writer(Rank(0)).unwrap());
    let catalog = Catalog::load(&run).unwrap();
    let of_last = catalog.files().filter(|file| file.epoch == 1);
    let retired = of_last.map(|file| file.path.to_owned()).collect();
    let resume = Some(Resume { lock, retired });
    let sink = start(&run, OnCommit::append_to(&file).unwrap(), resume);
    let mut last = sink.begin(None);
    let mut path = part_path(trace::Table::Metrics, 0, None);
    path.sequence = 1;
    let rows = metrics_rows(0, &[("loss", 1.0)]);
    last.send(Part { path, rows }).unwrap();
    last.end().unwrap();
    sink.finish().unwrap();
    let lines = told(&text());
    assert_eq!(lines[..3], session);
    assert_eq!(lines[3], line(3, &[], 0, 3, false));
    assert_eq!(lines[4]["files"], 1);
    assert_eq!(lines.last().unwrap()["final"], true);
}

#[test]
fn what_is_told_is_committed_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let (sender, seen) = mpsc::channel();
    let opened = run.clone();
    let on_commit = OnCommit::new(move |record| {
        let catalog = Catalog::load(&opened).unwrap();
        let commits = catalog.commits().iter().map(|commit| commit.number);
        sender.send((record.number, commits.max())).unwrap();
    });
    let sink = start(&run, on_commit, None);
    for epoch in 0..5 {
        record(&sink, epoch);
        sink.flush().unwrap();
    }
    sink.finish().unwrap();
    let seen: Vec<_> = seen.iter().collect();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|(told, last)| Some(*told) == *last));
}

#[test]
fn a_reader_that_goes_away_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let (reader, writer) = std::io::pipe().unwrap();
    let sink = start(&run, OnCommit::lines(writer), None);
    record(&sink, 0);
    sink.flush().unwrap();
    let mut lines = BufReader::new(reader).lines();
    assert_eq!(
        told(&lines.next().unwrap().unwrap()),
        [line(0, &[0], 3, 0, false)]
    );
    drop(lines);
    for epoch in 1..4 {
        record(&sink, epoch);
        sink.flush().unwrap();
    }
    assert_eq!(sink.finish().unwrap().stats.num_captures, 4);
    assert_eq!(Catalog::load(&run).unwrap().captures().len(), 4);
}

#[test]
fn lines_that_cannot_be_written_are_given_up_once() {
    /// Counts how often it is tried.
    struct Full(Arc<AtomicUsize>);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let num_tries = Arc::new(AtomicUsize::new(0));
    let full = Full(Arc::clone(&num_tries));
    let sink = start(&run, OnCommit::lines(full), None);
    for epoch in 0..3 {
        record(&sink, epoch);
        sink.flush().unwrap();
    }
    sink.finish().unwrap();
    assert_eq!(num_tries.load(Ordering::Relaxed), 1);
    assert_eq!(Catalog::load(&run).unwrap().captures().len(), 3);
}
