//! Which captures a table shows: a schema of the SQL catalogue each.

use datafusion::catalog::Session;

/// Name of the SQL catalogue.
pub(crate) const CATALOG: &str = "run";

/// A choice of captures, and the SQL schema that holds the tables so restricted.
///
/// Named queries say `FROM weights` and are planned with one of these as the default schema, so
/// that what they mean by "an epoch" is decided in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Which captures of an epoch.
    pub captures: Captures,
    /// Whether the untrained network, recorded as epoch -1, is among them.
    pub initial: bool,
}

/// Which captures of an epoch a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Captures {
    /// The epoch's capture: the last one that was committed.
    Last,
    /// All of them.
    All,
}

impl Scope {
    /// Everything that is committed: the schema in which users' SQL is planned.
    pub const EVERYTHING: Scope = Scope {
        captures: Captures::All,
        initial: true,
    };

    /// The epochs' captures: what named queries mean unless told otherwise.
    pub const EPOCHS: Scope = Scope {
        captures: Captures::Last,
        initial: false,
    };

    /// Every choice.
    pub const ALL: [Scope; 4] = [
        Scope::EVERYTHING,
        Scope::EPOCHS,
        Scope {
            captures: Captures::Last,
            initial: true,
        },
        Scope {
            captures: Captures::All,
            initial: false,
        },
    ];

    /// That of the tables which a session means where no schema is named.
    pub(crate) fn of_session(session: &dyn Session) -> Self {
        let default_schema = &session.config_options().catalog.default_schema;
        Self::ALL
            .into_iter()
            .find(|scope| scope.schema_name() == default_schema)
            .unwrap_or(Self::EVERYTHING)
    }

    /// The name of the SQL schema.
    pub fn schema_name(self) -> &'static str {
        match (self.captures, self.initial) {
            (Captures::All, true) => "public",
            (Captures::Last, false) => "epochs",
            (Captures::Last, true) => "epochs_initial",
            (Captures::All, false) => "captures",
        }
    }
}
