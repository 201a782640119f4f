//! What all command lines share: the log, progress and other lines on standard error, results on
//! standard output, Ctrl-C, and the status that a process ends with.
//!
//! It knows terminals, pipes and signals. It knows nothing of arguments, which each program parses for
//! itself, nor of runs, Burn or DataFusion.

mod exit;
mod interrupt;
mod logging;
mod output;
mod progress;
mod terminal;

pub use exit::{INTERRUPTED, TERMINATED, end};
pub use interrupt::on_ctrl_c;
pub use logging::start_logging;
pub use output::{is_closed_pipe, print};
pub use progress::Pace;
pub use terminal::Console;
