//! The threads that make rows and encode them: one part at a time, from the channel into the staging
//! directory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use trace::{Compress, EncodeError, Part, RunDir, StagedPart, Staging, encode_part};

use crate::error::{SinkError, explain};
use crate::make_part::{Made, MakePart};
use crate::messages::{Event, Job};
use crate::shared::Shared;
use crate::sync::channel::{Receiver, Sender};
use crate::sync::{Arc, Instant};

/// Makes the parts of each job, one after the other, and gives them to `write`, until the channel is closed and empty.
/// After a failure the jobs are only taken away, so that nobody waits for room in vain.
pub(crate) fn run(
    jobs: &Receiver<Job>,
    events: &Sender<Event>,
    shared: &Shared,
    write: impl Fn(Part) -> Result<StagedPart, SinkError>,
) {
    let tell = |event: Event| {
        events
            .send(event)
            .expect("the publisher receives until all workers are gone");
    };
    for Job {
        capture,
        number,
        num_parts,
        part,
        permit,
    } in jobs
    {
        let mut left = Some((part, permit));
        let mut numbers = number..number + num_parts;
        while let Some((part, mut permit)) = left.take() {
            if shared.failure().is_some() {
                break;
            }
            let result = catch_unwind(AssertUnwindSafe(|| {
                let mut part = part;
                part.wait();
                let start = Instant::now();
                let number = numbers.next();
                let Made { part, rest } = make(part, &shared.run, !numbers.is_empty())?;
                let number = number.expect("there is one where something is left");
                shared.counters.add_make(start.elapsed());
                if rest.is_none() {
                    // What the rows were made of is gone.
                    permit.shrink_to(part.memory_bytes());
                }
                let start = Instant::now();
                let table = part.path.table;
                Ok((number, table, write(part)?, start.elapsed(), rest))
            }))
            .unwrap_or_else(|payload| Err(SinkError::panicked(&*payload)));
            match result {
                Ok((number, table, part, time, rest)) => {
                    // The rows are gone; the room goes before the publisher is waited for.
                    left = rest.map(|rest| (rest, permit));
                    let (rows, bytes) = (part.entry().rows, part.entry().bytes);
                    shared.counters.add_part(table, rows, bytes, time);
                    tell(Event::Staged {
                        capture,
                        number,
                        part,
                    });
                }
                Err(error) => {
                    drop(permit);
                    shared.fail(error);
                    tell(Event::Failed);
                }
            }
        }
    }
}

/// A part as rows, and what makes the next one, if there is to be one.
fn make(part: Box<dyn MakePart>, run: &RunDir, has_rest: bool) -> Result<Made, SinkError> {
    let path = part.path().clone();
    let made = part
        .make()
        .and_then(|made| match made.rest.is_some() == has_rest {
            true => Ok(made),
            // A capture would be waited for that is never whole, or be committed before it is.
            false => Err("it is not as many parts as were announced".into()),
        });
    made.map_err(|source| SinkError::MakePart {
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
