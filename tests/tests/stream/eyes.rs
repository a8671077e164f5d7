//! Metrics and the page of a running stream, asked as a browser asks, and shown by one where there is one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use candor_tests::require;
use serde_json::Value;

use crate::command::Place;

fn get(address: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("the request is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head and a body") + 4;
    let body = answer.split_off(end);
    let head = String::from_utf8_lossy(&answer);
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    assert!(head.contains("Content-Security-Policy: default-src 'self'\r\n"), "{head}");
    body
}

/// Asks again until the answer is there.
fn get_eventually(address: &str, path: &str, is_ready: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    for _ in 0..1200 {
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("the request is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        if answer.starts_with(b"HTTP/1.1 200") && is_ready(&answer) {
            return get(address, path);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{path} is never ready");
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn metrics_and_page_show_the_stream() {
    let place = Place::new();
    let source = "phantom:pool=6,inverted@40..100000,nan@3";
    let arguments = ["--source", source, "--rate", "60", "--view", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    let mut child = place.command(None, &arguments).stdout(Stdio::null()).spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it was asked for"));
    let mut address = || {
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says where");
        let rest = line.split_once("http://").unwrap_or_else(|| panic!("{line}")).1;
        rest.split('/').next().unwrap_or_default().trim().to_owned()
    };
    let (view, metrics) = (address(), address());
    get_eventually(&view, "/state.json", |body| {
        String::from_utf8_lossy(body).contains(r#""reason":"out-of-distribution","standing":"active""#)
    });
    // A slow machine supersedes most frames: the counts below are asked for once enough are processed.
    let many = |body: &[u8]| value(&String::from_utf8_lossy(body), "candor_engine_seconds_count") > 30.0;
    get_eventually(&metrics, "/metrics", many);
    for picture in ["/overlay.png", "/confidence.png"] {
        let body = get_eventually(&view, picture, |_| true);
        let frame = png::Decoder::new(std::io::Cursor::new(&body)).read_info().expect("a picture");
        assert_eq!((frame.info().width, frame.info().height), (160, 120));
    }
    let state: Value = serde_json::from_slice(&get(&view, "/state.json")).expect("it is JSON");
    let points = &state["points"];
    assert!(points["seq"].as_array().is_some_and(|all| all.len() > 30), "{state}");
    assert_eq!(state["counts"]["reconciles"], true);
    assert_eq!(state["counts"]["validity"], "void");
    let text = String::from_utf8(get(&metrics, "/metrics")).expect("it is text");
    let settled: f64 = ["processed", "superseded", "rejected", "late"]
        .iter()
        .map(|name| value(&text, &format!("candor_frames_total{{disposition=\"{name}\"}}")))
        .sum();
    let arrived = value(&text, "candor_frames_arrived_total");
    assert!(arrived - settled <= 2.0 && arrived > 40.0, "{text}");
    assert_eq!(value(&text, "candor_ledger_reconciles"), 1.0);
    assert!(value(&text, "candor_engine_seconds_count") > 30.0);
    assert_eq!(value(&text, "candor_alert_active{reason=\"out-of-distribution\"}"), 1.0);
    let found = Command::new("chromium").arg("--version").output();
    if require("chromium", found.map_err(|error| format!("chromium does not start ({error})"))).is_some() {
        photograph(&place, &view);
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// Lets a browser without a network but this machine's show the page; both pictures must be drawn.
fn photograph(place: &Place, view: &str) {
    let picture = place.path("page.png");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,1000"])
        .args(["--virtual-time-budget=6000", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"])
        .arg(format!("--user-data-dir={}", place.path("profile").display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("http://{view}/"))
        .output()
        .expect("it starts");
    let bytes = std::fs::read(&picture)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    if let Some(copy) = std::env::var_os("CANDOR_SCREENSHOT") {
        std::fs::write(copy, &bytes).expect("the copy can be written");
    }
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().expect("a picture");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut pixels).expect("a picture");
    let channels = info.color_type.samples();
    let colours: std::collections::HashSet<&[u8]> = pixels[..info.buffer_size()].chunks(channels).collect();
    assert!(colours.len() > 200, "{} colours: the pictures are not drawn", colours.len());
}
