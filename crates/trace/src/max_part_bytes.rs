//! How much of a layer goes into one part file.

use serde_json::{Value, json};

/// Where a session's configuration says it.
const CONFIG_KEY: &str = "max_part_bytes";

/// The most values that the lists of one part file may have together: their offsets are 32-bit in whatever reads them.
const MAX_PART_VALUES: u64 = i32::MAX as u64;

/// How many bytes the lists of one part file hold at most, as 32-bit floats before they are compressed. A layer that
/// has more is split by its units into several part files of one capture.
///
/// A part file has the rows of one unit at least, and its lists have fewer than 2³¹ values, whatever is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPartBytes(pub u64);

impl Default for MaxPartBytes {
    /// 256 MiB, the largest budget that the channel to the sink has by default. The weights of a layer take about so
    /// much beside themselves while they are written, however many they are. A layer of 67 million weights is still
    /// one file. One that has more is read by several threads.
    fn default() -> Self {
        Self(256 << 20)
    }
}

impl MaxPartBytes {
    /// What a session's configuration says; none where it says nothing, as one of an earlier version, or nothing that
    /// is a number of bytes.
    pub fn of_config(config: &Value) -> Option<Self> {
        config.get(CONFIG_KEY)?.as_u64().map(Self)
    }

    /// Has a session's configuration say it. One that is no object says nothing.
    pub fn say_in(self, config: &mut Value) {
        if let Some(config) = config.as_object_mut() {
            config.insert(CONFIG_KEY.to_owned(), json!(self.0));
        }
    }

    /// How many rows each part file has but the last, which may have fewer, of `num_rows` rows with lists of
    /// `list_length` values each. Parts are about equally large.
    pub fn rows_per_part(self, num_rows: u32, list_length: u64) -> u32 {
        let row_bytes = list_length.saturating_mul(size_of::<f32>() as u64);
        let by_bytes = self.0.checked_div(row_bytes);
        let by_values = MAX_PART_VALUES.checked_div(list_length);
        let most = by_bytes.zip(by_values).map(|(a, b)| a.min(b).max(1));
        let most = most.map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX));
        let num_rows = num_rows.max(1);
        num_rows.div_ceil(num_rows.div_ceil(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_large_as_is_said_and_about_equally() {
        let rows = |bytes, num_rows, length| MaxPartBytes(bytes).rows_per_part(num_rows, length);
        assert_eq!(rows(40, 5, 2), 5);
        assert_eq!(rows(39, 5, 2), 3);
        assert_eq!(rows(16, 5, 2), 2);
        // One unit at least.
        assert_eq!(rows(0, 5, 2), 1);
        assert_eq!(rows(7, 5, 2), 1);
        // Four parts of 4, not three of 5 and one of 1.
        assert_eq!(rows(40, 16, 2), 4);
        // Without lists nothing is large.
        assert_eq!(rows(0, 5, 0), 5);
        assert_eq!(rows(0, 0, 3), 1);
    }

    #[test]
    fn no_part_has_more_values_than_offsets_count() {
        let all = MaxPartBytes(u64::MAX);
        assert_eq!(all.rows_per_part(1 << 16, 1 << 14), 1 << 16);
        // 2³¹ values, one more than there can be.
        assert_eq!(all.rows_per_part(1 << 17, 1 << 14), 1 << 16);
        assert_eq!(all.rows_per_part(2, 1 << 30), 1);
        assert_eq!(all.rows_per_part(2, 1 << 40), 1);
        assert!(u64::from(all.rows_per_part(u32::MAX, 7)) * 7 <= MAX_PART_VALUES);
    }

    #[test]
    fn a_configuration_says_it() {
        let mut config = json!({"every": "1epoch"});
        assert_eq!(MaxPartBytes::of_config(&config), None);
        MaxPartBytes(4096).say_in(&mut config);
        assert_eq!(config["max_part_bytes"], 4096);
        assert_eq!(MaxPartBytes::of_config(&config), Some(MaxPartBytes(4096)));
        assert_eq!(
            MaxPartBytes::of_config(&json!({"max_part_bytes": -1})),
            None
        );
        MaxPartBytes(1).say_in(&mut Value::Null);
    }
}
