//! Which module names which, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::Source;

/// A module, as the names down to it.
type Module = Vec<String>;

/// Circles among the modules that stand side by side anywhere in a crate, each told with an example of
/// every import in it. What a module's children import of each other is judged among the children.
pub fn circles(sources: &[&Source]) -> Vec<String> {
    let edges = edges(sources);
    let parents: BTreeSet<&[String]> = sources
        .iter()
        .filter_map(|source| source.module.split_last())
        .map(|(_, parent)| parent)
        .collect();
    let mut circles = Vec::new();
    for parent in parents {
        let depth = parent.len();
        let mut among: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        for (from, to) in &edges {
            let is_inside = |module: &Module| module.len() > depth && module.starts_with(parent);
            if is_inside(from) && is_inside(to) && from[depth] != to[depth] {
                let example = format!("{} -> {}", from.join("/"), to.join("/"));
                let targets = among.entry(&from[depth]).or_default();
                targets.entry(&to[depth]).or_insert(example);
            }
        }
        circles.extend(circles_of(&among));
    }
    circles
}

/// The groups of names of which each reaches each other.
fn circles_of(among: &BTreeMap<&str, BTreeMap<&str, String>>) -> Vec<String> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = among
        .keys()
        .map(|&start| (start, reached_from(start, among)))
        .collect();
    let mut told = BTreeSet::new();
    let mut circles = Vec::new();
    for (&name, others) in &reached {
        if !others.contains(name) || !told.insert(name) {
            continue;
        }
        let both_ways = |other: &str| reached.get(other).is_some_and(|back| back.contains(name));
        let circle: BTreeSet<&str> = others
            .iter()
            .copied()
            .filter(|&other| both_ways(other))
            .collect();
        told.extend(&circle);
        let imports = circle.iter().flat_map(|member| &among[member]);
        let inside = imports.filter(|(target, _)| circle.contains(*target));
        let inside: Vec<&str> = inside.map(|(_, example)| example.as_str()).collect();
        circles.push(inside.join(", "));
    }
    circles
}

fn reached_from<'a>(
    start: &'a str,
    among: &BTreeMap<&'a str, BTreeMap<&'a str, String>>,
) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(name) = next.pop() {
        for &target in among.get(name).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(target) {
                next.push(target);
            }
        }
    }
    reached
}

/// Which module names which other, their own root excepted.
fn edges(sources: &[&Source]) -> BTreeSet<(Module, Module)> {
    let modules: BTreeSet<&[String]> = sources
        .iter()
        .map(|source| source.module.as_slice())
        .collect();
    let roots = sources.iter().filter(|source| source.module.is_empty());
    let names_of_root: BTreeMap<String, Module> =
        roots.flat_map(|root| handed_on(&root.code)).collect();
    let mut edges = BTreeSet::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        for path in paths(&source.code) {
            let mut full = match path.num_up {
                None => Vec::new(),
                Some(up) => source.module[..source.module.len().saturating_sub(up)].to_vec(),
            };
            full.extend(path.names);
            if let Some(first) = full.first()
                && !modules.contains(&full[..1])
                && let Some(meant) = names_of_root.get(first)
            {
                full.clone_from(meant);
            }
            while !modules.contains(full.as_slice()) {
                full.pop();
            }
            if !full.is_empty() && full != source.module {
                edges.insert((source.module.clone(), full));
            }
        }
    }
    edges
}

/// What a crate's root hands on: each name, and the path that it stands for.
fn handed_on(root: &str) -> Vec<(String, Module)> {
    let uses = root.split("use ").skip(1);
    let uses = uses
        .filter_map(|rest| rest.split_once(';'))
        .map(|(tree, _)| tree);
    let paths = uses.flat_map(|tree| {
        let mut paths = Vec::new();
        read_tree(
            tree.trim_start_matches("crate::"),
            &mut Vec::new(),
            &mut paths,
        );
        paths
    });
    paths
        .filter_map(|path| Some((path.last()?.clone(), path)))
        .collect()
}

/// A path that begins at the root (`num_up` is `None`), or so many modules above its own.
struct Path {
    num_up: Option<usize>,
    names: Module,
}

/// All paths of a file that begin with `crate` or `super`.
fn paths(code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    for (start, word) in ["crate::", "super::"]
        .iter()
        .flat_map(|word| code.match_indices(word))
    {
        let (before, _) = code.split_at(start);
        let is_inside = |letter: char| letter.is_alphanumeric() || "_:$".contains(letter);
        // `pub(in crate::a)` says who may name it, and names nothing.
        if before.ends_with(is_inside) || before.ends_with("(in ") {
            continue;
        }
        let mut rest = &code[start + word.len()..];
        let mut num_up = (word == "super::").then_some(1);
        while let (Some(up), Some(after)) = (num_up, rest.strip_prefix("super::")) {
            num_up = Some(up + 1);
            rest = after;
        }
        let mut names = Vec::new();
        read_tree(rest, &mut Vec::new(), &mut names);
        found.extend(names.into_iter().map(|names| Path { num_up, names }));
    }
    found
}

/// Reads the paths of a `use` tree that `text` begins with; gives what comes after it.
fn read_tree<'a>(text: &'a str, before: &mut Module, into: &mut Vec<Module>) -> &'a str {
    let text = text.trim_start();
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let end = text.find(|letter| !is_name(letter)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !name.is_empty() {
        before.push(name.to_owned());
        let rest = match rest.strip_prefix("::") {
            Some(rest) => read_tree(rest, before, into),
            None => {
                into.push(before.clone());
                rest
            }
        };
        before.pop();
        return rest;
    }
    let Some(mut rest) = text.strip_prefix('{') else {
        into.push(before.clone());
        return text;
    };
    loop {
        rest =
            rest.trim_start_matches(|letter: char| letter.is_whitespace() || ",*".contains(letter));
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        if let Some(renamed) = rest.strip_prefix("as ") {
            rest = renamed.trim_start().trim_start_matches(is_name);
            continue;
        }
        let after = read_tree(rest, before, into);
        if after.len() == rest.len() {
            return after;
        }
        rest = after;
    }
}
