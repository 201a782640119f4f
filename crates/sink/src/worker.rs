//! The threads that make rows and encode them: one part at a time, from the channel into the staging
//! directory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use trace::{Compress, EncodeError, Part, RunDir, StagedPart, Staging, encode_part};

use crate::error::{SinkError, explain};
use crate::make_part::MakePart;
use crate::messages::{Event, Job};
use crate::shared::Shared;
use crate::sync::channel::{Receiver, Sender};
use crate::sync::{Arc, Instant};

/// Makes each part and gives it to `write`, until the channel is closed and empty. After a failure the
/// jobs are only taken away, so that nobody waits for room in vain.
pub(crate) fn run(
    jobs: &Receiver<Job>,
    events: &Sender<Event>,
    shared: &Shared,
    write: impl Fn(Part) -> Result<StagedPart, SinkError>,
) {
    for Job {
        capture,
        number,
        part,
        mut permit,
    } in jobs
    {
        if shared.failure().is_some() {
            continue;
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            let start = Instant::now();
            let part = make(part, &shared.run)?;
            shared.counters.add_make(start.elapsed());
            // What the rows were made of is gone.
            permit.shrink_to(part.memory_bytes());
            let start = Instant::now();
            let table = part.path.table;
            Ok((table, write(part)?, start.elapsed()))
        }))
        .unwrap_or_else(|payload| Err(SinkError::panicked(&*payload)));
        // The rows are gone; the room goes before the publisher is waited for.
        drop(permit);
        let event = match result {
            Ok((table, part, time)) => {
                let (rows, bytes) = (part.entry().rows, part.entry().bytes);
                shared.counters.add_part(table, rows, bytes, time);
                Event::Staged {
                    capture,
                    number,
                    part,
                }
            }
            Err(error) => {
                shared.fail(error);
                Event::Failed
            }
        };
        events
            .send(event)
            .expect("the publisher receives until all workers are gone");
    }
}

/// A part as rows.
fn make(part: Box<dyn MakePart>, run: &RunDir) -> Result<Part, SinkError> {
    let path = part.path().clone();
    part.make().map_err(|source| SinkError::MakePart {
        path: run.path().join(path.to_string()),
        source: source.into(),
    })
}

/// Encodes a part into the staging directory, and syncs it where each file is synced by itself.
pub(crate) fn write_part(
    part: &Part,
    staging: &Staging,
    run: &RunDir,
    compress: Compress,
) -> Result<StagedPart, SinkError> {
    let path = || run.path().join(part.path.to_string());
    // What its rows hold is about the most that they take as a file.
    let explain = |error| explain(run, error, Some(part.memory_bytes()));
    let writer =
        staging
            .create_part(part.path.clone())
            .map_err(|source| SinkError::CreatePart {
                path: path(),
                source: Arc::new(explain(source)),
            })?;
    encode_part(part, compress, writer)
        .and_then(|writer| {
            let staged = writer.finish(part.rows.num_rows() as u64);
            staged.map_err(EncodeError::Io)
        })
        .map_err(|source| SinkError::WritePart {
            path: path(),
            source: Arc::new(match source {
                EncodeError::Io(error) => EncodeError::Io(explain(error)),
                other => other,
            }),
        })
}
