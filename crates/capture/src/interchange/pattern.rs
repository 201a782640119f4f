//! Which epoch or step a checkpoint is of, from its name.

use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;

/// Where a checkpoint's name says its epoch or step: `model-{epoch}.safetensors`.
///
/// `{epoch}` and `{step}` stand for digits, `*` for anything but `/`, everything else for itself. A
/// pattern with `/` is about the last directories as well: `checkpoint-{step}/model.safetensors`.
/// One that ends in `.safetensors` or `.bin` fits the index of a sharded checkpoint, too, which appends
/// `.index.json`.
#[derive(Debug, Clone)]
pub struct NamePattern {
    text: String,
    regex: Regex,
}

/// What a checkpoint's name says; at least one of the two is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) epoch: Option<u64>,
    pub(super) step: Option<u64>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no pattern: {problem}, as in model-{{epoch}}.safetensors")]
pub struct ParsePatternError {
    text: String,
    problem: &'static str,
}

/// What the index of a sharded checkpoint appends to the checkpoint's name.
pub(super) const INDEX_SUFFIX: &str = ".index.json";

impl FromStr for NamePattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| ParsePatternError {
            text: text.to_owned(),
            problem,
        };
        let mut regex = String::from("(?:^|/)");
        let mut rest = text;
        let (mut epochs, mut steps) = (0, 0);
        while let Some(at) = rest.find(['{', '*', '}']) {
            let (literal, special) = rest.split_at(at);
            regex.push_str(&regex::escape(literal));
            rest = if let Some(rest) = special.strip_prefix('*') {
                // Lazy: the digits that follow belong to the number.
                regex.push_str("[^/]*?");
                rest
            } else if let Some(rest) = special.strip_prefix("{epoch}") {
                regex.push_str("(?<epoch>[0-9]+)");
                epochs += 1;
                rest
            } else if let Some(rest) = special.strip_prefix("{step}") {
                regex.push_str("(?<step>[0-9]+)");
                steps += 1;
                rest
            } else {
                return Err(error("between braces there is epoch or step"));
            };
        }
        regex.push_str(&regex::escape(rest));
        if SUFFIXES.iter().any(|suffix| text.ends_with(suffix)) {
            regex.push_str(&format!("(?:{})?", regex::escape(INDEX_SUFFIX)));
        }
        regex.push('$');
        match (epochs, steps) {
            (0, 0) => Err(error("it says neither {epoch} nor {step}")),
            (0..=1, 0..=1) => Ok(Self {
                text: text.to_owned(),
                regex: Regex::new(&regex).map_err(|_| error("it is too long"))?,
            }),
            _ => Err(error("it says {epoch} or {step} twice")),
        }
    }
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What the name of a checkpoint ends in that may be sharded: by safetensors, and by PyTorch before that.
pub(super) const SUFFIXES: [&str; 2] = [".safetensors", ".bin"];

impl NamePattern {
    /// What the path says; none if it does not fit, or says a number that does not fit into 64 bits.
    pub(super) fn numbers(&self, path: &Path) -> Option<Numbers> {
        let path = path.to_string_lossy();
        let found = self.regex.captures(&path)?;
        let number = |name| match found.name(name) {
            None => Some(None),
            Some(digits) => digits.as_str().parse().ok().map(Some),
        };
        Some(Numbers {
            epoch: number("epoch")?,
            step: number("step")?,
        })
    }
}

/// Whether a file's name is that of one of several shards: `model-00001-of-00003.safetensors`.
pub(super) fn is_shard(path: &Path) -> bool {
    static SHARD: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new("-[0-9]{5,}-of-([0-9]{5,})\\.(?:safetensors|bin)$")
            .expect("the expression is well-formed")
    });
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let shards = SHARD.captures(&name);
    // One of one is a whole checkpoint.
    shards.is_some_and(|shards| shards[1].trim_start_matches('0') != "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(epoch: Option<u64>, step: Option<u64>) -> Option<Numbers> {
        Some(Numbers { epoch, step })
    }

    #[test]
    fn a_pattern_says_where_the_numbers_are() {
        for (pattern, path, numbers) in [
            (
                "model-{epoch}.safetensors",
                "a/model-12.safetensors",
                both(Some(12), None),
            ),
            (
                "model-{epoch}.safetensors",
                "model-3.safetensors.index.json",
                both(Some(3), None),
            ),
            ("model-{epoch}.safetensors", "a-model-12.safetensors", None),
            (
                "model-{epoch}.safetensors",
                "model-12.safetensors.bak",
                None,
            ),
            ("model-{epoch}.safetensors", "model-12xsafetensors", None),
            (
                "*{epoch}.safetensors",
                "v2-model-12.safetensors",
                both(Some(12), None),
            ),
            (
                "*-{epoch}.safetensors",
                "v2-model-12.safetensors",
                both(Some(12), None),
            ),
            (
                "checkpoint-{step}/model.safetensors",
                "out/checkpoint-500/model.safetensors",
                both(None, Some(500)),
            ),
            (
                "checkpoint-{step}/*",
                "out/checkpoint-500/a/model.safetensors",
                None,
            ),
            ("e{epoch}s{step}", "e007s0070", both(Some(7), Some(70))),
            ("{epoch}", "99999999999999999999", None),
        ] {
            let parsed: NamePattern = pattern.parse().unwrap();
            assert_eq!(parsed.to_string(), pattern);
            assert_eq!(parsed.numbers(Path::new(path)), numbers, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, problem) in [
            ("model.safetensors", "neither"),
            ("{epoch}-{epoch}", "twice"),
            ("{epoc}", "between braces"),
            ("epoch}", "between braces"),
        ] {
            let error = text.parse::<NamePattern>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn shards_are_known_by_their_names() {
        assert!(is_shard(Path::new("a/model-00001-of-00003.safetensors")));
        assert!(is_shard(Path::new("pytorch_model-00001-of-00003.bin")));
        assert!(!is_shard(Path::new("model-1.safetensors")));
        assert!(!is_shard(Path::new("model-00001-of-00001.safetensors")));
        // The third epoch of ten.
        assert!(!is_shard(Path::new("model-3-of-10.safetensors")));
    }
}
