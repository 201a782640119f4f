//! Where rows go.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use super::interrupt::{Ends, exit_early};
use super::limits::LimitArgs;
use console::Console;
use datafusion::execution::SendableRecordBatchStream;
use sql::output::{Format, OutputFile, TableStyle, Written, write_rows};

/// Where the rows of a query go, and how.
pub(super) enum Destination {
    Stdout {
        format: Format,
    },
    File {
        path: PathBuf,
        format: Format,
        replace: bool,
    },
}

/// A destination that takes rows, until something ends the process.
pub(super) struct Opened {
    place: Place,
    /// Once everything is written, no time is over any more.
    ends: Ends,
}

enum Place {
    Stdout {
        format: Format,
    },
    File {
        path: PathBuf,
        format: Format,
        file: OutputFile,
    },
}

impl Destination {
    /// Makes it ready. From now on Ctrl-C ends the process, as does the end of the time that an answer may take;
    /// neither leaves an unfinished file.
    pub(super) fn open(self, limits: &LimitArgs) -> anyhow::Result<Opened> {
        let mut ends = exit_early()?;
        let place = match self {
            Destination::Stdout { format } => Place::Stdout { format },
            Destination::File {
                path,
                format,
                replace,
            } => {
                let file = OutputFile::create(&path, replace)?;
                ends.leave_no(file.staged_path());
                Place::File { path, format, file }
            }
        };
        ends.count(limits)?;
        Ok(Opened { place, ends })
    }
}

impl Opened {
    pub(super) async fn write(self, rows: SendableRecordBatchStream) -> anyhow::Result<()> {
        match self.place {
            Place::Stdout { format } => to_stdout(rows, format).await,
            Place::File {
                path,
                format,
                mut file,
            } => {
                let written = write_rows(rows, format, TableStyle::Full, &mut file).await?;
                file.publish()?;
                drop(self.ends);
                let num_rows = written.num_rows;
                let noun = if num_rows == 1 { "row" } else { "rows" };
                say!("{num_rows} {noun} written to {}", path.display());
                note_nonfinite(written);
                Ok(())
            }
        }
    }
}

/// Writes rows for whoever reads stdout: a person sees the beginning, a program everything.
pub(super) async fn to_stdout(
    rows: SendableRecordBatchStream,
    format: Format,
) -> anyhow::Result<()> {
    let style = match io::stdout().is_terminal() {
        true => TableStyle::Short,
        false => TableStyle::Full,
    };
    let mut out = Pipe {
        out: BufWriter::new(io::stdout()),
        closed: false,
    };
    let written = write_rows(rows, format, style, &mut out).await;
    if out.closed {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    }
    note_nonfinite(written?);
    Ok(())
}

/// Says what JSON could not hold.
pub(super) fn note_nonfinite(written: Written) {
    let (values, are) = match written.num_nonfinite {
        0 => return,
        1 => ("value", "is"),
        _ => ("values", "are"),
    };
    say!(
        "note: {} {values} that {are} NaN or infinite {are} written as null, since JSON has no such \
         numbers; csv, parquet and arrow keep them",
        written.num_nonfinite
    );
}

/// Stdout that remembers whether its reader was gone: Arrow's CSV writer keeps only the words of
/// an error.
struct Pipe {
    out: BufWriter<io::Stdout>,
    closed: bool,
}

impl Pipe {
    fn noted<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| self.closed |= error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.out.write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush();
        self.noted(done)
    }
}

pub(super) use console::print;

/// Says a line to whoever watches; results go to stdout instead.
pub(super) fn say_line(line: &str) {
    Console::default().say(line);
}

/// [`say_line`] of what `format!` makes.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::cli::answer::say_line(&format!($($line)*))
    };
}
pub(super) use say;

#[cfg(test)]
mod tests;
