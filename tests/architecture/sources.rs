//! The source files of the workspace's crates, without tests and comments.

use std::fs;
use std::path::{Path, PathBuf};

use stratigraph::workspace_root;

/// Names of files and folders that hold tests.
const TESTS: [&str; 2] = ["tests", "testing"];

/// A source file.
pub struct Source {
    /// The crate that it belongs to.
    pub krate: String,
    /// Names of the modules down to it; none for the crate's root.
    pub module: Vec<String>,
    /// Where it is.
    pub path: PathBuf,
    /// What it says, without comments and without what only tests import.
    pub code: String,
}

impl Source {
    /// A file of a crate.
    pub fn new(krate: &str, module: &[&str], text: &str) -> Self {
        Self {
            krate: krate.to_owned(),
            module: module.iter().map(|&name| name.to_owned()).collect(),
            path: PathBuf::new(),
            code: without_tests(&without_comments(text)),
        }
    }

    /// Whether it is the root of a program.
    pub fn is_program(&self) -> bool {
        self.path.ends_with("src/main.rs")
    }
}

/// The names of the crates, which are those of their folders.
pub fn crates() -> Vec<String> {
    let folders = fs::read_dir(workspace_root().join("crates")).unwrap();
    let folders = folders.map(|folder| folder.unwrap());
    let folders = folders.filter(|folder| folder.path().join("Cargo.toml").exists());
    let mut names: Vec<String> = folders
        .map(|folder| folder.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All sources of all crates.
pub fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for krate in crates() {
        let folder = workspace_root().join("crates").join(&krate).join("src");
        read_folder(&krate, &folder, &mut Vec::new(), &mut sources);
    }
    sources
}

fn read_folder(krate: &str, folder: &Path, module: &mut Vec<String>, into: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if TESTS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            module.push(name);
            read_folder(krate, &path, module, into);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut module: Vec<&str> = module.iter().map(String::as_str).collect();
            let is_root = module.is_empty() && (name == "lib" || name == "main");
            if !is_root && name != "mod" {
                module.push(&name);
            }
            let mut source = Source::new(krate, &module, &fs::read_to_string(&path).unwrap());
            source.path = path;
            into.push(source);
        }
    }
}

fn without_comments(text: &str) -> String {
    let lines = text.lines();
    let code = lines.map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    code.collect::<Vec<_>>().join("\n")
}

/// Leaves out the declarations that stand behind `#[cfg(test)]`, up to their semicolon.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once(MARK) {
        kept.push_str(before);
        rest = after.split_once(';').map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}
