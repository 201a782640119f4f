//! What an optimizer sees: gradients, and the moments that it keeps of them.

use std::cell::Cell;

use burn::module::{AutodiffModule, Param, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamW, GradientsParams, Optimizer};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use super::module::{LayerHandles, Lookup};

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

/// What an optimizer keeps, as handles.
#[derive(Debug)]
pub(super) struct OptimizerState<B: Backend> {
    /// Both moments of every layer.
    pub(super) moments: [Vec<LayerHandles<B>>; 2],
    /// Steps that changed the parameters: Adam's time.
    pub(super) num_updates: i64,
}

/// What training goes on from, as handles: nothing was copied or read.
#[derive(Debug)]
pub(super) struct TrainState<B: Backend> {
    pub(super) parameters: Vec<LayerHandles<B>>,
    pub(super) optimizer: OptimizerState<B>,
}
