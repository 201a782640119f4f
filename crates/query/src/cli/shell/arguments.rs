//! The words after a command.

/// Splits a text at blanks, except in quotes (`'` or `"`) and after a backslash, which stands for
/// itself unless a blank, a quote or a backslash follows.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_escape = character == '\\'
            && quote.is_none()
            && characters
                .peek()
                .is_some_and(|next| next.is_whitespace() || matches!(next, '\'' | '"' | '\\'));
        match (character, quote) {
            _ if is_escape => word.get_or_insert_default().extend(characters.next()),
            (_, Some(open)) if character == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (_, None) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a quote ({quote}) is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_split_at_blanks_outside_quotes() {
        for (text, expected) in [
            ("", &[][..]),
            ("  padded  epoch=3 ", &["padded", "epoch=3"]),
            ("layer='L a' x", &["layer=L a", "x"]),
            ("\"it's\" ''", &["it's", ""]),
            (r"my\ file \'a a\b \\", &["my file", "'a", r"a\b", r"\"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
        let error = words("layer='L a").unwrap_err();
        assert_eq!(error, "a quote (') is not closed");
    }
}
