//! The notebook's steps: our named queries against pandas and numpy, on the same run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::python::{Answer, Python};
use crate::report::{Target, print_table, time, times};
use crate::statistics::median;
use crate::timed_queries::TimedQueries;

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Memory,
    Parquet,
}

struct Case {
    query: &'static str,
    /// The notebook's steps that it stands for.
    steps: &'static str,
    to: To,
    /// How many times pandas' time has to be at least.
    target: Option<f64>,
}

const CASES: [Case; 7] = [
    case("by_neuron", "3, 5, 6", To::Parquet, Some(50.0)),
    case("epoch_average", "3, 7", To::Memory, Some(20.0)),
    case("epoch_average", "3, 7", To::Parquet, None),
    case("classification_series", "2", To::Memory, None),
    case("padded", "3", To::Memory, None),
    case("by_layer", "3, 5", To::Memory, None),
    case("connections", "9", To::Memory, None),
];

const fn case(query: &'static str, steps: &'static str, to: To, target: Option<f64>) -> Case {
    Case {
        query,
        steps,
        to,
        target,
    }
}

/// Seconds of every round.
#[derive(Default)]
struct Measured {
    ours: Vec<f64>,
    ours_process: Vec<f64>,
    pandas: Vec<f64>,
    pandas_process: Vec<f64>,
    numpy: Vec<f64>,
    /// Of `numpy`, what loading the pickle took.
    numpy_load: Vec<f64>,
    numpy_process: Vec<f64>,
    /// From the run's directory, by pyarrow.
    numpy_run: Vec<f64>,
}

/// Where everything is.
struct Bench<'a> {
    run: &'a Path,
    pickle: PathBuf,
    scratch: &'a Path,
    python: &'a Python,
    ours: TimedQueries,
}

/// Prints how long each query takes us and them, in the process and with its start.
pub fn measure(
    run: &Path,
    scratch: &Path,
    python: &Python,
    (epochs, rounds): (usize, usize),
    targets: &mut Vec<Target>,
) -> Result<()> {
    let mut bench = Bench {
        run,
        pickle: scratch.join("trace.pickle"),
        scratch,
        python,
        ours: TimedQueries::start(run)?,
    };
    let pickle = [run.as_os_str(), "-o".as_ref(), bench.pickle.as_os_str()];
    python.run("network_trace.py", &pickle)?;
    // The page cache is warm for everybody: the pickle was just written, the run is read here.
    for case in &CASES {
        bench.ours(case)?;
    }
    let mut measured: [Measured; CASES.len()] = Default::default();
    for round in 0..rounds {
        for (case, measured) in CASES.iter().zip(&mut measured) {
            bench.round(case, measured)?;
        }
        eprintln!("queries: round {} of {rounds} done", round + 1);
    }
    report(&measured, (epochs, rounds), targets);
    Ok(())
}

