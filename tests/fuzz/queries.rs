//! What reads named queries: the lines of their headers, and the arguments that people give.

use sql::{NamedQuery, Parameter, QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use trace::with_causes;

/// A session over a small run.
struct Asked {
    _dir: TempDir,
    runtime: Runtime,
    session: QuerySession,
}

thread_local! {
    static ASKED: Asked = Asked::new();
}

impl Asked {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("run");
        fixtures::tiny::write(&path).expect("a run in it");
        let run = Run::open(&path).expect("a run that is whole");
        let runtime = Builder::new_current_thread().build();
        Self {
            _dir: dir,
            runtime: runtime.expect("a runtime"),
            session: run
                .session(SessionOptions::default())
                .expect("a session over it"),
        }
    }
}

/// What a header declares of a parameter.
pub fn query_header(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        if let Some(parameter) = Parameter::parse(line) {
            let Parameter { name, values, .. } = &parameter;
            let again = format!(
                "{name} {}{values} = {}: {}",
                parameter.data_type, parameter.default, parameter.meaning
            );
            assert_eq!(Parameter::parse(&again), Some(parameter));
        }
    }
}

/// A named query, and in further lines arguments for it, as `key=value`.
pub fn query_arguments(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default();
    let arguments: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    ASKED.with(|asked| {
        let planned = asked
            .runtime
            .block_on(asked.session.named(name, &arguments));
        if let Err(error) = planned {
            told(&error);
        }
    });
}

/// A text for [`query_arguments`] of each named query.
pub fn seeds() -> Vec<Vec<u8>> {
    let seeds = NamedQuery::all().iter().map(|query| {
        let mut text = query.name().to_owned();
        for parameter in query.parameters() {
            text += &format!("\n{}={}", parameter.name, parameter.default);
        }
        text.into_bytes()
    });
    seeds.collect()
}

/// The headers of all named queries.
pub fn headers() -> Vec<Vec<u8>> {
    let headers = NamedQuery::all().iter().map(|query| {
        let lines = query.sql().lines();
        let lines = lines.map_while(|line| line.strip_prefix("--"));
        let lines: Vec<&str> = lines.map(str::trim).collect();
        lines.join("\n").into_bytes()
    });
    headers.collect()
}

/// An error is told with its causes, as programs do.
fn told(error: &dyn std::error::Error) {
    _ = with_causes(error);
}
