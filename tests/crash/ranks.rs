//! Two processes record one run, and one of them is killed.

use std::collections::BTreeSet;

use serde_json::json;
use stratigraph::{Scratch, run, wait_until};
use trace::{Catalog, RunDir};

use crate::oracle::{Told, told};
use crate::recorders::{DIGITS, Ended, Session, program};

/// What is seen of the run: how many units of each layer, by epoch.
const SEEN: &str = "
    SELECT epoch, layer, count(*) AS rows, count(DISTINCT neuron) AS keys
    FROM weights GROUP BY epoch, layer ORDER BY epoch, layer";

/// A rank of the two.
fn start(scratch: &Scratch, rank: &str) -> Session<'static> {
    let more = ["--rank", rank, "--world-size", "2"];
    Session::start(&mut program(scratch, "run", &more))
}

/// Waits until it has told the capture of an epoch, or one after it.
fn wait_until_past(session: &mut Session<'_>, epoch: u64) {
    wait_until("a capture of an epoch", || {
        assert!(session.is_running(), "{}", session.complaints());
        let Session::Program(running) = &*session else {
            unreachable!("it is the program");
        };
        let told = told(&running.stdout());
        let mut epochs = told.iter().flat_map(Told::epochs);
        epochs.any(|told| *told >= epoch).then_some(())
    });
}

fn epochs(ended: &Ended) -> BTreeSet<u64> {
    let told = ended.told.iter().flat_map(|told| told.epochs());
    told.copied().collect()
}

/// The whole captures, which are what `query` sees, and those that lack a part.
fn captures(scratch: &Scratch) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let run_dir = RunDir::open(&scratch.path("run")).unwrap();
    let catalog = Catalog::load_with_partial(&run_dir).unwrap();
    let partial = catalog.partial_captures().iter();
    let partial = partial.map(|capture| capture.id.epoch.0 as u64).collect();
    let whole = catalog.captures().iter();
    let whole: BTreeSet<u64> = whole.map(|capture| capture.id.epoch.0 as u64).collect();
    let expected: Vec<_> = whole
        .iter()
        .flat_map(|epoch| {
            DIGITS.layers.map(|(layer, units)| {
                json!({"epoch": epoch, "layer": layer, "rows": units, "keys": units})
            })
        })
        .collect();
    assert_eq!(scratch.rows("run", SEEN), expected);
    (whole, partial)
}

#[test]
fn captures_that_lack_the_part_of_a_rank_that_was_killed_are_not_shown_until_it_has_resumed() {
    let scratch = Scratch::new();
    // The last comes first: it waits until rank 0 has created the run.
    let mut second = start(&scratch, "1");
    let mut first = start(&scratch, "0");
    second.wait_until_told(3);
    let second = second.kill();
    let last_of_second = epochs(&second).last().copied();
    wait_until_past(
        &mut first,
        last_of_second.expect("three commits have a capture") + 3,
    );
    let first = first.kill();
    let (of_first, of_second) = (epochs(&first), epochs(&second));

    let (whole, partial) = captures(&scratch);
    // What was committed and not told is there as well.
    assert!(of_first.is_subset(&(&whole | &partial)));
    assert!((&of_first & &of_second).is_subset(&whole));
    let last = *partial.last().expect("the second rank has not these");
    assert!(partial.contains(of_first.last().unwrap()), "{partial:?}");
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    let not_whole = "not whole, since ranks are missing";
    assert!(verified.contains(not_whole), "{verified}");
    let named = partial.iter().next().unwrap();
    let step = DIGITS.steps * (named + 1);
    let named = format!("epoch {named}, step {step}: missing rank 1");
    assert!(verified.contains(&named), "{verified}");

    // The rank goes on from its own saved state, and has what it lacked after that.
    let mut resumed = start(&scratch, "1");
    wait_until_past(&mut resumed, last);
    let resumed = resumed.kill();
    let taken_back = resumed.taken_back.expect("it went on with the run");
    assert!(taken_back <= last);
    let (whole, partial) = captures(&scratch);
    assert!((0..=last).all(|epoch| whole.contains(&epoch)), "{whole:?}");
    assert!(partial.iter().all(|epoch| *epoch > last), "{partial:?}");
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(!verified.contains("missing rank 1"), "{verified}");
}
