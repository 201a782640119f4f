//! How much memory queries may hold.

use std::fs;

/// How many bytes queries may hold where nobody says: three quarters of what is available just now; no limit
/// where that is not known.
pub fn default_memory() -> Option<usize> {
    // Linux alone has the file.
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = default_bytes(&meminfo)?;
    Some(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Three quarters of what is available: the rest is for what queries do not account for.
fn default_bytes(meminfo: &str) -> Option<u64> {
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = available.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024) / 4 * 3)
}

#[cfg(test)]
mod tests {
    use super::default_bytes;

    #[test]
    fn a_quarter_of_what_is_available_is_left() {
        let meminfo = "MemTotal:       24000 kB\nMemFree:         1000 kB\n\
                       MemAvailable:    8000 kB\nBuffers:          100 kB\n";
        assert_eq!(default_bytes(meminfo), Some(6000 * 1024));
    }

    #[test]
    fn without_a_figure_there_is_no_limit() {
        assert_eq!(default_bytes("MemTotal:       24000 kB\n"), None);
        assert_eq!(default_bytes("MemAvailable:    plenty\n"), None);
    }
}
