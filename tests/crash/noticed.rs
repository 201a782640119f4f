//! What the oracle is for: a run that is not what its recorder acknowledged is noticed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use stratigraph::Scratch;

use crate::engines::Engines;
use crate::oracle::{Figures, Oracle};
use crate::recorders::{DIGITS, Session, program};

/// A part of the first capture.
const PART: &str = "weights/epoch=0/layer=L_input/step-188-r0-g0.parquet";

#[test]
fn what_is_lost_doubled_or_damaged_is_noticed() {
    /// Is given the run, and the number of the last commit that was told.
    type Damage = fn(&Path, usize);
    let damages: [(&str, Damage); 4] = [
        ("nothing", |_, _| {}),
        ("the last commit that was told is gone", |run, last| {
            fs::remove_file(run.join(format!("commits/{last:020}.json"))).unwrap();
        }),
        ("a part is damaged", |run, _| {
            let mut bytes = fs::read(run.join(PART)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(run.join(PART), bytes).unwrap();
        }),
        ("a part is there twice", |run, _| {
            let twice = PART.replace("-g0", "-g9");
            fs::copy(run.join(PART), run.join(twice)).unwrap();
        }),
    ];
    let Some(mut engines) = Engines::start() else {
        return;
    };
    for (what, damage) in damages {
        let scratch = Scratch::new();
        let mut oracle = Oracle::new(&scratch.path("run"), DIGITS);
        let mut session = Session::start(&mut program(&scratch, "run", &[]));
        session.wait_until_told(3);
        let ended = session.kill();
        oracle.hear(ended.taken_back, &ended.told);
        damage(&scratch.path("run"), ended.told.len() - 1);
        let check = || oracle.check(&scratch, Some(&mut engines), &mut Figures::default());
        let is_noticed = catch_unwind(AssertUnwindSafe(check)).is_err();
        assert_eq!(is_noticed, what != "nothing", "{what}");
    }
}
