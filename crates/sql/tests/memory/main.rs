//! What `--memory` allows is kept: analyses reserve what they hold, and then allocate it. Plans, which reserve
//! nothing, take next to nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

mod named;
mod planning;
mod wide;

use datafusion::prelude::DataFrame;
use futures::StreamExt;
use peak_alloc::PeakAlloc;
use sql::{QueryError, QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use wide::Width;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What planning, reading files and decoding batches may take beside what is reserved.
const BESIDE: usize = 12 << 20;

struct Case {
    query: &'static str,
    arguments: &'static [(&'static str, &'static str)],
    width: Width,
    /// Less than what is needed.
    too_few: usize,
    /// As many bytes as are enough.
    enough: usize,
}

const WIDTH: Width = Width {
    inputs: 8,
    neurons: 8,
    samples: 256,
    classes: 4,
    epochs: 1,
};

const CASES: [Case; 6] = [
    // A draw holds 1,024 samples with their classes, 8 bytes each.
    Case {
        query: "structure_scores",
        arguments: &[("permutations", "0"), ("bootstraps", "5000")],
        width: Width {
            neurons: 2,
            samples: 1024,
            ..WIDTH
        },
        too_few: 4 << 20,
        enough: 128 << 20,
    },
    // 256 neurons times 200 classes have scores, and places among the strongest of each draw.
    Case {
        query: "structure_scores",
        arguments: &[
            ("top", "all"),
            ("permutations", "20"),
            ("bootstraps", "5"),
            ("size", "10000"),
        ],
        width: Width {
            neurons: 256,
            classes: 200,
            ..WIDTH
        },
        too_few: 1 << 20,
        enough: 64 << 20,
    },
    // 1,200 neurons are 719,400 pairs.
    Case {
        query: "coactivation",
        arguments: &[("top", "1000000")],
        width: Width {
            neurons: 1200,
            samples: 8,
            ..WIDTH
        },
        too_few: 16 << 20,
        enough: 64 << 20,
    },
    // Each output has 200 times 200 chains.
    Case {
        query: "strongest_paths",
        arguments: &[("top", "1000000")],
        width: Width {
            inputs: 200,
            neurons: 200,
            ..WIDTH
        },
        too_few: 6 << 20,
        enough: 64 << 20,
    },
    // A probe's design has 17 columns and 2,000 rows of 64-bit floats.
    Case {
        query: "linear_probe",
        arguments: &[("class", "1")],
        width: Width {
            neurons: 16,
            samples: 2000,
            ..WIDTH
        },
        too_few: 512 << 10,
        enough: 64 << 20,
    },
    // Five forests of 500 trees.
    Case {
        query: "meta_model",
        arguments: &[("trees", "500")],
        width: Width {
            neurons: 6,
            ..WIDTH
        },
        too_few: 4 << 20,
        enough: 256 << 20,
    },
];

fn session(dir: &TempDir, memory_bytes: Option<usize>) -> QuerySession {
    let run = Run::open(&dir.path().join("run")).unwrap();
    let options = SessionOptions {
        target_partitions: Some(2),
        memory_bytes,
        ..SessionOptions::default()
    };
    run.session(options).unwrap()
}

/// Counts the rows of a named query's answer, and the bytes that were allocated at most at a time.
async fn ask(
    dir: &TempDir,
    case: &Case,
    memory_bytes: usize,
) -> (Result<usize, QueryError>, usize) {
    let session = session(dir, Some(memory_bytes));
    let arguments = case.arguments.iter();
    let arguments: Vec<(String, String)> = arguments
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let rows = count(session.named(case.query, &arguments).await).await;
    (rows, HEAP.peak_usage().saturating_sub(before))
}

/// How many rows an answer has, none of which is kept.
async fn count(rows: Result<DataFrame, QueryError>) -> Result<usize, QueryError> {
    let mut batches = rows?.execute_stream().await?;
    let mut num_rows = 0;
    while let Some(batch) = batches.next().await {
        num_rows += batch?.num_rows();
    }
    Ok(num_rows)
}

/// One test, since the heap is the process's: what is held is measured of one after the other.
#[tokio::test]
async fn what_is_allowed_is_kept() {
    planning::a_scan_costs_next_to_nothing_a_file().await;
    analyses_keep_to_the_memory_that_they_are_given().await;
    named::every_named_query_answers_or_says_what_to_do().await;
    named::a_named_query_spills().await;
}

async fn analyses_keep_to_the_memory_that_they_are_given() {
    for case in &CASES {
        let dir = TempDir::new().unwrap();
        wide::write(&dir.path().join("run"), case.width).unwrap();
        let told = format!("{} {:?}", case.query, case.arguments);

        let (rows, held) = ask(&dir, case, case.too_few).await;
        let Err(QueryError::Resources(error)) = rows else {
            panic!("{told}: {rows:?}");
        };
        // It is the analysis that has no room, and not what comes after it.
        assert!(error.contains(case.query), "{told}: {error}");
        assert!(
            held < case.too_few + BESIDE,
            "{told}: {held} bytes held with {} allowed",
            case.too_few
        );

        let (rows, held) = ask(&dir, case, case.enough).await;
        assert!(
            rows.as_ref().is_ok_and(|rows| *rows > 0),
            "{told}: {rows:?}"
        );
        assert!(
            held < case.enough + BESIDE,
            "{told}: {held} bytes held with {} allowed",
            case.enough
        );
    }
}
