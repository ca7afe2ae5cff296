//! A real browser: headless Chromium, driven through `WebDriver`.
//!
//! `WebDriver` is JSON over HTTP, so the HTTP crates of the server are enough. The crates `fantoccini`
//! and `thirtyfour` have about a hundred dependencies, and give no access to the console or the requests.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// The longest wait before a test fails. It is long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Options that keep Chromium from contacting other hosts and from showing dialogs.
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
];

/// The `WebDriver` codes of keys that type no character.
pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const DOWN: char = '\u{e015}';

/// A browser with one window. It closes at the end of the test.
pub(crate) struct Browser {
    driver: Child,
    runtime: Runtime,
    /// The address of the driver.
    host: String,
    /// The path of the session in the URLs of the driver.
    session: String,
    /// The folder of the browser profile. Each test has its own profile.
    profile: TempDir,
}

impl Browser {
    /// Starts a browser. Returns `None` if Chromium or its driver is not installed.
    pub(crate) fn start() -> Option<Self> {
        for program in ["chromium", "chromedriver"] {
            if Command::new(program).arg("--version").stderr(Stdio::null()).output().is_err() {
                println!("skipped: {program} is missing");
                return None;
            }
        }
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let host = format!("127.0.0.1:{}", port_of(&mut driver));
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut browser = Self { driver, runtime, host, session: "/session".to_owned(), profile };
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let options = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let session = browser.post("", &json!({ "capabilities": { "alwaysMatch": options } }));
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser.resize(1280, 900);
        // Ignore the requests that the browser itself made while it started.
        browser.open("about:blank");
        browser.requests();
        Some(browser)
    }

    /// Sets the size of the viewport, for example to that of a phone.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Sets the preferred colour scheme to `light` or `dark`. Also turns off transitions, because colours
    /// during a transition belong to neither scheme.
    pub(crate) fn prefer(&self, colours: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": colours },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Makes the browser save downloads in a folder without a dialog.
    pub(crate) fn save_to(&self, folder: &Path) {
        let how = json!({ "behavior": "allow", "downloadPath": folder.to_str().unwrap() });
        self.devtools("Page.setDownloadBehavior", &how);
    }

    pub(crate) fn open(&self, address: &str) {
        self.post("/url", &json!({ "url": address }));
    }

    /// Calls a JavaScript function with the given body and `arguments`.
    pub(crate) fn run(&self, body: &str, arguments: &Value) -> Value {
        self.post("/execute/sync", &json!({ "script": body, "args": arguments }))
    }

    /// The value of a JavaScript expression.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression};"), &json!([]))
    }

    /// The text of the first element that matches a selector. Empty if no element matches.
    pub(crate) fn text(&self, selector: &str) -> String {
        let found =
            self.run("return document.querySelector(arguments[0])?.innerText ?? '';", &json!([selector]));
        found.as_str().unwrap().to_owned()
    }

    /// The texts of all elements that match a selector.
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        let body =
            "return [...document.querySelectorAll(arguments[0])].map((found) => found.innerText.trim());";
        serde_json::from_value(self.run(body, &json!([selector]))).unwrap()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&self, expression: &str) {
        let began = Instant::now();
        while !self.value(&format!("Boolean({expression})")).as_bool().unwrap() {
            if began.elapsed() > PATIENCE {
                self.shoot("waited-too-long");
                panic!("waited too long for {expression}; the page shows:\n{}", self.text("body"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the text of an element contains the given text.
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) {
        let [selector, text] = [selector, text].map(|text| Value::from(text).to_string());
        self.wait_for(&format!("document.querySelector({selector})?.innerText.includes({text})"));
    }

    /// Waits for an element, and clicks it with the mouse.
    pub(crate) fn click(&self, selector: &str) {
        self.wait_for(&format!("document.querySelector({})", Value::from(selector)));
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Presses keys in the focused element, one after the other.
    pub(crate) fn press(&self, keys: impl IntoIterator<Item = char>) {
        let press = |key: char| [("keyDown", key), ("keyUp", key)];
        let press = |key| press(key).map(|(kind, key)| json!({ "type": kind, "value": key.to_string() }));
        let presses: Vec<Value> = keys.into_iter().flat_map(press).collect();
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": presses }] }),
        );
    }

    /// Types a text into the focused element.
    pub(crate) fn enter(&self, text: &str) {
        self.press(text.chars());
    }

    /// The messages on the console.
    pub(crate) fn console(&self) -> Vec<String> {
        self.log("browser").iter().map(ToString::to_string).collect()
    }

    /// The addresses that the browser has requested since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        let messages = self.log("performance").into_iter();
        let messages = messages.map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap()["message"].clone()
        });
        let sent = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// Saves a screenshot as `target/screenshots/<name>.png`.
    pub(crate) fn shoot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        fs::create_dir_all(&folder).unwrap();
        let picture = self.devtools("Page.captureScreenshot", &json!({}));
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let Value::Array(entries) = self.post("/se/log", &json!({ "type": kind })) else {
            panic!("the driver returns a list");
        };
        entries
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.ask(Method::POST, path, body.to_string()).expect("chromedriver answers");
        let mut answer: Value = serde_json::from_slice(&text).unwrap();
        assert!(status.is_success(), "{path}: {:#}", answer["value"]);
        answer["value"].take()
    }

    fn ask(&self, method: Method, path: &str, body: String) -> Result<(StatusCode, Bytes), Box<dyn Error>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let asked = async {
            let stream = TcpStream::connect(&self.host).await?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let (head, body) = sender.send_request(request).await?.into_parts();
            let text = body.collect().await?.to_bytes();
            connection.abort();
            Ok((head.status, text))
        };
        self.runtime.block_on(async { timeout(2 * PATIENCE, asked).await })?
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Close the session first. If only the driver is killed, the browser continues to run.
        let _ = self.ask(Method::DELETE, "", String::new());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Reads the port that the driver reports at its start.
fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
    let message =
        lines.find(|line| line.contains("started successfully on port")).expect("chromedriver starts");
    // Keep reading the pipe, because a full pipe would block the driver.
    thread::spawn(move || lines.for_each(drop));
    message.rsplit(' ').next().unwrap().trim_end_matches('.').parse().unwrap()
}

/// The source of axe-core, a script that finds accessibility violations. `None` if it is not installed.
pub(crate) fn axe() -> Option<String> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/axe-core/axe.min.js");
    let path = env::var_os("AXE_CORE").map_or(installed, PathBuf::from);
    let text = fs::read_to_string(&path);
    if text.is_err() {
        println!(
            "skipped: {} is missing; run npm install axe-core, or set AXE_CORE to its path",
            path.display()
        );
    }
    text.ok()
}
