//! The built-in networks as `run.json` has them.

use serde::Deserialize as _;

use crate::model::NetworkConfig;

/// The words for the built-in networks in `run.json`: without convolutions, and with them.
const MODEL_KINDS: [&str; 2] = ["mlp", "cnn"];

#[derive(serde::Serialize, serde::Deserialize)]
struct ModelJson<'a> {
    kind: std::borrow::Cow<'a, str>,
    #[serde(flatten)]
    config: std::borrow::Cow<'a, NetworkConfig>,
}

/// What `run.json` says of a network.
pub(super) fn model_json(config: &NetworkConfig) -> serde_json::Value {
    serde_json::to_value(ModelJson {
        kind: MODEL_KINDS[usize::from(config.convolutions.is_some())].into(),
        config: std::borrow::Cow::Borrowed(config),
    })
    .expect("plain fields")
}

/// The network that `run.json` describes; an error says what is wrong with the description.
pub(crate) fn model_from_json(model: &serde_json::Value) -> Result<NetworkConfig, String> {
    let json = ModelJson::deserialize(model).map_err(|e| e.to_string())?;
    if MODEL_KINDS.contains(&&*json.kind) {
        Ok(json.config.into_owned())
    } else {
        let [mlp, cnn] = MODEL_KINDS;
        Err(format!(
            "it is of kind {:?}, only {mlp:?} and {cnn:?} can be rebuilt",
            json.kind
        ))
    }
}
