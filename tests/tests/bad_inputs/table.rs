//! The table under construction: a folder of sound files, commands run in it, and what each printed.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use candor_tests::binaries::binary;
use tempfile::TempDir;

use crate::{models, pictures};

/// How long a command may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);
/// Side of the frames and of the model, in pixels.
pub const SIDE: usize = 32;
/// Frames in `$DIR/frames`, each with a mask in `$DIR/masks`.
const FRAMES: usize = 24;

/// What a command printed, with the folder's own path replaced by `$DIR`.
pub struct Printed {
    pub stdout: String,
    pub stderr: String,
}

/// Rows gathered so far and what is wrong with them.
pub struct Table {
    folder: TempDir,
    text: String,
    rows: usize,
    faults: Vec<String>,
}

impl Table {
    /// A folder with `model.onnx`, `frames`, `masks` and the package `model.candor` made of them.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut table = Self { folder, text: String::new(), rows: 0, faults: Vec::new() };
        table.file("model.onnx", &models::sound());
        for index in 0..FRAMES {
            let (frame, mask) = pictures::scene(SIDE, index);
            table.file(&format!("frames/{index:02}.png"), &frame);
            table.file(&format!("masks/{index:02}.png"), &mask);
        }
        table.file("card.md", b"# Card\n");
        table.accepted(
            "candor-lab pack $DIR/model.onnx --images $DIR/frames --masks $DIR/masks --card $DIR/card.md \
             -o $DIR/model.candor",
        );
        table.expect_no_faults();
        table
    }

    /// The path of a file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the folder, and the folders above it.
    pub fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        let parent = path.parent().expect("files lie in the folder");
        std::fs::create_dir_all(parent).expect("the temporary folder can be written");
        std::fs::write(path, bytes).expect("the temporary folder can be written");
    }

    /// The bytes of the sound package.
    pub fn package(&self) -> Vec<u8> {
        std::fs::read(self.path("model.candor")).expect("the package was packed")
    }

    /// Runs a command in which `$DIR` stands for the folder; notes a panic, a hang or another exit code
    /// than `code`.
    pub fn run(&mut self, command: &str, code: i32) -> Printed {
        let folder = self.folder.path().display().to_string();
        let mut words = command.split_whitespace().map(|word| word.replace("$DIR", &folder));
        let program = binary(&words.next().unwrap_or_default());
        let outputs = [self.path(".stdout"), self.path(".stderr")];
        let sink = |path: &PathBuf| Stdio::from(File::create(path).expect("an output can be kept"));
        let mut child = Command::new(program)
            .args(words)
            .env_remove("CANDOR_TIER")
            .stdin(Stdio::null())
            .stdout(sink(&outputs[0]))
            .stderr(sink(&outputs[1]))
            .spawn()
            .expect("the binary starts");
        let start = Instant::now();
        let status = loop {
            match child.try_wait().expect("the child can be waited for") {
                Some(status) => break status.code(),
                None if start.elapsed() > PATIENCE => {
                    // It may have ended by itself in between; then there is nothing to end.
                    let _ = child.kill();
                    child.wait().expect("the child can be waited for");
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let [stdout, stderr] = outputs.map(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace(&folder, "$DIR")
        });
        if status != Some(code) {
            self.faults.push(format!("{command}: exit {status:?} instead of {code}: {stderr}{stdout}"));
        }
        if stderr.contains("panicked") {
            self.faults.push(format!("{command}: {stderr}"));
        }
        Printed { stdout, stderr }
    }

    /// A row: the command must fail with `code` and say where.
    pub fn refused(&mut self, code: i32, command: &str) {
        let Printed { stdout, stderr } = self.run(command, code);
        // A failed self-test is a finding, so it stands on stdout.
        let said = if code == 6 { stdout } else { stderr };
        let input = command.split_whitespace().any(|word| word.starts_with("$DIR"));
        if said.trim().is_empty() || (code == 3 && input && !said.contains("$DIR/")) {
            self.faults.push(format!("{command}: the place is not named: {said}"));
        }
        self.rows += 1;
        self.text += &format!("{command}\n  exit {code}\n");
        for line in said.lines().filter(|line| !line.trim().is_empty()) {
            self.text += &format!("  {line}\n");
        }
        self.text.push('\n');
    }

    /// A row of `candor-lab check` on an ONNX file of that name and content.
    pub fn model(&mut self, name: &str, bytes: &[u8]) {
        self.file(&format!("{name}.onnx"), bytes);
        self.refused(3, &format!("candor-lab check $DIR/{name}.onnx"));
    }

    /// A row of `candor VERB` on a package of that name and content.
    pub fn damaged_package(&mut self, verb: &str, name: &str, bytes: &[u8]) {
        self.file(&format!("{name}.candor"), bytes);
        let input = if verb == "run" { " $DIR/frames/03.png" } else { "" };
        self.refused(3, &format!("candor {verb} $DIR/{name}.candor{input}"));
    }

    /// A row of `candor run` with a frame file of that name and content.
    pub fn frame(&mut self, name: &str, bytes: &[u8]) {
        self.file(name, bytes);
        self.refused(3, &format!("candor run $DIR/model.candor $DIR/{name}"));
    }

    /// The command must succeed.
    pub fn accepted(&mut self, command: &str) {
        self.run(command, 0);
        self.expect_no_faults();
    }

    /// Fails with every fault at once.
    pub fn expect_no_faults(&self) {
        assert!(self.faults.is_empty(), "{} faults\n{}", self.faults.len(), self.faults.join("\n"));
    }

    /// The text and the number of rows.
    pub fn finish(self) -> (String, usize) {
        self.expect_no_faults();
        (self.text, self.rows)
    }
}
