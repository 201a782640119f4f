//! `query shell`: one question after another, by a person or from a script.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;

use futures::future::{Either, select};
use query::output::Format;
use query::{QueryError, Run, SessionOptions, type_name};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::answer::{is_closed_pipe, print, say, to_stdout};
use super::interrupt::{Stop, exit_on_ctrl_c};
use super::statements::Statements;
use super::{describe, runtime, table_lines};

const HELP: &str = "\
SQL ends with a semicolon and may have several lines.
.tables         the tables and the named queries, which are tables as well
.schema NAME    the columns of a table
.queries        what the named queries answer
.functions      the functions
.describe NAME  what a table, a column, a named query or a function means
.format FORMAT  how rows are written: table, csv or json
.help           this
.quit           the end (as is Ctrl-D; Ctrl-C drops or stops a statement)
";

const PROMPT: &str = "query> ";
const CONTINUED: &str = "   ..> ";

pub(super) fn run(run: Run, options: SessionOptions) -> anyhow::Result<ExitCode> {
    let mut shell = Shell {
        run,
        options,
        format: Format::Table,
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
            shell.scripted()?;
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

impl Shell {
    fn interactive(&mut self) -> anyhow::Result<()> {
        let mut editor = DefaultEditor::new()?;
        let history = history_file();
        if let Some(file) = &history {
            // There is none the first time.
            let _ = editor.load_history(file);
        }
        eprintln!("SQL over {}; .help shows more", self.run.path().display());
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
                    let next = self.line(&line, &mut statements)?;
                    if statements.is_open() {
                        entry.push('\n');
                    } else {
                        // A statement comes back whole, however many lines it has.
                        let _ = editor.add_history_entry(std::mem::take(&mut entry));
                    }
                    if next == Next::Quit {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => {
                    statements.clear();
                    entry.clear();
                }
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(file) = &history
            && let Err(error) = editor.save_history(file)
        {
            tracing::debug!(path = %file.display(), %error, "the history was not saved");
        }
        Ok(())
    }

    fn scripted(&mut self) -> anyhow::Result<()> {
        let mut statements = Statements::default();
        for line in io::stdin().lines() {
            if self.line(&line?, &mut statements)? == Next::Quit {
                return Ok(());
            }
        }
        if let Some(statement) = statements.rest() {
            self.statement(&statement)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str, statements: &mut Statements) -> anyhow::Result<Next> {
        if !statements.is_open() && line.trim_start().starts_with('.') {
            return self.command(line.trim());
        }
        for statement in statements.push_line(line) {
            if self.statement(&statement)? == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        Ok(Next::Line)
    }

    fn fail(&mut self, message: impl std::fmt::Display) {
        self.failed = true;
        say!("error: {message}");
    }

    fn command(&mut self, line: &str) -> anyhow::Result<Next> {
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command, argument.trim()) {
            (".quit" | ".exit", "") => return Ok(Next::Quit),
            (".help", "") => print(HELP)?,
            (".tables", "") => {
                let session = self.run.session(self.options.clone())?;
                print(&table_lines(&session))?;
            }
            (".queries", "") => print(&describe::list(describe::Listed::Queries))?,
            (".functions", part) => print(&describe::functions(part))?,
            (".describe", name) if !name.is_empty() => match describe::named(name) {
                Ok(text) => print(&text)?,
                Err(error) => self.fail(error),
            },
            (".schema", name) if !name.is_empty() => match self.schema(name) {
                Ok(columns) => print(&columns)?,
                Err(error) => self.fail(error),
            },
            (".format", name) if !name.is_empty() => match Format::from_name(name) {
                Some(format) if !format.is_binary() => self.format = format,
                _ => self.fail(format!(
                    "{name:?} is no format of a shell: table, csv, json or jsonl"
                )),
            },
            _ => self.fail(format!("{line:?} is not understood; .help shows what is")),
        }
        Ok(Next::Line)
    }

    fn schema(&self, name: &str) -> Result<String, QueryError> {
        let session = self.run.session(self.options.clone())?;
        let quoted = name.replace('"', "\"\"");
        let sql = format!("SELECT * FROM \"{quoted}\" LIMIT 0");
        let rows = self.runtime.block_on(session.sql(&sql))?;
        let fields = rows.schema().fields().iter();
        Ok(fields
            .map(|field| {
                let nullable = if field.is_nullable() { "" } else { " NOT NULL" };
                format!(
                    "{} {}{nullable}\n",
                    field.name(),
                    type_name(field.data_type())
                )
            })
            .collect())
    }

    /// Runs a statement over the run as it is now: what was committed meanwhile is part of it.
    fn statement(&mut self, sql: &str) -> anyhow::Result<Next> {
        match self.run.reload() {
            Ok(run) => self.run = run,
            Err(error) => {
                self.fail(error);
                return Ok(Next::Line);
            }
        }
        if self.run.is_empty() {
            eprintln!("note: {}", QueryError::NothingCaptured);
        }
        let (run, format) = (&self.run, self.format);
        let options = self.options.clone();
        let work = async {
            let session = run.session(options)?;
            let rows = session.sql(sql).await?;
            to_stdout(
                rows.execute_stream().await.map_err(QueryError::from)?,
                format,
            )
            .await
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
        match done {
            Ok(()) => Ok(Next::Line),
            Err(error) if is_closed_pipe(&error) => Ok(Next::Quit),
            Err(error) => {
                self.fail(format!("{error:#}"));
                Ok(Next::Line)
            }
        }
    }
}

/// `~/.local/state/stratigraph/query-history`, or wherever the user keeps such things.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")))?;
    let dir = state.join("stratigraph");
    fs::create_dir_all(&dir).ok()?;
    Some(dir.join("query-history"))
}
