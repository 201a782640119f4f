//! Which epochs were captured, as people read it.

/// Which epochs were captured, as people read it; they ascend.
pub fn describe_captured(captured: &[i32]) -> String {
    match captured {
        [] => "none was".to_owned(),
        [only] => format!("only epoch {only} was"),
        [first, .., last] => format!("{} epochs from {first} to {last} were", captured.len()),
    }
}

/// Which epochs there are in place of one that is not, and the nearest of them; they ascend.
pub fn describe_missing(epoch: i32, there: &[i32]) -> String {
    let after = there.partition_point(|known| *known < epoch);
    let told = describe_captured(there);
    match (there[..after].last(), there.get(after)) {
        (Some(before), Some(after)) => format!("{told}, the nearest are {before} and {after}"),
        (Some(nearest), None) | (None, Some(nearest)) if there.len() > 1 => {
            format!("{told}, the nearest is {nearest}")
        }
        _ => told,
    }
}
