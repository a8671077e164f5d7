//! `candor bench`: latency, memory and work of a package on this device.

mod layers;
mod streaming;
mod watching;

use crate::ALLOCATOR;
use crate::commands::inspect::macs;
use crate::device;
use crate::exit::Failure;
use crate::input::RunOptions;
use candor::{Package, Roofs, Session};
use candor_core::golden;
use candor_core::package::Section;
use clap::Args;
use layers::Layer;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use streaming::Streamed;
use watching::Watching;

/// Frames run before measuring.
const WARM_UP: usize = 3;
/// Rounds of the roof's loop per run: milliseconds.
const ROOF_ROUNDS: usize = 300_000;
/// Runs of which the best is the roof.
const ROOF_RUNS: usize = 7;

/// Arguments of `bench`.
#[derive(Args)]
pub struct BenchArguments {
    /// Package file
    package: PathBuf,
    #[command(flatten)]
    options: RunOptions,
    /// Frames to measure
    #[arg(long, default_value_t = 30)]
    frames: usize,
    /// Also push frames by so many rows at a time, and say how much is left to do after the last
    #[arg(long)]
    rows: Option<usize>,
    /// Also say what watching a stream costs: the OOD verdict, statistics, drift and alerts
    #[arg(long)]
    watching: bool,
    /// Also time every step alone, over whole tensors, and say how near it comes to the device's roofs
    #[arg(long)]
    layers: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the golden input over and over.
pub fn bench(arguments: &BenchArguments) -> Result<ExitCode, Failure> {
    if arguments.frames == 0 || arguments.frames > 10_000_000 {
        return Err(Failure::usage("--frames must be 1..=10000000"));
    }
    let package = Package::open(&arguments.package)?;
    let options = arguments.options.session()?;
    let device = &arguments.options.device;
    let mut session =
        device::open(&package, &options, device).map_err(|error| error.at(arguments.package.display()))?;
    let inputs = golden_inputs(&session)?;
    let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let measured = measure(&mut session, &slices, arguments.frames)?;
    let layers = match arguments.layers {
        true => Some(layers::measure(&mut session, &slices)?),
        false => None,
    };
    let streamed = match arguments.rows {
        Some(rows) => Some(streaming::measure(&package, &options, device, rows, arguments.frames)?),
        None => None,
    };
    let watched = match arguments.watching {
        true => watching::measure(&package, &options, device, arguments.frames)?,
        false => None,
    };
    let figures = Figures {
        work: total_macs(&session)?,
        roofs: roofs(&mut session, options.threads)?,
        layers,
        weights_bytes: package.view()?.section(Section::Weights).map_or(0, <[u8]>::len),
        watched,
        streamed,
        measured,
    };
    if arguments.json {
        println!("{:#}", figures.document(&session, options.threads));
    } else {
        figures.print(arguments, &session, options.threads);
    }
    Ok(ExitCode::SUCCESS)
}

/// All that was measured.
struct Figures {
    measured: Measured,
    /// Multiply–accumulates of a frame.
    work: u64,
    /// Those of the device, or of all threads of this processor, whose memory is not measured.
    roofs: Option<Roofs>,
    layers: Option<Vec<Layer>>,
    weights_bytes: usize,
    streamed: Option<Streamed>,
    watched: Option<Watching>,
}

impl Figures {
    /// Milliseconds that a share of the frames took at most.
    fn at(&self, share: f64) -> f64 {
        let times = &self.measured.times;
        times[((times.len() - 1) as f64 * share).round() as usize]
    }

    /// 10⁹ multiply–accumulates per second of the median frame.
    fn rate(&self) -> f64 {
        self.work as f64 / self.at(0.5) / 1e6
    }

    fn document(&self, session: &Session<'_>, threads: usize) -> Value {
        let frames = self.measured.times.len();
        let (rate, roof) = (self.rate(), self.roofs.map(|roofs| roofs.products / 1e9));
        json!({
            "watching": self.watched.as_ref().map(|own| json!({
                "frame_ms": own.frame_ms,
                "ood_ms": own.ood_ms,
                "guard_ms": own.guard_ms,
                "share": own.share(),
                "state_bytes": own.guard_bytes,
                "calibrator_bytes": own.calibrator_bytes,
            })),
            "streamed": self.streamed.as_ref().map(|own| json!({
                "rows": own.rows,
                "frame_ms": own.frame_ms,
                "after_last_row_ms": own.tail_ms,
                "share": own.tail_ms / own.frame_ms,
                "arena_bytes": own.arena_bytes,
            })),
            "latency_ms": { "median": self.at(0.5), "min": self.at(0.0), "p99": self.at(0.99) },
            "peak_rss_bytes": self.measured.peak_resident_bytes,
            "arena_bytes": session.planned().arena_bytes(),
            "session_bytes": self.measured.session_bytes,
            "weights_bytes": self.weights_bytes,
            "allocations_per_frame": self.measured.allocations as f64 / frames as f64,
            "macs": self.work,
            "gmac_s": rate,
            "tier": session.tier().name(),
            "threads": threads,
            "roof_gmac_s": roof,
            "roof_fraction": roof.map(|roof| rate / roof),
            "layers": self.layers.as_ref().map(|own| layers::document(own, self.roofs.as_ref())),
            "frames": frames,
        })
    }

