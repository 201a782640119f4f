//! Power cuts: a file system that keeps nothing but what was synced, under a recorder.
//!
//! The file system is on a loop device over a file. It is shut down (`xfs_io -c shutdown`, for ext4 as well): from
//! then on every sync fails, nothing more reaches the device, and what waits in memory is gone. It is mounted again,
//! replays its journal, and the run is held against what the recorder had told. A drive that says that it has flushed
//! and has not cannot be told apart so.

use std::time::Duration;

use stratigraph::{Scratch, announce};

use crate::dice::{Dice, number_of};
use crate::engines::Engines;
use crate::oracle::{Figures, Oracle};
use crate::recorders::{DIGITS, Ended, Session, program};
use crate::tools::skip;
use crate::volume::{Kind, Volume};

/// How often the power is cut: `STRATIGRAPH_POWER_CUTS`, or this.
const DEFAULT_NUM_CUTS: u64 = 4;

/// So many cuts a run.
const CUTS_PER_RUN: u64 = 10;

/// Cuts come at most so long after the first commits of a session, or after its start.
const MAX_DELAY: Duration = Duration::from_millis(800);

fn survives(kind: Kind, num_cuts: u64) {
    let what = format!("power cuts on {kind:?}");
    if let Some((why, could_be_installed)) = Volume::obstacle(kind) {
        skip::<()>(&what, &why, could_be_installed);
        return;
    }
    let mut engines = Engines::start();
    let mut dice = Dice::of(3 + kind as u64);
    let mut figures = Figures::default();
    for round in 0..num_cuts.div_ceil(CUTS_PER_RUN) {
        let scratch = Scratch::new();
        let mut volume = match Volume::try_new(&scratch, kind) {
            Ok(volume) => volume,
            Err(why) => {
                skip::<()>(&what, &why, false);
                return;
            }
        };
        let mut oracle = Oracle::new(&scratch.path("disk/run"), DIGITS);
        for cut in 0..CUTS_PER_RUN.min(num_cuts - round * CUTS_PER_RUN) {
            let is_early = cut == 0 || dice.below(4) == 0;
            let delay = dice.time(MAX_DELAY);
            let with_journal = dice.below(3) == 0;
            announce(&format!(
                "{kind:?}, run {round}, cut {cut}, early {is_early}, {delay:?}, journal {with_journal}"
            ));
            let mut session = Session::start(&mut program(&scratch, "disk/run", &[]));
            if !is_early {
                // The first may take back alone.
                session.wait_until_told(2);
            }
            std::thread::sleep(delay);
            let Session::Program(running) = session else {
                unreachable!("it is the program");
            };
            volume.cut(with_journal);
            let ended = Ended::of(running.wait());
            let finished = ended.finished.as_ref().unwrap();
            assert_eq!(finished.code(), Some(1), "{finished}");
            assert!(finished.stderr.contains("Input/output error"), "{finished}");
            volume.unmount();
            volume.mount().unwrap();
            figures.sessions += 1;
            figures.resumed += u64::from(ended.taken_back.is_some());
            figures.told_captures += oracle.hear(ended.taken_back, &ended.told);
            oracle.check(&scratch, engines.as_mut(), &mut figures);
        }
        volume.unmount();
    }
    figures.announce(&what);
    assert_eq!(figures.sessions, num_cuts);
}

fn num_cuts() -> u64 {
    number_of("STRATIGRAPH_POWER_CUTS").unwrap_or(DEFAULT_NUM_CUTS)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_on_ext4() {
    survives(Kind::Ext4, num_cuts() / 2);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_on_xfs() {
    survives(Kind::Xfs, num_cuts().div_ceil(2));
}
