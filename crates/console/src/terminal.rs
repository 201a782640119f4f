//! Standard error: lines for whoever watches, the log, and the progress bar that neither may write
//! across.

use std::io::{self, IsTerminal as _, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use words::printable;

/// Standard error. Clones share the progress bar.
#[derive(Debug, Clone)]
pub struct Console {
    bar: ProgressBar,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            bar: ProgressBar::hidden(),
        }
    }
}

impl Console {
    /// The bar, hidden until it is given somewhere to be drawn.
    pub fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Whether somebody watches, so that a bar can be drawn.
    pub fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Draws the bar by a template of indicatif's, on a terminal alone. It is taken away by
    /// `bar().finish_and_clear()`.
    pub fn draw_bar(&self, template: &'static str) {
        let style = ProgressStyle::with_template(template);
        self.bar
            .set_style(style.expect("a template that indicatif knows"));
        self.bar.set_draw_target(match self.is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
    }

    /// Says something to whoever watches; results go to stdout instead.
    pub fn say(&self, line: &str) {
        // Nobody is left to be told if this fails.
        let _ = write_above(
            &self.bar,
            &mut io::stderr(),
            format!("{}\n", printable(line)).as_bytes(),
        );
    }
}

/// For the log, which writes a whole event at once.
impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_above(&self.bar, &mut io::stderr(), bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes whole lines where the bar is, and draws the bar again below them.
fn write_above(bar: &ProgressBar, out: &mut impl Write, lines: &[u8]) -> io::Result<()> {
    bar.suspend(|| out.write_all(lines))
}

#[cfg(test)]
mod tests;
