//! Along which axis of an imported tensor its units lie.
//!
//! PyTorch keeps a linear layer's weight as `[out, in]`, GPT-2's Conv1D and Flax keep it as
//! `[in, out]`. A name does not tell: others use the same names with the other layout. The bias has a
//! value a unit, so its length does, unless both axes are of that length; then layers of the same kind
//! that are told do. What nothing tells is taken to be PyTorch's, and said.

use std::collections::{BTreeMap, HashMap, HashSet};

use glob::{MatchOptions, Pattern};

use super::checkpoint::TensorType;
use super::tensor_name::TensorName;
use super::values::is_float;

/// What somebody said of tensors whose units lie along their last axis, `[in, out]`: globs of
/// tensors' names, and globs with a `!` before them, of tensors of which that is not so. The last that
/// fits a tensor decides.
///
/// `*` stands for any text, `?` for a character, `[ab]` for one of some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransposeGlobs(Vec<(Pattern, bool)>);

/// Why globs are no [`TransposeGlobs`] of a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransposeError {
    /// A glob cannot be understood.
    #[error("{glob:?} is no glob of tensors: {reason}")]
    Glob {
        /// The glob.
        glob: String,
        /// What is wrong.
        reason: String,
    },
    /// A glob fits nothing, which is rather a typing mistake than meant.
    #[error("--transpose {glob:?} fits no tensor of two axes or more; there are {examples}")]
    NothingFits {
        /// The glob.
        glob: String,
        /// Some that there are.
        examples: String,
    },
    /// The bias says otherwise.
    #[error(
        "--transpose {glob:?} does not go with tensor {tensor} {shape:?}: its bias has {num_biases} \
         values, one a unit; narrow the glob, or put '!{tensor}' behind it"
    )]
    Contradicted {
        /// The glob.
        glob: String,
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// How long its bias is.
        num_biases: u64,
    },
}

/// As tensors' names are compared.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// Whether a glob fits a name; the name itself does, whatever characters it has.
fn fits(pattern: &Pattern, name: &str) -> bool {
    pattern.as_str() == name || pattern.matches_with(name, MATCHING)
}

/// How many tensors an error names.
const MAX_EXAMPLES: usize = 3;

impl TransposeGlobs {
    /// # Errors
    /// If one of the globs is none.
    pub fn try_new<I>(globs: I) -> Result<Self, TransposeError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let parsed = globs.into_iter().map(|glob| {
            let text = glob.as_ref();
            let (pattern, is_last) = match text.strip_prefix('!') {
                Some(rest) => (rest, false),
                None => (text, true),
            };
            let error = |reason: String| TransposeError::Glob {
                glob: text.to_owned(),
                reason,
            };
            if pattern.is_empty() {
                return Err(error("it is empty".to_owned()));
            }
            let pattern = Pattern::new(pattern).map_err(|e| error(e.to_string()))?;
            Ok((pattern, is_last))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// As they were given.
    pub(super) fn texts(&self) -> Vec<String> {
        let sign = |is_last: bool| if is_last { "" } else { "!" };
        let globs = self.0.iter();
        globs
            .map(|(pattern, is_last)| format!("{}{pattern}", sign(*is_last)))
            .collect()
    }

    /// What is said of a tensor, and by which glob.
    fn of(&self, name: &str) -> Option<(&Pattern, bool)> {
        let fits = |(pattern, _): &&(Pattern, bool)| fits(pattern, name);
        let last = self.0.iter().rfind(fits)?;
        Some((&last.0, last.1))
    }
}

/// Which tensors have their units along their last axis, and how that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitAxes {
    last: HashSet<String>,
    /// Those of which a bias or tensors of the same kind say it, by name.
    pub(super) inferred_last: Vec<String>,
    /// Those of which nothing says it, which were taken to have them along their first, by name.
    pub(super) undecided: Vec<String>,
}

/// What is known of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    First,
    Last,
    /// There is none.
    Nothing,
}

impl UnitAxes {
    /// Looks at all tensors of a network.
    ///
    /// # Errors
    /// If a glob fits nothing, or a bias says otherwise.
    pub(super) fn infer(
        tensors: &BTreeMap<&str, &TensorType>,
        asked: &TransposeGlobs,
    ) -> Result<Self, TransposeError> {
        let matrices = || {
            let tensors = tensors.iter();
            tensors.filter(|(_, tensor)| tensor.shape.len() >= 2)
        };
        for (pattern, _) in &asked.0 {
            if !matrices().any(|(name, _)| fits(pattern, name)) {
                let names: Vec<&str> = matrices().map(|(name, _)| *name).collect();
                let mut examples = names[..names.len().min(MAX_EXAMPLES)].join(", ");
                match names.len() {
                    0 => examples = "none".to_owned(),
                    n if n > MAX_EXAMPLES => examples.push_str(", ..."),
                    _ => {}
                }
                let glob = pattern.as_str().to_owned();
                return Err(TransposeError::NothingFits { glob, examples });
            }
        }
        // By the bias.
        let evidence: BTreeMap<&str, Evidence> = matrices()
            .filter(|(name, tensor)| is_weight(name, tensor))
            .map(|(name, tensor)| (*name, by_bias(name, tensor, tensors)))
            .collect();
        let siblings = Siblings::of(&evidence);
        let mut axes = Self::default();
        for (&name, &tensor) in matrices() {
            let own = evidence.get(name).copied();
            if let Some((pattern, is_last)) = asked.of(name) {
                let says_otherwise = match own {
                    Some(Evidence::First) => is_last,
                    Some(Evidence::Last) => !is_last,
                    _ => false,
                };
                if says_otherwise {
                    return Err(TransposeError::Contradicted {
                        glob: pattern.as_str().to_owned(),
                        tensor: name.to_owned(),
                        shape: tensor.shape.clone(),
                        num_biases: num_biases(name, tensors).unwrap_or_default(),
                    });
                }
                if is_last {
                    axes.last.insert(name.to_owned());
                }
                continue;
            }
            let Some(own) = own else { continue };
            let found = match own {
                Evidence::Nothing => siblings.infer(name, tensor, num_biases(name, tensors)),
                known => known,
            };
            match found {
                Evidence::Last => {
                    axes.last.insert(name.to_owned());
                    axes.inferred_last.push(name.to_owned());
                }
                Evidence::First => {}
                // One value is the same either way.
                Evidence::Nothing if tensor.num_values() <= 1 => {}
                Evidence::Nothing => axes.undecided.push(name.to_owned()),
            }
        }
        Ok(axes)
    }

