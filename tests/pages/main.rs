//! What the pages say is held: their commands run, and print what the pages show.
//!
//! A page's blocks are run in order in a directory of the page's own, with the workspace's programs on
//! the path:
//!
//! | block | what is done with it |
//! |---|---|
//! | `sh` | run by a shell; every command has to succeed |
//! | `console` | each command after `$ ` (`> ` before its further lines) is run, and what it prints is compared with the lines below it, see `agree.rs` |
//! | `python`, `sql` | run by Python or DuckDB, in the virtual environment of `tests/interop.rs` |
//! | `toml` | written into a file |
//! | `rust` | not run |
//! | `text`, or none | nothing |
//!
//! Comments that are lines of their own say more of the block that follows:
//!
//! | comment | meaning |
//! |---|---|
//! | `<!-- given: traces/digits, iris.csv -->` | these are there from here on (`given.rs`) |
//! | `<!-- trained -->` | what is printed comes out of a training: whole numbers may differ by a little, see `agree.rs` |
//! | `<!-- small -->` | in place of the page's run there is a smaller one, and `.svg` in place of `.png`: what is shown would take long |
//! | `<!-- file: run.toml -->` | the file's name |
//! | `<!-- not run: why -->` | it is not run, and why |
//!
//! `cargo run -p PROGRAM -- ...` runs the program that was built with the tests.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

mod agree;
mod given;
mod page;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use agree::{Difference, Origin};
use given::Runs;
use page::{Block, Check, Language, Page};
use stratigraph::{Finished, Scratch, announce, binaries, python, run, workspace_root};

/// One test a page, so that a page's drift is seen by the test's name, and pages are run side by side.
macro_rules! pages {
    ($($test:ident: $name:literal,)*) => {
        const PAGES: &[&str] = &[$($name),*];

        $(
            #[test]
            fn $test() {
                hold($name);
            }
        )*
    };
}

pages! {
    architecture: "ARCHITECTURE.md",
    changelog: "CHANGELOG.md",
    contributing: "CONTRIBUTING.md",
    readme: "README.md",
    checkpoints: "docs/checkpoints.md",
    cuda: "docs/cuda.md",
    data: "docs/data.md",
    elsewhere: "docs/elsewhere.md",
    operations: "docs/operations.md",
    performance: "docs/performance.md",
    pictures: "docs/pictures.md",
    python_package: "docs/python.md",
    queries: "docs/queries.md",
    recording: "docs/recording.md",
    structures: "docs/structures.md",
}

/// Before the commands of a page.
const PRELUDE: &str = r#"
# What runs beside a command that failed would hold the pipe.
trap '[ -z "${!-}" ] || kill "$!" 2> /dev/null || :' EXIT
cargo() {
    [ "$1" = run ] || { echo "a page runs no cargo $1" >&2; return 2; }
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        case $1 in
            -p | --bin) program=$2; shift 2 ;;
            --release | --locked) shift ;;
            *) echo "a page runs no build with $1" >&2; return 2 ;;
        esac
    done
    [ $# -eq 0 ] || shift
    "$program" "$@"
}
"#;

/// Runs a page, and panics with all that differs.
fn hold(name: &str) {
    let page = Page::read(name).unwrap();
    let (mut num_run, mut num_not_run) = (0, 0);
    let mut differences = Vec::new();
    let mut place = None;
    for block in &page.blocks {
        if matches!(block.check, Check::NotRun(_)) {
            num_not_run += 1;
            continue;
        }
        if block.language == Language::Text {
            continue;
        }
        num_run += 1;
        // Only pages that run something wait for runs.
        let place = place.get_or_insert_with(Place::new);
        place.give(block);
        // What engines run has a test of its own.
        let is_shell = matches!(block.language, Language::Sh | Language::Console);
        if let Check::File(name) = &block.check {
            fs::write(place.scratch.path(name), block.text()).unwrap();
        } else if is_shell && !place.run(&page, block, &mut differences) {
            // What comes after it relies on it.
            break;
        }
    }
    assert!(differences.is_empty(), "\n\n{}\n", differences.join("\n\n"));
    announce(&format!(
        "{name}: {num_run} blocks hold, {num_not_run} are not run"
    ));
}

/// Where a page's blocks are run.
struct Place {
    scratch: Scratch,
    runs: std::sync::Arc<Runs>,
    /// Where blocks are run that want a smaller run.
    small: Option<Scratch>,
}

impl Place {
    fn new() -> Self {
        Self {
            scratch: Scratch::new(),
            runs: Runs::shared(),
            small: None,
        }
    }

    /// Puts there what a block wants to be there.
    fn give(&mut self, block: &Block) {
        for name in &block.given {
            given::place(name, &self.runs, &self.scratch).unwrap();
        }
        if block.check == Check::Small && self.small.is_none() {
            let small = Scratch::new();
            self.runs.copy(true, &small).unwrap();
            self.small = Some(small);
        }
    }

