//! The network is rebuilt from its trace, or what is missing for that is named.

use burn::backend::Flex;
use capture::{WeightDetail, export};

use super::*;
use crate::session::evaluation::evaluate;

#[test]
fn an_epoch_is_rebuilt_from_the_trace_alone() {
    for (device, dataset) in devices()
        .into_iter()
        .flat_map(|device| DatasetKind::ALL.map(|dataset| (device, dataset)))
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let mut options = options(&path, Some(EVERYTHING));
        options.device = device;
        options.dataset = dataset.into();
        options.train = TrainConfig {
            hidden: vec![24, 12],
            epochs: 3,
            ..TrainConfig::default_for(dataset)
        };
        train(&options, &CancelToken::default(), &mut Silent).unwrap();
        let run = RunDir::open(&path).unwrap();
        for epoch in [0, 2] {
            let report = replay(&run, CaptureChoice::epoch(Epoch(epoch))).unwrap();
            assert!(report.num_samples >= 100, "{report:?}");
            assert!(
                report.different.is_empty(),
                "{device}, {dataset}, epoch {epoch}: {report:?}"
            );
        }
        let error = replay(&run, CaptureChoice::epoch(Epoch(3)))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "epoch 3 was not recorded: there are epochs 0 to 2");
    }
}

#[test]
fn a_replay_notices_a_row_that_is_not_the_networks() {
    // What a network makes of the samples, beside its weights an epoch later: the trace is whole, and
    // says what never happened.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let options = options(&path, Some(EVERYTHING));
    let resolution = options.device.resolve().unwrap();
    let cancel = CancelToken::default();
    let mut session =
        Session::<Autodiff<Flex>>::try_new(&options, &resolution, Default::default(), &cancel)
            .unwrap();
    let mut recording = session.start_recording(EVERYTHING).unwrap();
    session.trainer.run_epoch(Epoch(0)).unwrap();
    let (model, step) = (session.trainer.model(), session.trainer.step());
    let loss = session.trainer.model_config().loss;
    let evaluated = evaluate(&session.held_out, &model, loss, Some(&mut recording));
    let (classifications, _) = evaluated.unwrap();
    session.trainer.run_epoch(Epoch(1)).unwrap();
    let (_, mut recorder) = recording;
    recorder.classified(classifications);
    let later = session.trainer.model();
    recorder.capture(&later, 0, step.0).unwrap();
    recorder.finish().unwrap();
    let report = replay(
        &RunDir::open(&path).unwrap(),
        CaptureChoice::epoch(Epoch(0)),
    )
    .unwrap();
    assert_eq!(report.different.len(), report.num_samples);
    assert!(report.different[0].columns.contains(&"outputs".to_owned()));
}

#[test]
fn statistics_of_weights_make_no_network() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let statistics = Recorded {
        weights: Some(WeightDetail::Statistics),
        ..EVERYTHING
    };
    let (parameters, _) = final_parameters(&options(&path, Some(statistics)));
    let run = RunDir::open(&path).unwrap();
    assert_eq!(run.info().config["record"]["weights"], "statistics");
    let rows = read_part(&path, Table::Weights, 2, Some("L_output")).unwrap();
    assert_eq!(rows["weights"].null_count(), 10);
    let largest = |unit: usize| {
        let weights = &parameters.layers[2].weights[12 * unit..][..12];
        weights.iter().copied().fold(f32::MIN, f32::max)
    };
    let expected: Vec<f32> = (0..10).map(largest).collect();
    let found = rows["weight_max"].as_primitive::<Float32Type>();
    assert_eq!(found.values(), &expected[..]);

    let missing = "epoch 2 has no weights of layer L_input, only statistics of them";
    let error = replay(&run, CaptureChoice::epoch(Epoch(2)))
        .unwrap_err()
        .to_string();
    let needs = ": a replay needs weights and classifications";
    assert_eq!(error, format!("{missing}{needs}"));
    let out = dir.path().join("out.safetensors");
    let choice = CaptureChoice::epoch(Epoch(2));
    let error = export(&run, choice, &out, false).unwrap_err();
    assert_eq!(error.to_string(), missing);
}

#[test]
fn what_is_missing_for_a_replay_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let only_metrics = Recorded {
        weights: None,
        classifications: false,
        activations: None,
        ..Recorded::DEFAULT
    };
    final_parameters(&options(&path, Some(only_metrics)));
    let error = replay(
        &RunDir::open(&path).unwrap(),
        CaptureChoice::epoch(Epoch(1)),
    )
    .unwrap_err()
    .to_string();
    assert_eq!(
        error,
        "epoch 1 has no weights of layer L_input: a replay needs weights and classifications"
    );
}
