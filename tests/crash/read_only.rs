//! A disk that turns read-only under a recorder, as a file system does that has found an error in itself.

use std::time::Duration;

use stratigraph::Scratch;

use crate::engines::Engines;
use crate::oracle::{Figures, Oracle};
use crate::recorders::{DIGITS, Ended, Session, program};
use crate::tools::skip;
use crate::volume::{Kind, Volume};

/// How long training goes on without a recording.
const AFTERMATH: Duration = Duration::from_millis(300);

#[test]
fn a_disk_that_turns_read_only_is_said_and_what_was_acknowledged_stays() {
    let what = "a disk that turns read-only";
    if let Some((why, could_be_installed)) = Volume::obstacle(Kind::Ext4) {
        skip::<()>(what, &why, could_be_installed);
        return;
    }
    let mut engines = Engines::start();
    let mut figures = Figures::default();
    for (on_error, code, said) in [
        (
            "stop",
            1,
            "error: recording into disk/run failed, training was stopped",
        ),
        (
            "continue",
            130,
            "warning: recording into disk/run failed, training goes on without it: ",
        ),
    ] {
        let scratch = Scratch::new();
        let mut volume = match Volume::try_new(&scratch, Kind::Ext4) {
            Ok(volume) => volume,
            Err(why) => {
                skip::<()>(what, &why, false);
                return;
            }
        };
        let mut oracle = Oracle::new(&scratch.path("disk/run"), DIGITS);
        let mut command = program(&scratch, "disk/run", &["--on-error", on_error]);
        let mut session = Session::start(&mut command);
        session.wait_until_told(2);
        volume.turn_read_only();
        let Session::Program(running) = session else {
            unreachable!("it is the program");
        };
        if on_error == "continue" {
            running.wait_for_stderr(said);
            std::thread::sleep(AFTERMATH);
            running.interrupt();
        }
        let ended = Ended::of(running.wait());
        let finished = ended.finished.as_ref().unwrap();
        assert_eq!(finished.code(), Some(code), "{finished}");
        let stderr = &finished.stderr;
        assert_eq!(stderr.matches(said).count(), 1, "{finished}");
        let cause = "Read-only file system";
        assert_eq!(stderr.matches(cause).count(), 1, "{finished}");
        // It is no matter of room, and nothing is tried again.
        assert!(
            !stderr.contains("has stopped until there is room"),
            "{finished}"
        );

        // Mounted anew it has what was acknowledged, and is recorded into as before.
        volume.unmount();
        volume.mount().unwrap();
        for resumed in [false, true] {
            if resumed {
                let mut session = Session::start(&mut program(&scratch, "disk/run", &[]));
                session.wait_until_told(2);
                let ended = session.kill();
                oracle.hear(ended.taken_back, &ended.told);
            } else {
                oracle.hear(ended.taken_back, &ended.told);
            }
            oracle.check(&scratch, engines.as_mut(), &mut figures);
        }
        volume.unmount();
    }
}
