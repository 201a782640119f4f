//! What recording costs: training without it and with it, from the first step until everything is
//! committed.
//!
//! The number of threads that train is fixed when the process's pool starts, so every number of
//! threads has a process of its own, this program again, which prints a JSON line a round.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use recorder::{ActivationDetail, DeviceChoice, Recorded};
use serde_json::{Value, json};

use crate::report::{Target, excess, print_table, time};
use crate::runs::{RAW, everything, train_digits_on};
use crate::statistics::{median, median_interval};

/// The network that the target is about.
const HIDDEN: [usize; 2] = [256, 128];

/// The most that recording may add.
const MAX_RATIO: f64 = 1.05;

/// What a round measures, once each: nothing recorded, statistics of activations, all of them.
const KINDS: [&str; 3] = ["off", "statistics", "raw"];

/// Prints what recording adds: on the CPU with one thread and with two, on another device with one.
pub fn measure(
    device: DeviceChoice,
    rounds: usize,
    epochs: usize,
    targets: &mut Vec<Target>,
) -> Result<()> {
    let is_cpu = device == DeviceChoice::Cpu;
    let mut rows = Vec::new();
    for threads in if is_cpu { 1..=2 } else { 1..=1 } {
        let measured = in_a_process(device, threads, rounds, epochs)?;
        let [off, ..] = &measured;
        for (kind, on) in KINDS.iter().zip(&measured).skip(1) {
            let ratios: Vec<f64> = on.iter().zip(off).map(|(on, off)| on / off).collect();
            let ratio = median(&ratios);
            let interval = median_interval(&ratios).map_or("too few pairs".to_owned(), |(a, b)| {
                format!("{} to {}", excess(a), excess(b))
            });
            rows.push(vec![
                format!("weights, classifications, metrics, activations ({kind})"),
                threads.to_string(),
                time(median(off)),
                time(median(on)),
                excess(ratio),
                interval.clone(),
            ]);
            if is_cpu && threads == 1 && *kind == "statistics" {
                targets.push(Target {
                    what: "recording, one thread training".to_owned(),
                    wanted: format!("at most {}", excess(MAX_RATIO)),
                    measured: format!("{} ({interval})", excess(ratio)),
                    holds: ratio <= MAX_RATIO,
                });
            }
        }
    }
    let [first, second] = HIDDEN;
    print_table(
        &format!(
            "Training with recording off and on ({device}, digits, hidden {first},{second}, \
             {epochs} epochs, {rounds} interleaved pairs)"
        ),
        &[
            "recorded every epoch",
            "threads",
            "off",
            "on",
            "median of the pairs",
            "95 % interval",
        ],
        &rows,
    );
    println!(
        "\nMedians; the interval of the median of the pairs' ratios is by order statistics \
         (binomial, no distribution assumed)."
    );
    Ok(())
}

fn in_a_process(
    device: DeviceChoice,
    threads: usize,
    rounds: usize,
    epochs: usize,
) -> Result<[Vec<f64>; 3]> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--overhead-rounds", &rounds.to_string()])
        .args(["--overhead-epochs", &epochs.to_string()])
        .args(["--device", &device.to_string()])
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("it is piped")?;
    let mut measured: [Vec<f64>; 3] = Default::default();
    for line in BufReader::new(output).lines() {
        let round: Value = serde_json::from_str(&line?)?;
        for (kind, seconds) in KINDS.iter().zip(&mut measured) {
            seconds.push(
                round[kind]
                    .as_f64()
                    .context("a round measures every kind")?,
            );
        }
        eprintln!("overhead, {threads} threads: {round}");
    }
    ensure!(child.wait()?.success(), "training failed");
    Ok(measured)
}

/// The rounds of one process. The order alternates, and what the target is about always runs right
/// beside training without recording.
pub fn run_rounds(
    device: DeviceChoice,
    scratch: &Path,
    rounds: usize,
    epochs: usize,
) -> Result<()> {
    // Not counted: it starts threads and fills caches.
    seconds(device, scratch, epochs.min(10), Some(everything(RAW)))?;
    for round in 0..rounds {
        let mut kinds = [
            (KINDS[0], None),
            (KINDS[1], Some(everything(ActivationDetail::Statistics))),
            (KINDS[2], Some(everything(RAW))),
        ];
        if round % 2 == 1 {
            kinds.reverse();
        }
        let mut measured = json!({});
        for (kind, recorded) in kinds {
            measured[kind] = seconds(device, scratch, epochs, recorded)?.into();
        }
        println!("{measured}");
    }
    Ok(())
}

fn seconds(
    device: DeviceChoice,
    scratch: &Path,
    epochs: usize,
    recorded: Option<Recorded>,
) -> Result<f64> {
    // Stays until all is measured: deleting thousands of files keeps the disk busy for the next
    // run, whose publishes wait for it.
    let run = tempfile::tempdir_in(scratch)?.keep();
    let summary = train_digits_on(device, &run, &HIDDEN, epochs, recorded)?;
    Ok(summary.elapsed.as_secs_f64())
}
