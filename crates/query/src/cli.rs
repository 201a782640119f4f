//! The command line: what was asked for, and how a process ends.
#![expect(
    clippy::print_stderr,
    reason = "a command line tool tells people what happened on stderr"
)]

mod answer;
mod compare;
mod describe;
mod embed;
mod info;
mod interrupt;
mod memory;
mod meta;
mod phases;
mod plot;
mod report;
mod shell;
mod statements;
mod structures;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use console::{Console, start_logging};
use sql::output::Format;
use sql::{QueryError, QuerySession, Run};
use studies::Epochs;

use answer::{Destination, say};
use memory::MemoryArgs;

/// Ask a run of a neural network's training questions in SQL.
#[derive(Parser)]
#[command(name = "query", version)]
struct Cli {
    /// Say more about what is done (twice: even more); RUST_LOG has the last word
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a SQL query
    Sql {
        /// The run's directory
        run: PathBuf,
        /// The query, as "SELECT epoch, layer, count(*) FROM weights GROUP BY epoch, layer"
        // SQL may begin with a comment, which looks like an option.
        #[arg(allow_hyphen_values = true)]
        sql: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        memory: MemoryArgs,
    },
    /// Say what a run is: its layers, data and settings, and how far it has come
    Info {
        /// The run's directory
        run: PathBuf,
    },
    /// Run a named query (`query list` shows them)
    Run {
        /// The query's name
        name: String,
        /// The run's directory
        run: PathBuf,
        /// Set a parameter (`query describe NAME` shows them); may be given several times
        #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_and_value)]
        params: Vec<(String, String)>,
        /// Write a column a list element: w_0, w_1, ... for `weights`, null past a list's end
        #[arg(long)]
        wide: bool,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        memory: MemoryArgs,
    },
    /// Compare two runs by layer and epoch: what they make of the held-out samples, and weights
    Compare {
        /// A run's directory
        run: PathBuf,
        /// Another run's directory
        other: PathBuf,
        /// The epochs: `all`, `first`, `last` or a number, of those that both captured
        #[arg(long, default_value = "all")]
        epoch: Epochs,
        /// This layer alone; `first` and `last` are understood
        #[arg(long)]
        layer: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        memory: MemoryArgs,
    },
    /// Place neurons in two or three dimensions, and in clusters
    Embed(embed::EmbedArgs),
    /// Find the phases of a training: epochs in which a layer keeps to one behaviour
    Phases(phases::PhasesArgs),
    /// Learn from the neurons whether the network is right: how well that goes on samples that were
    /// not learned from, and which neurons matter (the named query meta_model)
    Meta(meta::MetaArgs),
    /// List the named queries, or what else SQL over a run can name
    List {
        /// What is listed
        #[arg(value_enum, default_value_t = describe::Listed::Queries)]
        what: describe::Listed,
    },
    /// Show what a table, a column, a named query or a function means, takes and returns
    Describe {
        /// Its name; of a column that stands in several tables also TABLE.COLUMN
        name: String,
    },
    /// Find, name and show sets of neurons that go with a class, kept in the run's table `structures`
    #[command(subcommand)]
    Structures(structures::StructuresCommand),
    /// Draw a picture (`query plot --help` lists the kinds)
    Plot(plot::PlotArgs),
    /// Tell a whole run on one page: what was trained, how it learned, which neurons became what and
    /// when, what silencing them does, what recording cost
    Report(report::ReportArgs),
    /// Ask one question after another
    Shell {
        /// The run's directory
        run: PathBuf,
        #[command(flatten)]
        memory: MemoryArgs,
    },
}

#[derive(Args)]
struct OutputArgs {
    /// How rows are written; by default as the suffix of FILE says, or as a table
    #[arg(long, value_parser = format_parser())]
    format: Option<Format>,
    /// Write to FILE (.txt, .csv, .json, .jsonl, .ndjson, .parquet or .arrow)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long, requires = "output")]
    force: bool,
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name))
        .map(|name| Format::from_name(&name).expect("one of the possible values"))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value".to_owned()),
    }
}

