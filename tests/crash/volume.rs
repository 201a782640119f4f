//! File systems of their own, on loop devices over files.

use std::path::PathBuf;
use std::process::Command;

use stratigraph::{Scratch, run, wait_until};

use crate::tools::is_there;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
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
pub struct Volume {
    image: PathBuf,
    mounted_at: PathBuf,
    is_mounted: bool,
}

impl Volume {
    /// Why there can be none here, and whether what is missing could be installed.
    pub fn obstacle(kind: Kind) -> Option<(String, bool)> {
        for program in ["xfs_io", kind.maker().0, "mount", "umount", "losetup"] {
            if !is_there(program) {
                return Some((format!("{program} is not there"), true));
            }
        }
        if !rustix::process::geteuid().is_root() {
            return Some(("only root mounts file systems".to_owned(), false));
        }
        None
    }

    /// Why not, where no file system can be mounted.
    pub fn try_new(scratch: &Scratch, kind: Kind) -> Result<Self, String> {
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

    pub fn mount(&mut self) -> Result<(), String> {
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
    pub fn cut(&self, with_journal: bool) {
        let shutdown = if with_journal {
            "shutdown -f"
        } else {
            "shutdown"
        };
        let mut xfs_io = Command::new("xfs_io");
        let cut = run(xfs_io.args(["-x", "-c", shutdown]).arg(&self.mounted_at));
        assert_eq!(cut.code(), Some(0), "xfs_io: {cut}");
    }

    /// Has it take nothing more, as a file system does by itself that has found an error: of ext4 alone.
    pub fn turn_read_only(&self) {
        let mut mount = Command::new("mount");
        let aborted = run(mount.args(["-o", "remount,abort"]).arg(&self.mounted_at));
        assert_eq!(aborted.code(), Some(0), "mount: {aborted}");
    }

    pub fn unmount(&mut self) {
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
