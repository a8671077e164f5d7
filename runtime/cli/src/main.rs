//! The `candor` binary that ships on a device: run packages over frames and say how far to trust the
//! result.

mod commands;
mod device;
mod exit;
mod input;
mod source;

use clap::{Parser, Subcommand};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::process::ExitCode;

/// The system's allocator, counting, so that `bench` can say what a frame allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Parser)]
#[command(name = "candor", version, about = "Segments frames and says, for every pixel, how far to trust it")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the embedded package on generated frames, inject faults, and write overlays and a report
    ///
    /// Example: candor demo --out demo
    Demo(commands::demo::DemoArguments),
    /// Print what is inside a package: model, plan, bytes, calibration, OOD profile, digests
    ///
    /// Example: candor inspect nuclei.candor
    Inspect(commands::inspect::InspectArguments),
    /// Segment files: masks, confidence, overlays and findings
    ///
    /// Example: candor run nuclei.candor frames/ --out results
    Run(commands::run::RunArguments),
    /// Segment frames as they come: against a deadline, with drift and alerts, recorded, open to be looked at
    ///
    /// Example: candor stream nuclei.candor --source phantom:seed=7 --rate 30 --view 127.0.0.1:8080
    ///
    /// Example: ffmpeg -i in.mkv -f yuv4mpegpipe - | candor stream nuclei.candor --source y4m:-
    Stream(Box<commands::stream::StreamArguments>),
    /// Check the event log of a stream, offline
    ///
    /// Example: candor log verify events.jsonl
    Log(commands::log::LogArguments),
    /// Measure latency, memory and how near the machine's integer roof a package runs
    ///
    /// Example: candor bench nuclei.candor --threads 1 --frames 50
    Bench(commands::bench::BenchArguments),
    /// Check a package's golden vectors on this device
    ///
    /// Example: candor selftest nuclei.candor --tier avx2
    Selftest(commands::selftest::SelftestArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.verb {
        Verb::Demo(arguments) => commands::demo::demo(&arguments),
        Verb::Inspect(arguments) => commands::inspect::inspect(&arguments),
        Verb::Run(arguments) => commands::run::run(&arguments),
        Verb::Stream(arguments) => commands::stream::stream(&arguments),
        Verb::Log(arguments) => commands::log::log(&arguments),
        Verb::Bench(arguments) => commands::bench::bench(&arguments),
        Verb::Selftest(arguments) => commands::selftest::selftest(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("candor: {failure}");
            failure.code()
        }
    }
}
