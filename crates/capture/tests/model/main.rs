//! The hand-off under many interleavings of its two threads: nobody waits for ever, however the thread ends; what was
//! handed over is taken once and in order; and of no two tasks the values are held at once.
//!
//! Shuttle runs the threads one at a time and chooses at each operation on what they share which is next. It says
//! so where both of them wait. The hand-off is the very file of the crate, with shuttle's threads, and channels made of
//! its locks in place of crossbeam's. What is done beside it is a model of the thread `capture`, and of a recording that
//! takes recording up once its thread has ended. Each check is done once more with something broken, to see that it
//! notices.
//!
//! What this leaves out: crossbeam's channels themselves, orders of memory weaker than sequential consistency, and what
//! the thread does with a task, of which `crates/sink/tests/model/` has the larger part.
//!
//! `STRATIGRAPH_LONG=1` goes through twenty times as many interleavings.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "test code, which has files of the crates for a part of what is in them"
)]

#[path = "../../../sink/tests/model/explore.rs"]
mod explore;
#[path = "../../src/recording/hand_off.rs"]
mod hand_off;
#[path = "../../../sink/tests/model/sync.rs"]
mod sync;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use explore::explore;
use hand_off::{HandOff, NotTaken, Room, Tasks};
use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread::yield_now;
use sync::{Arc, Fault, break_down};

/// Interleavings of each check.
const NUMBER: usize = 1_000;

const NUM_TASKS: usize = 4;

fn choose(number: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..number)
}

/// A network that was captured: of which tensors are held until they were read.
struct Task {
    number: usize,
    network: Option<Network>,
}

struct Network(Arc<AtomicUsize>);

impl Network {
    /// As the training thread makes one, once there is room.
    fn new(held: &Arc<AtomicUsize>) -> Self {
        assert_eq!(
            held.fetch_add(1, Ordering::SeqCst),
            0,
            "a broken promise: another network is held"
        );
        Self(Arc::clone(held))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How the thread comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more comes.
    Asked,
    /// It fails with a task, before its values were read.
    Reading(usize),
    /// It fails with a task, after the next was let in.
    Recording(usize),
    /// It panics.
    Panic(usize),
}

impl End {
    fn choose() -> Self {
        let task = choose(NUM_TASKS);
        [
            Self::Asked,
            Self::Reading(task),
            Self::Recording(task),
            Self::Panic(task),
        ][choose(4)]
    }
}

/// How the thread does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    AsItShould,
    /// It lets the next task in before it lets go of the last.
    LetsInEarly,
    /// It takes one task, and ends.
    LeavesEarly,
}