impl Bench<'_> {
    fn round(&mut self, case: &Case, measured: &mut Measured) -> Result<()> {
        measured.ours.push(self.ours(case)?);
        let pandas = self.peer("notebook_pandas.py", &self.pickle, case)?;
        measured.pandas.push(pandas.seconds()?);
        measured.pandas_process.push(pandas.process_seconds);
        measured.ours_process.push(self.our_process(case)?);
        let numpy = self.peer("notebook_numpy.py", &self.pickle, case)?;
        measured.numpy.push(numpy.seconds()?);
        measured.numpy_load.push(numpy.load_seconds()?);
        measured.numpy_process.push(numpy.process_seconds);
        let numpy_run = self.peer("notebook_numpy.py", self.run, case)?;
        measured.numpy_run.push(numpy_run.seconds()?);
        Ok(())
    }

    fn ours(&mut self, case: &Case) -> Result<f64> {
        let out = tempfile::tempdir_in(self.scratch)?;
        let path = (case.to == To::Parquet).then(|| out.path().join("rows.parquet"));
        self.ours.seconds(case.query, path.as_deref())
    }

    /// The program `query`, which has to put its rows somewhere: into a Parquet file.
    fn our_process(&self, case: &Case) -> Result<f64> {
        let out = tempfile::tempdir_in(self.scratch)?;
        let start = Instant::now();
        let status = Command::new(&stratigraph::binaries().query)
            .args(["run", case.query])
            .arg(self.run)
            .arg("-o")
            .arg(out.path().join("rows.parquet"))
            .stderr(Stdio::null())
            .status()
            .context("query")?;
        let seconds = start.elapsed().as_secs_f64();
        ensure!(status.success(), "query run {} failed", case.query);
        Ok(seconds)
    }

    fn peer(&self, script: &str, trace: &Path, case: &Case) -> Result<Answer> {
        let out = tempfile::tempdir_in(self.scratch)?;
        let path = out.path().join("rows.parquet");
        let mut arguments: Vec<&OsStr> = vec![case.query.as_ref(), trace.as_os_str()];
        arguments.push("--total".as_ref());
        if case.to == To::Parquet {
            arguments.extend([OsStr::new("-o"), path.as_os_str()]);
        }
        self.python.run(script, &arguments)
    }
}

fn report(measured: &[Measured], (epochs, rounds): (usize, usize), targets: &mut Vec<Target>) {
    let both = || CASES.iter().zip(measured);
    let rows: Vec<_> = both()
        .map(|(case, measured)| {
            let ours = median(&measured.ours);
            let pandas = median(&measured.pandas);
            let numpy = median(&measured.numpy);
            let numpy_run = median(&measured.numpy_run);
            vec![
                case.query.to_owned(),
                case.steps.to_owned(),
                name(case.to).to_owned(),
                time(ours),
                time(pandas),
                time(numpy),
                time(median(&measured.numpy_load)),
                time(numpy_run),
                times(pandas / ours),
                times(numpy / ours),
                times(numpy_run / ours),
            ]
        })
        .collect();
    print_table(
        &format!("The notebook's steps, digits, {epochs} epochs, {rounds} rounds, warm page cache"),
        &[
            "query",
            "steps",
            "rows to",
            "ours",
            "pandas",
            "numpy",
            "of it load",
            "numpy, run",
            "pandas ÷ ours",
            "numpy ÷ ours",
            "numpy, run ÷ ours",
        ],
        &rows,
    );
    println!(
        "\nOurs from the run's directory, opening it counted, on all cores; pandas and numpy on \
         one, from a pickle of the same trace, loading counted; \"numpy, run\" from the run's \
         directory by pyarrow. No process start, no imports."
    );
    let rows: Vec<_> = both()
        .map(|(case, measured)| {
            let ours = median(&measured.ours_process);
            let pandas = median(&measured.pandas_process);
            let numpy = median(&measured.numpy_process);
            vec![
                case.query.to_owned(),
                case.steps.to_owned(),
                name(case.to).to_owned(),
                time(ours),
                time(pandas),
                time(numpy),
                times(pandas / ours),
                times(numpy / ours),
            ]
        })
        .collect();
    print_table(
        "The same with the start of the process",
        &[
            "query",
            "steps",
            "their rows to",
            "ours",
            "pandas",
            "numpy",
            "pandas ÷ ours",
            "numpy ÷ ours",
        ],
        &rows,
    );
    println!("\nThe program `query` writes Parquet in every row.");
    for (case, measured) in both() {
        let Some(target) = case.target else { continue };
        let ratio = median(&measured.pandas) / median(&measured.ours);
        targets.push(Target {
            what: format!("{} to {}, pandas ÷ ours", case.query, name(case.to)),
            wanted: format!("at least {}", times(target)),
            measured: times(ratio),
            holds: ratio >= target,
        });
    }
}

fn name(to: To) -> &'static str {
    match to {
        To::Memory => "memory",
        To::Parquet => "Parquet",
    }
}
