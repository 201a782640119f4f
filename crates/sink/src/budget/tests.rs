use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::budget::*;

/// Fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it never came true");
        thread::yield_now();
    }
}

/// A small generator, so that each thread has its own sequence of sizes.
fn sizes(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    })
}

#[test]
fn under_load_the_budget_holds_and_everybody_gets_a_turn() {
    const CAPACITY: u64 = 100;
    const LARGEST: u64 = 130;
    let budget = ByteBudget::new(CAPACITY);
    // Bytes and permits held, as the holders know it.
    let held = Arc::new(Mutex::new((0u64, 0u32)));
    let (done, all_done) = mpsc::channel();
    let (consume, permits) = crossbeam_channel::bounded::<Permit>(8);
    for _ in 0..2 {
        let (permits, held) = (permits.clone(), Arc::clone(&held));
        thread::spawn(move || {
            for permit in permits {
                {
                    let mut held = held.lock().unwrap();
                    held.0 -= permit.bytes;
                    held.1 -= 1;
                }
                drop(permit);
            }
        });
    }
    for seed in 0..6 {
        let (budget, held) = (Arc::clone(&budget), Arc::clone(&held));
        let (done, consume) = (done.clone(), consume.clone());
        thread::spawn(move || {
            for size in sizes(seed).take(5000) {
                // Mostly small, now and then more than there is at all.
                let bytes = if size % 50 == 0 {
                    LARGEST
                } else {
                    1 + size % 60
                };
                let (permit, _) = budget.take(bytes).unwrap();
                {
                    let mut held = held.lock().unwrap();
                    held.0 += bytes;
                    held.1 += 1;
                    assert!(held.0 <= CAPACITY || held.1 == 1, "{held:?}");
                }
                consume.send(permit).unwrap();
            }
            done.send(()).unwrap();
        });
    }
    for _ in 0..6 {
        all_done
            .recv_timeout(PATIENCE)
            .expect("nobody waits for ever");
    }
    drop(consume);
    wait_until(|| budget.used.load(Ordering::SeqCst) == 0);
    assert!(budget.high_water() <= LARGEST);
    assert!(
        budget.high_water() >= CAPACITY - 60,
        "the test never filled the budget"
    );
}

#[test]
fn who_does_not_have_to_wait_does_not() {
    let budget = ByteBudget::new(10);
    let (a, waited) = budget.take(4).unwrap();
    assert_eq!(waited, Duration::ZERO);
    let (_b, waited) = budget.take(6).unwrap();
    assert_eq!(waited, Duration::ZERO);
    drop(a);
    let (_c, waited) = budget.take(4).unwrap();
    assert_eq!(waited, Duration::ZERO);
    assert_eq!(budget.high_water(), 10);
}

#[test]
fn a_small_request_does_not_overtake_a_large_one() {
    let budget = ByteBudget::new(10);
    let (four, _) = budget.take(4).unwrap();
    let (six, _) = budget.take(6).unwrap();
    let (got, order) = mpsc::channel();
    for (name, bytes, already_waiting) in [("large", 20, 0), ("small", 1, 1)] {
        wait_until(|| budget.num_waiting.load(Ordering::SeqCst) == already_waiting);
        let (budget, got) = (Arc::clone(&budget), got.clone());
        thread::spawn(move || {
            let (permit, waited) = budget.take(bytes).unwrap();
            assert!(waited > Duration::ZERO);
            got.send(name).unwrap();
            drop(permit);
        });
    }
    wait_until(|| budget.num_waiting.load(Ordering::SeqCst) == 2);
    // Now there is room for the small one, but the large one is first.
    drop(six);
    assert!(order.recv_timeout(Duration::from_millis(50)).is_err());
    drop(four);
    assert_eq!(order.recv_timeout(PATIENCE), Ok("large"));
    assert_eq!(order.recv_timeout(PATIENCE), Ok("small"));
}

#[test]
fn closing_sends_everybody_home() {
    let budget = ByteBudget::new(10);
    let _all = budget.take(10).unwrap();
    let (gone, waiters) = mpsc::channel();
    for _ in 0..3 {
        let (budget, gone) = (Arc::clone(&budget), gone.clone());
        thread::spawn(move || gone.send(budget.take(1).map(|_| ())).unwrap());
    }
    wait_until(|| budget.num_waiting.load(Ordering::SeqCst) == 3);
    budget.close();
    for _ in 0..3 {
        assert_eq!(waiters.recv_timeout(PATIENCE).unwrap(), Err(Closed));
    }
    assert!(budget.take(0).is_err());
}

#[test]
fn what_is_free_is_what_nobody_holds_or_waits_for() {
    let budget = ByteBudget::new(10);
    assert_eq!(budget.free_bytes(), 10);
    let (mut a, _) = budget.take(4).unwrap();
    let (b, _) = budget.take(3).unwrap();
    assert_eq!(budget.free_bytes(), 3);
    a.shrink_to(1);
    assert_eq!(budget.free_bytes(), 6);
    // It never grows.
    a.shrink_to(9);
    assert_eq!(budget.free_bytes(), 6);
    let waiter = thread::spawn({
        let budget = Arc::clone(&budget);
        move || budget.take(9).unwrap().0
    });
    wait_until(|| budget.num_waiting.load(Ordering::SeqCst) == 1);
    assert_eq!(budget.free_bytes(), 0);
    // What is given back early wakes whom it is enough for.
    a.shrink_to(0);
    assert_eq!(budget.free_bytes(), 0);
    drop(b);
    let rest = waiter.join().unwrap();
    assert_eq!(budget.free_bytes(), 1);
    drop((a, rest));
    assert_eq!(budget.free_bytes(), 10);
    let (mut larger, _) = budget.take(25).unwrap();
    assert_eq!(budget.free_bytes(), 0);
    larger.shrink_to(4);
    assert_eq!(budget.free_bytes(), 6);
    assert_eq!(budget.high_water(), 25);
}
