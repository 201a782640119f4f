//! What is compiled in from elsewhere: where it comes from, under which licences, and what of it there is in
//! several versions. Known weaknesses of versions are not looked up, since that needs a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use spdx::{Expression, LicenseReq, ParseMode};

use stratigraph::workspace_root;

use crate::dependencies::Packages;

/// The only place that packages come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences under which a package may be passed on as a part of ours.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Zlib",
];

/// Packages under other licences, which ask only that their own files, unchanged here, stay under them.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("colored", "MPL-2.0"),
    ("option-ext", "MPL-2.0"),
    ("webpki-roots", "CDLA-Permissive-2.0"),
];

/// How many packages are compiled in more versions than one, at most. Where an update or a new dependency makes
/// them more, one of the others may spare it; where they are fewer, this number goes down.
const IN_SEVERAL_VERSIONS: usize = 39;

fn is_allowed(package: &str, requirement: &LicenseReq) -> bool {
    let name = requirement.license.id().map(|id| id.name);
    name.is_some_and(|name| LICENCES.contains(&name) || EXCEPTIONS.contains(&(package, name)))
}

#[test]
fn all_packages_come_from_the_registry() {
    for package in Packages::read().foreign() {
        assert_eq!(package.source, REGISTRY, "{}", package.name);
    }
}

/// A package of a lock file: its name, version, source and checksum; the source is empty where it is ours.
type Locked = [String; 4];

/// What a lock file has.
fn locked(path: &str) -> BTreeSet<Locked> {
    let lock = fs::read_to_string(workspace_root().join(path)).unwrap();
    let packages = lock.split("[[package]]\n").skip(1).map(|package| {
        let keys = ["name", "version", "source", "checksum"];
        keys.map(|key| {
            let value = package.lines().find_map(|line| {
                let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
                value.strip_suffix('"')
            });
            value.unwrap_or_default().to_owned()
        })
    });
    packages.collect()
}

/// The crate `fuzz` is a workspace of its own, which is not compiled with these tests: it is made of what is looked
/// at here, of the same versions and bytes. `cargo update --manifest-path fuzz/Cargo.toml -p NAME --precise VERSION`
/// gives it a version that is here.
#[test]
fn fuzzers_are_made_of_nothing_else() {
    let (ours, of_fuzzers) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let packages = Packages::read();
    let looked_at: BTreeSet<(&str, &str)> = packages
        .foreign()
        .iter()
        .map(|package| (package.name.as_str(), package.version.as_str()))
        .collect();
    let mut num_foreign = 0;
    for package in &of_fuzzers {
        let [name, version, source, checksum] = package;
        if source.is_empty() {
            continue;
        }
        num_foreign += 1;
        assert_eq!(source, REGISTRY, "{name}");
        assert_eq!(checksum.len(), 64, "{name} {version}");
        assert!(
            ours.contains(package) && looked_at.contains(&(name, version)),
            "{name} {version} is in fuzz/Cargo.lock alone"
        );
    }
    assert!(num_foreign > 100, "{num_foreign}");
}

/// They are built with `--locked`, and not by these tests. `cargo metadata --manifest-path fuzz/Cargo.toml` puts a lock
/// file in step.
#[test]
fn the_lock_file_of_the_fuzzers_has_what_our_crates_depend_on() {
    let lock = fs::read_to_string(workspace_root().join("fuzz/Cargo.lock")).unwrap();
    let packages = Packages::read();
    let mut num_ours = 0;
    for package in lock.split("[[package]]\n").skip(1) {
        let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        let name = quoted(package.lines().next().unwrap());
        if package.contains("\nsource = ") || name == "stratigraph-fuzz" {
            continue;
        }
        num_ours += 1;
        let (_, listed) = package
            .split_once("\ndependencies = [\n")
            .unwrap_or_default();
        // With its version where there are several.
        let listed: Vec<String> = listed.lines().map(quoted).collect();
        let listed: BTreeSet<&str> = listed
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        for dependency in packages.required(&name) {
            assert!(
                listed.contains(dependency.as_str()),
                "{name} depends on {dependency}, and fuzz/Cargo.lock does not say so"
            );
        }
    }
    assert!(num_ours > 5, "{num_ours}");
}

#[test]
fn licences_allow_to_pass_packages_on() {
    let mut needed = BTreeSet::new();
    for package in Packages::read().foreign() {
        let (name, words) = (package.name.as_str(), package.licence.as_str());
        let licence = Expression::parse_mode(words, ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{name}: {words:?}: {error}"));
        assert!(
            licence.evaluate(|requirement| is_allowed(name, requirement)),
            "{name} is under {words}, which is none of {LICENCES:?}"
        );
        if !licence.evaluate(|requirement| is_allowed("", requirement)) {
            needed.insert(name.to_owned());
        }
    }
    let listed: BTreeSet<String> = EXCEPTIONS.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(needed, listed);
}

#[test]
fn no_more_packages_than_now_are_there_in_several_versions() {
    let packages = Packages::read();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages.foreign() {
        let of_package = versions.entry(&package.name).or_default();
        of_package.insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert_eq!(versions.len(), IN_SEVERAL_VERSIONS, "{versions:#?}");
}
