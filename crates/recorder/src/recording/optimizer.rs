//! What an optimizer sees: gradients, and the moments that it keeps of them.

use std::cell::Cell;

use burn::grad_clipping::GradientClipping;
use burn::module::{AutodiffModule, Param, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamW, GradientsParams, MultiGradientsParams, Optimizer, SimpleOptimizer};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use super::module::{LayerHandles, LayerTensors, Lookup};

/// Gradients by their parameter.
pub(super) struct Gradients<'a>(pub(super) &'a GradientsParams);

impl<A: AutodiffBackend> Lookup<A, A::InnerBackend> for Gradients<'_> {
    fn tensor<const D: usize>(
        &self,
        param: &Param<Tensor<A, D>>,
    ) -> Option<Tensor<A::InnerBackend, D>> {
        self.0.get(param.id)
    }
}

/// Gradients of several devices by their parameter: the sum, with the same bits as the one that
/// [`MultiGradientsParams::remove`] makes for the optimizer.
pub(super) struct GradientsOfDevices<'a>(pub(super) &'a MultiGradientsParams);

impl<A: AutodiffBackend> Lookup<A, A::InnerBackend> for GradientsOfDevices<'_> {
    fn tensor<const D: usize>(
        &self,
        param: &Param<Tensor<A, D>>,
    ) -> Option<Tensor<A::InnerBackend, D>> {
        let of_device = |index: usize| self.0.grads[index].0.get(param.id);
        let num_devices = self.0.grads.len();
        // Which device adds up depends on the parameter.
        let mut first = (0..num_devices).map(|n| (param.id.val() as usize + n) % num_devices);
        let first = first.find(|&index| of_device(index).is_some())?;
        let others = (0..num_devices).filter(|&index| index != first);
        let sum: Tensor<A::InnerBackend, D> = of_device(first)?;
        let device = sum.device();
        let others = others.filter_map(of_device);
        Some(others.fold(sum, |sum, other| sum + other.to_device(&device)))
    }
}

/// The same as an optimizer uses them, which clips each tensor by itself.
pub(super) struct AppliedGradients<'a, L> {
    pub(super) gradients: L,
    pub(super) clipping: Option<&'a GradientClipping>,
}

impl<A, L> Lookup<A, A::InnerBackend> for AppliedGradients<'_, L>
where
    A: AutodiffBackend,
    L: Lookup<A, A::InnerBackend>,
{
    fn tensor<const D: usize>(
        &self,
        param: &Param<Tensor<A, D>>,
    ) -> Option<Tensor<A::InnerBackend, D>> {
        let gradient = self.gradients.tensor(param)?;
        Some(match self.clipping {
            Some(clipping) => clipping.clip_gradient(gradient),
            None => gradient,
        })
    }
}

/// An optimizer that says how it clips gradients before it uses them, as all of Burn's do.
pub trait ClipsGradients {
    /// How each tensor is clipped; none where none is.
    fn clipping(&self) -> Option<&GradientClipping>;
}

impl<O, M, A> ClipsGradients for OptimizerAdaptor<O, M, A>
where
    O: SimpleOptimizer<A::InnerBackend>,
    M: AutodiffModule<A>,
    A: AutodiffBackend,
{
    fn clipping(&self) -> Option<&GradientClipping> {
        self.grad_clipping()
    }
}

/// What [`Adam`] and [`AdamW`] keep of a parameter's gradients.
#[derive(Debug, Clone)]
pub struct AdamMoments<B: Backend, const D: usize> {
    /// The moving average of the gradients, of the parameter's shape.
    pub first: Tensor<B, D>,
    /// That of their squares, of the parameter's shape.
    pub second: Tensor<B, D>,
    /// How many steps have changed the parameter: Adam's time.
    pub num_updates: usize,
}

/// An optimizer that keeps moving averages of gradients, as [`Adam`] and [`AdamW`] do.
pub trait KeepsMoments<M: AutodiffModule<A>, A: AutodiffBackend>: Optimizer<M, A> {
    /// What it keeps of a parameter's gradients; none before the parameter's first step.
    fn moments<const D: usize>(
        record: &Self::Record,
        id: ParamId,
    ) -> Option<AdamMoments<A::InnerBackend, D>>;
}

macro_rules! keeps_moments {
    ($($optimizer:ty),*) => {$(
        impl<M, A> KeepsMoments<M, A> for OptimizerAdaptor<$optimizer, M, A>
        where
            M: AutodiffModule<A>,
            A: AutodiffBackend,
        {
            fn moments<const D: usize>(
                record: &Self::Record,
                id: ParamId,
            ) -> Option<AdamMoments<A::InnerBackend, D>> {
                let momentum = record.get(&id)?.clone().into_state::<D>().momentum;
                Some(AdamMoments {
                    first: momentum.moment_1,
                    second: momentum.moment_2,
                    num_updates: momentum.time,
                })
            }
        }
    )*};
}

keeps_moments!(Adam, AdamW);

/// One of the moments by its parameter.
pub(super) struct AdamMoment<'a, O: Optimizer<M, A>, M: AutodiffModule<A>, A: AutodiffBackend> {
    pub(super) record: &'a O::Record,
    /// The second, rather than the first.
    pub(super) is_second: bool,
    /// How many steps have changed the parameter that was looked up last.
    pub(super) num_updates: Cell<usize>,
}

impl<O, M, A> Lookup<A, A::InnerBackend> for AdamMoment<'_, O, M, A>
where
    O: KeepsMoments<M, A>,
    M: AutodiffModule<A>,
    A: AutodiffBackend,
{
    fn tensor<const D: usize>(
        &self,
        param: &Param<Tensor<A, D>>,
    ) -> Option<Tensor<A::InnerBackend, D>> {
        let moments = O::moments(self.record, param.id)?;
        self.num_updates.set(moments.num_updates);
        Some(match self.is_second {
            false => moments.first,
            true => moments.second,
        })
    }
}

/// What an optimizer keeps, wherever it keeps anything.
#[derive(Debug)]
pub(super) struct OptimizerTensors<B: Backend> {
    /// Both moments of every layer.
    pub(super) moments: [Vec<LayerTensors<B>>; 2],
    /// Steps that changed the parameters: Adam's time.
    pub(super) num_updates: i64,
}

/// What an optimizer keeps of whole layers, as handles.
#[derive(Debug)]
pub(super) struct OptimizerState<B: Backend> {
    /// Both moments of every layer.
    pub(super) moments: [Vec<LayerHandles<B>>; 2],
    /// Steps that changed the parameters: Adam's time.
    pub(super) num_updates: i64,
}
