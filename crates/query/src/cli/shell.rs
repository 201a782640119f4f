//! `query shell`: one question after another, by a person or from a script.

mod arguments;
mod commands;
mod completion;
mod editor;
mod formats;
mod highlight;
mod history;
mod output;
mod question;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use futures::future::{Either, pending, select};
use rustyline::error::ReadlineError;
use sql::output::Format;
use sql::{QueryError, QuerySession, Run, SessionOptions};

use super::answer::say;
use super::interrupt::{Stop, after, exit_on_ctrl_c};
use super::limits::LimitArgs;
use super::session::{SalvageArgs, reload, runtime};
use super::statements::Statements;
use output::Output;
use question::{Question, elsewhere};
use tokio::sync::oneshot;

const PROMPT: &str = "query> ";
const CONTINUED: &str = "   ..> ";

#[derive(Args)]
pub struct ShellArgs {
    /// The run's directory
    run: PathBuf,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    salvage: SalvageArgs,
}

pub(super) fn run(asked: ShellArgs) -> anyhow::Result<ExitCode> {
    let mut shell = Shell {
        run: asked.salvage.open(&asked.run)?,
        options: asked.limits.session_options(),
        timeout: asked.limits.timeout(),
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
    /// How long an answer may take.
    timeout: Option<Duration>,
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
    /// What comes from a person again: what else was on the line, or in a file, was stopped with a statement.
    Prompt,
    Quit,
}

/// Why an answer is waited for no longer.
enum GivenUp {
    Stopped,
    TimedOut(Duration),
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
                    // At the prompt Ctrl-C is a key, and no signal.
                    self.stop.iter().for_each(Stop::begin);
                    match self.line(&line, &mut statements)? {
                        Next::Line => {}
                        Next::Prompt => {
                            statements.clear();
                            entry.clear();
                        }
                        Next::Quit => return Ok(()),
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
            let next = self.line(&line?, &mut statements)?;
            if next != Next::Line {
                return Ok(next);
            }
        }
        match statements.rest() {
            Some(statement) => self.answer(Question::Sql(statement)),
            None => Ok(Next::Line),
        }
    }

    fn line(&mut self, line: &str, statements: &mut Statements) -> anyhow::Result<Next> {
        if !statements.is_open() && line.trim_start().starts_with('.') {
            return self.command(line.trim());
        }
        for statement in statements.push_line(line) {
            let next = self.answer(Question::Sql(statement))?;
            if next != Next::Line {
                return Ok(next);
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
    fn answer(&mut self, question: Question) -> anyhow::Result<Next> {
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
        let session = self.session();
        let (format, output) = (self.format, &mut self.output);
        let work = async {
            let rows = elsewhere(session?, question).await?;
            output.write(rows, format).await
        };
        let given_up = given_up(self.stop.as_ref(), self.timeout);
        let done = self.runtime.block_on(async {
            match select(pin!(given_up), pin!(work)).await {
                Either::Left((why, _)) => Err(why),
                Either::Right((done, _)) => Ok(done),
            }
        });
        let is_stopped = matches!(done, Err(GivenUp::Stopped));
        let mut done = match done {
            Ok(done) => done,
            Err(why) => {
                // What was given up keeps its threads until it lets go of them, as a join does that is in the
                // midst of a batch: the next question gets others.
                std::mem::replace(&mut self.runtime, runtime()?).shutdown_background();
                Err(match why {
                    GivenUp::Stopped => anyhow::anyhow!("stopped"),
                    GivenUp::TimedOut(timeout) => QueryError::TimedOut(timeout).into(),
                })
            }
        };
        if let Err(error) = done {
            // What was given up or failed on its way leaves no part of an answer in a file.
            done = Err(match self.output.take_back() {
                Ok(()) => error,
                Err(also) => error.context(also),
            });
        }
        if self.is_timed {
            eprintln!("time: {:.3} s", began.elapsed().as_secs_f64());
        }
        match done {
            Ok(()) => Ok(Next::Line),
            Err(error) if console::is_closed_pipe(error.as_ref()) => Ok(Next::Quit),
            Err(error) => {
                self.fail(format!("{error:#}"));
                Ok(if is_stopped { Next::Prompt } else { Next::Line })
            }
        }
    }
}

/// Returns once an answer is waited for no longer.
async fn given_up(stop: Option<&Stop>, timeout: Option<Duration>) -> GivenUp {
    let stopped = async {
        match stop {
            Some(stop) => stop.asked().await,
            None => pending().await,
        }
    };
    let timed_out = async {
        let Some(timeout) = timeout else {
            return pending().await;
        };
        let (over, is_over) = oneshot::channel();
        let watched = after(timeout, move || {
            // Who has answered by then listens no more.
            let _ = over.send(());
        });
        match watched {
            Ok(_in_time) => {
                let _ = is_over.await;
                timeout
            }
            Err(error) => {
                tracing::warn!(%error, "an answer may take any time");
                pending().await
            }
        }
    };
    match select(pin!(stopped), pin!(timed_out)).await {
        Either::Left(_) => GivenUp::Stopped,
        Either::Right((timeout, _)) => GivenUp::TimedOut(timeout),
    }
}
