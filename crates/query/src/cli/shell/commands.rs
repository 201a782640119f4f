//! What a line that begins with a dot asks for.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use sql::output::Format;
use sql::{QueryError, QuerySession, type_name};

use super::formats::formats;
use super::output::Output;
use super::{Next, Question, Shell, arguments};
use crate::cli::answer::print;
use crate::cli::describe;
use crate::cli::usage::key_and_value;

/// Every command, for completion; the help shows them with what they take.
pub(super) const COMMANDS: [&str; 13] = [
    ".tables",
    ".schema",
    ".queries",
    ".functions",
    ".describe",
    ".run",
    ".format",
    ".output",
    ".timing",
    ".read",
    ".help",
    ".quit",
    ".exit",
];

pub(super) const HELP: &str = "\
SQL ends with a semicolon and may have several lines. Tab completes names.
.tables                the tables and the named queries, which are tables as well
.schema NAME           the columns of a table
.queries               what the named queries answer
.functions [PART]      the functions, or all with PART in their name
.describe NAME         what a table, a column, a named query or a function means
.run NAME [KEY=VALUE]  a named query with parameters (.describe NAME shows them)
.format FORMAT         how rows are written: table, csv, json or jsonl
.output [FILE]         answers go to FILE, in the format of its suffix; without FILE here again
.timing [on|off]       whether it is said how long an answer took
.read FILE             what is in FILE, as if it were typed
.help                  this
.quit                  the end (as is Ctrl-D; Ctrl-C drops or stops a statement)
";

/// How many files may read each other: one that reads itself ends here.
const MAX_READING: usize = 16;

impl Shell {
    pub(super) fn command(&mut self, line: &str) -> anyhow::Result<Next> {
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let words = match arguments::words(rest) {
            Ok(words) => words,
            Err(problem) => {
                self.fail(format!("{line:?}: {problem}"));
                return Ok(Next::Line);
            }
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (command, &words[..]) {
            (".quit" | ".exit", []) => return Ok(Next::Quit),
            (".help", []) => print(HELP)?,
            (".tables", []) => print(&table_lines(&self.session()?))?,
            (".queries", []) => print(&sql::listed(sql::Listed::Queries))?,
            (".functions", []) => print(&describe::functions(""))?,
            (".functions", [part]) => print(&describe::functions(part))?,
            (".describe", [_, ..]) => match sql::described(rest) {
                Ok(text) => print(&text)?,
                Err(error) => self.fail(error),
            },
            (".schema", [name]) => match self.schema(name) {
                Ok(columns) => print(&columns)?,
                Err(error) => self.fail(error),
            },
            (".run", [name, values @ ..]) => return self.named(name, values),
            (".format", [name]) => match Format::from_name(name) {
                Some(format) if !format.is_binary() => self.format = format,
                _ => self.fail(format!("{name:?} is no format of a shell: {}", formats())),
            },
            (".timing", []) => self.is_timed = !self.is_timed,
            (".timing", ["on"]) => self.is_timed = true,
            (".timing", ["off"]) => self.is_timed = false,
            (".output", []) => self.output = Output::Screen,
            (".output", [file]) => self.output_to(file, false),
            (".output", ["--force", file] | [file, "--force"]) => self.output_to(file, true),
            (".read", [file]) => return self.read(file),
            _ => self.fail(format!("{line:?} is not understood; .help shows what is")),
        }
        Ok(Next::Line)
    }

    fn schema(&self, name: &str) -> Result<String, QueryError> {
        let session = self.session()?;
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

    fn named(&mut self, name: &str, values: &[&str]) -> anyhow::Result<Next> {
        let parsed: Result<Vec<(String, String)>, String> = values
            .iter()
            .map(|text| key_and_value(text).map_err(|problem| format!("{text:?}: {problem}")))
            .collect();
        match parsed {
            Ok(arguments) => self.answer(Question::Named {
                name: name.to_owned(),
                arguments,
            }),
            Err(problem) => {
                self.fail(problem);
                Ok(Next::Line)
            }
        }
    }

    fn output_to(&mut self, file: &str, replace: bool) {
        match Output::to_file(PathBuf::from(file), replace, self.format) {
            Ok(output) => self.output = output,
            Err(error) => self.fail(format!("{error:#}")),
        }
    }

    fn read(&mut self, path: &str) -> anyhow::Result<Next> {
        if self.reading == MAX_READING {
            self.fail(format!(
                "{path} is not read: {MAX_READING} files read each other already"
            ));
            return Ok(Next::Line);
        }
        let lines = match File::open(path) {
            Ok(file) => BufReader::new(file).lines(),
            Err(error) => {
                self.fail(format!("cannot read {path}: {error}"));
                return Ok(Next::Line);
            }
        };
        // A line that cannot be read is this command's failure, not the shell's end.
        let mut broken = None;
        let lines = lines.map_while(|line| line.map_err(|error| broken = Some(error)).ok());
        let lines: Vec<String> = lines.collect();
        if let Some(error) = broken {
            self.fail(format!("cannot read {path}: {error}"));
            return Ok(Next::Line);
        }
        self.reading += 1;
        let next = self.lines(lines.into_iter().map(Ok));
        self.reading -= 1;
        next
    }
}

/// The tables and named queries of a session, a line each.
fn table_lines(session: &QuerySession) -> String {
    let tables = session.table_names().into_iter().map(str::to_owned);
    let queries = sql::NamedQuery::all().iter();
    let queries = queries.map(|query| format!("{} (a named query)", query.name()));
    tables.chain(queries).map(|line| line + "\n").collect()
}
