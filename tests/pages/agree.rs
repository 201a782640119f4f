//! Whether a program prints what a page shows.
//!
//! Lines are compared by their words, wherever these stand, so that a table's columns are compared
//! and their widths are not. Whole numbers below 1,000 (counts, ids, epochs) have to be the same;
//! all others agree to two significant digits. Times, dates and random names are any. `...` stands for
//! any lines, `... 17 rows` for 17 lines, and at a line's end for the rest of it.
//!
//! What comes out of a training depends on how a processor adds floats up: there whole numbers, and how
//! many lines are left out, may differ by [`DRIFT`], or by one.

#[cfg(test)]
mod tests;

/// By what share of it a whole number that comes out of a training may differ.
const DRIFT: f64 = 0.15;

/// Where what is printed comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is the same everywhere, but for what floats are in their last digits.
    Anywhere,
    /// A training made it, on whatever processor.
    Training,
}

impl Origin {
    /// By how much a whole number may differ.
    fn drift(self, number: f64) -> f64 {
        match self {
            Self::Anywhere => 0.0,
            Self::Training => (DRIFT * number.abs()).max(1.0),
        }
    }
}

/// The first difference.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// The number of the page's line.
    pub line: usize,
    /// That line, or what was expected in place of more.
    pub expected: String,
    /// What was printed there.
    pub got: String,
}

/// Compares a page's lines, with their numbers, with what was printed.
pub fn compare(expected: &[(usize, String)], got: &str, origin: Origin) -> Result<(), Difference> {
    let is_filled = |line: &str| !line.trim().is_empty();
    let expected: Vec<(usize, &str)> = expected
        .iter()
        .map(|(number, line)| (*number, line.as_str()))
        .filter(|(_, line)| is_filled(line))
        .collect();
    let got: Vec<&str> = got.lines().filter(|line| is_filled(line)).collect();
    follow(&expected, &got, origin)
}

fn follow(expected: &[(usize, &str)], got: &[&str], origin: Origin) -> Result<(), Difference> {
    let Some(((number, line), rest)) = expected.split_first() else {
        return match got.first() {
            None => Ok(()),
            Some(more) => Err(Difference {
                line: 0,
                expected: "the end of the output".to_owned(),
                got: (*more).to_owned(),
            }),
        };
    };
    let differs = |got: &str| Difference {
        line: *number,
        expected: (*line).to_owned(),
        got: got.to_owned(),
    };
    match elision(line) {
        Some(count) => {
            let (least, most) = match count {
                Some(count) => {
                    let drift = origin.drift(count as f64) as usize;
                    (count.saturating_sub(drift), count + drift)
                }
                None => (0, got.len()),
            };
            if least > got.len() {
                return Err(differs(&format!("{} lines", got.len())));
            }
            // The difference that lies furthest down is the one that tells most.
            let mut furthest: Option<Difference> = None;
            for skipped in least..=most.min(got.len()) {
                match follow(rest, &got[skipped..], origin) {
                    Ok(()) => return Ok(()),
                    Err(difference) => {
                        if furthest.as_ref().is_none_or(|f| f.line < difference.line) {
                            furthest = Some(difference);
                        }
                    }
                }
            }
            Err(furthest.unwrap_or_else(|| differs("the end of the output")))
        }
        None => {
            let Some((first, left)) = got.split_first() else {
                return Err(differs("the end of the output"));
            };
            if !agree(line, first, origin) {
                return Err(differs(first));
            }
            follow(rest, left, origin)
        }
    }
}

/// How many lines a line stands for in which some are left out: a number, or any.
fn elision(line: &str) -> Option<Option<usize>> {
    let rest = line.trim().strip_prefix("...")?;
    if rest.is_empty() {
        return Some(None);
    }
    let count = rest.split_whitespace().next()?;
    count.parse().ok().map(Some)
}

