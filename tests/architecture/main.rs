//! Holds the workspace to its plan, `ARCHITECTURE.md`: which crate depends on which, what has no place
//! in a crate's tree, where programs print and parse, and that the folders of a crate import each other
//! one way.
#![allow(clippy::unwrap_used, reason = "test code")]

mod dependencies;
mod imports;
mod sources;
mod supply;

use std::collections::BTreeSet;

use dependencies::Packages;
use sources::{Source, crates, sources};
use stratigraph::workspace_root;

/// What each crate may depend on, of the workspace's own. A crate stands below whoever names it.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("trace", &[]),
    ("analysis", &[]),
    ("words", &["trace"]),
    ("console", &["words"]),
    ("fixtures", &["trace"]),
    ("sink", &["trace", "words", "console"]),
    (
        "capture",
        &["sink", "trace", "analysis", "words", "console"],
    ),
    (
        "recorder",
        &["capture", "sink", "trace", "analysis", "words", "console"],
    ),
    ("sql", &["trace", "analysis", "words"]),
    ("studies", &["sql", "trace", "analysis", "words"]),
    (
        "pictures",
        &["studies", "sql", "trace", "analysis", "words"],
    ),
    (
        "query",
        &[
            "pictures", "studies", "sql", "trace", "analysis", "words", "console",
        ],
    ),
    (
        "python",
        &[
            "query", "pictures", "studies", "sql", "capture", "sink", "trace", "analysis", "words",
            "console",
        ],
    ),
];

/// What is nowhere in a crate's tree of dependencies, by the beginnings of names.
const NEVER_IN_THE_TREE: &[(&str, &[&str])] = &[
    ("analysis", &["arrow", "parquet", "datafusion", "trace"]),
    ("trace", &["burn", "cubecl", "datafusion"]),
    ("words", &["burn", "cubecl", "datafusion"]),
    ("console", &["burn", "cubecl", "datafusion"]),
    ("sink", &["burn", "cubecl", "datafusion"]),
    ("capture", &["burn", "cubecl", "datafusion"]),
    ("recorder", &["datafusion"]),
    ("sql", &["kuva", "burn", "cubecl"]),
    ("studies", &["kuva", "burn", "cubecl"]),
    ("pictures", &["burn", "cubecl", "clap"]),
    ("query", &["burn", "cubecl"]),
    ("python", &["burn", "cubecl"]),
];

#[test]
fn every_crate_has_its_place_in_the_plan() {
    let planned: BTreeSet<&str> = MAY_DEPEND_ON.iter().map(|(name, _)| *name).collect();
    let found = crates();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, planned);
}

#[test]
fn dependencies_point_down() {
    let packages = Packages::read();
    for (name, allowed) in MAY_DEPEND_ON {
        for dependency in packages.direct(name) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} depends on {dependency}; of the workspace's crates it may on {allowed:?}"
            );
        }
    }
}

#[test]
fn a_crate_does_without_what_is_not_its_business() {
    let packages = Packages::read();
    for (name, never) in NEVER_IN_THE_TREE {
        let tree = packages.tree(name);
        for unwanted in *never {
            let found = tree
                .keys()
                .find(|dependency| dependency.starts_with(unwanted));
            if let Some(found) = found {
                panic!(
                    "{name} has {found} in its tree: {}",
                    tree[found].join(" -> ")
                );
            }
        }
    }
}

/// Whether a command line's code: a program, a module called `cli`, or the crate that they share.
fn is_command_line(source: &Source) -> bool {
    source.krate == "console"
        || source.is_program()
        || source.module.iter().any(|name| name == "cli")
}

#[test]
fn only_command_lines_print_and_parse_arguments() {
    const SIGNS: [&str; 8] = [
        "println!",
        "print!",
        "print_stdout",
        "print_stderr",
        "io::stdout()",
        "io::stderr()",
        "clap::",
        "std::env::args",
    ];
    for source in sources().iter().filter(|source| !is_command_line(source)) {
        for sign in SIGNS {
            assert!(
                !source.code.contains(sign),
                "{} has {sign}; printing and arguments are for modules called cli and for console",
                source.path.display()
            );
        }
    }
}

