//! The binaries under test, and the extension module of the Python package: built here, never picked up from
//! somewhere.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::workspace_root;

/// Paths of the workspace's binaries.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `recorder`.
    pub recorder: PathBuf,
    /// `sink`.
    pub sink: PathBuf,
    /// `query`.
    pub query: PathBuf,
}

/// Builds the binaries once a process, in the profile and with the features of the caller;
/// where they are up to date, that takes a moment.
///
/// # Panics
/// If the build fails, or does not say where a binary is.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(build_binaries)
}

/// Builds the extension module of the Python package once a process, as [`binaries`] are built: the path of
/// its library.
///
/// # Panics
/// As for [`binaries`].
pub fn extension() -> &'static Path {
    static EXTENSION: OnceLock<PathBuf> = OnceLock::new();
    EXTENSION.get_or_init(|| {
        let messages = build("--lib");
        let files = messages
            .iter()
            .filter(|message| message["target"]["name"] == "_native")
            .find_map(|message| message["filenames"][0].as_str().map(PathBuf::from));
        files.expect("cargo says where the extension is")
    })
}

fn build_binaries() -> Binaries {
    let messages = build("--bins");
    let executable = |name: &str| {
        messages
            .iter()
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .unwrap_or_else(|| panic!("cargo did not say where the binary {name} is"))
    };
    Binaries {
        recorder: executable("recorder"),
        sink: executable("sink"),
        query: executable("query"),
    }
}

/// Builds one kind of targets of the workspace: what cargo says of it.
fn build(kind: &str) -> Vec<serde_json::Value> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "build",
            "--workspace",
            kind,
            "--message-format=json",
            "--quiet",
        ])
        .current_dir(workspace_root())
        .stderr(std::process::Stdio::inherit());
    for (is_on, feature) in [
        (cfg!(feature = "vulkan"), "vulkan"),
        (cfg!(feature = "burn-train"), "burn-train"),
    ] {
        if is_on {
            cargo.args(["--features", feature]);
        }
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo can be run");
    assert!(output.status.success(), "cargo build {kind} fails");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}
