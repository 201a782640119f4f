//! What an import would make of checkpoints: looked at whole before anything is created.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use trace::{CaptureId, CreateRunError, RunDir, Topology};

use crate::cancel::CancelToken;

use super::super::checkpoint::{Checkpoint, CheckpointError, TensorType};
use super::super::layers::topology;
use super::super::names::NumberSource;
use super::super::values::{always_fits, common, is_supported};
use super::error::ImportError;
use super::series::{Odd, expand, odd, series};
use super::{ImportOptions, existing_import};

/// Prefixes that wrappers of modules put before all names: of `torch.compile`, and of
/// `DataParallel` and `DistributedDataParallel`.
const WRAPPERS: [&str; 2] = ["_orig_mod.", "module."];

/// How many tensors a note names.
const MAX_EXAMPLES: usize = 3;

/// What an import makes of checkpoints; nothing is created yet.
#[derive(Debug, Clone)]
pub struct ImportPlan {
    pub(super) options: ImportOptions,
    pub(super) series: Vec<(PathBuf, CaptureId)>,
    pub(super) topology: Topology,
    number_source: NumberSource,
    notes: Vec<ImportNote>,
}

/// What should be known of an import before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportNote {
    /// A library says what it took of checkpoints.
    Library {
        /// What it says.
        text: String,
        /// Of how many of them it says so.
        num_checkpoints: usize,
    },
    /// Tensors' units lie along their last axis, as their biases or tensors of the same kind tell.
    Transposed {
        /// Some of them, with their shapes.
        examples: Vec<(String, Vec<u64>)>,
        /// How many there are.
        num_tensors: usize,
    },
    /// Nothing tells along which axis tensors' units lie.
    Undecided {
        /// Some of them, with their shapes.
        examples: Vec<(String, Vec<u64>)>,
        /// How many there are.
        num_tensors: usize,
    },
    /// All names begin with what a wrapper puts before them.
    Prefix {
        /// What that is.
        prefix: String,
    },
    /// Tensors are of different types in different checkpoints.
    Types {
        /// One of them.
        tensor: String,
        /// The types that it has, in order of their first occurrence.
        dtypes: Vec<String>,
        /// The type that holds them all.
        common: String,
        /// How many there are.
        num_tensors: usize,
    },
}

impl fmt::Display for ImportNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensors = |n: &usize| match n {
            1 => "1 tensor".to_owned(),
            n => format!("{n} tensors"),
        };
        match self {
            Self::Library {
                text,
                num_checkpoints: 1,
            } => write!(f, "of 1 checkpoint {text}"),
            Self::Library {
                text,
                num_checkpoints,
            } => write!(f, "of {num_checkpoints} checkpoints {text}"),
            Self::Transposed {
                examples,
                num_tensors,
            } => write!(
                f,
                "{} [in, out], by the length of the bias here or in tensors of the same kind: recorded \
                 by output, as all layers are ({}); --transpose '!NAME' says otherwise",
                match num_tensors {
                    1 => "1 tensor is".to_owned(),
                    n => format!("{n} tensors are"),
                },
                Examples(examples, *num_tensors),
            ),
            Self::Undecided {
                examples,
                num_tensors,
            } => write!(
                f,
                "of {} nothing tells whether {} [out, in] or [in, out]: taken as [out, in], PyTorch's \
                 ({}); where that is wrong, --transpose '{}' says so",
                tensors(num_tensors),
                if *num_tensors == 1 {
                    "it is"
                } else {
                    "they are"
                },
                Examples(examples, *num_tensors),
                examples
                    .first()
                    .map_or(String::new(), |(name, _)| name.replace('\'', r"'\''")),
            ),
            Self::Prefix { prefix } => write!(
                f,
                "all names begin with {prefix}, which a wrapper puts there: --strip-prefix {prefix} \
                 takes it off"
            ),
            Self::Types {
                tensor,
                dtypes,
                common,
                num_tensors,
            } => write!(
                f,
                "{} of other types in some checkpoints than in others, as {tensor} is {}: the values are \
                 kept, an export has {common}",
                match num_tensors {
                    1 => "1 tensor is".to_owned(),
                    n => format!("{n} tensors are"),
                },
                dtypes.join(" and "),
            ),
        }
    }
}

/// Names and shapes, and that there are more.
struct Examples<'a>(&'a [(String, Vec<u64>)], usize);

impl fmt::Display for Examples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, shape)) in self.0.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{name} {shape:?}")?;
        }
        if self.0.len() < self.1 {
            f.write_str(", ...")?;
        }
        Ok(())
    }
}

