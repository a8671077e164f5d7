//! `candor bench`: latency, memory and work of a package on this device.

use crate::commands::inspect::macs;
use crate::exit::Failure;
use crate::input::RunOptions;
use candor::{Package, Session};
use candor_core::golden;
use candor_core::package::Section;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Frames run before measuring.
const WARM_UP: usize = 3;

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
    let mut session =
        Session::new(&package, &options).map_err(|error| error.at(arguments.package.display()))?;
    let plan = *session.plan();
    let mut inputs = Vec::new();
    for index in 0..plan.inputs() {
        let layout = plan.tensor(index).map_err(candor::Error::from)?.layout;
        let count = layout.height * layout.width * layout.channels;
        inputs.push((0..count).map(|at| golden::input_code(1, at, layout.width)).collect::<Vec<u8>>());
    }
    let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut work = 0;
    for index in 0..plan.steps() {
        let step = plan.step(index).map_err(candor::Error::from)?;
        let from = plan.tensor(step.inputs[0]).map_err(candor::Error::from)?.layout;
        let to = plan.tensor(step.output).map_err(candor::Error::from)?.layout;
        work += macs(&step.op, from.channels, to.channels * to.height * to.width);
    }
    let mut times = Vec::with_capacity(arguments.frames);
    for frame in 0..arguments.frames + WARM_UP {
        let start = Instant::now();
        session.run_codes(&slices, &mut ())?;
        if frame >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let document = json!({
        "latency_ms": { "median": at(0.5), "min": times[0], "p99": at(0.99) },
        "peak_rss_bytes": peak_resident_bytes(),
        "arena_bytes": session.planned().arena_bytes(),
        "weights_bytes": package.view()?.section(Section::Weights).map_or(0, <[u8]>::len),
        "macs": work,
        "gmac_s": work as f64 / at(0.5) / 1e6,
        "tier": session.tier().name(),
        "threads": options.threads,
        "frames": arguments.frames,
    });
    if arguments.json {
        println!("{document:#}");
    } else {
        println!(
            "{}: median {:.3} ms, min {:.3} ms, p99 {:.3} ms, {:.1} GMAC/s, tier {}, {} threads, \
             arena {} bytes",
            arguments.package.display(),
            at(0.5),
            times[0],
            at(0.99),
            work as f64 / at(0.5) / 1e6,
            session.tier().name(),
            options.threads,
            session.planned().arena_bytes(),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Peak resident set of this process, where the system tells (Linux).
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
