//! What is said of a network that was rebuilt from its trace.

use std::fmt::Write as _;

use recorder::Precision;

/// Says that it is not quite the one that was trained, where its weights were rounded.
pub(super) fn write_rounding(text: &mut String, precision: Precision) -> std::fmt::Result {
    if precision == Precision::F32 {
        return Ok(());
    }
    writeln!(
        text,
        "  its weights were rounded when they were recorded (--precision f16), so the rebuilt \
         network is not quite the one that was trained"
    )
}
