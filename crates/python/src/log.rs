//! What the libraries say in passing, kept until Python asks for it.
//!
//! Warnings are said on threads of the recorder. Handing them to Python there would need its lock, which
//! the training thread may hold; so they wait here for the next call.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::spelling::as_python;

/// The most messages that wait: a program that never asks shall not fill its memory.
const MAX_WAITING: usize = 64;

static WAITING: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Keeps warnings and errors.
struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push_back(as_python(&text.0).into_owned());
        }
    }
}

/// A message, with the error that is its field.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        }
    }

    fn record_error(&mut self, _: &Field, value: &(dyn std::error::Error + 'static)) {
        // Writing to a string does not fail.
        let _ = write!(self.0, ": {}", crate::error::words(value));
    }
}

/// Keeps what is said from now on. A second call changes nothing.
pub(crate) fn start() {
    let subscriber = tracing_subscriber::registry().with(Keep);
    // A program's own verbs may have started another.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// What was said since the last call, the oldest first.
#[pyfunction]
fn take_messages() -> Vec<String> {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.drain(..).collect()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(take_messages, module)?)
}
