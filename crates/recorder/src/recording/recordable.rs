//! Networks that a recorder captures: modules with autodiff, as they are trained, and without.

use std::marker::PhantomData;

use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::{AutodiffBackend, Backend};

use super::module::{LayerHandles, ModuleLayers, OtherModuleError};

/// A network whose values a recorder on the backend `B` can capture: a module on `B`, or on an autodiff
/// backend over it.
///
/// Every [`Module`] of Burn's is either, and `K` says which of them; it is inferred. Nobody else
/// implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no module on the recorder's backend `{B}`, nor on an autodiff backend over it"
)]
pub trait Recordable<B: Backend, K>: sealed::TakeHandles<B, K> {}

impl<B: Backend, K, M: sealed::TakeHandles<B, K>> Recordable<B, K> for M {}

/// A module on the autodiff backend `A`.
#[derive(Debug)]
pub struct WithAutodiff<A>(PhantomData<A>);

/// A module on the recorder's backend itself.
#[derive(Debug)]
pub struct WithoutAutodiff;

pub(super) mod sealed {
    use burn::tensor::backend::Backend;

    use super::{LayerHandles, ModuleLayers, OtherModuleError};

    pub trait TakeHandles<B: Backend, K> {
        /// Takes handles of the selected layers' parameters: nothing is copied, read or drawn.
        ///
        /// # Errors
        /// If the module is not the one that was described, or a parameter has no values yet.
        fn take_handles(
            &self,
            layers: &ModuleLayers,
            selected: &[bool],
        ) -> Result<Vec<LayerHandles<B>>, OtherModuleError>;
    }
}

impl<A, M> sealed::TakeHandles<A::InnerBackend, WithAutodiff<A>> for M
where
    A: AutodiffBackend,
    M: AutodiffModule<A>,
{
    /// Handles of the network without the graph; of running means and variances up to date, which a
    /// visit of the module itself would find one update behind.
    fn take_handles(
        &self,
        layers: &ModuleLayers,
        selected: &[bool],
    ) -> Result<Vec<LayerHandles<A::InnerBackend>>, OtherModuleError> {
        // Before `valid`, which would draw values where there are none.
        layers.check(self)?;
        layers.handles(&self.valid(), selected)
    }
}

impl<B: Backend, M: Module<B>> sealed::TakeHandles<B, WithoutAutodiff> for M {
    fn take_handles(
        &self,
        layers: &ModuleLayers,
        selected: &[bool],
    ) -> Result<Vec<LayerHandles<B>>, OtherModuleError> {
        layers.check(self)?;
        layers.handles(self, selected)
    }
}