    /// Whether a tensor's units lie along its last axis.
    pub(super) fn is_last(&self, name: &str) -> bool {
        self.last.contains(name)
    }
}

/// The name of the bias that may belong to a weight: `bias` to `weight` and `kernel`, `b` to `w`,
/// `bias_ih_l0` to `weight_ih_l0`, `in_proj_bias` to `in_proj_weight`.
pub(super) fn bias_name(name: &str) -> Option<String> {
    let name = TensorName::of(name);
    match name.parameter() {
        "kernel" => Some(name.sibling("bias")),
        "w" => Some(name.sibling("b")),
        parameter if parameter.contains("weight") => {
            Some(name.sibling(&parameter.replacen("weight", "bias", 1)))
        }
        _ => None,
    }
}

/// Whether a parameter is called as Flax (`kernel`) and Haiku (`w`) call a weight, of which all are of
/// one layout.
pub(super) fn is_kernel(parameter: &str) -> bool {
    ["kernel", "w"].contains(&parameter)
}

/// Whether a matrix is a layer's weight, of which it is to be told. An embedding is not, whose units
/// are tokens, nor is a convolution of PyTorch's, whose kernel may be as wide as its bias is long.
fn is_weight(name: &str, tensor: &TensorType) -> bool {
    let parts = TensorName::of(name);
    is_float(tensor.dtype)
        && bias_name(name).is_some()
        && (is_kernel(parts.parameter()) || tensor.shape.len() == 2)
        && !is_embedding(parts.module())
}

/// Whether a module is an embedding, by its name.
pub(super) fn is_embedding(module: &str) -> bool {
    let leaf = TensorName::of(module).parameter().to_ascii_lowercase();
    leaf.contains("emb") || ["wte", "wpe"].contains(&leaf.as_str())
}

fn num_biases(name: &str, tensors: &BTreeMap<&str, &TensorType>) -> Option<u64> {
    let bias = tensors.get(bias_name(name)?.as_str())?;
    match bias.shape.as_slice() {
        [length] => Some(*length),
        _ => None,
    }
}

/// The first and the last axis of a matrix.
fn ends(tensor: &TensorType) -> (u64, u64) {
    let (first, last) = (tensor.shape.first(), tensor.shape.last());
    (first.copied().unwrap_or(1), last.copied().unwrap_or(1))
}

fn by_bias(name: &str, weight: &TensorType, tensors: &BTreeMap<&str, &TensorType>) -> Evidence {
    let (first, last) = ends(weight);
    match num_biases(name, tensors) {
        Some(length) if length == first && length != last => Evidence::First,
        Some(length) if length == last && length != first => Evidence::Last,
        _ => Evidence::Nothing,
    }
}

/// What biases told of weights, by kind of weight; none where they disagree.
struct Siblings<'a> {
    /// By the last part of the module's name and the parameter's, as `c_proj` and `weight`.
    by_leaf: HashMap<(&'a str, &'a str), Evidence>,
    by_parameter: HashMap<&'a str, Evidence>,
}

impl<'a> Siblings<'a> {
    fn of(evidence: &BTreeMap<&'a str, Evidence>) -> Self {
        let mut siblings = Self {
            by_leaf: HashMap::new(),
            by_parameter: HashMap::new(),
        };
        let told = evidence.iter().filter(|(_, e)| **e != Evidence::Nothing);
        for (&name, &told) in told {
            let parts = TensorName::of(name);
            let agree = |known: &mut Evidence| {
                if *known != told {
                    *known = Evidence::Nothing;
                }
            };
            let leaf = (parts.leaf(), parts.parameter());
            siblings
                .by_leaf
                .entry(leaf)
                .and_modify(agree)
                .or_insert(told);
            let by_parameter = siblings.by_parameter.entry(parts.parameter());
            by_parameter.and_modify(agree).or_insert(told);
        }
        siblings
    }

    /// What they tell of a weight whose own bias does not.
    fn infer(&self, name: &str, weight: &TensorType, num_biases: Option<u64>) -> Evidence {
        let parts = TensorName::of(name);
        let leaf = (parts.leaf(), parts.parameter());
        if let Some(told @ (Evidence::First | Evidence::Last)) = self.by_leaf.get(&leaf) {
            return *told;
        }
        let all = self.by_parameter.get(parts.parameter());
        let (first, last) = ends(weight);
        let is_square = first == last && num_biases == Some(first);
        match all {
            // Beside layers that are `[in, out]` GPT-2 has an output layer without a bias that is
            // not: what has none is another kind of layer.
            Some(Evidence::Last) if !is_kernel(parts.parameter()) && !is_square => {
                Evidence::Nothing
            }
            Some(told) => *told,
            // One of PyTorch's other weights, as a recurrent layer's.
            None if !is_kernel(parts.parameter()) && parts.parameter() != "weight" => {
                Evidence::First
            }
            None => Evidence::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
