//! `candor stream` on this machine and the supervisor in QEMU on the other end of a socket: what goes wrong
//! with the box opens the interlock.
//!
//! `CANDOR_TRIES` sets how often each fault is tried.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candor::Package;
use candor_core::package::Section;
use candor_tests::binaries::binary;
use candor_tests::workspace_root;

use crate::board::{self, BOARDS};
use crate::{log, networks, supervisor};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(90);

/// Most stops for silence, in a row, where another cause is waited for.
const SILENCES_MAX: usize = 5;
/// The cause of a stop after which nothing was heard of the box.
const SILENCE: u8 = 3;

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(status.expect("kill starts").success());
    }
}

/// The supervisor in QEMU.
struct Guardian {
    _qemu: Process,
    elf: PathBuf,
    folder: PathBuf,
}

impl Guardian {
    fn start(folder: &Path) -> Self {
        let (build, ..) = supervisor::build(folder, None);
        let serial = format!("socket,id=line,path={},server=on,wait=off", folder.join("line").display());
        let log = format!("file:{}", folder.join("log").display());
        let qemu = Command::new("qemu-system-arm")
            .args(["-machine", BOARDS[0].name, "-display", "none", "-monitor", "none", "-chardev", &serial])
            .args(board::UNHURRIED)
            .args(["-serial", "chardev:line", "-serial", &log, "-kernel"])
            .arg(&build.elf)
            .spawn()
            .expect("QEMU starts");
        let own = Self { _qemu: Process(qemu), elf: build.elf, folder: folder.to_path_buf() };
        wait("the supervisor starts", || own.lines().iter().any(|line| line.starts_with("start ")));
        own
    }

    fn lines(&self) -> Vec<String> {
        log::decode(&self.elf, &std::fs::read(self.folder.join("log")).unwrap_or_default())
    }

    /// Stops and closings so far; the cause of the last stop.
    fn told(&self) -> (usize, usize, u8) {
        let lines = self.lines();
        let cause = |line: &String| line.split(' ').nth(3).and_then(|cause| cause.parse().ok());
        let stops: Vec<&String> = lines.iter().filter(|line| line.starts_with("stop ")).collect();
        let closings = lines.iter().filter(|line| line.starts_with("closed ")).count();
        (stops.len(), closings, stops.last().copied().and_then(cause).unwrap_or(0))
    }
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A box that streams `package` and lifts stop `latch`.
fn stream(guardian: &Guardian, package: &Path, source: &[&str], latch: usize) -> Process {
    let mut candor = Command::new(binary("candor"));
    candor.arg("stream").arg(package).args(source).args([
        "--threads",
        "1",
        "--acknowledge",
        &latch.to_string(),
    ]);
    candor.arg("--link").arg(format!("unix:{}", guardian.folder.join("line").display()));
    candor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Process(candor.spawn().expect("candor starts"))
}

const PHANTOM: [&str; 4] = ["--source", "phantom:seed=7", "--rate", "20"];
const STALLING: [&str; 4] = ["--source", "phantom:seed=7,stall=90@120..121", "--rate", "20"];

/// A box whose results are let through. A machine that stands still for a moment stops it too; then it is
/// started again.
fn closed(guardian: &Guardian, package: &Path, source: &[&str]) -> Process {
    let end = Instant::now() + PATIENCE;
    loop {
        let (stops, closings, _) = guardian.told();
        let process = stream(guardian, package, source, stops + 1);
        while Instant::now() < end {
            let now = guardian.told();
            if now.1 > closings && now.0 == stops {
                return process;
            }
            if now.0 > stops {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(Instant::now() < end, "the interlock never closed: {:?}", guardian.lines());
    }
}

/// Something that goes wrong with a box, and the cause for which the interlock must open.
struct Fault<'t> {
    name: &'static str,
    cause: u8,
    package: &'t Path,
    source: &'t [&'t str],
    /// What is done to a box whose results are let through; without it the box is wrong from the start.
    provoke: Option<&'t dyn Fn(&Process)>,
}

impl Fault<'_> {
    /// Tries it until the interlock opens for its cause; returns how often it opened for silence before that,
    /// because this machine stood still first.
    fn happens(&self, guardian: &Guardian) -> usize {
        let package = guardian.folder.join("package");
        for silences in 0..SILENCES_MAX {
            std::fs::copy(self.package, &package).expect("the folder can be written");
            let (process, stops) = match self.provoke {
                Some(provoke) => {
                    let process = closed(guardian, &package, self.source);
                    let stops = guardian.told().0;
                    provoke(&process);
                    (process, stops)
                }
                None => {
                    let stops = guardian.told().0;
                    (stream(guardian, &package, self.source, stops + 1), stops)
                }
            };
            wait(self.name, || guardian.told().0 > stops);
            drop(process);
            let cause = guardian.told().2;
            if cause == self.cause {
                return silences;
            }
            assert_eq!(cause, SILENCE, "{}: stopped for another cause", self.name);
        }
        panic!("{}: this machine stands still all the time", self.name);
    }
}