impl OutputArgs {
    /// Where rows go and how; ends the process if that makes no sense.
    fn destination(self) -> Destination {
        let format = self.format.unwrap_or_else(|| match &self.output {
            None => Format::Table,
            Some(path) => Format::from_suffix(path).unwrap_or_else(|| {
                usage_error(format!(
                    "the suffix of {} names no format: give --format",
                    path.display()
                ))
            }),
        });
        match self.output {
            Some(path) => Destination::File {
                path,
                format,
                replace: self.force,
            },
            None if format.is_binary() && io::stdout().is_terminal() => usage_error(format!(
                "{} is not written to a terminal: give -o FILE",
                format.name()
            )),
            None => Destination::Stdout { format },
        }
    }
}

fn usage_error(message: String) -> ! {
    Cli::command()
        .error(ErrorKind::ValueValidation, message)
        .exit()
}

/// Does what the command line asks for; errors and notes go to stderr.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::default();
    start_logging(cli.verbose, &console);
    let done = run(cli.command);
    memory::remove_spilled();
    console::end(&console, done)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { what } => {
            answer::print(&describe::list(what))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Describe { name } => {
            answer::print(&describe::named(&name)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Sql {
            run,
            sql,
            output,
            memory,
        } => {
            let destination = output.destination().open()?;
            let session = open(&run)?.session(memory.session_options())?;
            finish(async {
                let rows = session.sql(&sql).await?;
                if session.is_empty() && session.reads_captures(&rows) {
                    return Err(QueryError::NothingCaptured.into());
                }
                destination
                    .write(rows.execute_stream().await.map_err(QueryError::from)?)
                    .await
            })
        }
        Command::Run {
            name,
            run,
            params,
            wide,
            output,
            memory,
        } => {
            let destination = output.destination().open()?;
            let session = open(&run)?.session(memory.session_options())?;
            if session.is_empty() {
                return Err(QueryError::NothingCaptured.into());
            }
            finish(async {
                let rows = session.named(&name, &params).await?;
                let rows = match wide {
                    true => sql::output::widened(rows).await?,
                    false => rows.execute_stream().await.map_err(QueryError::from)?,
                };
                destination.write(rows).await
            })
        }
        Command::Compare {
            run,
            other,
            epoch,
            layer,
            output,
            memory,
        } => compare::run(
            [&run, &other],
            epoch,
            layer.as_deref(),
            memory.session_options(),
            output.destination(),
        ),
        Command::Info { run } => info::run(&run),
        Command::Structures(command) => structures::run(command),
        Command::Embed(asked) => embed::run(asked),
        Command::Phases(asked) => phases::run(asked),
        Command::Meta(asked) => meta::run(asked),
        Command::Plot(asked) => plot::run(asked),
        Command::Report(asked) => report::run(asked),
        Command::Shell { run, memory } => shell::run(open(&run)?, memory.session_options()),
    }
}

fn open(path: &std::path::Path) -> anyhow::Result<Run> {
    let run = Run::open(path)?;
    if !run.has_commits() {
        say!(
            "note: {} has no commits/, so its directories were listed: captures may not be whole",
            path.display()
        );
    }
    Ok(run)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("query")
        .enable_all()
        .build()
        .context("cannot start threads")
}

/// Does `work` to its end.
fn finish(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    // After a failure other parts of the query may still compute: they are not waited for.
    runtime.shutdown_background();
    match done {
        Err(error) if answer::is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

/// The tables and named queries of a session, a line each.
fn table_lines(session: &QuerySession) -> String {
    let tables = session.table_names().into_iter().map(str::to_owned);
    let queries = sql::NamedQuery::all().iter();
    let queries = queries.map(|query| format!("{} (a named query)", query.name()));
    tables.chain(queries).map(|line| line + "\n").collect()
}
