//! Why checkpoints cannot be imported.

use std::path::PathBuf;

use sink::{SinkError, StartSinkError};
use trace::{CaptureId, CreateRunError, OpenRunError, ReadCommitsError};

use super::super::checkpoint::CheckpointError;
use super::super::layers::ImportedTopologyError;
use super::super::names::{NameProblem, PatternSuggestions};

/// Why checkpoints cannot be imported. Nothing is created before all of them were looked at.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No checkpoint was named.
    #[error("there is nothing to import: name checkpoints")]
    NoCheckpoints,
    /// A glob that nothing matches.
    #[error("{} matches no file", glob.display())]
    NothingMatches {
        /// The glob.
        glob: PathBuf,
    },
    /// There is no such file, and as a glob it cannot be understood.
    #[error("there is no file {}, and it is no glob: {reason}", glob.display())]
    NoGlob {
        /// The glob.
        glob: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A directory that a glob goes through cannot be read, so that checkpoints may be missing.
    #[error("cannot look for {}", glob.display())]
    Glob {
        /// The glob.
        glob: PathBuf,
        /// Where, and what the file system said.
        source: glob::GlobError,
    },
    /// A part of a checkpoint was named.
    #[error("{} is one of several shards: name the index that lies beside them, *.safetensors.index.json", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
    },
    /// The name says neither epoch nor step.
    #[error("{} does not say which epoch or step it is{}{suggestions}", path.display(), no_number(pattern))]
    NoNumber {
        /// The file.
        path: PathBuf,
        /// The pattern that it does not fit, where there is one.
        pattern: Option<String>,
        /// Patterns that would tell.
        suggestions: PatternSuggestions,
    },
    /// The name says more than one thing.
    #[error(
        "{} does not say surely which epoch or step it is, {problem}: say where by --pattern, give it \
         another name, or leave it out{suggestions}", path.display()
    )]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// Why it is not sure.
        problem: NameProblem,
        /// Patterns that would tell.
        suggestions: PatternSuggestions,
    },
    /// Some names say the epoch, some the step.
    #[error("{} tells {of_first}, {} tells {of_other}: say with --pattern which number counts", first.display(), other.display())]
    Mixed {
        /// A file.
        first: PathBuf,
        /// What its name tells.
        of_first: &'static str,
        /// A file whose name tells something else.
        other: PathBuf,
        /// What its name tells.
        of_other: &'static str,
    },
    /// An epoch or step that a trace cannot number.
    #[error("{}: a trace cannot number such an epoch or step", path.display())]
    NumberTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Two files are the same capture.
    #[error(
        "{} and {} are both epoch {}, step {}: name one of them, or say by --pattern what tells them \
         apart", first.display(), second.display(), id.epoch, id.step
    )]
    Duplicate {
        /// A file.
        first: PathBuf,
        /// A file that is the same.
        second: PathBuf,
        /// What both are.
        id: CaptureId,
    },
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint is not of the same network as the first.
    #[error("{} is of another network than {} ({hint}): tensor {tensor} {problem}", path.display(), first.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// The file that it was compared with.
        first: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is different.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A prefix that no tensor has.
    #[error("--strip-prefix {prefix:?}: no tensor has it, as {example} has not")]
    NoSuchPrefix {
        /// The prefix.
        prefix: String,
        /// A tensor.
        example: String,
    },
    /// It was cancelled before anything was created.
    #[error("interrupted before anything was created")]
    Cancelled,
    /// A trace cannot describe the network.
    #[error("{} cannot be recorded", path.display())]
    Topology {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ImportedTopologyError,
    },
    /// The run cannot be created.
    #[error(transparent)]
    CreateRun(#[from] CreateRunError),
    /// There is an import already.
    #[error(
        "{} holds an import already, {num_committed} of its {num_checkpoints} checkpoints are committed: nothing is ever overwritten, {}remove it or name another directory",
        run.display(), resume_hint(*num_committed, *num_checkpoints)
    )]
    Exists {
        /// The run.
        run: PathBuf,
        /// Captures that are committed.
        num_committed: usize,
        /// Checkpoints that it was to hold.
        num_checkpoints: usize,
    },
    /// The run that is to be gone on with cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenRunError),
    /// What is committed cannot be told.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// The run that is to be gone on with is no import.
    #[error("{} is no run that an import began: name one that is", run.display())]
    NoImport {
        /// The run.
        run: PathBuf,
    },
    /// The run was begun otherwise.
    #[error(
        "{} was begun otherwise: {key} is {now} now, and {then} there; give the checkpoints and \
         options that it was begun with", run.display()
    )]
    Changed {
        /// The run.
        run: PathBuf,
        /// What differs.
        key: String,
        /// In the run.
        then: serde_json::Value,
        /// As asked now.
        now: serde_json::Value,
    },
    /// Nothing is left to do.
    #[error("{} is whole: all {num_checkpoints} checkpoints are committed", run.display())]
    Finished {
        /// The run.
        run: PathBuf,
        /// How many.
        num_checkpoints: usize,
    },
    /// The operating system has no randomness for the run's name.
    #[error("cannot draw a name for the run")]
    Nonce(#[source] std::io::Error),
    /// The run cannot be written to.
    #[error(transparent)]
    Start(#[from] StartSinkError),
    /// The import ended before the last checkpoint. What is committed is whole.
    #[error(
        "the import into {} is not whole, {num_committed} of {num_checkpoints} checkpoints are committed (the same command with --resume goes on)", run.display()
    )]
    Incomplete {
        /// The run.
        run: PathBuf,
        /// Captures that are committed.
        num_committed: usize,
        /// Checkpoints that there are.
        num_checkpoints: usize,
        /// Why.
        source: Box<CopyError>,
    },
}

/// Why a checkpoint did not become a capture.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It cannot be recorded.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

fn resume_hint(num_committed: usize, num_checkpoints: usize) -> &'static str {
    match num_committed < num_checkpoints {
        true => "go on with it by --resume, ",
        false => "",
    }
}

fn no_number(pattern: &Option<String>) -> String {
    match pattern {
        Some(pattern) => format!(": it does not fit the pattern {pattern}"),
        None => ": say where, as --pattern 'model-{epoch}.safetensors' or \
                 'checkpoint-{step}/model.safetensors', or leave it out"
            .to_owned(),
    }
}