impl ImportPlan {
    /// Looks at all names, all headers, and those values of which a 32-bit float may not hold one.
    /// Nothing is created. `cancel` ends it.
    ///
    /// # Errors
    /// If anything about the checkpoints is not as it should be, or there is something in the
    /// directory of the run, unless that is to be gone on with.
    pub fn try_new(options: &ImportOptions, cancel: &CancelToken) -> Result<Self, ImportError> {
        if !options.resume {
            check_free(&options.out)?;
        }
        let files = expand(&options.checkpoints)?;
        let (series, number_source) = series(files, options)?;
        let network = Network::of(&series, options, cancel)?;
        let tensors = network.tensors.iter();
        let tensors = tensors.map(|(name, tensor)| (name.as_str(), tensor));
        let (topology, axes) =
            topology(tensors, &options.transpose).map_err(|source| ImportError::Topology {
                path: series[0].0.clone(),
                source,
            })?;
        let mut notes = network.notes;
        for (names, is_inferred) in [(&axes.inferred_last, true), (&axes.undecided, false)] {
            let num_tensors = names.len();
            if num_tensors == 0 {
                continue;
            }
            let examples = names.iter().take(MAX_EXAMPLES);
            let examples = examples
                .map(|name| (name.clone(), network.tensors[name].shape.clone()))
                .collect();
            notes.push(match is_inferred {
                true => ImportNote::Transposed {
                    examples,
                    num_tensors,
                },
                false => ImportNote::Undecided {
                    examples,
                    num_tensors,
                },
            });
        }
        Ok(Self {
            options: options.clone(),
            series,
            topology,
            number_source,
            notes,
        })
    }

    /// The checkpoints in the order of their captures, with what each becomes.
    pub fn captures(&self) -> &[(PathBuf, CaptureId)] {
        &self.series
    }

    /// Those of [`ImportPlan::captures`], by their place there, that stand out.
    pub fn odd(&self) -> Vec<(usize, Odd)> {
        odd(&self.series)
    }

    /// What epochs or steps are known by.
    pub fn number_source(&self) -> NumberSource {
        self.number_source
    }

    /// What should be known before it is made.
    pub fn notes(&self) -> &[ImportNote] {
        &self.notes
    }

    /// The network.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

/// Refuses a directory in which there is something.
fn check_free(out: &Path) -> Result<(), ImportError> {
    let is_free = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        // What is wrong with it otherwise is told when it is created.
        Err(_) => !out.is_file(),
    };
    if is_free {
        return Ok(());
    }
    Err(existing_import(out).unwrap_or_else(|| {
        let path = out.to_owned();
        CreateRunError::NotEmpty { path }.into()
    }))
}

/// The tensors of checkpoints that are all of one network.
struct Network {
    /// By name, each in a type that holds its values in all checkpoints.
    tensors: BTreeMap<String, TensorType>,
    notes: Vec<ImportNote>,
}

impl Network {
    /// Looks at every checkpoint: that it has the tensors of the first, and that their values fit, so
    /// that no import is found out halfway.
    fn of(
        series: &[(PathBuf, CaptureId)],
        options: &ImportOptions,
        cancel: &CancelToken,
    ) -> Result<Self, ImportError> {
        let prefixes = &options.strip_prefix;
        let (first_path, _) = series.first().expect("there are files");
        let first = options.open(first_path)?;
        let mut tensors: BTreeMap<String, TensorType> = first
            .tensors()
            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
            .collect();
        let mut unused: HashSet<&String> = prefixes.iter().collect();
        let mut dtypes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut said: BTreeMap<String, usize> = BTreeMap::new();
        for (path, _) in series {
            if !unused.is_empty() {
                let saved = options.open_as_saved(path)?;
                let names = || saved.tensors().map(|(name, _)| name);
                unused.retain(|prefix| !names().any(|name| has_prefix(name, prefix, prefixes)));
            }
            let other = options.open(path)?;
            for note in other.notes() {
                *said.entry(note.to_owned()).or_default() += 1;
            }
            for (name, tensor) in other.tensors() {
                if !is_supported(tensor.dtype) {
                    return Err(CheckpointError::Unsupported {
                        path: other.file_of(name).unwrap_or(path).to_owned(),
                        tensor: name.to_owned(),
                        dtype: tensor.dtype.to_string(),
                    }
                    .into());
                }
            }
            let differs = |tensor: &str, problem| ImportError::Differs {
                path: path.clone(),
                first: first_path.clone(),
                tensor: tensor.to_owned(),
                problem,
                hint: hint(tensor, &first, &other),
            };
            for (name, expected) in &mut tensors {
                let Some(found) = other.tensor(name) else {
                    return Err(differs(name, "is missing".to_owned()));
                };
                let both = common(expected.dtype, found.dtype);
                match both.filter(|_| found.shape == expected.shape) {
                    Some(both) => {
                        if both != expected.dtype || found.dtype != both {
                            let seen = dtypes.entry(name.clone()).or_insert_with(|| {
                                vec![first.tensor(name).unwrap_or(found).dtype.to_string()]
                            });
                            let dtype = found.dtype.to_string();
                            if !seen.contains(&dtype) {
                                seen.push(dtype);
                            }
                        }
                        expected.dtype = both;
                    }
                    None => {
                        let problem = format!(
                            "is {} {:?}, and {} {:?} there",
                            found.dtype, found.shape, expected.dtype, expected.shape
                        );
                        return Err(differs(name, problem));
                    }
                }
            }
            let extra = other
                .tensors()
                .find(|(name, _)| !tensors.contains_key(*name));
            if let Some((name, _)) = extra {
                return Err(differs(name, "is not there".to_owned()));
            }
        }
        if let Some(prefix) = unused.into_iter().min() {
            let example = first.tensors().next().map_or("", |(name, _)| name);
            return Err(ImportError::NoSuchPrefix {
                prefix: prefix.clone(),
                example: example.to_owned(),
            });
        }
        // Reading takes long: last, when all else is right.
        for (path, _) in series {
            check_values(path, options, cancel)?;
        }
        let mut notes: Vec<ImportNote> = said
            .into_iter()
            .map(|(text, num_checkpoints)| ImportNote::Library {
                text,
                num_checkpoints,
            })
            .collect();
        let prefix = wrapper_prefix(&first);
        if !prefix.is_empty() {
            notes.push(ImportNote::Prefix { prefix });
        }
        let num_tensors = dtypes.len();
        if let Some((tensor, dtypes)) = dtypes.into_iter().next() {
            notes.push(ImportNote::Types {
                common: tensors[&tensor].dtype.to_string(),
                tensor,
                dtypes,
                num_tensors,
            });
        }
        Ok(Self { tensors, notes })
    }
}

