//! `candor stream`: frames as they come, judged against a deadline, recorded, and open to be looked at.

mod deadline;
mod eyes;
mod lessons;
mod lifeline;
mod recorder;
mod results;
mod signals;

use crate::device;
use crate::exit::{ALERT, Failure};
use crate::input::{RunOptions, hex};
use crate::source::{self, Pace, Pump, Specification};
use candor::Package;
use candor::checkpoint::{self, Keeper, Restored};
use candor::drift::{DriftSettings, WARMUP_MIN};
use candor::record::{Head, Record, RecordOptions};
use candor::stream::clock::{Clock, SystemClock};
use candor::stream::event::{Event, StateOrigin, StopCause};
use candor::stream::guard::{Guard, SERIES};
use candor::stream::ledger::Ledger;
use candor::stream::state::StreamState;
use candor::stream::{LatePolicy, Ring, Step, Stream, StreamOptions, state_bytes};
use clap::Args;
use eyes::Eyes;
use lessons::Lessons;
use lifeline::Lifeline;
use recorder::Recorder;
use results::Results;
use signals::Signals;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time that a step waits for a frame before it looks around.
const STEP: Duration = Duration::from_millis(100);

/// Arguments of `stream`.
#[derive(Args)]
pub struct StreamArguments {
    /// Package file
    package: PathBuf,
    /// dir:PATH, raw:- (with --frame), y4m:-, or phantom: with settings, such as
    /// phantom:seed=7,gain=1.5@100..200
    #[arg(long)]
    source: String,
    /// Format of raw frames: WIDTHxHEIGHT:SAMPLE with @RATE or without; SAMPLE is gray8, gray16le, rgb8 or
    /// gray32f
    #[arg(long)]
    frame: Option<String>,
    /// Frames a second; live (as they come); or follow (as fast as they are processed, none superseded).
    /// Pipes are live and other sources follow unless told otherwise
    #[arg(long)]
    rate: Option<String>,
    /// End after so many frames
    #[arg(long)]
    frames: Option<u64>,
    /// Greatest age of a finding in milliseconds; the profile's by default, 0 for none
    #[arg(long)]
    deadline: Option<f64>,
    /// Device profile whose deadline and memory apply: linux-box, jetson-orin-nano, or a file
    #[arg(long)]
    profile: Option<String>,
    /// What is done with a finding after its deadline: withhold or deliver
    #[arg(long, default_value = "withhold")]
    late: String,
    /// Seconds without a frame after which the source counts as stalled
    #[arg(long, default_value_t = 2.0)]
    stall: f64,
    /// Append events to this hash-chained log
    #[arg(long)]
    events: Option<PathBuf>,
    /// Close a segment of the log at this size
    #[arg(long, default_value = "16MiB")]
    segment: String,
    /// Close a segment of the log after so many hours
    #[arg(long, default_value_t = 24.0)]
    segment_hours: f64,
    /// Closed segments to keep; 0 keeps all
    #[arg(long, default_value_t = 0)]
    keep_segments: usize,
    /// Keep the state in this folder and go on from it
    #[arg(long)]
    state: Option<PathBuf>,
    /// Frames that show what is normal before drift is watched for
    #[arg(long, default_value_t = 2000)]
    warmup: u32,
    /// Serve a page that shows the stream, such as 127.0.0.1:8080
    #[arg(long)]
    view: Option<String>,
    /// Serve Prometheus metrics, such as 127.0.0.1:9100
    #[arg(long)]
    metrics: Option<String>,
    /// Allow --view and --metrics on an address that other machines can reach; nothing is encrypted
    #[arg(long)]
    expose: bool,
    /// Write masks and confidence of processed frames to this folder, named by frame number
    #[arg(long)]
    out: Option<PathBuf>,
    /// Learn from corrected masks in this folder, named by frame number; 255 marks pixels without a label
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Findings that are remembered for corrected masks
    #[arg(long, default_value_t = 64)]
    remember: usize,
    /// A supervisor's line: unix:PATH, tcp:ADDRESS or tty:PATH
    #[arg(long)]
    link: Option<String>,
    /// Let the supervisor go on after this stop, whose number it told
    #[arg(long, requires = "link")]
    acknowledge: Option<u32>,
    #[command(flatten)]
    options: RunOptions,
    /// Exit with 10 when an alert was raised that is more than a notice
    #[arg(long)]
    fail_on_alert: bool,
    /// Print every event as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What went on before.
struct Past {
    guard: Guard,
    ledger: Ledger,
    head: Option<Head>,
    origin: StateOrigin,
    generation: u64,
}

/// Runs the stream until its source ends or a signal comes.
pub fn stream(arguments: &StreamArguments) -> Result<ExitCode, Failure> {
    let specification = source::parse(&arguments.source, arguments.frame.as_deref())?;
    let pace = pace(arguments.rate.as_deref(), &specification)?;
    let profile = deadline::profile(arguments.profile.as_deref())?;
    let options = stream_options(arguments, profile.as_ref())?;
    let package = Package::open(&arguments.package)?;
    let mut run = arguments.options.session()?;
    run.memory = run.memory.or(profile.as_ref().map(|profile| profile.memory_bytes));
    let device = &arguments.options.device;
    let session =
        device::open(&package, &run, device).map_err(|error| error.at(arguments.package.display()))?;
    let layout = session.plan().tensor(0).map_err(candor::Error::from)?.layout;
    let source = source::open(&specification, [layout.width, layout.height])?;
    let clock = SystemClock::default();
    let signals = Signals::catch()?;
    let classes = session.head().classes();
    let past = recall(arguments, &package, classes, &clock)?;
    let (recorder, ledger, rewound) = open_log(arguments, &past, &clock)?;
    let eyes = Eyes::open(arguments.view.as_deref(), arguments.metrics.as_deref(), arguments.expose)?;
    let results = Results::open(arguments.out.as_deref(), classes)?;
    let lessons = Lessons::open(arguments.labels.as_deref())?;
    let lifeline =
        Lifeline::open(&package, arguments.link.as_deref(), arguments.acknowledge, (&run, device), &clock)?;
    let tier = session.tier().name();
    let digest = hex(&package.digest()?);
    eyes.introduce(&session, &digest, options.deadline_us, run.memory)?;
    let mut stream = Stream::with_guard(session, options, recorder, past.guard, &clock);
    if let Some(folder) = &arguments.state {
        stream.keep_with(Keeper::new(folder, package.digest()?, past.generation, state_bytes(classes))?);
    }
    if arguments.labels.is_some() {
        stream.remember(arguments.remember.clamp(1, 4096));
    }
    let started = Event::Started {
        version: env!("CARGO_PKG_VERSION"),
        package: &digest,
        tier,
        source: specification.kind(),
        deadline_us: options.deadline_us,
        state: past.origin,
        seq: ledger.arrived,
        rewound,
    };
    stream.record(&started, &clock);
    let ring = Arc::new(Ring::continuing(ledger));
    let complete = Arc::new(AtomicBool::new(false));
    pump(Pump { source, pace, frames: arguments.frames }, &ring, clock, &complete)?;
    let mut ends = Ends { eyes, results, lessons, lifeline };
    let outcome = drive(&mut stream, &ring, &clock, &signals, &mut ends);
    let cause = match &outcome {
        Err(_) => StopCause::Failure,
        Ok(()) if signals.stop.load(Ordering::SeqCst) => StopCause::Signal,
        Ok(()) if complete.load(Ordering::SeqCst) => StopCause::FrameLimit,
        Ok(()) => StopCause::EndOfSource,
    };
    let ledger = stream.finish(&ring, &clock, cause);
    outcome?;
    conclude(arguments, &mut stream, &ledger)
}

/// Who is told of frames, and who tells of them.
struct Ends<'p> {
    eyes: Eyes,
    results: Results,
    lessons: Lessons,
    lifeline: Lifeline<'p>,
}

