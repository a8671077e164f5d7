//! `candor selftest`: the golden vector on this device, first run and again after other frames.

use crate::device;
use crate::exit::{Failure, SELF_TEST};
use crate::input::{RunOptions, hex};
use candor::{Package, Session, StepDigests};
use candor_core::digest;
use candor_core::golden::{self, Golden};
use candor_core::package::Section;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Frames run between the two checks.
const FRAMES_BETWEEN: u32 = 8;

/// Arguments of `selftest`.
#[derive(Args)]
pub struct SelftestArguments {
    /// Package file
    package: PathBuf,
    #[command(flatten)]
    options: RunOptions,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the golden input, other inputs, and the golden input again.
pub fn selftest(arguments: &SelftestArguments) -> Result<ExitCode, Failure> {
    let package = Package::open(&arguments.package)?;
    let named = |error: candor::Error| error.at(arguments.package.display());
    let mut session =
        device::open(&package, &arguments.options.session()?, &arguments.options.device).map_err(named)?;
    let golden = session
        .package()
        .require(Section::Golden)
        .and_then(Golden::parse)
        .map_err(|error| named(error.into()))?;
    let first = check(&mut session, golden, golden.seed)?;
    for seed in 0..FRAMES_BETWEEN {
        let inputs = inputs(&session, golden.seed.wrapping_add(1 + seed))?;
        let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        session.run_codes(&slices, &mut ())?;
    }
    let again = check(&mut session, golden, golden.seed)?;
    let failure = first.or(again);
    let frame = if first.is_some() { "first" } else { "tenth" };
    if arguments.json {
        let document = json!({
            "passed": failure.is_none(),
            "tier": session.tier().name(),
            "steps": session.plan().steps(),
            "first_difference": failure
                .as_ref()
                .map(|(step, op)| json!({ "step": step, "op": op, "frame": frame })),
            "golden": hex(golden.output),
        });
        println!("{document:#}");
    } else if let Some((step, op)) = &failure {
        println!(
            "FAILED: the {frame} frame differs from step {step} ({op}) on, tier {}",
            session.tier().name()
        );
    } else {
        println!("passed: {} steps, tier {}", session.plan().steps(), session.tier().name());
    }
    Ok(if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::from(SELF_TEST) })
}

fn inputs(session: &Session<'_>, seed: u32) -> Result<Vec<Vec<u8>>, Failure> {
    let plan = session.plan();
    let mut inputs = Vec::new();
    for index in 0..plan.inputs() {
        let layout = plan.tensor(index).map_err(candor::Error::from)?.layout;
        let count = layout.height * layout.width * layout.channels;
        inputs.push((0..count).map(|at| golden::input_code(seed, at, layout.width)).collect());
    }
    Ok(inputs)
}

/// The first step that differs and its operator, or the output digest as step `steps`.
fn check(
    session: &mut Session<'_>,
    golden: Golden<'_>,
    seed: u32,
) -> Result<Option<(usize, &'static str)>, Failure> {
    let inputs = inputs(session, seed)?;
    let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut digests = StepDigests::new(session.plan()).map_err(candor::Error::from)?;
    session.run_codes(&slices, &mut digests)?;
    let (steps, output) = digests.finish();
    let differs = |&(index, digest): &(usize, [u8; 32])| golden.step(index) != Some(digest::short(digest));
    let seen = steps.iter().enumerate().filter_map(|(index, digest)| digest.map(|digest| (index, digest)));
    if let Some((step, _)) = seen.into_iter().find(differs) {
        let op = session.plan().step(step).map_err(candor::Error::from)?.op.name();
        return Ok(Some((step, op)));
    }
    let same = output.is_some_and(|output| output[..] == *golden.output);
    Ok((!same).then_some((session.plan().steps(), "output")))
}
