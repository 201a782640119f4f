//! Captures, from those who send them over the workers to their commits.

use std::io;

use trace::{Operation, Point, Subject};

use crate::disk::{ModelDisk, Wrong};
use crate::error::SinkError;
use crate::explore::explore;
use crate::sink::Closing;
use crate::story::{How, Story, choose, part_bytes};
use crate::sync::{Fault, break_down, limit_channels};

/// Interleavings of each check, and of each that has to notice something.
const NUMBER: usize = 60;

/// Messages that a channel holds.
const CAPACITY: usize = 2;

const NUM_PARTS: usize = 2;

fn well(_part: usize) -> How {
    How::Well
}

/// Four captures, of which the third may not end, and perhaps a flush.
fn recorded() {
    record_four(choose(5));
}

fn recorded_without_flush() {
    record_four(usize::MAX);
}

fn record_four(flushed: usize) {
    limit_channels(CAPACITY);
    let story = Story::begin(ModelDisk::default());
    let sink = story.sink(None);
    let is_abandoned = choose(2) == 0;
    let mut ended = Vec::new();
    for epoch in 0..4 {
        if epoch == 2 && is_abandoned {
            Story::abandon(&sink, epoch, 1).unwrap();
        } else {
            Story::record(&sink, epoch, NUM_PARTS, well).unwrap();
            ended.push(epoch);
        }
        if epoch as usize == flushed {
            story.flush(&sink, &ended).unwrap();
        }
    }
    story.finish(sink, &ended, NUM_PARTS);
    assert_eq!(story.is_finished(), !is_abandoned);
}

#[test]
fn captures_are_committed_whole_and_in_the_order_in_which_they_were_handed_over() {
    explore(NUMBER, recorded);
}

#[test]
#[should_panic(expected = "a broken promise")]
fn another_order_is_noticed() {
    break_down(Fault::Numbers);
    explore(NUMBER, recorded);
}

