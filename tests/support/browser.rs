//! A headless browser, told what to do over two pipes by the Chrome DevTools Protocol: no port is opened,
//! and nothing but what a test names is loaded.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::{Scratch, TIMEOUT, announce, wait_until};

/// What browsers are called that speak the protocol.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// The pipes that `--remote-debugging-pipe` takes are its descriptors 3 and 4.
const ON_PIPES: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#;

/// A browser that shows one page. Dropped, it is closed.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    /// Until what the browser says ends.
    reader: Option<JoinHandle<()>>,
    messages: Receiver<Value>,
    num_calls: u64,
    /// Of the page; none before there is one.
    session: Option<String>,
    /// What it told without being asked.
    events: Vec<Value>,
}

impl Browser {
    /// Starts the machine's browser with a profile of its own. Where there is none, says that `what` is
    /// not shown by it.
    ///
    /// # Panics
    /// If it does not start, or there is none where nothing may be skipped: where `CI` is set.
    pub fn start(scratch: &Scratch, what: &str) -> Option<Self> {
        let Some(program) = find() else {
            let may_skip = std::env::var_os("CI").is_none_or(|ci| ci.is_empty());
            assert!(may_skip, "{what}: there is no chromium here");
            announce(&format!("SKIPPED {what}: there is no chromium here"));
            return None;
        };
        let profile = format!("--user-data-dir={}", scratch.path("profile").display());
        let mut child = Command::new("sh")
            .args(["-c", ON_PIPES])
            .arg(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--hide-scrollbars",
                // Nothing but the page itself.
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--remote-debugging-pipe",
                &profile,
                "about:blank",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let input = child.stdin.take();
        let mut output = child.stdout.take().expect("it is piped");
        let (sender, messages) = channel();
        let read = move || {
            let mut pending = Vec::new();
            let mut bytes = [0; 1 << 16];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                pending.extend_from_slice(&bytes[..count]);
                while let Some(end) = pending.iter().position(|byte| *byte == 0) {
                    let message: Vec<u8> = pending.drain(..=end).collect();
                    let message = serde_json::from_slice(&message[..end]);
                    if message.is_ok_and(|message| sender.send(message).is_err()) {
                        return;
                    }
                }
            }
        };
        let reader = std::thread::Builder::new().name("browser".to_owned());
        let reader = reader.spawn(read).expect("a thread starts");
        let mut browser = Self {
            child,
            input,
            reader: Some(reader),
            messages,
            num_calls: 0,
            session: None,
            events: Vec::new(),
        };
        let targets = browser.call("Target.getTargets", json!({}));
        let targets = targets["targetInfos"].as_array().expect("it lists them");
        let page = targets.iter().find(|target| target["type"] == "page");
        let page = page.expect("it shows about:blank")["targetId"].clone();
        let to_page = json!({"targetId": page, "flatten": true});
        let attached = browser.call("Target.attachToTarget", to_page);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Shows a file in a window of that size, in CSS pixels, as a phone does if it is narrow, and waits
    /// until it is loaded.
    ///
    /// # Panics
    /// If it is not loaded in time.
    pub fn show(&mut self, file: &Path, [width, height]: [u32; 2]) {
        let is_phone = width < 600;
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let touch = json!({"enabled": is_phone});
        self.call("Emulation.setTouchEmulationEnabled", touch);
        self.events.clear();
        let address = format!("file://{}", file.display());
        let shown = self.call("Page.navigate", json!({"url": address}));
        assert_eq!(shown["errorText"], Value::Null, "{address}");
        self.wait_for_load();
    }

    /// Waits until the page that is being loaded is there.
    ///
    /// # Panics
    /// If it is not loaded in time.
    pub fn wait_for_load(&mut self) {
        let began = Instant::now();
        loop {
            let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
            if let Some(index) = self.events.iter().position(loaded) {
                self.events.remove(index);
                return;
            }
            let left = TIMEOUT.saturating_sub(began.elapsed());
            let message = self.messages.recv_timeout(left);
            self.events
                .push(message.expect("the page is loaded in time"));
        }
    }

    /// What a JavaScript expression of the page is worth.
    ///
    /// # Panics
    /// If it throws.
    pub fn value_of(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", asked);
        assert_eq!(
            answer["exceptionDetails"],
            Value::Null,
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until a JavaScript expression of the page is true.
    ///
    /// # Panics
    /// If it throws, or is not true in time.
    pub fn wait_for(&mut self, expression: &str) {
        wait_until(expression, || {
            (self.value_of(expression) == true).then_some(())
        });
    }

    /// Presses a key that has no letter, as `Home`, in what has the focus.
    pub fn press(&mut self, key: &str) {
        // Keys move sliders by the number that stands for them.
        let code = match key {
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            key => panic!("no test presses {key}"),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Moves the pointer.
    pub fn point_at(&mut self, x: f64, y: f64) {
        let event = json!({"type": "mouseMoved", "x": x, "y": y});
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Turns the wheel up where the pointer is, perhaps with Ctrl.
    pub fn turn_wheel(&mut self, x: f64, y: f64, with_ctrl: bool) {
        let modifiers = if with_ctrl { 2 } else { 0 };
        let event = json!({
            "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": -240, "modifiers": modifiers,
        });
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Everything that the page complained about since it was shown: errors and warnings in its console, and
    /// exceptions that nobody caught.
    pub fn complaints(&mut self) -> Vec<String> {
        // What was said before an answer has come before it.
        self.value_of("0");
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Log.entryAdded") => true,
            Some("Runtime.consoleAPICalled") => {
                let kind = event["params"]["type"].as_str().unwrap_or_default();
                ["error", "warning", "assert"].contains(&kind)
            }
            _ => false,
        };
        let complaints = self.events.iter().filter(is_complaint);
        complaints
            .map(|event| event["params"].to_string())
            .collect()
    }

    /// A picture of the window, as a PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let text = picture["data"].as_str().expect("it is a picture");
        STANDARD.decode(text).expect("it is base64")
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.num_calls += 1;
        let id = self.num_calls;
        let mut call = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        let mut bytes = call.to_string().into_bytes();
        bytes.push(0);
        let input = self.input.as_mut().expect("it is open until the end");
        input.write_all(&bytes).expect("the browser listens");
        let began = Instant::now();
        loop {
            let left = TIMEOUT.saturating_sub(began.elapsed());
            let message = self.messages.recv_timeout(left);
            let mut message = message.unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == id {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        /// Long enough for it to take its own processes along.
        const GRACE: Duration = Duration::from_secs(10);
        // It ends when nobody tells it anything any more.
        drop(self.input.take());
        if !within(GRACE, || !matches!(self.child.try_wait(), Ok(None))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let reader = self.reader.take().expect("it is joined once");
        // A process of a killed browser may hold the pipe for longer.
        if within(GRACE, || reader.is_finished()) {
            let read = reader.join();
            assert!(read.is_ok() || std::thread::panicking(), "reading panicked");
        }
    }
}

/// Whether it is done before a time is over.
fn within(time: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !is_done() {
        if began.elapsed() > time {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The first browser on the path.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES
        .into_iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
        .find(|program| program.is_file())
}