/// Steps through the stream.
fn drive(
    stream: &mut Stream<'_, Recorder>,
    ring: &Ring,
    clock: &SystemClock,
    signals: &Signals,
    ends: &mut Ends<'_>,
) -> Result<(), Failure> {
    let Ends { eyes, results, lessons, lifeline } = ends;
    loop {
        if signals.stop.load(Ordering::SeqCst) {
            return Ok(());
        }
        if signals.acknowledge.swap(false, Ordering::SeqCst) {
            stream.acknowledge(clock);
        }
        // What stands after the frame before: the frame itself is still being told of.
        let worst = stream.guard().alerts.worst();
        match stream.step(ring, clock, lifeline.patience(STEP))? {
            Step::Report(report) => {
                lifeline.tell(&report, worst, clock);
                eyes.show_frame(&report);
                results.write(&report);
            }
            Step::Idle => {}
            Step::Ended => return Ok(()),
        }
        if let Some(corrected) = lessons.next() {
            let truth = corrected.labels.as_ref().map_or(&[][..], |labels| labels.values());
            let used = stream.learn(corrected.sequence, truth, clock).is_ok();
            lessons.done(&corrected, used);
        }
        lifeline.beat(clock);
        eyes.show(stream, ring);
    }
}

/// What is printed at the end, and the exit code.
fn conclude(
    arguments: &StreamArguments,
    stream: &mut Stream<'_, Recorder>,
    ledger: &Ledger,
) -> Result<ExitCode, Failure> {
    let raised = stream.sink().raised();
    let head = stream.sink().close()?;
    if !arguments.json {
        println!(
            "{} frames: {} processed, {} superseded, {} rejected, {} late; longest run of misses {}",
            ledger.arrived,
            ledger.processed,
            ledger.superseded,
            ledger.rejected,
            ledger.late,
            ledger.longest_miss
        );
        if let Some(head) = head {
            println!("log: {} lines, last chain value {}", head.lines, hex(&head.link));
        }
    }
    Ok(if raised && arguments.fail_on_alert { ExitCode::from(ALERT) } else { ExitCode::SUCCESS })
}

