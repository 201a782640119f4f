//! What stands in a page: its fenced blocks, and what the comments before them say of them.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use stratigraph::workspace_root;

/// One page of the documentation.
pub struct Page {
    /// Its path below the workspace.
    pub name: String,
    /// Its fenced blocks, in order.
    pub blocks: Vec<Block>,
    /// The lines outside of blocks, with their numbers.
    pub prose: Vec<(usize, String)>,
}

/// A fenced block.
pub struct Block {
    /// The number of its first line.
    pub line: usize,
    /// What it is written in.
    pub language: Language,
    /// What is done with it.
    pub check: Check,
    /// What has to be there before.
    pub given: Vec<String>,
    /// Whether what it prints comes out of a training.
    pub is_trained: bool,
    lines: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Commands.
    Sh,
    /// Commands after `$ `, and what they print.
    Console,
    /// A query of DuckDB's.
    Sql,
    /// A program.
    Python,
    /// A file.
    Toml,
    /// Rust, which this does not compile.
    Rust,
    /// Nothing that could be run.
    Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It is run.
    Run,
    /// It is run with a smaller run in place of the page's.
    Small,
    /// It is put into a file of this name.
    File(String),
    /// It is not run, for this reason.
    NotRun(String),
}

/// A command, and what a page says that it prints.
pub struct Command {
    /// The number of its first line.
    pub line: usize,
    /// What a shell is given.
    pub text: String,
    /// The output's lines with their numbers; none where the page shows none.
    pub output: Option<Vec<(usize, String)>>,
}

impl Page {
    /// Reads a page of the workspace.
    pub fn read(name: &str) -> Result<Self> {
        let path = workspace_root().join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(name, &text)
    }

    /// Takes a page apart.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut page = Self {
            name: name.to_owned(),
            blocks: Vec::new(),
            prose: Vec::new(),
        };
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let mut notes = Vec::new();
        while let Some((number, line)) = lines.next() {
            let place = || format!("{name}:{number}");
            if let Some(language) = line.strip_prefix("```") {
                let language = Language::of(language).with_context(place)?;
                let mut block = Block::new(number + 1, language, &notes).with_context(place)?;
                notes.clear();
                loop {
                    let (_, line) = lines.next().context("no end").with_context(place)?;
                    if line == "```" {
                        break;
                    }
                    block.lines.push(line.to_owned());
                }
                page.blocks.push(block);
                continue;
            }
            ensure!(!line.contains("```"), "{}: a block is indented", place());
            if let Some(note) = note(line) {
                notes.push(note.to_owned());
            } else if !line.trim().is_empty() {
                ensure!(notes.is_empty(), "{}: no block follows a note", place());
            }
            page.prose.push((number, line.to_owned()));
        }
        Ok(page)
    }

    /// Where a line of the page is.
    pub fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }
}

/// What a comment that is a line of its own says.
fn note(line: &str) -> Option<&str> {
    Some(line.strip_prefix("<!--")?.strip_suffix("-->")?.trim())
}

impl Language {
    fn of(name: &str) -> Result<Self> {
        Ok(match name {
            "sh" => Self::Sh,
            "console" => Self::Console,
            "sql" => Self::Sql,
            "python" => Self::Python,
            "toml" => Self::Toml,
            "rust" => Self::Rust,
            "text" | "" => Self::Text,
            other => bail!("pages have no blocks in {other:?}"),
        })
    }
}

impl Block {
    fn new(line: usize, language: Language, notes: &[String]) -> Result<Self> {
        let mut check = None;
        let mut given = Vec::new();
        let mut is_trained = false;
        for note in notes {
            let (key, value) = note.split_once(':').unwrap_or((note, ""));
            let value = value.trim().to_owned();
            let says = match key {
                "given" => {
                    given.extend(value.split(',').map(|name| name.trim().to_owned()));
                    continue;
                }
                "trained" => {
                    is_trained = true;
                    continue;
                }
                "small" => Check::Small,
                "file" => Check::File(value),
                "not run" => {
                    ensure!(!value.is_empty(), "it is not said why this is not run");
                    Check::NotRun(value)
                }
                _ => bail!("{note:?} says nothing of a block"),
            };
            ensure!(check.is_none(), "two notes say what is done with a block");
            check = Some(says);
        }
        let check = check.unwrap_or(Check::Run);
        let fits = match language {
            Language::Sh | Language::Console => !matches!(check, Check::File(_)),
            Language::Sql | Language::Python => matches!(check, Check::Run | Check::NotRun(_)),
            Language::Toml => matches!(check, Check::File(_) | Check::NotRun(_)),
            Language::Rust => matches!(check, Check::NotRun(_)),
            Language::Text => check == Check::Run,
        };
        ensure!(fits, "{language:?} is run, or it is said why not");
        ensure!(
            !is_trained || language == Language::Console,
            "{language:?} shows nothing that a training made"
        );
        Ok(Self {
            line,
            language,
            check,
            given,
            is_trained,
            lines: Vec::new(),
        })
    }

    /// All that stands in it.
    pub fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// Its commands: of `sh` all lines together, of `console` one after another.
    pub fn commands(&self) -> Result<Vec<Command>> {
        if self.language == Language::Sh {
            return Ok(vec![Command {
                line: self.line,
                text: self.text(),
                output: None,
            }]);
        }
        let mut commands: Vec<Command> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let number = self.line + at;
            if let Some(text) = line.strip_prefix("$ ") {
                commands.push(Command {
                    line: number,
                    text: text.to_owned(),
                    output: Some(Vec::new()),
                });
                continue;
            }
            let command = commands.last_mut().context("it begins with no command")?;
            let output = command.output.get_or_insert_default();
            match line.strip_prefix("> ") {
                Some(more) if output.is_empty() => {
                    command.text.push('\n');
                    command.text.push_str(more);
                }
                _ => output.push((number, line.clone())),
            }
        }
        ensure!(!commands.is_empty(), "it has no command");
        Ok(commands)
    }
}

/// The names of all pages: those beside the workspace's manifest, and those in `docs/`.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for dir in ["", "docs/"] {
        let root: PathBuf = workspace_root().join(dir);
        for entry in fs::read_dir(&root).with_context(|| root.display().to_string())? {
            let name = entry?.file_name();
            let name = name.to_str().context("a name is UTF-8")?;
            if name.ends_with(".md") {
                names.push(format!("{dir}{name}"));
            }
        }
    }
    names.sort();
    Ok(names)
}
