//! Which crate depends on which, as cargo resolves it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

use stratigraph::workspace_root;

/// A package from elsewhere.
pub struct Foreign {
    pub name: String,
    pub version: String,
    pub source: String,
    /// The expression that it says; empty where it says none.
    pub licence: String,
}

/// The resolved packages of the workspace: normal dependencies of each, by id.
pub struct Packages {
    names: BTreeMap<String, String>,
    foreign: Vec<Foreign>,
    dependencies: BTreeMap<String, Vec<String>>,
    /// By id, the names of what is no feature's alone.
    required: BTreeMap<String, Vec<String>>,
}

impl Packages {
    /// Asks `cargo metadata`, which compiles nothing and reaches no network.
    pub fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .args(["--features", "vulkan,burn-train"])
            .current_dir(workspace_root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let names = metadata["packages"].as_array().unwrap().iter();
        let names = names.map(|package| (text(&package["id"]), text(&package["name"])));
        let foreign = metadata["packages"].as_array().unwrap().iter();
        let foreign = foreign.filter(|package| !is_ours(package["id"].as_str().unwrap()));
        let foreign = foreign.map(|package| Foreign {
            name: text(&package["name"]),
            version: text(&package["version"]),
            source: text(&package["source"]),
            licence: package["license"].as_str().unwrap_or_default().to_owned(),
        });
        let required = metadata["packages"].as_array().unwrap().iter();
        let required = required.map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let required = dependencies.filter(|dependency| {
                dependency["kind"].is_null() && dependency["optional"] == false
            });
            let names = required.map(|dependency| text(&dependency["name"]));
            (text(&package["id"]), names.collect())
        });
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap().iter();
        let dependencies = nodes.map(|node| {
            let dependencies = node["deps"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array().unwrap();
                kinds.iter().any(|kind| kind["kind"].is_null())
            });
            let ids = normal.map(|dependency| text(&dependency["pkg"])).collect();
            (text(&node["id"]), ids)
        });
        Self {
            names: names.collect(),
            foreign: foreign.collect(),
            dependencies: dependencies.collect(),
            required: required.collect(),
        }
    }

    /// All packages from elsewhere, for whatever system.
    pub fn foreign(&self) -> &[Foreign] {
        &self.foreign
    }

    /// The workspace's package of that name; others may have it, too.
    fn id(&self, name: &str) -> &str {
        let mut found = self.names.iter().filter(|(_, other)| *other == name);
        let found = found.find(|(id, _)| is_ours(id));
        let (id, _) = found.unwrap_or_else(|| panic!("no package is called {name}"));
        id
    }

    /// The names of all that one of the workspace's packages depends on directly, whatever features it has.
    pub fn required(&self, name: &str) -> &[String] {
        &self.required[self.id(name)]
    }

    /// The names of the workspace's packages that one depends on directly.
    pub fn direct(&self, name: &str) -> Vec<String> {
        let dependencies = &self.dependencies[self.id(name)];
        dependencies
            .iter()
            .filter(|id| is_ours(id))
            .map(|id| self.names[id].clone())
            .collect()
    }

    /// All that a package depends on, each name with a way to it.
    pub fn tree(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let mut tree = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut next = VecDeque::from([(self.id(name).to_owned(), Vec::new())]);
        while let Some((id, way)) = next.pop_front() {
            for dependency in &self.dependencies[&id] {
                if seen.insert(dependency.clone()) {
                    let name = &self.names[dependency];
                    let mut way: Vec<String> = way.clone();
                    way.push(name.clone());
                    tree.entry(name.clone()).or_insert_with(|| way.clone());
                    next.push_back((dependency.clone(), way));
                }
            }
        }
        tree
    }
}

/// Whether a package's source is a folder of the workspace.
fn is_ours(id: &str) -> bool {
    id.starts_with("path+")
}