fn pace(rate: Option<&str>, specification: &Specification) -> Result<Pace, Failure> {
    match rate {
        None if specification.is_live() => Ok(Pace::Live),
        None | Some("follow") => Ok(Pace::Follow),
        Some("live") => Ok(Pace::Live),
        Some(text) => {
            let rate = text.parse().ok().filter(|rate| (0.001..=100_000.0).contains(rate));
            rate.map(Pace::Rate).ok_or_else(|| {
                Failure::usage(format!("'{text}' is no rate; write frames a second, live or follow"))
            })
        }
    }
}

fn stream_options(
    arguments: &StreamArguments,
    profile: Option<&deadline::Profile>,
) -> Result<StreamOptions, Failure> {
    let deadline_ms = arguments.deadline.or(profile.map(|profile| profile.deadline_ms));
    if arguments.warmup < WARMUP_MIN {
        return Err(Failure::usage(format!("--warmup must be at least {WARMUP_MIN} frames")));
    }
    let sound = |value: f64| (0.0..=86_400_000.0).contains(&value);
    if !deadline_ms.is_none_or(sound) || !sound(arguments.stall * 1e3) {
        return Err(Failure::usage("--deadline and --stall must be times of at most a day"));
    }
    let late = match arguments.late.as_str() {
        "withhold" => LatePolicy::Withhold,
        "deliver" => LatePolicy::Deliver,
        other => {
            return Err(Failure::usage(format!("--late is withhold or deliver, not '{other}'")));
        }
    };
    Ok(StreamOptions {
        deadline_us: deadline_ms.filter(|ms| *ms > 0.0).map(|ms| (ms * 1e3) as u64),
        late,
        stall_ms: (arguments.stall * 1e3) as u64,
        fall_back: profile.is_some_and(|profile| profile.devices.iter().any(|device| device == "cpu")),
        ..StreamOptions::default()
    })
}

/// The state that a former run left, or a fresh one.
fn recall(
    arguments: &StreamArguments,
    package: &Package,
    classes: usize,
    clock: &SystemClock,
) -> Result<Past, Failure> {
    let settings = DriftSettings { warmup: arguments.warmup, ..DriftSettings::new(SERIES.len()) };
    let now_ms = clock.monotonic_ns() / 1_000_000;
    let Some(folder) = &arguments.state else {
        let guard = Guard::new(&settings, classes, now_ms)?;
        let (ledger, origin) = (Ledger::default(), StateOrigin::Fresh);
        return Ok(Past { guard, ledger, head: None, origin, generation: 0 });
    };
    let Restored { payload, generation, origin } = checkpoint::restore(folder, &package.digest()?)?;
    let fresh = |origin| -> Result<Past, Failure> {
        let guard = Guard::new(&settings, classes, now_ms)?;
        Ok(Past { guard, ledger: Ledger::default(), head: None, origin, generation })
    };
    if matches!(origin, StateOrigin::Fresh | StateOrigin::Lost) {
        return fresh(origin);
    }
    match StreamState::read(&payload, &settings, classes, now_ms) {
        Ok(StreamState { ledger, head, guard }) => {
            Ok(Past { guard, ledger, head: Some(head), origin, generation })
        }
        Err(error) => {
            eprintln!("candor: {}: {error}; everything begins anew", folder.display());
            fresh(StateOrigin::Lost)
        }
    }
}

/// Opens the log and brings the counts to where it ends. Also the number of frames that the log knows of
/// and the state does not.
fn open_log(
    arguments: &StreamArguments,
    past: &Past,
    clock: &SystemClock,
) -> Result<(Recorder, Ledger, u64), Failure> {
    let mut ledger = past.ledger;
    let Some(path) = &arguments.events else {
        return Ok((Recorder::new(None, arguments.json), ledger, 0));
    };
    let hours = arguments.segment_hours;
    if !(hours > 0.0 && hours <= 1e6) {
        return Err(Failure::usage("--segment-hours must be above 0 and at most 1000000"));
    }
    let options = RecordOptions {
        segment_bytes: crate::input::bytes(&arguments.segment)? as u64,
        segment_age_ms: (hours * 3_600_000.0) as u64,
        keep: arguments.keep_segments,
    };
    let (wall_ms, now_ms) = (clock.wall_ms(), clock.monotonic_ns() / 1_000_000);
    let (record, found) = Record::open(path, options, past.head.filter(|h| h.lines > 0), wall_ms, now_ms)?;
    let rewound = found.frames.saturating_sub(ledger.arrived);
    // A number is never given twice; what became of those frames stands in the log.
    ledger.lose(rewound);
    Ok((Recorder::new(Some(record), arguments.json), ledger, rewound))
}

/// Starts the source on a thread of its own. It is not waited for: it may be inside a read that never ends.
fn pump(pump: Pump, ring: &Arc<Ring>, clock: SystemClock, complete: &Arc<AtomicBool>) -> Result<(), Failure> {
    let (ring, complete) = (Arc::clone(ring), Arc::clone(complete));
    std::thread::Builder::new()
        .name("source".into())
        .spawn(move || pump.run(&ring, &clock, &complete))
        .map(|_| ())
        .map_err(|error| Failure::invalid(format!("no thread for the source: {error}")))
}
