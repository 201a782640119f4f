//! Stratigraph beside what it is compared with, in turns, in one session on one machine.
//!
//! Two programs of `benches` set it beside others. This one is for what recording costs: what it adds to a training,
//! beside the same training without, and the memory of a long one. `benches/compare/compare.py` is for what is written
//! and asked, beside more libraries and on larger runs, from programs of a release build, and fails where a target is
//! missed: whoever wants to know whether a query or the writing has become slower runs that. The comparisons `write`
//! and `queries` here are of the first with pyarrow, pandas and numpy, on the digits; the figures of
//! `docs/performance.md` that name this command are of them, and they go once compare.py has made others.
//!
//! `cargo bench --workspace --bench side_by_side` prints Markdown tables on stdout and how far it
//! is on stderr; `-- --quick` is a short form that shows that everything works.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program: results on stdout, progress on stderr"
)]

mod memory;
mod overhead;
mod python;
mod queries;
#[path = "../support/report.rs"]
mod report;
#[path = "../support/runs.rs"]
mod runs;
#[path = "../support/statistics.rs"]
mod statistics;
mod timed_queries;
mod write;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use recorder::DeviceChoice;

use python::Python;
use runs::{RAW, everything, train_digits};

/// Measure recording, memory, writing and the named queries side by side with their peers.
#[derive(Debug, Parser)]
#[command(name = "side_by_side")]
struct Arguments {
    /// Few rounds of little work: shows that everything works, its figures mean little
    #[arg(long)]
    quick: bool,
    /// Measure only these
    #[arg(long, value_delimiter = ',')]
    only: Vec<Comparison>,
    /// A Python with numpy, pandas and pyarrow [default: one is made in the build directory]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Where to train for the overhead; all else is of the CPU
    #[arg(long, default_value_t = DeviceChoice::Cpu, value_name = "cpu|cuda[:N]|vulkan[:N]")]
    device: DeviceChoice,
    /// Rounds of the writing and of the queries
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Given by this program to itself: do rounds of training
    #[arg(long, hide = true, requires = "overhead_epochs")]
    overhead_rounds: Option<usize>,
    #[arg(long, hide = true)]
    overhead_epochs: Option<usize>,
    /// Given by cargo to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Comparison {
    /// Training with recording off and on
    Overhead,
    /// Peak memory of a short and of a long run
    Memory,
    /// The same captures written by pyarrow
    Write,
    /// The notebook's steps in pandas and numpy
    Queries,
}

/// How much is measured.
struct Scale {
    overhead_pairs: usize,
    overhead_epochs: usize,
    memory_rounds: usize,
    memory_epochs: [usize; 2],
    trace_epochs: usize,
    rounds: usize,
}

const FULL: Scale = Scale {
    overhead_pairs: 15,
    overhead_epochs: 200,
    memory_rounds: 3,
    memory_epochs: [100, 2000],
    trace_epochs: 300,
    rounds: 5,
};

const QUICK: Scale = Scale {
    overhead_pairs: 3,
    overhead_epochs: 20,
    memory_rounds: 1,
    memory_epochs: [20, 100],
    trace_epochs: 20,
    rounds: 1,
};

/// The hidden layers of `recorder train`'s own network.
const DEFAULT_HIDDEN: [usize; 2] = [128, 64];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let scratch = scratch.path();
    if let (Some(rounds), Some(epochs)) = (arguments.overhead_rounds, arguments.overhead_epochs) {
        return overhead::run_rounds(arguments.device, scratch, rounds, epochs);
    }

    let scale = if arguments.quick { QUICK } else { FULL };
    let rounds = arguments.rounds.map_or(scale.rounds, |n| n as usize);
    let is_wanted = |it| arguments.only.is_empty() || arguments.only.contains(&it);
    let mut targets = Vec::new();
    // Built before anything is timed.
    stratigraph::binaries();
    println!("{}", machine());
    if is_wanted(Comparison::Overhead) {
        let device = arguments.device;
        println!("trained on {}", device.resolve()?.reason);
        let (pairs, epochs) = (scale.overhead_pairs, scale.overhead_epochs);
        overhead::measure(device, pairs, epochs, &mut targets)?;
    }
    if is_wanted(Comparison::Memory) {
        memory::measure(
            scratch,
            scale.memory_rounds,
            scale.memory_epochs,
            &mut targets,
        )?;
    }
    if is_wanted(Comparison::Write) || is_wanted(Comparison::Queries) {
        let python = Python::find(arguments.python.as_deref(), scratch)?;
        let run = scratch.join("digits");
        let epochs = scale.trace_epochs;
        train_digits(&run, &DEFAULT_HIDDEN, epochs, Some(everything(RAW)))?;
        if is_wanted(Comparison::Write) {
            write::measure(&run, scratch, &python, rounds)?;
        }
        if is_wanted(Comparison::Queries) {
            queries::measure(&run, scratch, &python, (epochs, rounds), &mut targets)?;
        }
    }
    report::print_targets(&targets);
    Ok(())
}

/// What the figures were measured on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(std::env::consts::ARCH, |(_, model)| model);
    format!("{cores} cores, {model}, {}", std::env::consts::OS)
}
