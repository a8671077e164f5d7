//! `candor demo`: the embedded package on generated frames, then on frames with faults, measured against
//! the truth.

mod measure;
mod report;
mod stream;
#[cfg(test)]
mod tests;

use crate::exit::Failure;
use candor::Package;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use stream::{GROUPS, Group, Outcome};

/// The default model; `models/cards/phantom.md` says what it is and how it was made.
pub(crate) const PACKAGE: &[u8] = include_bytes!("../../../../models/packages/phantom.candor");

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArguments {
    /// Directory for overlays and the report
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
pub fn demo(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let package = Package::load(PACKAGE)?;
    let overlays = arguments.out.join("overlays");
    std::fs::create_dir_all(&overlays)
        .map_err(|error| Failure::invalid(format!("{}: {error}", overlays.display())))?;
    let outcome = stream::run(&package)?;
    report::write_overlays(&outcome, &overlays)?;
    let page = arguments.out.join("report.html");
    candor_imaging::write::file(&page, report::page(&outcome)?.as_bytes())?;
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        let mut document = outcome.document();
        document["seconds"] = seconds.into();
        document["report"] = page.display().to_string().into();
        document["overlays"] = overlays.display().to_string().into();
        println!("{document:#}");
    } else {
        print_text(&outcome);
        println!(
            "\nreport    {}\noverlays  {}\ntook      {seconds:.1} s",
            page.display(),
            overlays.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// One line per group and the figures that matter.
fn print_text(outcome: &Outcome) {
    println!(
        "{} ({} KB), {} frames of {}x{}, {}, one thread\n",
        outcome.name,
        outcome.bytes.div_ceil(1000),
        outcome.records.len(),
        outcome.extent[1],
        outcome.extent[0],
        outcome.tier
    );
    println!(
        "frames  what arrives         Dice lung  nodule   confidence  in nodule   \
         OOD score  alerts  reasons, calibration"
    );
    for group in &GROUPS {
        print_group(outcome, group);
    }
    let clean = outcome.alert_rate(|record| record.group.fault.is_none());
    let faulty = outcome.alert_rate(|record| record.group.fault.is_some());
    let percent = |rate: Option<f64>| rate.map_or("-".to_string(), |rate| format!("{:.0} %", 100.0 * rate));
    println!(
        "\nalerts         {} of clean frames (stated rate {:.0} %), {} of faulty ones; score limit {:.2}",
        percent(clean),
        100.0 * outcome.alpha,
        percent(faulty),
        outcome.threshold
    );
    println!(
        "calibration    ECE {} on clean pixels, {} on those of lung and nodule",
        shown(outcome.reliability.expected_error(), 4),
        shown(outcome.foreground_reliability.expected_error(), 4)
    );
    println!(
        "latency        {} ms a frame (median)",
        shown(measure::median(outcome.of(|_| true, |r| Some(r.latency_ms))), 2)
    );
}

fn print_group(outcome: &Outcome, group: &'static Group) {
    let own = |record: &stream::Record| record.group.name == group.name;
    let mean = |of: fn(&stream::Record) -> Option<f64>| shown(measure::mean(outcome.of(own, of)), 3);
    let alerts = outcome.records.iter().filter(|r| own(r) && r.alert()).count();
    let void = if alerts == 0 { String::new() } else { format!(", void on {alerts}") };
    println!(
        "{:>6}  {:<19}  {:>9}  {:>6}  {:>10}  {:>9}  {:>10}  {:>6}  {}{void}",
        group.frames,
        group.name,
        mean(|r| r.dice[1]),
        mean(|r| r.dice[2]),
        mean(|r| Some(r.confidence)),
        mean(|r| r.nodule_confidence),
        shown(measure::median(outcome.of(own, |r| r.score())), 2),
        format!("{alerts}/{}", group.frames),
        outcome.reasons(own).join(" "),
    );
}

/// A figure with so many decimals, or a dash.
fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or("-".to_string(), |value| format!("{value:.decimals$}"))
}
