//! What an optimizer sees: gradients, and the moments that it keeps of them.

use burn::module::{AutodiffModule, Param, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamW, GradientsParams, Optimizer};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use super::module::Lookup;

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

/// An optimizer that keeps moving averages of gradients, as [`Adam`] and [`AdamW`] do.
pub trait KeepsMoments<M: AutodiffModule<A>, A: AutodiffBackend>: Optimizer<M, A> {
    /// The averages of a parameter's gradients and of their squares; none before its first step.
    fn moments<const D: usize>(
        record: &Self::Record,
        id: ParamId,
    ) -> Option<[Tensor<A::InnerBackend, D>; 2]>;
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
            ) -> Option<[Tensor<A::InnerBackend, D>; 2]> {
                let momentum = record.get(&id)?.clone().into_state::<D>().momentum;
                Some([momentum.moment_1, momentum.moment_2])
            }
        }
    )*};
}

keeps_moments!(Adam, AdamW);

/// One of the moments by its parameter.
pub(super) struct AdamMoment<'a, O: Optimizer<M, A>, M: AutodiffModule<A>, A: AutodiffBackend> {
    pub(super) record: &'a O::Record,
    /// 0 or 1.
    pub(super) index: usize,
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
        moments.into_iter().nth(self.index)
    }
}
