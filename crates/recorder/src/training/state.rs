//! What training goes on from: taken from a trainer, and put back into one.

use burn::module::ParamId;
use burn::optim::record::AdaptorRecord;
use burn::optim::{Adam, AdamState, AdaptiveMomentumState, Optimizer as _};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use super::{TrainError, Trainer, adam};
use crate::checkpoint::{SavedState, StateTensor, TrainState};
use crate::model::{LayerTensors, Mlp, MlpParameters};

impl<B: AutodiffBackend> Trainer<B> {
    /// Handles of everything that training goes on from; none before the first step, when it is
    /// what the seed says.
    pub(crate) fn state(&self) -> Option<TrainState<B::InnerBackend>> {
        let records = self.optimizer.to_record();
        let mut moments = [Vec::new(), Vec::new()];
        let mut updates = 0;
        for (weight, bias) in self.trained().layer_ids() {
            let weight: AdamState<B::InnerBackend, 2> = records.get(&weight)?.clone().into_state();
            let bias: AdamState<B::InnerBackend, 1> = records.get(&bias)?.clone().into_state();
            let (weight, bias) = (weight.momentum, bias.momentum);
            updates = weight.time as i64;
            debug_assert_eq!(weight.time, bias.time, "a step changes every parameter");
            moments[0].push(layer(weight.moment_1, bias.moment_1));
            moments[1].push(layer(weight.moment_2, bias.moment_2));
        }
        let [moment_1, moment_2] = moments;
        Some(TrainState {
            tensors: vec![
                (StateTensor::Parameter, self.model().layer_tensors()),
                (StateTensor::Moment1, moment_1),
                (StateTensor::Moment2, moment_2),
            ],
            updates,
        })
    }

    /// Goes back to where a checkpoint was taken.
    ///
    /// # Errors
    /// If it is of another network.
    pub(crate) fn restore(&mut self, saved: &SavedState) -> Result<(), TrainError> {
        let (config, device) = (&self.model_config, &self.device);
        let model = Mlp::<B>::from_parameters(config, &saved.parameters, device)?;
        let moments = |values: &MlpParameters| -> Result<_, TrainError> {
            let moments = Mlp::<B::InnerBackend>::from_parameters(config, values, device)?;
            Ok(moments.layer_tensors())
        };
        let (moment_1, moment_2) = (moments(&saved.moment_1)?, moments(&saved.moment_2)?);
        let time = saved.updates as usize;
        let mut records = self.optimizer.to_record();
        records.clear();
        for ((ids, first), second) in model.layer_ids().into_iter().zip(moment_1).zip(moment_2) {
            let (weight, bias) = ids;
            let mut insert = |id: ParamId, record| records.insert(id, record);
            insert(weight, record(time, first.weight, second.weight));
            insert(bias, record(time, first.bias, second.bias));
        }
        let optimizer = std::mem::replace(&mut self.optimizer, adam());
        self.optimizer = optimizer.load_record(records);
        self.model = Some(model);
        self.step = saved.step;
        Ok(())
    }
}

fn layer<B: burn::tensor::backend::Backend>(
    weight: Tensor<B, 2>,
    bias: Tensor<B, 1>,
) -> LayerTensors<B> {
    LayerTensors { weight, bias }
}

/// What Adam keeps of a parameter.
fn record<B: AutodiffBackend, const D: usize>(
    time: usize,
    moment_1: Tensor<B::InnerBackend, D>,
    moment_2: Tensor<B::InnerBackend, D>,
) -> AdaptorRecord<Adam, B> {
    let momentum = AdaptiveMomentumState::new(time, moment_1, moment_2);
    AdaptorRecord::from_state(AdamState::new(momentum))
}