    /// Runs a block's commands, until one fails; notes what is not as the page says.
    fn run(&self, page: &Page, block: &Block, differences: &mut Vec<String>) -> bool {
        for command in block.commands().unwrap() {
            let finished = match (&block.check, &self.small) {
                (Check::Small, Some(small)) => shell(small, &command.text.replace(".png", ".svg")),
                _ => shell(&self.scratch, &command.text),
            };
            let place = page.place(command.line);
            if finished.code() != Some(0) {
                differences.push(format!(
                    "{place}: it failed, with {}:\n{}\n{}",
                    finished.status,
                    command.text,
                    end(&finished.stdout),
                ));
                return false;
            }
            let Some(output) = command.output else {
                continue;
            };
            let origin = match block.is_trained {
                true => Origin::Training,
                false => Origin::Anywhere,
            };
            if let Err(difference) = agree::compare(&output, &finished.stdout, origin) {
                let Difference {
                    line,
                    expected,
                    got,
                } = difference;
                let place = match line {
                    0 => place,
                    line => page.place(line),
                };
                differences.push(format!(
                    "{place}:\nexpected {expected}\ngot      {got}\nin what this printed: {}\n{}",
                    command.text,
                    end(&finished.stdout),
                ));
            }
        }
        true
    }
}

/// The last lines of what a command printed, which are enough to find it again.
fn end(output: &str) -> String {
    const NUM_LINES: usize = 30;
    const WIDTH: usize = 200;
    let lines: Vec<&str> = output.lines().collect();
    let last = &lines[lines.len().saturating_sub(NUM_LINES)..];
    let cut = |line: &&str| line.chars().take(WIDTH).collect::<String>();
    last.iter().map(cut).collect::<Vec<_>>().join("\n")
}

/// Runs commands in a directory, with what they say on stderr among what they print.
fn shell(scratch: &Scratch, commands: &str) -> Finished {
    let script = format!("exec 2>&1\n{PRELUDE}\n{commands}");
    let mut shell = scratch.command("sh".as_ref(), &["-euc", &script]);
    shell.env("PATH", path()).env("NODEVICE_SELECT", "1");
    run(&mut shell)
}

/// The path on which programs are found: the workspace's first.
fn path() -> OsString {
    let built = binaries();
    let programs = [&built.recorder, &built.sink, &built.query];
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in programs.iter().filter_map(|program| program.parent()) {
        if !dirs.iter().any(|d| d == dir) {
            dirs.push(dir.to_owned());
        }
    }
    let others = std::env::var_os("PATH").unwrap_or_default();
    dirs.extend(std::env::split_paths(&others));
    std::env::join_paths(dirs).unwrap()
}

#[test]
fn every_page_is_held() {
    let names: BTreeSet<String> = page::names().unwrap().into_iter().collect();
    let held: BTreeSet<String> = PAGES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(names, held);
}

#[test]
fn snippets_of_other_engines_run() {
    let Some(python) = python(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    /// DuckDB's own way to run a text.
    const DUCKDB: &str = "import duckdb, sys; duckdb.sql(sys.argv[1]).show()";
    let mut count = 0;
    for name in PAGES {
        let page = Page::read(name).unwrap();
        let is_snippet = |block: &Block| matches!(block.language, Language::Python | Language::Sql);
        if !page.blocks.iter().any(is_snippet) {
            continue;
        }
        let mut place = Place::new();
        for block in &page.blocks {
            place.give(block);
            if block.check != Check::Run {
                continue;
            }
            let text = block.text();
            let arguments = match block.language {
                Language::Python => vec!["-c", &text],
                Language::Sql => vec!["-c", DUCKDB, &text],
                _ => continue,
            };
            let finished = run(&mut place.scratch.command(&python, &arguments));
            let place = page.place(block.line);
            assert_eq!(finished.code(), Some(0), "{place}: {finished}");
            count += 1;
        }
    }
    announce(&format!("pages: {count} snippets of other engines run"));
    assert!(count > 0);
}

/// The README is read from its beginning to its end.
#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(workspace_root().join("README.md")).unwrap();
    assert!(text.lines().count() <= 200);
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for name in PAGES {
        let page = Page::read(name).unwrap();
        let path = workspace_root().join(name);
        for (number, line) in &page.prose {
            for link in links(line) {
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = match file {
                    "" => path.clone(),
                    file => path.with_file_name("").join(file),
                };
                let leads = target.exists()
                    && (anchor.is_empty() || anchors(&target).contains(&anchor.to_owned()));
                if !leads {
                    broken.push(format!("{}: {link}", page.place(*number)));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// The targets of a line's links, but for other sites.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://"))
}

/// What links can name in a page: its headings, as they are spelled in an address.
fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let spelled = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(spelled).collect()
}
