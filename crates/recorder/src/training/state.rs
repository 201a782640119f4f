//! Going back to where the state was saved.

use std::vec;

use burn::module::{Module as _, ModuleVisitor, Param};
use burn::optim::record::AdaptorRecord;
use burn::optim::{Adam, AdamState, AdaptiveMomentumState, Optimizer as _};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use capture::SavedState;

use super::{TrainError, Trainer, adam};
use crate::model::{Network, NetworkParameters};

/// What the optimizer keeps of every parameter.
type AdamRecords<B> = <super::NetworkAdam<B> as burn::optim::Optimizer<Network<B>, B>>::Record;

impl<B: AutodiffBackend> Trainer<B> {
    /// Goes back to where the state was saved.
    ///
    /// # Errors
    /// If it is of another network.
    pub(crate) fn restore(&mut self, saved: SavedState) -> Result<(), TrainError> {
        let (config, device) = (&self.model_config, &self.device);
        let [parameters, first, second] = [saved.parameters, saved.moment_1, saved.moment_2]
            .map(|layers| NetworkParameters { layers });
        let model = Network::<B>::from_parameters(config, &parameters, device)?;
        let first = first.tensors(config)?.into_iter().flatten();
        let second = second.tensors(config)?.into_iter().flatten();
        let mut records = self.optimizer.to_record();
        records.clear();
        let mut restore = Restore::<B> {
            moments: first.zip(second).collect::<Vec<_>>().into_iter(),
            num_updates: saved.updates as usize,
            device,
            records,
        };
        // By the ids of the network that was just built, in the order in which it has its tensors.
        model.visit(&mut restore);
        let records = restore.records;
        let optimizer = std::mem::replace(&mut self.optimizer, adam());
        self.optimizer = optimizer.load_record(records);
        self.model = Some(model);
        self.step = saved.step;
        Ok(())
    }
}

/// Puts moments beside the parameters that they belong to.
struct Restore<'a, B: AutodiffBackend> {
    moments: vec::IntoIter<(TensorData, TensorData)>,
    num_updates: usize,
    device: &'a B::Device,
    records: AdamRecords<B>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Restore<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let (first, second) = self.moments.next().expect("they are of the same network");
        let tensor = |data| Tensor::<B::InnerBackend, D>::from_data(data, self.device);
        let momentum = AdaptiveMomentumState::new(self.num_updates, tensor(first), tensor(second));
        let record: AdaptorRecord<Adam, B> = AdaptorRecord::from_state(AdamState::new(momentum));
        self.records.insert(param.id, record);
    }
}
