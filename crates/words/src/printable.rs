//! Text for people, whatever its names hold.

use std::borrow::Cow;
use std::fmt::Write;

/// The text as a terminal may be shown it: whole, but for what a terminal would obey. Names of
/// classes, columns, layers and directories may hold any character; one that controls a terminal, or
/// turns the direction of what follows it, is written as `\u{1b}`. Lines and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_obeyed(character) {
            true => {
                write!(shown, "{}", character.escape_default()).expect("a string takes everything")
            }
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal does something on seeing it, rather than showing it.
fn is_obeyed(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // They change the order in which what stands around them is shown.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("cat\u{1b}[31m"), "cat\\u{1b}[31m");
        assert_eq!(
            printable("\u{9b}31m\u{7}\u{0}\r\u{7f}"),
            "\\u{9b}31m\\u{7}\\u{0}\\r\\u{7f}"
        );
        assert_eq!(printable("a\u{202e}cba"), "a\\u{202e}cba");
    }

    #[test]
    fn everything_else_is_shown_as_it_is() {
        for text in ["", "one\ntwo\tthree", "été 猫 🐈 \\u{1b} \"<&>'"] {
            assert!(matches!(printable(text), Cow::Borrowed(shown) if shown == text));
        }
    }
}