/// Whether a prefix is taken off a name, once those before it were.
fn has_prefix(name: &str, prefix: &str, prefixes: &[String]) -> bool {
    let mut name = name;
    for earlier in prefixes {
        let without = name.strip_prefix(earlier.as_str());
        if earlier == prefix && without.is_some() {
            return true;
        }
        name = without.unwrap_or(name);
    }
    false
}

/// Looks for values that do not fit into 32-bit floats.
fn check_values(
    path: &Path,
    options: &ImportOptions,
    cancel: &CancelToken,
) -> Result<(), ImportError> {
    if options.lossy {
        return Ok(());
    }
    let checkpoint = options.open(path)?;
    let mut values = checkpoint.values(false);
    let doubtful = checkpoint.tensors().filter(|(_, t)| !always_fits(t.dtype));
    for (name, _) in doubtful {
        if cancel.is_cancelled() {
            return Err(ImportError::Cancelled);
        }
        values.read(name)?;
    }
    match cancel.is_cancelled() {
        true => Err(ImportError::Cancelled),
        false => Ok(()),
    }
}

/// What wrappers have put before all names of a checkpoint.
fn wrapper_prefix(checkpoint: &Checkpoint) -> String {
    let mut prefix = String::new();
    loop {
        let next = WRAPPERS.iter().find(|wrapper| {
            let longer = format!("{prefix}{wrapper}");
            checkpoint
                .tensors()
                .all(|(name, _)| name.starts_with(&longer))
        });
        match next {
            Some(wrapper) => prefix.push_str(wrapper),
            None => return prefix,
        }
    }
}

/// What to do about a tensor that one of two checkpoints lacks, or has in another shape.
fn hint(tensor: &str, first: &Checkpoint, other: &Checkpoint) -> String {
    let (prefix, other_prefix) = (wrapper_prefix(first), wrapper_prefix(other));
    if prefix != other_prefix {
        let longer = match prefix.len() > other_prefix.len() {
            true => &prefix,
            false => &other_prefix,
        };
        return format!(
            "names of one begin with {longer}, which --strip-prefix {longer} takes off"
        );
    }
    if let (Some(_), None) = (first.tensor(tensor), other.tensor(tensor))
        && let Some(same) = same_as(tensor, first).filter(|same| other.tensor(same).is_some())
    {
        return format!(
            "{tensor} is {same} there, value for value, and was left out here as tied tensors are: \
             save all checkpoints with both or without"
        );
    }
    "import them as runs of their own, or save them alike".to_owned()
}

/// Another tensor that has all values of one.
fn same_as(tensor: &str, checkpoint: &Checkpoint) -> Option<String> {
    let expected = checkpoint.tensor(tensor)?;
    let others = checkpoint.tensors();
    let others = others.filter(|(name, other)| *name != tensor && *other == expected);
    let mut values = checkpoint.values(true);
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    let own = bits(values.read(tensor).ok()?);
    for (name, _) in others {
        if bits(values.read(name).ok()?) == own {
            return Some(name.to_owned());
        }
    }
    None
}

/// What to say of a directory that holds an import already, and how far it came.
pub(super) fn committed_import(path: &Path) -> Option<(RunDir, usize)> {
    let run = RunDir::open(path).ok()?;
    let checkpoints = run.info().config.pointer("/import/checkpoints")?;
    let num_checkpoints = checkpoints.as_array()?.len();
    Some((run, num_checkpoints))
}
