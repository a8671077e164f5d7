//! The supervisor's binary: what it needs, that it is always the same, and that it stops a box over a line.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use candor::{Package, Session, SessionOptions, StepDigests};
use candor_core::digest::short;
use candor_core::golden;
use candor_core::link::{
    Calibration, Finding, Frame, Message, Received, Receiver, Refusal, VERSION, WIRE_BYTES_MAX,
};
use candor_tests::workspace_root;

use crate::board::{self, BOARDS, Build};
use crate::stack;

/// The budget.
const FLASH_MAX: usize = 16 << 10;
const RAM_MAX: usize = 1 << 10;
/// What the stack may take, as the linker is told.
const STACK_KIB: &str = "4";
/// A processor's own push at an interrupt, floating-point registers included.
const INTERRUPT_BYTES: usize = 104;
/// How late a frame may be: an emulator's clock stands still and catches up with this machine's.
const STALE_US: u64 = 60_000_000;
/// Questions that the supervisor may ask.
const SEEDS: [u32; 4] = [3, 14, 15, 92];

/// The first eight bytes of the digest that the embedded package gives for the golden input of a seed.
fn answer(package: &Package, seed: u32) -> u64 {
    let mut session = Session::new(package, &SessionOptions::default()).expect("the package runs here");
    let layout = session.plan().tensor(0).expect("an input").layout;
    let count = layout.height * layout.width * layout.channels;
    let codes: Vec<u8> = (0..count).map(|at| golden::input_code(seed, at, layout.width)).collect();
    let mut digests = StepDigests::new(session.plan()).expect("the plan was parsed");
    session.run_codes(&[&codes], &mut digests).expect("the frame runs");
    short(digests.finish().1.expect("an output"))
}

fn phantom() -> Package {
    Package::open(&workspace_root().join("models/packages/phantom.candor")).expect("the package is sound")
}

/// The file that tells the binary what its box must run.
fn contract(folder: &Path, package: u64, tiles: &[(u32, u64)], hang_at_us: Option<u64>) -> PathBuf {
    let tiles: Vec<String> =
        tiles.iter().map(|(seed, digest)| format!("Tile {{ seed: {seed}, digest: {digest} }}")).collect();
    let text = format!(
        "pub const PACKAGE: u64 = {package};\npub static TILES: [Tile; {}] = [{}];\n\
         pub const HANG_AT_US: Option<u64> = {hang_at_us:?};\npub const STALE_US: u64 = {STALE_US};\n",
        tiles.len(),
        tiles.join(", ")
    );
    let file = folder.join("supervisor.rs");
    std::fs::write(&file, text).expect("the folder can be written");
    file
}

/// The supervisor of the embedded package: the binary, the package's name on the line, seeds and right
/// answers.
pub fn build(folder: &Path, hang_at_us: Option<u64>) -> (Build, u64, Vec<(u32, u64)>) {
    let package = phantom();
    let digest = short(package.view().expect("a package").digest());
    let tiles: Vec<(u32, u64)> = SEEDS.iter().map(|&seed| (seed, answer(&package, seed))).collect();
    let file = contract(folder, digest, &tiles, hang_at_us);
    let settings = [("CANDOR_SUPERVISOR", file.to_str().expect("a plain path")), ("CANDOR_STACK", STACK_KIB)];
    (Build::with_profile(&BOARDS[0], "supervisor", "supervisor", &settings), digest, tiles)
}

#[test]
fn the_supervisor_fits_its_budget_and_its_stack_is_bounded() {
    if board::tools().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (build, ..) = build(folder.path(), None);
    let (flash, ram) = (build.flash_bytes(), build.ram_bytes());
    let (main, way) = stack::bound(&build.elf, "Reset");
    let (warning, _) = stack::bound(&build.elf, "NonMaskableInt");
    let stack = main + INTERRUPT_BYTES + warning;
    println!("supervisor on {}: flash {flash}, static RAM {ram}, stack at most {stack}", BOARDS[0].name);
    println!("  deepest: {}", way.join(" > "));
    assert!(flash <= FLASH_MAX && ram <= RAM_MAX, "flash {flash}, static RAM {ram}");
    assert!(stack <= STACK_KIB.parse::<usize>().expect("a number") << 10, "stack {stack}");
}

#[test]
fn another_directory_builds_the_same_supervisor() {
    if board::tools().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (here, ..) = build(folder.path(), None);
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let root = elsewhere.path().join("a folder of another name and length");
    board::copy_tree(&root);
    let file = folder.path().join("supervisor.rs");
    let settings = [("CANDOR_SUPERVISOR", file.to_str().expect("a plain path")), ("CANDOR_STACK", STACK_KIB)];
    let target = elsewhere.path().join("target");
    let there = Build::in_tree(&root, &target, &BOARDS[0], "supervisor", "supervisor", &settings);
    assert_eq!(here.image(), there.image(), "the binary depends on where it is built");
}

