//! The parts of an imported tensor's name: the module it belongs to, and what it is there.

/// A tensor's name in parts: `encoder.fc` and `weight` of `encoder.fc.weight`, as PyTorch writes it;
/// Flax has `encoder/fc/kernel`, and where paths are printed `['encoder']['fc']['kernel']`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorName<'a> {
    /// What comes before the parameter, with the sign between them.
    prefix: &'a str,
    parameter: &'a str,
    /// What comes after it.
    suffix: &'a str,
}

impl<'a> TensorName<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        let in_brackets = name.strip_suffix("']").and_then(|name| name.rfind("['"));
        let (start, end) = match in_brackets {
            Some(at) => (at + 2, name.len() - 2),
            None => (name.rfind(['.', '/']).map_or(0, |at| at + 1), name.len()),
        };
        Self {
            prefix: &name[..start],
            parameter: &name[start..end],
            suffix: &name[end..],
        }
    }

    /// The last part, as `weight`.
    pub(super) fn parameter(&self) -> &'a str {
        self.parameter
    }

    /// What comes before it; empty for a parameter of the model itself.
    pub(super) fn module(&self) -> &'a str {
        let prefix = self.prefix;
        let separator = ["['", ".", "/"]
            .iter()
            .find_map(|separator| prefix.strip_suffix(separator));
        separator.unwrap_or(prefix)
    }

    /// The last part of the module, as `fc`.
    pub(super) fn leaf(&self) -> &'a str {
        TensorName::of(self.module()).parameter
    }

    /// Another parameter of the same module.
    pub(super) fn sibling(&self, parameter: &str) -> String {
        format!("{}{parameter}{}", self.prefix, self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_module_and_a_parameter_however_it_is_written() {
        for (name, module, leaf, parameter, bias) in [
            ("a.fc.weight", "a.fc", "fc", "weight", "a.fc.bias"),
            ("a/fc/kernel", "a/fc", "fc", "kernel", "a/fc/bias"),
            (
                "['p']['fc']['kernel']",
                "['p']['fc']",
                "fc",
                "kernel",
                "['p']['fc']['bias']",
            ),
            ("weight", "", "", "weight", "bias"),
            ("fc.", "fc", "fc", "", "fc.bias"),
            ("..", ".", "", "", "..bias"),
            ("", "", "", "", "bias"),
            ("']", "", "", "']", "bias"),
        ] {
            let parts = TensorName::of(name);
            assert_eq!(
                (parts.module(), parts.leaf(), parts.parameter()),
                (module, leaf, parameter),
                "{name}"
            );
            assert_eq!(parts.sibling("bias"), bias);
        }
    }
}
