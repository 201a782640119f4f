//! From lines to statements: each ends with a semicolon that is not in quotes or a comment.
//! Comments alone are no statement.

/// Collects lines until they make statements.
#[derive(Debug, Default)]
pub(super) struct Statements {
    text: String,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Sql,
    /// Between two of these characters.
    Quoted(char),
    LineComment,
    BlockComment,
}

impl Statements {
    /// Whether a statement was begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        !self.text.is_empty()
    }

    /// Whether nothing is open once `line` is added.
    pub(super) fn is_ended_by(&self, line: &str) -> bool {
        let mut after = Self {
            text: self.text.clone(),
        };
        after.push_line(line);
        !after.is_open() || (!self.is_open() && line.trim_start().starts_with('.'))
    }

    /// Forgets what was begun.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    /// Takes what was begun, as a statement that the end of the input ends.
    pub(super) fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.text).trim().to_owned();
        (!rest.is_empty()).then_some(rest)
    }

    /// Adds a line; returns the statements that it ends, without their semicolons.
    pub(super) fn push_line(&mut self, line: &str) -> Vec<String> {
        self.text.push_str(line);
        self.text.push('\n');
        let mut ended = Vec::new();
        let mut state = State::Sql;
        let mut begin = 0;
        // Whether there is more than blanks and comments since `begin`.
        let mut pending = false;
        let mut characters = self.text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            state = match (state, character) {
                (State::Sql, ';') => {
                    if std::mem::take(&mut pending) {
                        ended.push(self.text[begin..at].trim().to_owned());
                    }
                    begin = at + 1;
                    State::Sql
                }
                (State::Sql, '\'' | '"') => {
                    pending = true;
                    State::Quoted(character)
                }
                (State::Sql, '-') if next == Some('-') => State::LineComment,
                (State::Sql, '/') if next == Some('*') => {
                    characters.next();
                    State::BlockComment
                }
                (State::Quoted(quote), _) if character == quote => State::Sql,
                (State::LineComment, '\n') => State::Sql,
                (State::BlockComment, '*') if next == Some('/') => {
                    characters.next();
                    State::Sql
                }
                (State::Sql, _) => {
                    pending |= !character.is_whitespace();
                    State::Sql
                }
                (state, _) => state,
            };
        }
        match pending || state != State::Sql {
            true => drop(self.text.drain(..begin)),
            false => self.text.clear(),
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::Statements;

    #[test]
    fn a_statement_may_have_several_lines_and_a_line_several_statements() {
        let mut statements = Statements::default();
        assert!(statements.push_line("SELECT 1").is_empty());
        assert!(statements.is_open());
        assert_eq!(
            statements.push_line("+ 1; SELECT 2; SELECT"),
            ["SELECT 1\n+ 1", "SELECT 2"]
        );
        assert_eq!(statements.push_line("3;"), ["SELECT\n3"]);
        assert!(!statements.is_open());
    }

    #[test]
    fn a_semicolon_in_quotes_or_a_comment_ends_nothing() {
        let mut statements = Statements::default();
        assert!(
            statements
                .push_line("SELECT 'a;b', \"c;d\" -- not; here")
                .is_empty()
        );
        assert_eq!(
            statements.push_line("/* nor; here */ FROM t;"),
            ["SELECT 'a;b', \"c;d\" -- not; here\n/* nor; here */ FROM t"]
        );
    }

    #[test]
    fn the_end_of_the_input_ends_a_statement() {
        let mut statements = Statements::default();
        assert!(statements.push_line("SELECT 1").is_empty());
        assert_eq!(statements.rest().as_deref(), Some("SELECT 1"));
        assert_eq!(statements.rest(), None);
    }

    #[test]
    fn a_line_is_known_to_end_a_statement_before_it_does() {
        let mut statements = Statements::default();
        assert!(!statements.is_ended_by("SELECT 1"));
        assert!(statements.is_ended_by("SELECT 1;"));
        assert!(statements.is_ended_by(".run confusion"));
        statements.push_line("SELECT 1");
        assert!(!statements.is_ended_by(".5"));
        assert!(statements.is_ended_by("+ .5;"));
        assert!(statements.is_open());
    }

    #[test]
    fn empty_statements_and_comments_are_none() {
        let mut statements = Statements::default();
        for line in [" ;; ", "-- done", "/* nor */ ; -- this;", ""] {
            assert!(statements.push_line(line).is_empty(), "{line}");
            assert!(!statements.is_open(), "{line}");
        }
        assert_eq!(statements.rest(), None);
        assert_eq!(statements.push_line("SELECT 1; -- one"), ["SELECT 1"]);
        assert!(!statements.is_open());
    }

    #[test]
    fn a_comment_may_have_several_lines() {
        let mut statements = Statements::default();
        assert!(statements.push_line("/* SELECT 1;").is_empty());
        assert!(statements.is_open());
        assert!(statements.push_line(".format csv */").is_empty());
        assert!(!statements.is_open());
        // One without an end is left for the parser to refuse.
        statements.push_line("/* SELECT 2;");
        assert_eq!(statements.rest().as_deref(), Some("/* SELECT 2;"));
    }
}
