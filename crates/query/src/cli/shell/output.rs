//! Where the answers of a shell go.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use datafusion::execution::SendableRecordBatchStream;
use sql::output::{Format, TableStyle, write_rows};

use super::formats::formats;
use crate::cli::answer::{note_nonfinite, say, to_stdout};

pub(super) enum Output {
    /// Stdout, in the shell's format.
    Screen,
    /// A file, one answer after another.
    File {
        path: PathBuf,
        format: Format,
        file: File,
        /// Where the last whole answer ends.
        end: u64,
    },
}

impl Output {
    /// A new file, in place of another one only if `replace` says so.
    pub(super) fn to_file(path: PathBuf, replace: bool, format: Format) -> anyhow::Result<Self> {
        let format = match path.extension() {
            None => format,
            Some(_) => Format::from_suffix(&path).with_context(|| {
                format!(
                    "the suffix of {} names no format: {}",
                    path.display(),
                    formats()
                )
            })?,
        };
        if format.is_binary() {
            bail!(
                "a shell writes {}; `query sql RUN \"...\" -o FILE` writes {}",
                formats(),
                format.name()
            );
        }
        let mut options = OpenOptions::new();
        options.write(true);
        match replace {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "{} exists; .output --force FILE replaces it",
                path.display()
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", path.display()));
            }
        };
        Ok(Output::File {
            path,
            format,
            file,
            end: 0,
        })
    }

    /// Writes an answer; `format` is that of the screen.
    pub(super) async fn write(
        &mut self,
        rows: SendableRecordBatchStream,
        format: Format,
    ) -> anyhow::Result<()> {
        match self {
            Output::Screen => to_stdout(rows, format).await,
            Output::File {
                path,
                format,
                file,
                end,
            } => {
                if *format == Format::Json && *end > 0 {
                    bail!(
                        "{} holds an answer, and a JSON document is one: .output FILE.jsonl takes \
                         several",
                        path.display()
                    );
                }
                let mut out = io::BufWriter::new(&mut *file);
                let written = write_rows(rows, *format, TableStyle::Full, &mut out).await?;
                out.flush()?;
                drop(out);
                *end = file.stream_position()?;
                let num_rows = written.num_rows;
                let noun = if num_rows == 1 { "row" } else { "rows" };
                say!("{num_rows} {noun} written to {}", path.display());
                note_nonfinite(written);
                Ok(())
            }
        }
    }

    /// Removes what was written of an answer that failed.
    pub(super) fn take_back(&mut self) -> anyhow::Result<()> {
        if let Output::File {
            path, file, end, ..
        } = self
        {
            file.set_len(*end)
                .and_then(|()| file.seek(SeekFrom::Start(*end)))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
