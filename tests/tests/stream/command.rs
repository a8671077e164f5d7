//! The binary as a user runs it, with a log and a state in a folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use candor_tests::{binaries, workspace_root};
use serde_json::Value;

/// A folder with a log and a state.
pub struct Place {
    folder: tempfile::TempDir,
}

/// A stream that runs.
pub struct Running {
    pub child: Child,
    /// What it prints, line by line.
    pub lines: Receiver<String>,
    reader: std::thread::JoinHandle<()>,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> PathBuf {
        self.path("events.jsonl")
    }

    /// `candor stream` on the embedded package with a log, a state and JSON on standard output; standard
    /// input is a pipe. `limit` is a limit of the size of files, in KiB.
    pub fn command(&self, limit: Option<u32>, arguments: &[&str]) -> Command {
        let package = workspace_root().join("models/packages/phantom.candor");
        let candor = binaries::binary("candor");
        let mut command = match limit {
            None => Command::new(candor),
            Some(kib) => {
                let mut shell = Command::new("bash");
                shell.args(["-c", &format!("ulimit -S -f {kib}; exec \"$0\" \"$@\"")]).arg(candor);
                shell
            }
        };
        command.arg("stream").arg(package).arg("--json").arg("--events").arg(self.log());
        command.arg("--state").arg(self.path("state")).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, limit: Option<u32>, arguments: &[&str]) -> Running {
        let mut child = self.command(limit, arguments).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("it was asked for");
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            // A killed process may leave half a line, which nobody was promised.
            while stdout.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) && line.ends_with(b"\n") {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(text).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Running { child, lines, reader }
    }

    /// `candor log verify --json`, which must find nothing wrong.
    pub fn verified(&self) -> Value {
        let output = Command::new(binaries::binary("candor"))
            .args(["log", "verify", "--json"])
            .arg(self.log())
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&text).expect("it prints JSON")
    }

    /// Every line of the log over all segments, in order.
    pub fn lines(&self) -> Vec<Value> {
        let mut segments: Vec<PathBuf> = std::fs::read_dir(self.folder.path())
            .expect("the folder can be read")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| is_segment(path))
            .collect();
        segments.sort();
        segments.push(self.log());
        let texts = segments.iter().map(|path| std::fs::read_to_string(path).expect("it can be read"));
        let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.map(|line| serde_json::from_str(&line).expect("a line is JSON")).collect()
    }
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix("events.jsonl.").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Running {
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it was asked for")
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill starts");
        assert!(status.success(), "signal {name}");
    }

    /// Waits for its end; the exit code, what it printed and was not taken yet, and standard error.
    pub fn end(mut self) -> (Option<i32>, Vec<String>, String) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("it ends");
        self.reader.join().expect("it reads to the end");
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().expect("it was asked for");
        stderr.read_to_string(&mut errors).expect("it is text");
        (status.code(), self.lines.try_iter().collect(), errors)
    }
}

/// Runs to the end with `input` on standard input; every event that was printed.
pub fn events(place: &Place, arguments: &[&str], input: &[u8]) -> Vec<Value> {
    let mut running = place.start(None, arguments);
    let mut stdin = running.stdin();
    stdin.write_all(input).expect("it reads its input");
    drop(stdin);
    let (code, lines, errors) = running.end();
    assert_eq!(code, Some(0), "{errors}");
    lines.iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// How many events are called so.
pub fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["event"] == name).count()
}
