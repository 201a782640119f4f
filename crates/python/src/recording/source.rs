//! What a capture is read from: copies on the host, tensors that nobody changes any more, or those whose values are on
//! their way there.

use std::collections::VecDeque;

use capture::rows::SampleSet;
use capture::{BoxError, PartOf, Source, TensorKind, UnreadPart, Values};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::tensor::HostTensor;

/// What Python says of a part, as [`Part::extract`] has it.
type Fields<'py> = (
    String,
    usize,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
);

/// How long the values of a tensor are what they are.
enum Stay {
    /// Until training goes on: they are copied by [`Part::copy`].
    UntilTraining,
    /// Nobody changes them any more.
    ForGood,
    /// The same, once this was called: it waits until they are there.
    ForGoodAfter(Py<PyAny>),
}

impl Stay {
    /// None or false, true, or what is called.
    fn extract(said: Option<Bound<'_, PyAny>>) -> Self {
        match said {
            None => Self::UntilTraining,
            Some(said) => match said.extract::<bool>() {
                Ok(true) => Self::ForGood,
                Ok(false) => Self::UntilTraining,
                Err(_) => Self::ForGoodAfter(said.unbind()),
            },
        }
    }
}

/// Values of a tensor.
enum Held {
    /// A copy that was made when the network was captured.
    Copied(Vec<f32>),
    /// A tensor that nobody changes any more, as a copy in pinned memory; before [`Part::copy`] any other.
    Tensor(HostTensor),
}

impl Held {
    fn num_bytes(&self) -> u64 {
        let num_values = match self {
            Self::Copied(values) => values.len(),
            Self::Tensor(tensor) => tensor.num_values(),
        };
        (num_values * size_of::<f32>()) as u64
    }

    /// Copies values that training changes.
    fn copy(&mut self) {
        if let Self::Tensor(tensor) = self {
            *self = Self::Copied(tensor.to_floats());
        }
    }

    fn into_values(self) -> Vec<f32> {
        match self {
            Self::Copied(values) => values,
            Self::Tensor(tensor) => tensor.to_floats(),
        }
    }
}

/// What becomes one part file, or several where a layer is large.
pub(super) struct Part {
    of: Of,
    values: Held,
    bias: Option<Held>,
    stay: Stay,
}

enum Of {
    Parameters {
        kind: TensorKind,
        layer: usize,
    },
    /// Of the held-out samples.
    Activations {
        layer: usize,
    },
}

impl Part {
    /// A tuple of what it is (`weights`, `gradients`, ... or `activations`), the layer's index, the tensor,
    /// and the bias or none. Last true where nobody changes the values any more, or a callable that waits until such
    /// are there; none where training changes them: these are copied by [`Part::copy`].
    pub(super) fn extract(part: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let (kind, layer, values, bias, stay): Fields<'_> = part.extract()?;
        let stay = Stay::extract(stay);
        let values = Held::Tensor(HostTensor::import(&values)?);
        if kind == "activations" {
            return Ok(Self {
                of: Of::Activations { layer },
                values,
                bias: None,
                stay,
            });
        }
        let kind = match kind.as_str() {
            "weights" => TensorKind::Weights,
            "checked" => TensorKind::Checked,
            "gradients" => TensorKind::Gradients,
            "gradients_applied" => TensorKind::GradientsApplied,
            "moment1" => TensorKind::Moment1,
            "moment2" => TensorKind::Moment2,
            _ => return Err(PyValueError::new_err(format!("no part is called {kind:?}"))),
        };
        let bias = bias.map(|bias| HostTensor::import(&bias)).transpose()?;
        Ok(Self {
            of: Of::Parameters { kind, layer },
            values,
            bias: bias.map(Held::Tensor),
            stay,
        })
    }

    /// The layer that it is of.
    pub(super) fn layer(&self) -> usize {
        match self.of {
            Of::Parameters { layer, .. } | Of::Activations { layer } => layer,
        }
    }

    /// How many values there are of the weight, or of activations, and of the bias.
    pub(super) fn num_values(&self) -> (u64, u64) {
        let of = |held: &Held| held.num_bytes() / size_of::<f32>() as u64;
        (of(&self.values), self.bias.as_ref().map_or(0, of))
    }

    /// Whether these are parameters, or what is kept of them.
    pub(super) fn is_of_parameters(&self) -> bool {
        matches!(self.of, Of::Parameters { .. })
    }

    /// Copies what training changes. Python's lock is not needed.
    pub(super) fn copy(&mut self) {
        if matches!(self.stay, Stay::UntilTraining) {
            self.values.copy();
            if let Some(bias) = &mut self.bias {
                bias.copy();
            }
        }
    }

    fn num_bytes(&self) -> u64 {
        self.values.num_bytes() + self.bias.as_ref().map_or(0, Held::num_bytes)
    }

    fn into_values(self) -> Result<Values, BoxError> {
        if let Stay::ForGoodAfter(wait) = self.stay {
            // It waits with the lock let go of.
            Python::attach(|py| wait.call0(py).map(drop))?;
        }
        let values = self.values.into_values();
        Ok(match self.of {
            Of::Parameters { kind, layer } => Values::Parameters {
                kind,
                layer,
                weight: values,
                bias: self.bias.map(Held::into_values),
            },
            Of::Activations { layer } => Values::Activations {
                layer,
                samples: SampleSet::HELD_OUT,
                values,
            },
        })
    }
}

/// A capture on its way.
pub(super) struct Parts(pub(super) VecDeque<Part>);

impl Source for Parts {
    fn parts(&self) -> Vec<UnreadPart> {
        let parts = self.0.iter();
        let unread = parts.map(|part| UnreadPart {
            of: match part.of {
                Of::Parameters { kind, layer } => PartOf::Parameters { kind, layer },
                Of::Activations { layer } => PartOf::Activations { layer },
            },
            num_bytes: part.num_bytes(),
        });
        unread.collect()
    }

    fn read(&mut self, room: u64) -> Result<Vec<Values>, BoxError> {
        let mut read = Vec::new();
        let mut num_bytes = 0;
        while let Some(part) = self.0.front() {
            num_bytes += part.num_bytes();
            if num_bytes > room && !read.is_empty() {
                break;
            }
            if let Some(part) = self.0.pop_front() {
                read.push(part.into_values()?);
            }
        }
        Ok(read)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
