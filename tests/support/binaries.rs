//! The binaries under test: built here, never picked up from somewhere.

use std::path::PathBuf;
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
    BINARIES.get_or_init(build)
}

fn build() -> Binaries {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "build",
            "--workspace",
            "--bins",
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
    assert!(output.status.success(), "the binaries do not build");
    let messages: Vec<serde_json::Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
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
