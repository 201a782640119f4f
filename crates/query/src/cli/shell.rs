//! `query shell`: one question after another, by a person or from a script.

mod arguments;
mod commands;
mod completion;
mod editor;
mod formats;
mod highlight;
mod history;
mod output;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use futures::future::{Either, select};
use rustyline::error::ReadlineError;
use sql::output::Format;
use sql::{QueryError, QuerySession, Run, SessionOptions};

use super::answer::say;
use super::interrupt::{Stop, exit_on_ctrl_c};
use super::memory::MemoryArgs;
use super::session::{SalvageArgs, reload, rows_of, runtime};
use super::statements::Statements;
use output::Output;

const PROMPT: &str = "query> ";
const CONTINUED: &str = "   ..> ";

#[derive(Args)]
pub struct ShellArgs {
    /// The run's directory
    run: PathBuf,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    salvage: SalvageArgs,
}

pub(super) fn run(asked: ShellArgs) -> anyhow::Result<ExitCode> {
    let mut shell = Shell {
        run: asked.salvage.open(&asked.run)?,
        options: asked.memory.session_options(),
        format: Format::Table,
        output: Output::Screen,
        is_timed: false,
        reading: 0,
        runtime: runtime()?,
        stop: None,
        failed: false,
    };
    match io::stdin().is_terminal() {
        true => {
            shell.stop = Some(Stop::on_ctrl_c()?);
            shell.interactive()?;
        }
        false => {
            exit_on_ctrl_c()?;
            shell.lines(io::stdin().lines())?;
        }
    }
    // A statement that was stopped may still compute.
    shell.runtime.shutdown_background();
    // Whoever types has seen the error; a script asks for the exit status.
    Ok(match shell.failed && !io::stdin().is_terminal() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

struct Shell {
    run: Run,
    options: SessionOptions,
    format: Format,
    /// Where the rows of answers go.
    output: Output,
    /// Whether it is said how long an answer took.
    is_timed: bool,
    /// How many files are being read, one out of the other.
    reading: usize,
    runtime: tokio::runtime::Runtime,
    /// How a person stops a statement; a script is ended as a whole.
    stop: Option<Stop>,
    failed: bool,
}

#[derive(PartialEq)]
enum Next {
    Line,
    Quit,
}

/// What is asked of a run.
enum Question<'a> {
    Sql(&'a str),
    Named {
        name: &'a str,
        arguments: &'a [(String, String)],
    },
}

impl Shell {
    fn interactive(&mut self) -> anyhow::Result<()> {
        let mut editor = editor::editor(self.session().ok().as_ref())?;
        let history = history::file();
        if let Some(file) = &history {
            // There is none the first time.
            let _ = editor.load_history(file);
        }
        say!("SQL over {}; .help shows more", self.run.path().display());
        let mut statements = Statements::default();
        let mut entry = String::new();
        loop {
            let prompt = if statements.is_open() {
                CONTINUED
            } else {
                PROMPT
            };
            match editor.readline(prompt) {
                Ok(line) => {
                    entry.push_str(&line);
                    // A statement comes back whole, however many lines it has, also if it ends the
                    // process.
                    if statements.is_ended_by(&line) {
                        let _ = editor.add_history_entry(std::mem::take(&mut entry));
                        if let Some(file) = &history
                            && let Err(error) = editor.append_history(file)
                        {
                            tracing::debug!(path = %file.display(), %error, "the history was not saved");
                        }
                    } else {
                        entry.push('\n');
                    }
                    if self.line(&line, &mut statements)? == Next::Quit {
                        return Ok(());
                    }
                }
                Err(ReadlineError::Interrupted) => {
                    statements.clear();
                    entry.clear();
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does what the lines of a script or a file say.
    fn lines(&mut self, lines: impl Iterator<Item = io::Result<String>>) -> anyhow::Result<Next> {
        let mut statements = Statements::default();
        for line in lines {
            if self.line(&line?, &mut statements)? == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        match statements.rest() {
            Some(statement) => self.answer(&Question::Sql(&statement)),
            None => Ok(Next::Line),
        }
    }

    fn line(&mut self, line: &str, statements: &mut Statements) -> anyhow::Result<Next> {
        if !statements.is_open() && line.trim_start().starts_with('.') {
            return self.command(line.trim());
        }
        for statement in statements.push_line(line) {
            if self.answer(&Question::Sql(&statement))? == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        Ok(Next::Line)
    }

    fn fail(&mut self, message: impl std::fmt::Display) {
        self.failed = true;
        say!("error: {message}");
    }

    fn session(&self) -> Result<QuerySession, QueryError> {
        self.run.session(self.options.clone())
    }

    /// Answers a question about the run as it is now: what was committed meanwhile is part of it.
    fn answer(&mut self, question: &Question<'_>) -> anyhow::Result<Next> {
        match reload(&self.run) {
            Ok(run) => self.run = run,
            Err(error) => {
                self.fail(error);
                return Ok(Next::Line);
            }
        }
        if self.run.is_empty() {
            eprintln!("note: {}", QueryError::NothingCaptured);
        }
        let began = Instant::now();
        let (run, options) = (&self.run, &self.options);
        let (format, output) = (self.format, &mut self.output);
        let work = async {
            let rows = rows_of(run, options, async |session| {
                let rows = match question {
                    Question::Sql(sql) => session.sql(sql).await?,
                    Question::Named { name, arguments } => session.named(name, arguments).await?,
                };
                Ok(rows.execute_stream().await.map_err(QueryError::from)?)
            });
            output.write(rows.await?, format).await
        };
        let stopped = async {
            match &self.stop {
                Some(stop) => stop.asked().await,
                None => std::future::pending().await,
            }
        };
        let done = self.runtime.block_on(async {
            match select(pin!(stopped), pin!(work)).await {
                Either::Left(_) => Err(anyhow::anyhow!("stopped")),
                Either::Right((done, _)) => done,
            }
        });
        let done = match done {
            Ok(()) => Ok(()),
            // What was stopped or failed on its way leaves no part of an answer in a file.
            Err(error) => Err(match self.output.take_back() {
                Ok(()) => error,
                Err(also) => error.context(also),
            }),
        };
        if self.is_timed {
            eprintln!("time: {:.3} s", began.elapsed().as_secs_f64());
        }
        match done {
            Ok(()) => Ok(Next::Line),
            Err(error) if console::is_closed_pipe(error.as_ref()) => Ok(Next::Quit),
            Err(error) => {
                self.fail(format!("{error:#}"));
                Ok(Next::Line)
            }
        }
    }
}