/// What the thread has come to: the tasks that it took, and whether it has failed.
type Ended = (Vec<usize>, Result<(), &'static str>);

/// As the capture thread does: it reads, lets go, lets the next one in, and goes on with what it has read. After a
/// failure it holds its end for as long as its sink takes to close.
fn work(tasks: Tasks<Task>, end: End, habit: Habit) -> Ended {
    let mut taken = Vec::new();
    let all = catch_unwind(AssertUnwindSafe(|| {
        while let Some(mut task) = tasks.next() {
            taken.push(task.number);
            yield_now();
            if end == End::Reading(task.number) {
                return Err("the device failed");
            }
            if end == End::Panic(task.number) {
                // Shuttle's hook would take any other panic for the model's.
                resume_unwind(Box::new("out of luck"));
            }
            if habit == Habit::LetsInEarly {
                tasks.give_back();
            }
            task.network = None;
            if habit != Habit::LetsInEarly {
                tasks.give_back();
            }
            yield_now();
            if habit == Habit::LeavesEarly {
                break;
            }
            if end == End::Recording(task.number) {
                return Err("the sink failed");
            }
        }
        Ok(())
    }));
    yield_now();
    (taken, all.unwrap_or(Err("it panicked")))
}

fn start(end: End, habit: Habit) -> HandOff<Task, Ended> {
    HandOff::start("capture", move |tasks| work(tasks, end, habit)).unwrap()
}

/// Hands over the tasks from `first` on; some are left out where there is no room. Returns the numbers of those that
/// were handed over, and the first that was not because the thread had ended.
fn hand_over(
    hand_off: &HandOff<Task, Ended>,
    first: usize,
    held: &Arc<AtomicUsize>,
    is_interrupted: impl Fn() -> bool,
) -> (Vec<usize>, Option<usize>) {
    let mut handed_over = Vec::new();
    for number in first..NUM_TASKS {
        if is_interrupted() {
            break;
        }
        let room = match choose(3) {
            0 => hand_off.try_room(),
            _ => hand_off.wait_for_room(),
        };
        match room {
            Room::Free => {}
            Room::Taken => continue,
            Room::Ended => return (handed_over, Some(number)),
        }
        let network = Some(Network::new(held));
        match hand_off.hand_over(Task { number, network }) {
            Ok(()) => handed_over.push(number),
            Err(NotTaken(task)) => {
                assert_eq!(task.number, number);
                return (handed_over, Some(number));
            }
        }
    }
    (handed_over, None)
}

/// Holds what the thread took against what was handed over.
fn check((taken, result): &Ended, handed_over: &[usize], end: End) {
    match end {
        End::Asked => {
            assert!(result.is_ok());
            assert_eq!(taken, handed_over, "a broken promise: not all were taken");
        }
        End::Reading(last) | End::Recording(last) | End::Panic(last) => {
            // One more may have been handed over before it had ended.
            assert!(
                handed_over.starts_with(taken),
                "a broken promise: others were taken"
            );
            assert!(handed_over.len() <= taken.len() + 1);
            assert_eq!(result.is_err(), handed_over.contains(&last));
        }
    }
}

/// A thread that ends in any way, and another one that takes up where it was for want of room, say.
fn recorded(habit: Habit) {
    let held = Arc::new(AtomicUsize::new(0));
    let end = End::choose();
    let mut hand_off = start(end, habit);
    let (handed_over, not_taken) = hand_over(&hand_off, 0, &held, || false);
    let ended = hand_off.join().unwrap().unwrap();
    check(&ended, &handed_over, end);
    assert!(hand_off.join().is_none() && hand_off.is_joined());
    assert_eq!(
        held.load(Ordering::SeqCst),
        0,
        "a broken promise: something is held"
    );
    // Nothing is handed over to a thread that has ended.
    let late = Task {
        number: 9,
        network: None,
    };
    assert!(hand_off.hand_over(late).is_err());
    if let Some(number) = not_taken {
        assert!(ended.1.is_err(), "a broken promise: it had not ended");
        let mut next = start(End::Asked, habit);
        let (handed_over, not_taken) = hand_over(&next, number, &held, || false);
        assert_eq!(not_taken, None);
        check(&next.join().unwrap().unwrap(), &handed_over, End::Asked);
        assert_eq!(held.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn however_the_thread_ends_tasks_are_taken_in_order_and_one_at_a_time_and_nobody_waits() {
    explore(NUMBER, || recorded(Habit::AsItShould));
}

#[test]
#[should_panic(expected = "another network is held")]
fn a_task_that_is_let_in_before_the_last_is_let_go_is_noticed() {
    explore(NUMBER, || recorded(Habit::LetsInEarly));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_task_that_wakes_nobody_is_noticed() {
    break_down(Fault::Send);
    explore(NUMBER, || recorded(Habit::AsItShould));
}

#[test]
#[should_panic(expected = "deadlock")]
fn an_end_that_wakes_nobody_is_noticed() {
    break_down(Fault::Disconnect);
    explore(NUMBER, || recorded(Habit::AsItShould));
}

/// Training is interrupted at any moment, as by Ctrl-C.
fn interrupted(habit: Habit) {
    let held = Arc::new(AtomicUsize::new(0));
    let mut hand_off = start(End::Asked, habit);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let signal = shuttle::thread::spawn({
        let is_interrupted = Arc::clone(&is_interrupted);
        move || is_interrupted.store(true, Ordering::SeqCst)
    });
    let is_interrupted = || is_interrupted.load(Ordering::SeqCst);
    let (handed_over, not_taken) = hand_over(&hand_off, 0, &held, is_interrupted);
    assert_eq!(not_taken, None, "a broken promise: it had not ended");
    check(&hand_off.join().unwrap().unwrap(), &handed_over, End::Asked);
    signal.join().unwrap();
}

#[test]
fn what_was_handed_over_before_an_interrupt_is_taken() {
    explore(NUMBER, || interrupted(Habit::AsItShould));
}

#[test]
#[should_panic(expected = "a broken promise")]
fn a_thread_that_leaves_a_task_is_noticed() {
    explore(NUMBER, || interrupted(Habit::LeavesEarly));
}
