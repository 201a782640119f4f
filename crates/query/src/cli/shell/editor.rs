//! The line that a person types: completed, in colours, with those typed before.

use std::borrow::Cow;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use sql::QuerySession;

use super::completion::{Names, Wanted};
use super::{highlight, history};

/// Makes the editor; it completes the layers' names of a session.
pub(super) fn editor(
    session: Option<&QuerySession>,
) -> rustyline::Result<Editor<Assistant, FileHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(history::MAX_ENTRIES)?
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Assistant {
        names: Names::new(session),
        files: FilenameCompleter::new(),
    }));
    Ok(editor)
}

pub(super) struct Assistant {
    names: Names,
    files: FilenameCompleter,
}

impl Helper for Assistant {}

impl Validator for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        match self.names.wanted(line, pos) {
            Wanted::File => self.files.complete_path(line, pos),
            Wanted::Names { start, candidates } => {
                let pair = |name: String| Pair {
                    display: name.clone(),
                    replacement: name,
                };
                Ok((start, candidates.into_iter().map(pair).collect()))
            }
        }
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        highlight::line(line)
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}
