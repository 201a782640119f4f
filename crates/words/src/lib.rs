//! Text that people type and read: how they name neurons, what they meant by a name that is not there,
//! and what of a text a terminal may be shown.
//!
//! It knows the topology of a trace, since neurons are named by it, and nothing of command lines,
//! Burn or DataFusion: libraries use it for their errors as programs do.

mod further;
mod neuron;
mod printable;
mod suggest;

pub use further::further;
pub use neuron::{NeuronName, ParseNeuronError, UnknownNeuronError, describe_hidden_neurons};
pub use printable::printable;
pub use suggest::{closest, did_you_mean};
