//! The channel's budget.

use shuttle::thread;

use crate::budget::{ByteBudget, Permit};
use crate::explore::explore;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Fault, break_down};

/// Interleavings of each check.
const NUMBER: usize = 1_250;

/// A permit, and what all of them hold together.
struct Held {
    _permit: Permit,
    bytes: u64,
    all: Arc<AtomicU64>,
}

impl Held {
    fn new(permit: Permit, bytes: u64, all: &Arc<AtomicU64>, capacity: u64) -> Self {
        let before = all.fetch_add(bytes, Ordering::SeqCst);
        assert!(
            before == 0 || before + bytes <= capacity,
            "{before} and {bytes} are more than {capacity}"
        );
        let all = Arc::clone(all);
        Self {
            _permit: permit,
            bytes,
            all,
        }
    }
}

impl Drop for Held {
    /// Before the permit goes.
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

fn three_threads_take() {
    const CAPACITY: u64 = 2;
    let budget = ByteBudget::new(CAPACITY);
    let all = Arc::new(AtomicU64::new(0));
    // The last asks for more than there ever is, and goes alone.
    let threads: Vec<_> = [[1, 2], [2, 1], [3, 1]]
        .into_iter()
        .map(|requests| {
            let (budget, all) = (Arc::clone(&budget), Arc::clone(&all));
            thread::spawn(move || {
                for bytes in requests {
                    let (permit, _) = budget.take(bytes).expect("it is open");
                    drop(Held::new(permit, bytes, &all, CAPACITY));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("nothing panics");
    }
    assert_eq!(budget.free_bytes(), CAPACITY);
    assert!((2..=3).contains(&budget.high_water()));
}

#[test]
fn everybody_who_waits_is_served_and_no_more_is_taken_than_there_is() {
    explore(NUMBER, three_threads_take);
}

#[test]
#[should_panic(expected = "deadlock")]
fn somebody_who_is_not_woken_for_bytes_is_noticed() {
    break_down(Fault::Condvar);
    explore(NUMBER, three_threads_take);
}

#[test]
fn what_is_given_back_of_a_permit_wakes_all_who_can_be_served() {
    explore(NUMBER, || {
        let budget = ByteBudget::new(4);
        let (mut first, _) = budget.take(4).expect("it is open");
        let threads: Vec<_> = [1, 2]
            .into_iter()
            .map(|bytes| {
                let budget = Arc::clone(&budget);
                thread::spawn(move || budget.take(bytes))
            })
            .collect();
        // All three hold what they have: whoever is served has to wake the next.
        first.shrink_to(1);
        let joined = threads.into_iter().map(|thread| thread.join());
        let held: Vec<_> = joined.map(|held| held.expect("nothing panics")).collect();
        assert!(held.iter().all(Result::is_ok), "it is open");
        assert_eq!(budget.free_bytes(), 0);
        drop(held);
        assert_eq!(budget.free_bytes(), 3);
    });
}

#[test]
fn closing_sends_everybody_home() {
    explore(NUMBER, || {
        let budget = ByteBudget::new(1);
        let (held, _) = budget.take(1).expect("it is open");
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let budget = Arc::clone(&budget);
                thread::spawn(move || budget.take(1).is_err())
            })
            .collect();
        budget.close();
        for thread in threads {
            assert!(
                thread.join().expect("nothing panics"),
                "nothing was to be had"
            );
        }
        drop(held);
        assert!(budget.take(1).is_err());
    });
}