    fn print(&self, arguments: &BenchArguments, session: &Session<'_>, threads: usize) {
        let rate = self.rate();
        let share = self.roofs.map(|roofs| format!(" ({:.2} of the roof)", rate * 1e9 / roofs.products));
        let share = share.unwrap_or_default();
        println!(
            "{}: median {:.3} ms, min {:.3} ms, p99 {:.3} ms, {rate:.1} GMAC/s{share}, tier {}, {threads} \
             threads, arena {} bytes",
            arguments.package.display(),
            self.at(0.5),
            self.at(0.0),
            self.at(0.99),
            session.tier().name(),
            session.planned().arena_bytes(),
        );
        if let Some(own) = &self.layers {
            layers::print(own, self.roofs.as_ref());
        }
        if let Some(own) = &self.watched {
            println!(
                "watching: {:.2} % of a frame's time ({}{:.3} ms for statistics, drift and alerts), state of \
                 {} bytes",
                100.0 * own.share(),
                own.ood_ms.map(|ms| format!("{ms:.3} ms for the verdict, ")).unwrap_or_default(),
                own.guard_ms,
                own.guard_bytes,
            );
        }
        if let Some(own) = &self.streamed {
            println!(
                "by {} rows: {:.3} ms from the last row to the finished mask, {:.0} % of the {:.3} ms of a \
                 frame, arena {} bytes",
                own.rows,
                own.tail_ms,
                100.0 * own.tail_ms / own.frame_ms,
                own.frame_ms,
                own.arena_bytes,
            );
        }
    }
}

/// What the measured frames took.
struct Measured {
    /// Milliseconds of each frame, ascending.
    times: Vec<f64>,
    /// Allocations while they ran.
    allocations: usize,
    session_bytes: usize,
    /// Peak resident set when they had run, before other sessions are measured beside this one.
    peak_resident_bytes: Option<u64>,
}

/// Codes of every input, planar, as golden sections have them.
fn golden_inputs(session: &Session<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    let plan = session.plan();
    let mut inputs = Vec::new();
    for index in 0..plan.inputs() {
        let layout = plan.tensor(index).map_err(candor::Error::from)?.layout;
        let count = layout.height * layout.width * layout.channels;
        inputs.push((0..count).map(|at| golden::input_code(1, at, layout.width)).collect());
    }
    Ok(inputs)
}

/// Runs `frames` frames after a few that are not counted.
fn measure(session: &mut Session<'_>, inputs: &[&[u8]], frames: usize) -> Result<Measured, Failure> {
    let plan = *session.plan();
    let mut times = Vec::with_capacity(frames);
    for _ in 0..WARM_UP {
        session.run_codes(inputs, &mut ())?;
    }
    let before = ALLOCATOR.stats().allocations;
    for _ in 0..frames {
        let start = Instant::now();
        session.run_codes(inputs, &mut ())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let allocations = ALLOCATOR.stats().allocations - before;
    times.sort_by(f64::total_cmp);
    let output = plan.tensor(plan.output()).map_err(candor::Error::from)?.layout;
    let session_bytes = session.bytes([output.height, output.width]);
    Ok(Measured { times, allocations, session_bytes, peak_resident_bytes: peak_resident_bytes() })
}

/// Multiply–accumulates of one frame.
fn total_macs(session: &Session<'_>) -> Result<u64, candor::Error> {
    let plan = session.plan();
    let mut work = 0;
    for index in 0..plan.steps() {
        let step = plan.step(index)?;
        let (from, to) = (plan.tensor(step.inputs[0])?.layout, plan.tensor(step.output)?.layout);
        work += macs(&step.op, from.channels, to.channels * to.height * to.width);
    }
    Ok(work)
}

/// What the session's device does at most, measured here and now; of this processor the products alone, by
/// the best of several short runs. `None` where neither is known.
fn roofs(session: &mut Session<'_>, threads: usize) -> Result<Option<Roofs>, Failure> {
    if session.device() != "cpu" {
        return Ok(session.device_roofs()?);
    }
    let run = || {
        let start = Instant::now();
        let products = session.roof_products(ROOF_ROUNDS);
        products as f64 / start.elapsed().as_secs_f64()
    };
    let one = (0..ROOF_RUNS).map(|_| run()).fold(0.0, f64::max);
    Ok((one > 0.0).then_some(Roofs { products: one * threads as f64, bytes: f64::INFINITY }))
}

/// Peak resident set of this process, where the system tells (Linux).
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
