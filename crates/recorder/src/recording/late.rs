//! Figures that are known only once their epoch is over.

use burn::tensor::backend::Backend;
use capture::Metric;
use trace::CaptureId;

use super::TraceRecorder;

impl<B: Backend> TraceRecorder<B> {
    /// Notes figures of an epoch that has ended with `id`, where they are known only later: they are
    /// that epoch's, however far training has come. They are recorded with the next capture, or when
    /// the recorder is finished.
    pub(crate) fn late_metrics(&mut self, id: CaptureId, metrics: Vec<Metric>) {
        self.recording.late_metrics(id, metrics);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use arrow::datatypes::{Float64Type, Int64Type};
    use burn::backend::Flex;
    use burn::module::Param;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Tensor;
    use capture::rows::PHASE_EVAL;
    use trace::Table;

    use super::super::capture_id;
    use super::*;
    use crate::testing::read_parts;

    fn linear() -> Linear<Flex> {
        let device = Default::default();
        let mut linear = LinearConfig::new(2, 1).with_bias(false).init(&device);
        linear.weight = Param::from_tensor(Tensor::ones([2, 1], &device));
        linear
    }

    /// Step, name and value of an epoch's metrics, but for what recording cost.
    fn metrics(run: &std::path::Path, epoch: i32) -> Vec<(i64, String, f64)> {
        let mut all = Vec::new();
        for rows in read_parts(run, Table::Metrics, epoch, None) {
            let steps = rows["step"].as_primitive::<Int64Type>().values();
            let names = rows["name"].as_string::<i32>();
            let values = rows["value"].as_primitive::<Float64Type>().values();
            for (row, name) in names.iter().flatten().enumerate() {
                if !name.contains('.') {
                    all.push((steps[row], name.to_owned(), values[row]));
                }
            }
        }
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all
    }

    #[test]
    fn they_belong_to_the_epoch_that_they_name() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let builder =
            TraceRecorder::<Flex>::builder(&run).schedule("2steps,1epoch".parse().unwrap());
        let mut recorder = builder.start_inner(&linear()).unwrap();
        let late = |recorder: &mut TraceRecorder<Flex>, epoch: i32, name: &str, value: f64| {
            let metric = Metric {
                phase: Some(PHASE_EVAL),
                name: name.to_owned(),
                value,
            };
            recorder.late_metrics(capture_id(epoch, 5 * i64::from(epoch) + 5), vec![metric]);
        };
        // Epochs of 5 steps. Of epoch 0 some is known at once, some once two captures of the next
        // epoch were made, some after the epoch after that.
        recorder.metric("learning_rate", 0.5);
        recorder.capture(&linear(), 0, 5).unwrap();
        late(&mut recorder, 0, "loss", 1.0);
        recorder.capture_step(&linear(), 1, 6).unwrap();
        recorder.capture_step(&linear(), 1, 8).unwrap();
        late(&mut recorder, 0, "accuracy", 2.0);
        recorder.capture(&linear(), 1, 10).unwrap();
        late(&mut recorder, 0, "r2", 3.0);
        late(&mut recorder, 1, "loss", 4.0);
        late(&mut recorder, 1, "accuracy", 5.0);
        let summary = recorder.finish().unwrap();
        assert_eq!(summary.num_captures, 4);

        let of = |step: i64, name: &str, value: f64| (step, name.to_owned(), value);
        let expected = [
            of(5, "accuracy", 2.0),
            of(5, "learning_rate", 0.5),
            of(5, "loss", 1.0),
            of(5, "r2", 3.0),
        ];
        assert_eq!(metrics(&run, 0), expected);
        assert_eq!(
            metrics(&run, 1),
            [of(10, "accuracy", 5.0), of(10, "loss", 4.0)]
        );
    }
}
