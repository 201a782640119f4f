//! Why structures cannot be found or kept.

use arrow::error::ArrowError;
use sql::{AskError, QueryError};
use trace::DerivedError;
use words::{UnknownNeuronError, did_you_mean};

/// Why structures cannot be found or kept.
#[derive(Debug, thiserror::Error)]
pub enum StructureError {
    /// The neurons' scores cannot be had.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] DerivedError),
    /// The rows of the table are not what this version writes.
    #[error("the table structures cannot be understood")]
    Rows(#[from] ArrowError),
    /// There is a structure of that name.
    #[error("there is a structure {name:?} already: {remedy}")]
    Taken {
        /// The name.
        name: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// A structure has neurons.
    #[error("a structure has at least one neuron, and none is named")]
    NoNeurons,
    /// There is no structure of that name.
    #[error("there is no structure {name:?}{} (structures: {names})", did_you_mean(closest.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name that comes closest.
        closest: Option<String>,
        /// Every name.
        names: String,
    },
    /// The epoch has no capture.
    #[error("epoch {0} has no capture")]
    NoCapture(i32),
    /// A unit of the output layer was named.
    #[error("neuron {0} is an output of the network: structures are what goes with its outputs")]
    Output(i32),
    /// A neuron that was named is none of the network's.
    #[error("{problem}{}", describe_valid(valid.as_deref()))]
    UnknownNeuron {
        /// What is wrong with its name.
        problem: UnknownNeuronError,
        /// Which neurons there are that say something before the outputs; none where there are none.
        valid: Option<String>,
    },
    /// The network knows no such class.
    #[error("there is no class {class}: {}", describe_classes(*num_classes))]
    NoSuchClass {
        /// The class.
        class: i32,
        /// How many there are; 0 where that is not known.
        num_classes: usize,
    },
    /// No epoch that the neurons are to belong to was captured.
    #[error("no epoch {epochs} was captured: {captured}")]
    NotCaptured {
        /// Those epochs, as `from 5 to 7`.
        epochs: String,
        /// Which were.
        captured: String,
    },
    /// The run is a copy without commits: with the first one, all else would be no part of it.
    #[error("the run has no commits/, so that nothing can be kept in it: it is no whole copy")]
    NoCommits,
}

impl AskError for StructureError {
    fn is_of_bad_file(&self) -> bool {
        match self {
            StructureError::Query(error) => error.is_of_bad_file(),
            StructureError::Table(error) => matches!(error, DerivedError::BadFile(_)),
            _ => false,
        }
    }
}

fn describe_classes(num_classes: usize) -> String {
    match num_classes {
        0 => "classes count from 0".to_owned(),
        n => format!("there are 0 to {}", n - 1),
    }
}

fn describe_valid(neurons: Option<&str>) -> String {
    match neurons {
        Some(neurons) => format!(": those before the outputs are {neurons}"),
        None => String::new(),
    }
}