/// Whether two lines say the same.
fn agree(expected: &str, got: &str, origin: Origin) -> bool {
    let (begin, is_whole) = match expected.strip_suffix("...") {
        Some(begin) => (begin, false),
        None => (expected, true),
    };
    let (begin, got) = (tokens(begin), tokens(got));
    let fits = if is_whole {
        got.len() == begin.len()
    } else {
        got.len() >= begin.len()
    };
    fits && begin.iter().zip(&got).all(|(e, g)| e.agrees(g, origin))
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Number { value: f64, is_whole: bool },
    Time,
    Name,
}

impl Token {
    fn agrees(&self, got: &Self, origin: Origin) -> bool {
        match (self, got) {
            (
                Self::Number {
                    value: e,
                    is_whole: true,
                },
                Self::Number {
                    value: g,
                    is_whole: true,
                },
            ) if e.abs() < 1000.0 && g.abs() < 1000.0 => (e - g).abs() <= origin.drift(*e),
            (Self::Number { value: e, .. }, Self::Number { value: g, .. }) => two_digits(*e, *g),
            _ => self == got,
        }
    }
}

/// Whether a value lies within half a unit of an expected one's second significant digit.
fn two_digits(expected: f64, got: f64) -> bool {
    if expected == 0.0 {
        return got.abs() < 1e-6;
    }
    let unit = 10f64.powf(expected.abs().log10().floor() - 1.0);
    (expected - got).abs() <= unit * 0.500_001
}

fn tokens(line: &str) -> Vec<Token> {
    // A table's border: its columns count, their widths do not.
    if line.starts_with('+') && line.chars().all(|c| c == '+' || c == '-') {
        return vec![Token::Text(line.replace('-', ""))];
    }
    let mut tokens: Vec<Token> = Vec::new();
    for word in line.split_whitespace() {
        if is_date(word) {
            tokens.push(Token::Time);
        } else if is_random(word) {
            tokens.push(Token::Name);
        } else {
            for token in pieces(word) {
                // A number and its unit of time are a time, of whatever length.
                let before = tokens.last();
                if is_unit_of_time(&token) && matches!(before, Some(Token::Number { .. })) {
                    tokens.pop();
                    tokens.push(Token::Time);
                } else {
                    tokens.push(token);
                }
            }
        }
    }
    tokens
}

fn is_date(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 10 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

/// A run's name or a nonce: 16 hexadecimal digits.
fn is_random(word: &str) -> bool {
    word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_unit_of_time(token: &Token) -> bool {
    let Token::Text(text) = token else {
        return false;
    };
    let unit = text.trim_end_matches([':', ',', '.', ';', ')']);
    matches!(unit, "µs" | "ms" | "s" | "min" | "h")
}

/// A word's numbers, and what stands between them.
fn pieces(word: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let follows_a_word = text.chars().last().is_some_and(char::is_alphanumeric);
        let number = match number(rest) {
            Some(length) if first.is_ascii_digit() || !follows_a_word => length,
            _ => {
                text.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        if !text.is_empty() {
            tokens.push(Token::Text(std::mem::take(&mut text)));
        }
        let (digits, left) = rest.split_at(number);
        let value = digits.replace(',', "").parse();
        tokens.push(Token::Number {
            value: value.expect("it has a number's form"),
            is_whole: !digits.contains(['.', 'e', 'E']),
        });
        rest = left;
    }
    if !text.is_empty() {
        tokens.push(Token::Text(text));
    }
    tokens
}

/// How long the number is that a text begins with, as `-1,234`, `0.5` or `1e-3`.
fn number(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut end = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    match digits(end) {
        0 => return None,
        count => end += count,
    }
    while bytes.get(end) == Some(&b',') && digits(end + 1) == 3 {
        end += 4;
    }
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        if digits(end + 1 + sign) > 0 {
            end += 1 + sign + digits(end + 1 + sign);
        }
    }
    Some(end)
}
