//! Pictures, clusters and phases of the tiny run.

use analysis::Linkage;
use anyhow::{Context, Result};
use sql::QuerySession;
use studies::{
    EmbedOptions, Embedder, Embedding, EmbeddingMethod, Epochs, LayerPhases, ValuesOf, phase_rows,
    phases,
};

use super::session;

fn options(method: EmbeddingMethod) -> EmbedOptions {
    EmbedOptions {
        of: ValuesOf::Weights,
        method,
        dimensions: 2,
        perplexity: None,
        seed: 0,
        epochs: Epochs::All,
        layer: Some("L_hidden".to_owned()),
        linkage: Linkage::Average,
        clusters: None,
        at_most: None,
    }
}

async fn told(options: EmbedOptions) -> Result<String> {
    let (_dir, session) = session()?;
    let failed = match Embedder::try_new(session, options) {
        Ok(mut embedder) => embedder.next().await.err(),
        Err(error) => Some(error),
    };
    Ok(failed.context("it was placed")?.to_string())
}

#[tokio::test]
async fn two_neurons_are_as_far_apart_as_their_weights() -> Result<()> {
    let (_dir, session) = session()?;
    let mut embedder = Embedder::try_new(session, options(EmbeddingMethod::Pca))?;
    let mut before: Option<Embedding> = None;
    // At step s the weights are s, 2s, 3s and -s, 0.5, s.
    for (epoch, step) in [(0, 2.0f64), (1, 4.0), (2, 6.0)] {
        let found = embedder.next().await?.context("an epoch")?;
        assert_eq!((found.epoch, &found.neurons[..]), (epoch, &[0, 1][..]));
        let apart = ((2.0 * step).powi(2) * 2.0 + (2.0 * step - 0.5).powi(2)).sqrt();
        let [first, second] = [&found.points[0], &found.points[1]];
        assert!((first[0] + second[0]).abs() < 1e-9, "{found:?}");
        assert!((first[0].abs() - apart / 2.0).abs() < 1e-9, "{found:?}");
        assert!(first[1].abs() < 1e-6, "{found:?}");
        assert_eq!(found.merges.len(), 1);
        assert!((found.merges[0].distance - apart).abs() < 1e-12);
        assert_eq!(
            (&found.clusters[..], &found.leaves[..]),
            (&[0, 0][..], &[0, 1][..])
        );
        // No axis is turned round from one epoch to the next.
        if let Some(before) = before {
            assert!(before.points[0][0] * first[0] > 0.0);
        }
        assert_eq!(found.rows(2)?.num_rows(), 2);
        assert_eq!(found.merge_rows()?.num_rows(), 1);
        assert_eq!(
            found.verdict(),
            format!("epoch {epoch}: 2 neurons; 1 clusters")
        );
        before = Some(found);
    }
    assert!(embedder.next().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_drawn_is_told() -> Result<()> {
    let pca = || options(EmbeddingMethod::Pca);
    let cases = [
        (
            options(EmbeddingMethod::Tsne),
            "t-SNE needs 4 neurons at least, here are 2 with finite values",
        ),
        (
            EmbedOptions {
                dimensions: 4,
                ..pca()
            },
            "parameter dimensions is 2 or 3",
        ),
        (
            EmbedOptions {
                perplexity: Some(0.5),
                ..pca()
            },
            "parameter perplexity is a number from 1 on",
        ),
        (
            EmbedOptions {
                of: ValuesOf::Activations,
                layer: Some("L_output".to_owned()),
                ..pca()
            },
            "no activations of single neurons were recorded there",
        ),
        (
            EmbedOptions {
                epochs: Epochs::Number(9),
                ..pca()
            },
            "epoch 9 was not captured: 3 epochs from 0 to 2 were, the nearest is 2",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(told(options).await?, expected);
    }
    Ok(())
}

async fn found(session: &QuerySession, num_phases: Option<usize>) -> Result<Vec<LayerPhases>> {
    Ok(phases(session, None, num_phases).await?)
}

#[tokio::test]
async fn a_layer_of_which_nothing_is_known_to_change_has_one_phase() -> Result<()> {
    let (_dir, session) = session()?;
    let layers = found(&session, None).await?;
    let summaries: Vec<String> = layers.iter().map(LayerPhases::summary).collect();
    let summary = |layer| {
        format!("{layer}: 1 phase: epochs 0 to 2; by nothing that changes; log likelihood 0")
    };
    assert_eq!(summaries, ["L_hidden", "L_output"].map(summary));
    assert_eq!(phase_rows(&layers)?.num_rows(), 6);
    let failed = found(&session, Some(4))
        .await
        .err()
        .context("they were found")?;
    assert_eq!(
        failed.to_string(),
        "layer L_hidden was captured at 3 epochs, which cannot be 4 phases"
    );
    Ok(())
}
