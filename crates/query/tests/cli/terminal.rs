//! `query shell` at a terminal, which Debian's `script` (of util-linux) is.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, text};

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What Ctrl-C, Ctrl-D and the end of a line are at a terminal.
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const ENTER: &str = "\r";

/// What a terminal is told before a line is read, and once it is (bracketed paste, on and off).
const READS_LINE: &str = "\x1b[?2004h";
const LINE_IS_READ: &str = "\x1b[?2004l";

/// Ten billion pairs, none of which is kept, by joins that do not look up.
const ENDLESS: &str = "SELECT count(*) FROM range(1, 100000) a, range(1, 100000) b \
                       WHERE a.value * b.value = -1;";

/// A shell at a terminal, and everything that it has shown.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How much of it was looked at.
    seen: usize,
}

impl Terminal {
    /// None where there is no `script`, which is said.
    fn open(bench: &Bench) -> Option<Self> {
        let program = env!("CARGO_BIN_EXE_query");
        let in_bench = bench.command(&[]);
        let set = in_bench.get_envs();
        let set = set.filter_map(|(name, value)| Some((name, value?)));
        let mut script = Command::new("script");
        // Without the shell that `script` starts: Ctrl-C would reach it as well, and dash ends with 130 then.
        script
            .args(["-qefc", &format!("exec '{program}' shell run"), "/dev/null"])
            .current_dir(bench.dir.path())
            .envs(set)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut script = match script.spawn() {
            Ok(script) => script,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "script: {error}");
                let said = format!("skipped: no `script` makes a terminal here ({error})\n");
                // Past the test runner, which shows nothing of a test that passes.
                std::io::stderr().write_all(said.as_bytes()).unwrap();
                return None;
            }
        };
        let keys = script.stdin.take().unwrap();
        let mut stdout = script.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&shown);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut chunk) {
                read.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        Some(Self {
            script,
            keys,
            shown,
            seen: 0,
        })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until a text is shown that was not before; gives what came until then.
    fn wait_for(&mut self, wanted: &str) -> String {
        let began = Instant::now();
        loop {
            let shown = text(&self.shown.lock().unwrap()[self.seen..]);
            if let Some(at) = shown.find(wanted) {
                self.seen += at + wanted.len();
                return shown[..at].to_owned();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {wanted:?}: {shown}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it takes keys; gives what came until then.
    fn prompt(&mut self) -> String {
        let until = self.wait_for(READS_LINE);
        self.wait_for("> ");
        until
    }

    /// The status with which the shell ends.
    fn status(mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.script.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It takes its shell with it, whose terminal is gone.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn ctrl_c_stops_a_statement_and_the_shell_goes_on() {
    let bench = Bench::new();
    let Some(mut shell) = Terminal::open(&bench) else {
        return;
    };
    shell.prompt();
    shell.press(&format!(".format csv{ENTER}"));
    shell.prompt();
    shell.press(&format!(".output rows.csv{ENTER}"));
    shell.prompt();
    shell.press(&format!("SELECT 7 AS seven;{ENTER}"));
    shell.wait_for("1 row written to rows.csv");
    // More often than there are threads: what was stopped keeps none that the next one needs.
    for _ in 0..4 {
        shell.prompt();
        shell.press(&format!("{ENDLESS} SELECT 8 AS eight;{ENTER}"));
        shell.wait_for(LINE_IS_READ);
        // It is being answered.
        thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        shell.press(CTRL_C);
        shell.wait_for("error: stopped");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    shell.prompt();
    // What came behind it on the line was stopped with it.
    let written = fs::read_to_string(bench.path("rows.csv")).unwrap();
    assert_eq!(written, "seven\n7\n");
    shell.press(&format!(".output{ENTER}"));
    shell.prompt();
    shell.press(&format!("SELECT count(*) * 1000 AS n FROM weights;{ENTER}"));
    shell.wait_for("20000");
    shell.prompt();
    shell.press(CTRL_D);
    assert_eq!(shell.status(), Some(0));
}

#[test]
fn ctrl_c_at_the_prompt_drops_what_was_typed() {
    let bench = Bench::new();
    let Some(mut shell) = Terminal::open(&bench) else {
        return;
    };
    shell.prompt();
    shell.press(&format!("SELECT 1{ENTER}"));
    shell.prompt();
    shell.press(CTRL_C);
    shell.prompt();
    shell.press(CTRL_C);
    shell.prompt();
    shell.press(&format!("SELECT 41 + 1000 AS n;{ENTER}"));
    shell.wait_for("1041");
    shell.prompt();
    shell.press(&format!(".quit{ENTER}"));
    assert_eq!(shell.status(), Some(0));
}

/// A file that is read is one thing to whoever stops it.
#[test]
fn ctrl_c_stops_the_rest_of_a_file() {
    let bench = Bench::new();
    let file = format!("{ENDLESS}\nSELECT 8 AS eight;\n");
    fs::write(bench.path("questions.sql"), file).unwrap();
    let Some(mut shell) = Terminal::open(&bench) else {
        return;
    };
    shell.prompt();
    shell.press(&format!(".read questions.sql{ENTER}"));
    shell.wait_for(LINE_IS_READ);
    thread::sleep(Duration::from_millis(500));
    shell.press(CTRL_C);
    shell.wait_for("error: stopped");
    let until = shell.prompt();
    assert!(!until.contains("eight"), "{until}");
    shell.press(CTRL_D);
    assert_eq!(shell.status(), Some(0));
}
