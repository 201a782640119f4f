//! Power cuts: a file system that keeps nothing but what was synced, under a recorder.
//!
//! The file system is on a loop device over a file. It is shut down (`xfs_io -c shutdown`, for ext4 as well): from
//! then on every sync fails, nothing more reaches the device, and what waits in memory is gone. It is mounted again,
//! replays its journal, and the run is held against what the recorder had told. A drive that says that it has flushed
//! and has not cannot be told apart so.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use stratigraph::{Scratch, announce, run, wait_until};

use crate::dice::{Dice, number_of};
use crate::engines::Engines;
use crate::oracle::{Figures, Oracle};
use crate::recorders::{DIGITS, Ended, Session, program};
use crate::tools::{is_there, skip};

/// How often the power is cut: `STRATIGRAPH_POWER_CUTS`, or this.
const DEFAULT_NUM_CUTS: u64 = 4;

/// So many cuts a run.
const CUTS_PER_RUN: u64 = 10;

/// Cuts come at most so long after the first commits of a session, or after its start.
const MAX_DELAY: Duration = Duration::from_millis(800);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    /// What makes one of a file, and how large it is: XFS takes no smaller one.
    fn maker(self) -> (&'static str, &'static [&'static str], u64) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"], 128 << 20),
            Self::Xfs => ("mkfs.xfs", &["-q"], 320 << 20),
        }
    }
}

/// A file system on a loop device. Dropped, it is unmounted.
struct Volume {
    image: PathBuf,
    mounted_at: PathBuf,
    is_mounted: bool,
}

impl Volume {
    /// Why not, where no file system can be mounted.
    fn try_new(scratch: &Scratch, kind: Kind) -> Result<Self, String> {
        let (program, arguments, size) = kind.maker();
        let image = scratch.path("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(size).unwrap();
        let made = run(Command::new(program).args(arguments).arg(&image));
        assert_eq!(made.code(), Some(0), "{program}: {made}");
        let mounted_at = scratch.path("disk");
        std::fs::create_dir(&mounted_at).unwrap();
        let mut volume = Self {
            image,
            mounted_at,
            is_mounted: false,
        };
        volume.mount().map(|()| volume)
    }

    fn mount(&mut self) -> Result<(), String> {
        // The loop device is taken for the mount, and given back with it.
        let mut mount = Command::new("mount");
        mount
            .args(["-o", "loop"])
            .arg(&self.image)
            .arg(&self.mounted_at);
        let mounted = run(&mut mount);
        self.is_mounted = mounted.code() == Some(0);
        match self.is_mounted {
            true => Ok(()),
            false => Err(mounted.stderr.trim().to_owned()),
        }
    }

    /// Cuts the power: with or without what its journal holds.
    fn cut(&self, with_journal: bool) {
        let shutdown = if with_journal {
            "shutdown -f"
        } else {
            "shutdown"
        };
        let mut xfs_io = Command::new("xfs_io");
        let cut = run(xfs_io.args(["-x", "-c", shutdown]).arg(&self.mounted_at));
        assert_eq!(cut.code(), Some(0), "xfs_io: {cut}");
    }

    fn unmount(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.mounted_at));
        assert_eq!(unmounted.code(), Some(0), "umount: {unmounted}");
        self.is_mounted = false;
        // Whoever made a namespace of mounts meanwhile, as another test does, has a copy of this one, and with it
        // the file system that was shut down.
        wait_until("the loop device", || {
            let devices = run(Command::new("losetup").arg("-j").arg(&self.image));
            devices.expect_success().is_empty().then_some(())
        });
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted {
            // Whoever still has a file of it open keeps it for as long as that.
            let mut unmount = Command::new("umount");
            let _ = unmount.arg("-l").arg(&self.mounted_at).status();
        }
    }
}

/// Why no power can be cut here, and whether what is missing could be installed.
fn obstacle() -> Option<(String, bool)> {
    for program in [
        "xfs_io",
        "mkfs.xfs",
        "mkfs.ext4",
        "mount",
        "umount",
        "losetup",
    ] {
        if !is_there(program) {
            return Some((format!("{program} is not there"), true));
        }
    }
    if !rustix::process::geteuid().is_root() {
        return Some(("only root mounts file systems".to_owned(), false));
    }
    None
}

fn survives(kind: Kind, num_cuts: u64) {
    let what = format!("power cuts on {kind:?}");
    if let Some((why, could_be_installed)) = obstacle() {
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
