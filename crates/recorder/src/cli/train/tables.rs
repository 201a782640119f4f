//! `--record`: which tables are recorded.

/// What `--record` names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RecordedTables {
    pub(super) weights: bool,
    pub(super) classifications: bool,
    pub(super) activations: bool,
    pub(super) metrics: bool,
    pub(super) gradients: bool,
    pub(super) gradients_applied: bool,
    pub(super) moments: bool,
}

impl RecordedTables {
    /// Reads names with commas between them, or `none`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tables = Self::default();
        if text == "none" {
            return Ok(tables);
        }
        for name in text.split(',') {
            let table = match name {
                "weights" => &mut tables.weights,
                "classifications" => &mut tables.classifications,
                "activations" => &mut tables.activations,
                "metrics" => &mut tables.metrics,
                "gradients" => &mut tables.gradients,
                "gradients_applied" => &mut tables.gradients_applied,
                "moments" => &mut tables.moments,
                "none" => return Err("none stands alone".to_owned()),
                _ => {
                    return Err(format!(
                        "{name:?} cannot be recorded: name any of weights, classifications, \
                         activations, metrics, gradients, gradients_applied, moments, with commas between them, or none"
                    ));
                }
            };
            if std::mem::replace(table, true) {
                return Err(format!("{name} is named twice"));
            }
        }
        Ok(tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_record_is_a_list_or_none() {
        let all = RecordedTables {
            weights: true,
            classifications: true,
            activations: true,
            metrics: true,
            gradients: true,
            gradients_applied: true,
            moments: true,
        };
        let parsed = RecordedTables::parse(
            "weights,classifications,activations,metrics,gradients,gradients_applied,moments",
        );
        assert_eq!(parsed, Ok(all));
        assert_eq!(RecordedTables::parse("none"), Ok(RecordedTables::default()));
        for wrong in [
            "",
            "weight",
            "weights,none",
            "weights,weights",
            "weights, metrics",
        ] {
            assert!(RecordedTables::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