#[test]
#[should_panic(expected = "a broken promise")]
fn a_message_that_is_lost_is_noticed() {
    break_down(Fault::Loss);
    explore(NUMBER, recorded_without_flush);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_message_that_wakes_nobody_is_noticed() {
    break_down(Fault::Send);
    explore(NUMBER, recorded);
}

#[test]
#[should_panic(expected = "deadlock")]
fn an_end_that_wakes_nobody_is_noticed() {
    break_down(Fault::Disconnect);
    explore(NUMBER, recorded);
}

/// Two captures, on a disk that lies about one operation.
fn recorded_on_a_liar(operation: Operation, subject: Subject) {
    let wrong = (
        Point { operation, subject },
        Wrong::Lies,
        io::ErrorKind::Other,
    );
    let story = Story::begin(ModelDisk { wrong: Some(wrong) });
    let sink = story.sink(None);
    for epoch in 0..2 {
        Story::record(&sink, epoch, NUM_PARTS, well).unwrap();
    }
    story.finish(sink, &[0, 1], NUM_PARTS);
}

#[test]
#[should_panic(expected = "is not there")]
fn a_file_that_is_told_and_is_not_there_is_noticed() {
    explore(1, || recorded_on_a_liar(Operation::Rename, Subject::Part));
}

#[test]
#[should_panic(expected = "a broken promise")]
fn a_commit_that_is_told_before_it_is_one_is_noticed() {
    explore(1, || recorded_on_a_liar(Operation::Link, Subject::Record));
}

/// A capture of more parts than any queue has room for, each larger than the channel or not, and one after it.
fn of_many_parts() {
    limit_channels(CAPACITY);
    let story = Story::begin(ModelDisk::default());
    let sink = story.sink(None);
    for epoch in 0..2 {
        Story::record(&sink, epoch, 3 * CAPACITY, well).unwrap();
    }
    story.finish(sink, &[0, 1], 3 * CAPACITY);
}

#[test]
fn neither_the_queue_of_staged_parts_nor_the_budget_stops_a_large_capture() {
    explore(NUMBER, of_many_parts);
}

#[test]
#[should_panic(expected = "deadlock")]
fn room_that_wakes_nobody_is_noticed() {
    break_down(Fault::Receive);
    explore(NUMBER, of_many_parts);
}

#[test]
#[should_panic(expected = "deadlock")]
fn bytes_that_wake_nobody_are_noticed() {
    break_down(Fault::Condvar);
    explore(NUMBER, of_many_parts);
}

/// A worker fails with one of the parts, in any way.
fn a_worker_fails() {
    fail_a_worker(choose(4));
}

fn a_worker_fails_without_flush() {
    fail_a_worker(usize::MAX);
}

fn fail_a_worker(flushed: usize) {
    limit_channels(CAPACITY);
    let mut story = Story::begin(ModelDisk::default());
    let bad = (choose(3) as i32, choose(NUM_PARTS));
    let how = [How::NoRows, How::Panics, How::NoRoom][choose(3)];
    if how == How::NoRoom {
        story.fill_up(bad.0, bad.1);
    }
    let sink = story.sink(None);
    let (mut ended, mut told) = (Vec::new(), None);
    for epoch in 0..3 {
        let how = |part| match (epoch, part) == bad {
            true => how,
            false => How::Well,
        };
        let mut result = Story::record(&sink, epoch, NUM_PARTS, how);
        if result.is_ok() {
            ended.push(epoch);
            if epoch as usize == flushed {
                result = story.flush(&sink, &ended);
                assert!(
                    result.is_err() || epoch < bad.0,
                    "a broken promise: a flush is told"
                );
            }
        }
        if let Err(error) = result {
            told = Some(error);
            break;
        }
    }
    let lock = sink.lock();
    let error = story.fail(sink);
    if let Some(told) = told {
        assert_eq!(told.to_string(), error.to_string());
    }
    match how {
        How::NoRows => assert!(matches!(error, SinkError::MakePart { .. })),
        How::Panics => assert!(matches!(error, SinkError::Panicked { .. })),
        _ => assert!(matches!(error, SinkError::CreatePart { .. })),
    }
    // Those before it, as far as they were encoded by then.
    let before: Vec<i32> = (0..bad.0).collect();
    let mut committed = story.check(&before, NUM_PARTS);
    assert_eq!(story.epochs(), committed, "what is committed is told");
    if !error.is_for_want_of_room() {
        return;
    }
    // Another one takes the session up.
    let next = story.sink(Some(lock));
    Story::record(&next, 5, NUM_PARTS, well).unwrap();
    assert!(next.close(Closing::BrokenOff).1.is_ok());
    committed.push(5);
    assert_eq!(story.check(&committed, NUM_PARTS), committed);
    assert_eq!(story.epochs(), committed);
    assert!(!story.is_finished());
}

#[test]
fn whatever_a_worker_fails_with_nobody_waits_and_what_came_before_is_committed() {
    explore(2 * NUMBER, a_worker_fails);
}

#[test]
#[should_panic(expected = "a broken promise")]
fn a_failure_that_is_not_seen_is_noticed() {
    break_down(Fault::Once);
    explore(NUMBER, a_worker_fails_without_flush);
}

/// Parts of a capture of which one job makes several.
const PARTS_TOGETHER: usize = 4;

/// Three captures, of which each has a job that makes several parts. That of one fails after its first part.
fn a_later_part_fails(channel_bytes: Option<u64>) {
    limit_channels(CAPACITY);
    let mut story = Story::begin(ModelDisk::default());
    let bad = (choose(3) as i32, 1 + choose(PARTS_TOGETHER - 2));
    let how = [How::NoRows, How::Panics, How::NoRoom][choose(3)];
    if how == How::NoRoom {
        story.fill_up(bad.0, bad.1);
    }
    let sink = match channel_bytes {
        Some(bytes) => story.sink_of(bytes, None),
        None => story.sink(None),
    };
    for epoch in 0..3 {
        let how = |part| match (epoch, part) == bad {
            true => how,
            false => How::Well,
        };
        if story
            .record_together(&sink, epoch, PARTS_TOGETHER, how)
            .is_err()
        {
            break;
        }
    }
    let lock = sink.lock();
    let error = story.close_empty(sink, Closing::Finished).unwrap_err();
    match how {
        How::NoRows => assert!(matches!(error, SinkError::MakePart { .. })),
        How::Panics => assert!(matches!(error, SinkError::Panicked { .. })),
        _ => assert!(matches!(error, SinkError::CreatePart { .. })),
    }
    assert!(!story.is_finished());
    // None of the parts before the one that failed is in the run, and of the captures before it each is there once.
    let before: Vec<i32> = (0..bad.0).collect();
    let mut committed = story.check(&before, PARTS_TOGETHER);
    assert_eq!(story.epochs(), committed, "what is committed is told");
    if !error.is_for_want_of_room() {
        return;
    }
    // Another one takes the session up, with the whole budget.
    let next = story.sink(Some(lock));
    story
        .record_together(&next, 5, PARTS_TOGETHER, well)
        .unwrap();
    story.close_empty(next, Closing::BrokenOff).unwrap();
    committed.push(5);
    assert_eq!(story.check(&committed, PARTS_TOGETHER), committed);
    assert_eq!(story.epochs(), committed);
}

#[test]
fn a_failure_in_a_later_part_of_a_job_gives_everything_back_and_loses_nothing_before_it() {
    explore(2 * NUMBER, || a_later_part_fails(None));
}

/// All jobs have room at once, so that nobody waits for what is not given back.
#[test]
#[should_panic(expected = "a broken promise: what was taken is given back")]
fn bytes_that_are_not_given_back_are_noticed() {
    break_down(Fault::GiveBack);
    explore(NUMBER, || a_later_part_fails(Some(40 * part_bytes())));
}

#[test]
fn jobs_of_several_parts_are_committed_once_each_and_in_their_order() {
    explore(NUMBER, || {
        limit_channels(CAPACITY);
        let story = Story::begin(ModelDisk::default());
        let sink = story.sink(None);
        for epoch in 0..3 {
            story
                .record_together(&sink, epoch, PARTS_TOGETHER, well)
                .unwrap();
        }
        story.close_empty(sink, Closing::Finished).unwrap();
        assert_eq!(story.check(&[0, 1, 2], PARTS_TOGETHER), [0, 1, 2]);
        assert_eq!(story.epochs(), [0, 1, 2]);
        assert!(story.is_finished());
    });
}

/// The disk fails at a point of each publish, before the operation has happened or after it.
fn a_publish_fails() {
    limit_channels(CAPACITY);
    let point = [
        (Operation::SyncFileSystem, Subject::StagedPart),
        (Operation::Rename, Subject::Part),
        (Operation::SyncFileSystem, Subject::Part),
        (Operation::Link, Subject::Record),
        (Operation::SyncFileSystem, Subject::Record),
    ][choose(5)];
    let (operation, subject) = point;
    let kind = [io::ErrorKind::StorageFull, io::ErrorKind::Other][choose(2)];
    let how = [Wrong::Fails, Wrong::FailsAfter][choose(2)];
    let disk = ModelDisk {
        wrong: Some((Point { operation, subject }, how, kind)),
    };
    let story = Story::begin(disk);
    let sink = story.sink(None);
    let flushed = choose(4);
    let mut ended = Vec::new();
    for epoch in 0..3 {
        if Story::record(&sink, epoch, NUM_PARTS, well).is_err() {
            break;
        }
        ended.push(epoch);
        if epoch as usize == flushed && story.flush(&sink, &ended).is_err() {
            break;
        }
    }
    if point == (Operation::Link, Subject::Record) && how == Wrong::FailsAfter {
        // It is there, whatever was said.
        return story.finish(sink, &[0, 1, 2], NUM_PARTS);
    }
    let error = story.fail(sink);
    assert!(matches!(error, SinkError::Publish { .. }), "{error}");
    let committed = story.check(&[0, 1, 2], NUM_PARTS);
    assert_eq!(story.epochs(), [0; 0], "nothing is told of it");
    // The first group is the last one: it may be there only where that cannot be told.
    let is_in_doubt = point == (Operation::SyncFileSystem, Subject::Record);
    assert_eq!(committed.is_empty(), !is_in_doubt);
    assert_eq!(
        error.is_for_want_of_room(),
        kind == io::ErrorKind::StorageFull && !is_in_doubt
    );
}

#[test]
fn whatever_a_publish_fails_with_nobody_waits_and_there_is_no_other() {
    explore(2 * NUMBER, a_publish_fails);
}

/// Dropped while a capture is being sent.
fn a_sink_is_dropped() {
    limit_channels(CAPACITY);
    let story = Story::begin(ModelDisk::default());
    let sink = story.sink(None);
    let num_ended = choose(3) as i32;
    let ended: Vec<i32> = (0..num_ended).collect();
    for epoch in &ended {
        Story::record(&sink, *epoch, NUM_PARTS, well).unwrap();
    }
    if choose(2) == 0 {
        Story::abandon(&sink, num_ended, 1).unwrap();
    }
    drop(sink);
    assert_eq!(story.check(&ended, NUM_PARTS), ended);
    assert_eq!(story.epochs(), ended);
    assert!(!story.is_finished(), "a broken promise: nobody has said so");
}

#[test]
fn a_sink_that_is_dropped_commits_what_had_ended_and_does_not_say_that_it_was_finished() {
    explore(NUMBER, a_sink_is_dropped);
}

#[test]
#[should_panic(expected = "a broken promise")]
fn a_session_that_says_that_it_was_finished_and_was_not_is_noticed() {
    break_down(Fault::Flag);
    explore(NUMBER, a_sink_is_dropped);
}