/// Flips a bit of sixteen weights of the decoder in a package file, and so in the memory of the process
/// that has it mapped. The OOD detector taps the encoder and sees nothing.
fn damage_weights(path: &Path) {
    let bytes = std::fs::read(path).expect("the package is there");
    let package = Package::load(&bytes).expect("it is sound");
    let view = package.view().expect("it is sound");
    let entry = view.entries().flatten().find(|entry| entry.section == Section::Weights).expect("weights");
    let place = entry.offset + entry.length / 4 * 3;
    let weights: Vec<u8> = bytes[place..place + 16].iter().map(|weight| weight ^ 0x40).collect();
    let mut file = OpenOptions::new().write(true).open(path).expect("the package is ours");
    file.seek(SeekFrom::Start(place as u64)).expect("the place is there");
    file.write_all(&weights).expect("the package is ours");
}

#[test]
fn what_goes_wrong_with_a_streaming_box_opens_the_interlock() {
    if board::tools().is_none() {
        return;
    }
    let tries = std::env::var("CANDOR_TRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    // Building it takes longer than anything is waited for.
    binary("candor");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guardian = Guardian::start(folder.path());
    let phantom = workspace_root().join("models/packages/phantom.candor");
    let other = folder.path().join("other");
    std::fs::write(&other, networks::unet8(32)).expect("the folder can be written");
    let kill = |process: &Process| process.signal("-KILL");
    let stop = |process: &Process| process.signal("-STOP");
    let damage = |_: &Process| damage_weights(&folder.path().join("package"));
    let nothing = |_: &Process| ();
    let fault = |name, cause, package, source, provoke| Fault { name, cause, package, source, provoke };
    let faults = [
        fault("a killed box", SILENCE, &*phantom, &PHANTOM[..], Some(&kill as &dyn Fn(&Process))),
        fault("a stopped box", SILENCE, &phantom, &PHANTOM, Some(&stop)),
        fault("flipped weights in memory", 16, &phantom, &PHANTOM, Some(&damage)),
        fault("another package", 9, &other, &PHANTOM, None),
        fault("a source that stands still", 12, &phantom, &STALLING, Some(&nothing)),
    ];
    let mut silences = 0;
    for _ in 0..tries {
        silences += faults.iter().map(|fault| fault.happens(&guardian)).sum::<usize>();
    }
    println!("{tries} tries of five faults; {silences} more stops because this machine stood still");
}

/// `CANDOR_TRAFFIC_SECONDS` sets how long it is watched: an hour was 3600.
#[test]
fn sound_traffic_leaves_the_interlock_closed() {
    if board::tools().is_none() {
        return;
    }
    let seconds =
        std::env::var("CANDOR_TRAFFIC_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    binary("candor");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guardian = Guardian::start(folder.path());
    let phantom = workspace_root().join("models/packages/phantom.candor");
    for silences in 0..SILENCES_MAX {
        let process = closed(&guardian, &phantom, &PHANTOM);
        let (begun, stops) = (Instant::now(), guardian.told().0);
        while guardian.told().0 == stops && begun.elapsed() < Duration::from_secs(seconds) {
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(process);
        let (now, _, cause) = guardian.told();
        if begun.elapsed() >= Duration::from_secs(seconds) {
            println!(
                "{seconds} s of sound traffic; {silences} stops because this machine stood still before"
            );
            return;
        }
        assert_eq!((now, cause), (stops + 1, SILENCE), "stopped after {:?}", begun.elapsed());
    }
    panic!("this machine stands still all the time");
}
