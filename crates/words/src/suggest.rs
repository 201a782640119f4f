//! What somebody who misspelled a name probably meant.

/// Bytes of the longest name that somebody types. Comparing two names takes as many steps as the product of their
/// lengths, and those of a file are as long as its maker likes.
const LONGEST: usize = 256;

/// The candidate that `name` is most likely a misspelling of.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase();
    let candidates = candidates.into_iter();
    let typed = candidates.filter(|candidate| candidate.len() <= LONGEST);
    let scored = typed.map(|candidate| {
        let score = strsim::jaro_winkler(&name, &candidate.to_lowercase());
        (score, candidate)
    });
    let (score, candidate) = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    // Below this, names have little more in common than their letters.
    (score >= 0.75).then_some(candidate)
}

/// The end of an error's message that suggests a name, if there is one.
pub fn did_you_mean(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_one_that_could_be_meant() {
        let names = ["weights", "activations", "by_neuron"];
        assert_eq!(closest("wieghts", names), Some("weights"));
        assert_eq!(closest("Weights", names), Some("weights"));
        assert_eq!(closest("byneuron", names), Some("by_neuron"));
        assert_eq!(closest("xyz", names), None);
        assert_eq!(closest("weights", []), None);
    }

    /// Each comparison would take 10^12 steps.
    #[test]
    fn nobody_types_a_name_of_a_megabyte() {
        let long = "weights".repeat(150_000);
        assert_eq!(closest(&long, ["weights", &long]), None);
        assert_eq!(closest("weigths", [&long, "weights"]), Some("weights"));
    }

    #[test]
    fn a_suggestion_ends_a_message() {
        assert_eq!(did_you_mean(Some("weights")), "; did you mean weights?");
        assert_eq!(did_you_mean(None), "");
    }
}