/// A file may come from anywhere, and a footer may ask parquet for more than any memory has: it is looked through first.
#[test]
fn only_the_module_for_it_has_footers_read() {
    const SIGNS: [&str; 6] = [
        "ParquetMetaDataReader",
        "ParquetMetaDataPushDecoder",
        "SerializedFileReader",
        "ArrowReaderMetadata::load",
        "ParquetRecordBatchReader::try_new",
        "ParquetRecordBatchReaderBuilder::try_new",
    ];
    let is_module = |source: &Source| source.krate == "trace" && source.module == ["footer"];
    let has_sign = |source: &Source| SIGNS.into_iter().find(|sign| source.code.contains(sign));
    let sources = sources();
    assert!(
        sources
            .iter()
            .any(|source| is_module(source) && has_sign(source).is_some())
    );
    for source in sources.iter().filter(|source| !is_module(source)) {
        if let Some(sign) = has_sign(source) {
            panic!(
                "{} has {sign}; footers are read by trace::read_footer",
                source.path.display()
            );
        }
    }
}

#[test]
fn only_programs_set_an_allocator() {
    for source in sources().iter().filter(|source| !source.is_program()) {
        assert!(
            !source.code.contains("#[global_allocator]"),
            "{} sets an allocator for whoever links it",
            source.path.display()
        );
    }
}

#[test]
fn modules_of_different_folders_do_not_import_each_other() {
    let sources = sources();
    let mut circles = Vec::new();
    for krate in crates() {
        let of_crate: Vec<&Source> = sources
            .iter()
            .filter(|source| source.krate == krate)
            .collect();
        for circle in imports::circles(&of_crate) {
            circles.push(format!("{krate}: {circle}"));
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// What `ARCHITECTURE.md` names in backticks as a path below a crate's `src`.
fn named_paths(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| name.contains("/src/") && !name.contains(' '))
        .collect()
}

#[test]
fn every_file_that_the_page_names_is_there() {
    let text = std::fs::read_to_string(workspace_root().join("ARCHITECTURE.md")).unwrap();
    let names = named_paths(&text);
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let below = name.strip_prefix("crates/").unwrap_or(name);
        let path = workspace_root().join("crates").join(below);
        assert!(
            path.exists(),
            "ARCHITECTURE.md names {name}, which is not there"
        );
    }
}

#[test]
fn each_step_of_a_weight_is_where_the_page_says() {
    let text = std::fs::read_to_string(workspace_root().join("ARCHITECTURE.md")).unwrap();
    let (_, walk) = text.split_once("## One weight").unwrap();
    let walk = walk.split("\n## ").next().unwrap();
    let mut num_steps = 0;
    for row in walk.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, file, function, _] = cells[..] else {
            panic!("no row of three cells: {row}");
        };
        let (file, function) = (file.trim_matches('`'), function.trim_matches('`'));
        let path = workspace_root().join("crates").join(file);
        let code = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        let is_there = ["(", "<"]
            .iter()
            .any(|next| code.contains(&format!("fn {function}{next}")));
        assert!(is_there, "{file} has no function {function}: {row}");
        num_steps += 1;
    }
    assert!(num_steps >= 10, "{num_steps} steps");
}

#[test]
fn a_circle_is_found() {
    let source = |module: &[&str], code: &str| Source::new("a", module, code);
    let there = source(&["x", "y"], "use crate::{b::Other, z as w};");
    let back = source(&["b"], "fn f() { super::x::y::g() }");
    let apart = source(&["z"], "// use crate::b;\n");
    let root = source(&[], "mod x; mod b; mod z;");
    let x = source(&["x"], "mod y;");
    let found = imports::circles(&[&root, &x, &there, &back, &apart]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("x/y -> b"), "{found:?}");
    assert!(found[0].contains("b -> x/y"), "{found:?}");
}

#[test]
fn a_name_of_the_root_is_followed_to_its_module() {
    let root = Source::new(
        "a",
        &[],
        "mod x; mod b;\npub use x::Thing;\npub use b::{Other, more};",
    );
    let x = Source::new("a", &["x"], "use crate::Other;");
    let b = Source::new("a", &["b"], "use crate::Thing;");
    assert_eq!(imports::circles(&[&root, &x, &b]).len(), 1);
    let b = Source::new("a", &["b"], "#[cfg(test)]\nuse crate::Thing;");
    assert_eq!(imports::circles(&[&root, &x, &b]), Vec::<String>::new());
}
