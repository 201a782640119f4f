//! SQL in colours. A line keeps its width: only colours are added.

use std::borrow::Cow;

use super::completion::KEYWORDS;

const KEYWORD: &str = "\x1b[1;34m";
const STRING: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[36m";
const COMMENT: &str = "\x1b[2m";
const COMMAND: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// The line with colours for keywords, strings, numbers and comments, or for a command's name.
pub(super) fn line(line: &str) -> Cow<'_, str> {
    let command = line.trim_start();
    if command.starts_with('.') {
        let indent = line.len() - command.len();
        let end = command.find(char::is_whitespace).unwrap_or(command.len());
        let (name, rest) = command.split_at(end);
        return Cow::Owned(format!("{}{COMMAND}{name}{PLAIN}{rest}", &line[..indent]));
    }
    let mut coloured = String::with_capacity(line.len() * 2);
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (len, colour) = token(rest, first);
        let (token, after) = rest.split_at(len);
        match colour {
            Some(colour) => coloured.extend([colour, token, PLAIN]),
            None => coloured.push_str(token),
        }
        rest = after;
    }
    Cow::Owned(coloured)
}

/// How long the token at the beginning is, in bytes, and its colour.
fn token(text: &str, first: char) -> (usize, Option<&'static str>) {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    match first {
        '\'' | '"' => {
            // To the quote that closes it, or as far as it was typed.
            let inner = &text[1..];
            let len = inner.find(first).map_or(text.len(), |end| end + 2);
            (len, (first == '\'').then_some(STRING))
        }
        '-' if text.starts_with("--") => (text.len(), Some(COMMENT)),
        '/' if text.starts_with("/*") => {
            let len = text[2..].find("*/").map_or(text.len(), |end| end + 4);
            (len, Some(COMMENT))
        }
        _ if first.is_ascii_digit() => {
            let is_of_number = |c: char| is_of_word(c) || c == '.';
            let len = text.find(|c| !is_of_number(c)).unwrap_or(text.len());
            (len, Some(NUMBER))
        }
        _ if is_of_word(first) => {
            let len = text.find(|c| !is_of_word(c)).unwrap_or(text.len());
            let word = text[..len].to_uppercase();
            let is_keyword = KEYWORDS.contains(&word.as_str());
            (len, is_keyword.then_some(KEYWORD))
        }
        _ => (first.len_utf8(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text without what colours it.
    fn without_colours(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain + rest
    }

    #[test]
    fn keywords_strings_numbers_and_comments_have_colours() {
        let coloured = line("select a1, 'from', 12.5 FROM t -- where");
        assert_eq!(
            coloured,
            format!(
                "{KEYWORD}select{PLAIN} a1, {STRING}'from'{PLAIN}, {NUMBER}12.5{PLAIN} \
                 {KEYWORD}FROM{PLAIN} t {COMMENT}-- where{PLAIN}"
            )
        );
        assert_eq!(line(".run x 1"), format!("{COMMAND}.run{PLAIN} x 1"));
    }

    #[test]
    fn colours_change_no_character() {
        for text in [
            "",
            "SELECT 'not closed",
            "SELECT \"sel",
            "/* open",
            "/* a */ 1",
            "'it''s' + é9 -- ü",
            " .read x",
            "-",
            "/",
            "SELECT * FROM weights WHERE layer = 'L_é' AND epoch >= 1e3",
        ] {
            assert_eq!(without_colours(&line(text)), text);
        }
    }
}
