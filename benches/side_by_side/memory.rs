//! Whether memory stays flat: the peak of a short and of a long run of `recorder train`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::report::{Target, excess, mebibytes, print_table};
use crate::statistics::median;

/// How far the peaks may be apart.
const MAX_RATIO: f64 = 1.1;

/// How often the peak so far is asked for. The kernel keeps it, but not beyond the process's end.
const POLL: Duration = Duration::from_millis(2);

/// Prints the peaks of both lengths.
pub fn measure(
    scratch: &Path,
    rounds: usize,
    epochs: [usize; 2],
    targets: &mut Vec<Target>,
) -> Result<()> {
    let mut peaks: [Vec<f64>; 2] = Default::default();
    for round in 0..rounds {
        let mut lengths = [0, 1];
        if round % 2 == 1 {
            lengths.reverse();
        }
        for length in lengths {
            let peak = peak_bytes(scratch, epochs[length])?;
            eprintln!("memory, {} epochs: {}", epochs[length], mebibytes(peak));
            peaks[length].push(peak);
        }
    }
    let [short, long] = peaks.map(|peaks| median(&peaks));
    let ratio = long / short;
    print_table(
        &format!("Peak resident memory of `recorder train` (digits, medians of {rounds})"),
        &["epochs", "peak", "against the first"],
        &[
            vec![epochs[0].to_string(), mebibytes(short), String::new()],
            vec![epochs[1].to_string(), mebibytes(long), excess(ratio)],
        ],
    );
    targets.push(Target {
        what: format!("memory, {} against {} epochs", epochs[1], epochs[0]),
        wanted: format!("within {}", excess(MAX_RATIO)),
        measured: excess(ratio),
        holds: ratio.max(1.0 / ratio) <= MAX_RATIO,
    });
    Ok(())
}

fn peak_bytes(scratch: &Path, epochs: usize) -> Result<f64> {
    // Stays until all is measured, so that no run shares the disk with the deletion of another.
    let run = tempfile::tempdir_in(scratch)?.keep();
    let mut child = Command::new(&stratigraph::binaries().recorder)
        .args(["train", "--device", "cpu", "--epochs", &epochs.to_string()])
        .arg("--out")
        .arg(&run)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut peak = None;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may end at any moment, and then has no memory to ask about.
        peak = peak.max(stratigraph::peak_memory_kib(child.id()));
        std::thread::sleep(POLL);
    };
    ensure!(status.success(), "recorder train failed: {status}");
    let kib = peak.context("the system does not tell a process's peak memory in /proc")?;
    Ok(kib as f64 * 1024.0)
}
