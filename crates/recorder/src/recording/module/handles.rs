//! Handles of a module's tensors, by the layers that they belong to.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::super::handle::TensorHandle;
use super::{ModuleLayers, OtherModuleError, Place};

/// Handles of a layer's parameters.
#[derive(Debug)]
pub(in crate::recording) struct LayerHandles<B: Backend> {
    pub(in crate::recording) layer: usize,
    pub(in crate::recording) weight: TensorHandle<B>,
    pub(in crate::recording) bias: Option<TensorHandle<B>>,
}

/// Handles of what there is for a layer's parameters: for either there may be nothing.
#[derive(Debug)]
pub(in crate::recording) struct LayerTensors<B: Backend> {
    pub(in crate::recording) layer: usize,
    weight: Option<TensorHandle<B>>,
    bias: Option<TensorHandle<B>>,
}

impl<B: Backend> LayerTensors<B> {
    /// Takes what a later look found, and keeps what it found nothing for.
    pub(in crate::recording) fn update(&mut self, later: Self) {
        self.weight = later.weight.or(self.weight.take());
        self.bias = later.bias.or(self.bias.take());
    }

    /// None without a weight: a row is a unit's weights, with its bias.
    pub(in crate::recording) fn into_handles(self) -> Option<LayerHandles<B>> {
        Some(LayerHandles {
            layer: self.layer,
            weight: self.weight?,
            bias: self.bias,
        })
    }
}

/// What is taken of a parameter.
pub(in crate::recording) trait Lookup<V: Backend, B: Backend> {
    /// A tensor of the parameter's shape; none where there is none.
    fn tensor<const D: usize>(&self, param: &Param<Tensor<V, D>>) -> Option<Tensor<B, D>>;
}

/// Parameters themselves.
struct Values;

impl<B: Backend> Lookup<B, B> for Values {
    fn tensor<const D: usize>(&self, param: &Param<Tensor<B, D>>) -> Option<Tensor<B, D>> {
        Some(param.val())
    }
}

impl ModuleLayers {
    /// Takes handles of the selected layers' parameters, in the topology's order: nothing is copied
    /// or read.
    ///
    /// # Errors
    /// If the module is not the one that was described.
    pub(in crate::recording) fn handles<B: Backend, M: Module<B>>(
        &self,
        module: &M,
        selected: &[bool],
    ) -> Result<Vec<LayerHandles<B>>, OtherModuleError> {
        let tensors = self.tensors_of(module, &Values, selected)?.into_iter();
        Ok(tensors.filter_map(LayerTensors::into_handles).collect())
    }

    /// As [`ModuleLayers::handles`], of other tensors than the parameters themselves, with the layers
    /// for whose bias alone there is one.
    pub(in crate::recording) fn tensors_of<V, B, M, L>(
        &self,
        module: &M,
        lookup: &L,
        selected: &[bool],
    ) -> Result<Vec<LayerTensors<B>>, OtherModuleError>
    where
        V: Backend,
        B: Backend,
        M: Module<V>,
        L: Lookup<V, B>,
    {
        let num_layers = self.topology().layers().len();
        let mut visitor = Collect {
            layers: self,
            lookup,
            selected,
            num_visited: 0,
            weights: (0..num_layers).map(|_| None).collect(),
            biases: (0..num_layers).map(|_| None).collect(),
            error: None,
        };
        module.visit(&mut visitor);
        if let Some(error) = visitor.error {
            return Err(error);
        }
        self.check_num_visited(visitor.num_visited)?;
        let layers = visitor.weights.into_iter().zip(visitor.biases).enumerate();
        Ok(layers
            .filter(|(_, (weight, bias))| weight.is_some() || bias.is_some())
            .map(|(layer, (weight, bias))| LayerTensors {
                layer,
                weight,
                bias,
            })
            .collect())
    }

    /// Checks that the module is the one that was described and that all its parameters have
    /// values, without drawing any.
    pub(in crate::recording) fn check<B: Backend, M: Module<B>>(
        &self,
        module: &M,
    ) -> Result<(), OtherModuleError> {
        let mut visitor = Check {
            layers: self,
            num_visited: 0,
            error: None,
        };
        module.visit(&mut visitor);
        match visitor.error {
            Some(error) => Err(error),
            None => self.check_num_visited(visitor.num_visited),
        }
    }

    fn check_num_visited(&self, found: usize) -> Result<(), OtherModuleError> {
        let expected = self.places.len();
        if found == expected {
            return Ok(());
        }
        Err(OtherModuleError::NumTensors { expected, found })
    }

    /// The tensor's name in an error.
    fn what(&self, place: Place) -> String {
        let layer = &self.topology().layers()[place.layer];
        let part = if place.is_bias { "bias" } else { "weight" };
        format!("the {part} of layer {}", layer.layer)
    }
}

struct Check<'a> {
    layers: &'a ModuleLayers,
    num_visited: usize,
    error: Option<OtherModuleError>,
}

impl<B: Backend> ModuleVisitor<B> for Check<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let place = self.layers.places.get(self.num_visited).copied().flatten();
        self.num_visited += 1;
        if let (Some(place), None, false) = (place, &self.error, param.is_initialized()) {
            self.error = Some(OtherModuleError::Uninitialized {
                what: self.layers.what(place),
            });
        }
    }
}

struct Collect<'a, L, B: Backend> {
    layers: &'a ModuleLayers,
    lookup: &'a L,
    selected: &'a [bool],
    num_visited: usize,
    weights: Vec<Option<TensorHandle<B>>>,
    biases: Vec<Option<TensorHandle<B>>>,
    error: Option<OtherModuleError>,
}

impl<V: Backend, B: Backend, L: Lookup<V, B>> ModuleVisitor<V> for Collect<'_, L, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<V, D>>) {
        let place = self.layers.places.get(self.num_visited).copied().flatten();
        self.num_visited += 1;
        let Some(place) = place.filter(|place| self.selected[place.layer]) else {
            return;
        };
        let Some(tensor) = self.lookup.tensor(param) else {
            return;
        };
        let rows = self.layers.rows(place.layer);
        let (expected, handles) = if place.is_bias {
            (&[rows.num_units()][..], &mut self.biases)
        } else {
            (rows.shape(), &mut self.weights)
        };
        if tensor.dims()[..] != *expected {
            self.error.get_or_insert_with(|| OtherModuleError::Shape {
                what: self.layers.what(place),
                expected: expected.to_vec(),
                found: tensor.dims().to_vec(),
            });
            return;
        }
        handles[place.layer] = Some(TensorHandle::new(tensor));
    }
}

#[cfg(test)]
mod tests;
