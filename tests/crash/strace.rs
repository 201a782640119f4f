//! strace, which makes calls of the kernel fail, or kills who makes them.

use std::process::Command;

use stratigraph::{Scratch, run};

use crate::tools::{is_there, skip};

/// What strace may do here.
pub struct Strace(());

impl Strace {
    /// None, said aloud, where it is not there or may not trace.
    pub fn find(what: &str) -> Option<Self> {
        if !is_there("strace") {
            return skip(what, "strace is not there", true);
        }
        let mut traced = Command::new("strace");
        traced.args(["-f", "-e", "trace=none", "true"]);
        match run(&mut traced).code() {
            Some(0) => Some(Self(())),
            _ => skip(what, "strace may trace nothing", false),
        }
    }

    /// The command with a failure of a thread's `nth` call: the name of an error, as EIO.
    pub fn fail(
        &self,
        scratch: &Scratch,
        call: &str,
        nth: u64,
        error: &str,
        command: &Command,
    ) -> Command {
        self.inject(scratch, call, &format!("error={error}:when={nth}"), command)
    }

    /// Whether a call has failed that was to.
    pub fn has_injected(&self, scratch: &Scratch) -> bool {
        let log = std::fs::read_to_string(scratch.path("strace.log"));
        log.is_ok_and(|log| log.contains("(INJECTED)"))
    }

    /// The command, killed before a thread's `nth` call.
    pub fn kill_before(
        &self,
        scratch: &Scratch,
        call: &str,
        nth: u64,
        command: &Command,
    ) -> Command {
        self.inject(scratch, call, &format!("signal=KILL:when={nth}"), command)
    }

    /// The command, each of whose calls waits for `micros` first.
    pub fn slow_down(
        &self,
        scratch: &Scratch,
        call: &str,
        micros: u64,
        command: &Command,
    ) -> Command {
        self.inject(scratch, call, &format!("delay_enter={micros}"), command)
    }

    fn inject(&self, scratch: &Scratch, call: &str, what: &str, command: &Command) -> Command {
        // Elsewhere some are called otherwise.
        let calls = match call {
            "mkdir" => "?mkdir,?mkdirat",
            "unlink" => "?unlink,?unlinkat",
            call => call,
        };
        let mut traced = scratch.command("strace".as_ref(), &[]);
        // The process that is started is the recorder's: strace is its grandchild, and goes with it.
        traced.args(["-D", "-f", "-qq", "-o"]);
        traced.arg(scratch.path("strace.log"));
        traced.args(["-e", &format!("trace={calls}")]);
        traced.args(["-e", &format!("inject={calls}:{what}")]);
        traced.arg(command.get_program()).args(command.get_args());
        traced
    }
}
