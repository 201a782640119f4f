//! A machine whose clock is wrong.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use stratigraph::{Scratch, announce, run};

/// A library that shifts the clock of the program into which it is loaded.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    const char *shift = getenv("CLOCK_SHIFT");
    if (clock == CLOCK_REALTIME && shift) time->tv_sec += atoll(shift);
    return result;
}
"#;

/// None where there is no C compiler.
fn shim(scratch: &Scratch) -> Option<PathBuf> {
    let (source, library) = (scratch.path("shim.c"), scratch.path("shim.so"));
    fs::write(&source, SHIM).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    let is_built = compiler.status().is_ok_and(|status| status.success());
    if !is_built {
        announce("skipped: without a C compiler no clock can be shifted");
    }
    is_built.then_some(library)
}

#[test]
fn a_clock_before_1970_or_far_ahead_stops_no_recording() {
    let scratch = Scratch::new();
    let Some(shim) = shim(&scratch) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let shifted = |mut command: Command, shift: i64| {
        command
            .env("LD_PRELOAD", &shim)
            .env("CLOCK_SHIFT", shift.to_string());
        run(&mut command)
    };
    for (name, shift, began) in [
        ("before", -now - 86_400, "1969-12-3"),
        ("years", -now - 400 * 86_400, "1968-11-2"),
        ("ahead", 300_000_000_000, "9999-12-31T23:59:59.999Z"),
    ] {
        let train = [
            "train", "--device", "cpu", "--hidden", "4", "--epochs", "2", "--out", name,
        ];
        shifted(scratch.recorder(&train), shift).expect_success();
        let info = fs::read(scratch.path(name).join("run.json")).unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
        let created = info["created"].as_str().unwrap();
        assert!(created.starts_with(began), "{created}");
        shifted(scratch.sink(&["verify", name]), shift).expect_success();
        shifted(scratch.sink(&["stats", name]), shift).expect_success();
        shifted(scratch.recorder(&["replay", name, "--epoch", "1"]), shift).expect_success();
        // Whose clock is right reads it.
        let years = scratch.rows(
            name,
            "SELECT DISTINCT substr(CAST(time AS VARCHAR), 1, 4) AS year FROM commits",
        );
        let expected: Vec<_> = [serde_json::json!({"year": &began[..4]})].into();
        assert_eq!(years, expected);
    }
    // DataFusion counts from 1970: what to do is said, and nothing panics.
    let query = scratch.query(&["sql", "before", "SELECT count(*) FROM weights"]);
    let stderr = shifted(query, -now - 86_400).expect_failure(1);
    assert!(
        stderr.contains("the machine's clock says 1969-12-3") && stderr.contains("set it"),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    let query = scratch.query(&["sql", "before", "SELECT count(*) FROM weights"]);
    shifted(query, 300_000_000_000).expect_success();
}