/// QEMU with the supervisor, and the box's end of the line.
struct Line {
    qemu: Child,
    stream: UnixStream,
    receiver: Receiver,
    sequence: u32,
    frame_id: u64,
    start: Instant,
    package: u64,
    tiles: Vec<(u32, u64)>,
    closed: bool,
    cause: u8,
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Line {
    fn open(folder: &Path, build: &Build, package: u64, tiles: Vec<(u32, u64)>, clock: &[&str]) -> Self {
        let socket = folder.join("line");
        let serial = format!("socket,id=line,path={},server=on,wait=on", socket.display());
        let log = format!("file:{}", folder.join("log").display());
        let qemu = Command::new("qemu-system-arm")
            .args(["-machine", BOARDS[0].name, "-display", "none", "-monitor", "none", "-chardev", &serial])
            .args(clock)
            .args(["-serial", "chardev:line", "-serial", &log, "-kernel"])
            .arg(&build.elf)
            .spawn()
            .expect("QEMU starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "QEMU opens no line: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        stream.set_nonblocking(true).expect("a socket");
        let (receiver, start) = (Receiver::new(), Instant::now());
        Self {
            qemu,
            stream,
            receiver,
            sequence: 0,
            frame_id: 0,
            start,
            package,
            tiles,
            closed: false,
            cause: 0,
        }
    }

    fn send(&mut self, message: Message) {
        self.sequence += 1;
        let time_us = self.start.elapsed().as_micros() as u64;
        let (version, package, frame_id) = (VERSION, self.package, self.frame_id);
        let frame = Frame { version, sequence: self.sequence, epoch: 1, package, frame_id, time_us, message };
        let mut wire = [0; WIRE_BYTES_MAX];
        let bytes = frame.encode(&mut wire).expect("every message fits");
        self.stream.write_all(bytes).expect("QEMU listens");
    }

    /// Hears what the supervisor says; answers, and acknowledges when told to.
    fn hear(&mut self, acknowledge: bool) {
        let mut bytes = [0; 1024];
        let Ok(count) = self.stream.read(&mut bytes) else { return };
        for &byte in &bytes[..count] {
            let frame = match self.receiver.push(byte) {
                Some(Ok(Received { frame, .. })) => frame,
                Some(Err(Refusal::Replay)) => {
                    // The supervisor was started again and counts from one.
                    self.receiver.restart();
                    continue;
                }
                _ => continue,
            };
            match frame.message {
                Message::Challenge { nonce, seed } => {
                    let digest = self.tiles.iter().find(|tile| tile.0 == seed).map_or(0, |tile| tile.1);
                    self.send(Message::Answer { nonce, digest });
                }
                Message::Status { closed, latch, cause } => {
                    (self.closed, self.cause) = (closed, cause);
                    if !closed && acknowledge {
                        self.send(Message::Acknowledge { latch });
                    }
                }
                _ => {}
            }
        }
    }

    /// A box at work for some time, or until `done`.
    fn work(&mut self, seconds: u64, acknowledge: bool, done: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            self.send(Message::Heartbeat);
            self.frame_id += 1;
            let finding =
                Finding { input: self.frame_id, output: 5, calibration: Calibration::Applied, worst: None };
            self.send(Message::Finding(finding));
            for _ in 0..10 {
                self.hear(acknowledge);
                std::thread::sleep(Duration::from_millis(4));
            }
            if done(self) {
                return true;
            }
        }
        false
    }

    /// Fails unless `change` stops the box for `cause`; `back` undoes it. A machine that is busy with other
    /// things may keep this side silent for too long, so a stop for silence is no answer yet.
    fn stops_for(&mut self, cause: u8, why: &str, change: &dyn Fn(&mut Self), back: &dyn Fn(&mut Self)) {
        for _ in 0..20 {
            assert!(
                self.work(60, true, |line| line.closed),
                "the interlock never closed, cause {}",
                self.cause
            );
            change(self);
            if cause == 3 {
                self.wait();
            } else {
                assert!(self.work(60, false, |line| !line.closed), "{why} is let through");
            }
            back(self);
            if self.cause == cause {
                return;
            }
            assert_eq!(self.cause, 3, "{why}");
        }
        panic!("{why}: this machine is too busy");
    }

    /// Silence until the supervisor says that it stopped.
    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.closed {
            self.hear(false);
            std::thread::sleep(Duration::from_millis(2));
            assert!(Instant::now() < end, "the interlock stays closed");
        }
    }
}

#[test]
fn a_box_on_the_line_is_let_through_and_each_fault_stops_it() {
    if board::tools().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (build, package, tiles) = build(folder.path(), None);
    let mut line = Line::open(folder.path(), &build, package, tiles, &board::UNHURRIED);
    line.stops_for(3, "silence", &|_| {}, &|_| {});
    let package = |line: &mut Line| line.package ^= 1;
    line.stops_for(9, "another package", &package, &package);
    let tiles = |line: &mut Line| line.tiles.iter_mut().for_each(|tile| tile.1 ^= 1 << 40);
    line.stops_for(16, "wrong answers", &tiles, &tiles);
}

#[test]
fn a_hanging_supervisor_is_reset_by_its_watchdog_and_remembers() {
    if board::tools().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (build, package, tiles) = build(folder.path(), Some(1_500_000));
    let mut line = Line::open(folder.path(), &build, package, tiles, &[]);
    let reset = |line: &Line| line.cause == 2;
    assert!(line.work(120, false, reset), "no reset after a hang; cause {}", line.cause);
    assert!(!line.closed);
}
