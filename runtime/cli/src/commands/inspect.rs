//! `candor inspect`: what is inside a package.

mod picture;

use crate::exit::Failure;
use crate::input::{RunOptions, hex};
use candor::planner::{self, Planned};
use candor::{Package, Session};
use candor_core::calibration::Tables;
use candor_core::ops::Op;
use candor_core::package::{Package as View, Section};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `inspect`.
#[derive(Args)]
pub struct InspectArguments {
    /// Package file
    package: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// List the steps and the schedules they can run in; with =FILE.svg draw the arena over time
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

/// Prints the package's contents.
pub fn inspect(arguments: &InspectArguments) -> Result<ExitCode, Failure> {
    let package = Package::open(&arguments.package)?;
    let view = package.view()?;
    let named = |error: candor::Error| error.at(arguments.package.display());
    let mut document = describe(&view).map_err(named)?;
    if arguments.options.device != "cpu" {
        return Err(Failure::usage("inspect describes how the CPU runs a package; leave --device out"));
    }
    let session = Session::new(&package, &arguments.options.session()?).map_err(named)?;
    document["arena_bytes"] = json!(session.planned().arena_bytes());
    let survey = planner::survey(session.plan(), session.goal()).map_err(|error| named(error.into()))?;
    document["schedules"] = schedules(&session, &survey);
    if let Some(target) = arguments.plan.as_ref().filter(|target| target.as_os_str() != "-") {
        let picture = draw(&session, &survey).map_err(named)?;
        std::fs::write(target, picture)
            .map_err(|error| Failure::invalid(format!("{}: {error}", target.display())))?;
    }
    if arguments.json {
        println!("{document:#}");
        return Ok(ExitCode::SUCCESS);
    }
    print_text(&document, arguments.plan.is_some());
    Ok(ExitCode::SUCCESS)
}

/// The picture of the schedule that a session uses.
fn draw(session: &Session<'_>, survey: &[Planned]) -> Result<String, candor::Error> {
    let own = session.planned().chunk;
    let planned = survey.iter().find(|planned| planned.chunk == own);
    planned.map_or_else(|| Ok(String::new()), |planned| Ok(picture::draw(session.plan(), planned)?))
}

/// Every schedule that was weighed: bytes, modelled cost, and what it leaves to do after the last input row.
fn schedules(session: &Session<'_>, survey: &[Planned]) -> Value {
    let own = session.planned().chunk;
    let fastest = survey.iter().map(|planned| planned.cost).fold(f64::INFINITY, f64::min).max(1.0);
    let list: Vec<Value> = survey
        .iter()
        .enumerate()
        .map(|(number, planned)| {
            json!({
                "number": number,
                "arena_bytes": planned.arena_bytes(),
                "schedule_bytes": planned.schedule_bytes(),
                "modelled_cost": planned.cost / fastest,
                "left_after_last_row": planned.tail / planned.cost.max(1.0),
                "peak_step": planned.peak().0,
                "used": planned.chunk == own,
            })
        })
        .collect();
    list.into()
}

fn describe(view: &View<'_>) -> Result<Value, candor::Error> {
    let plan = view.plan()?;
    let head = view.head()?;
    let input = plan.tensor(0)?;
    let mut steps = Vec::new();
    for index in 0..plan.steps() {
        let step = plan.step(index)?;
        let (from, to) = (plan.tensor(step.inputs[0])?.layout, plan.tensor(step.output)?.layout);
        steps.push(json!({
            "step": index,
            "op": step.op.name(),
            "input": [from.channels, from.height, from.width],
            "output": [to.channels, to.height, to.width],
            "macs": macs(&step.op, from.channels, to.channels * to.height * to.width),
            "arena_offset": plan.tensor(step.output)?.offset,
            "bytes": to.bytes(),
        }));
    }
    let calibration = match view.section(Section::Calibration) {
        Some(section) => Tables::parse(section, &head)?.1,
        None => "none",
    };
    let sections: Vec<Value> = view
        .entries()
        .flatten()
        .map(|entry| {
            json!({ "section": entry.section.name(), "offset": entry.offset, "bytes": entry.length,
                    "sha256": hex(entry.digest) })
        })
        .collect();
    let total: u64 = steps.iter().filter_map(|step| step["macs"].as_u64()).sum();
    let classes: Vec<&str> = view.classes()?.collect();
    let preprocess = view.preprocess()?;
    Ok(json!({
        "model": view.text(Section::Model)?.lines().next().unwrap_or_default(),
        "source": view.text(Section::Model)?.lines().skip(1).collect::<Vec<_>>(),
        "digest": hex(&view.digest()),
        "input": [input.layout.channels, input.layout.height, input.layout.width],
        "classes": classes,
        "preprocess": format!("{:?}", preprocess),
        "arena_bytes": plan.arena_bytes(),
        "weights_bytes": view.require(Section::Weights)?.len(),
        "macs": total,
        "calibration": calibration,
        "ood": view.section(Section::Ood).is_some(),
        "golden": view.section(Section::Golden).is_some(),
        "signed": view.signature().iter().any(|&byte| byte != 0),
        "sections": sections,
        "plan": steps,
    }))
}

/// Multiply–accumulates of a step over `outputs` output values.
pub fn macs(op: &Op<'_>, inputs: usize, outputs: usize) -> u64 {
    let per_output = match op {
        Op::Convolution(op) => inputs * op.window.kernel[0] * op.window.kernel[1],
        Op::Depthwise(op) => op.window.kernel[0] * op.window.kernel[1],
        Op::TransposedConvolution(op) => {
            return (inputs * op.kernel[0] * op.kernel[1]) as u64 * outputs as u64
                / (op.stride[0] * op.stride[1]) as u64;
        }
        _ => 0,
    };
    per_output as u64 * outputs as u64
}

fn print_text(document: &Value, plan: bool) {
    let text = |key: &str| document[key].as_str().unwrap_or_default().to_string();
    println!("model        {}", text("model"));
    for line in document["source"].as_array().into_iter().flatten() {
        println!("             {}", line.as_str().unwrap_or_default());
    }
    println!("digest       {}", text("digest"));
    println!("input        {} (channels, rows, columns)", document["input"]);
    println!("classes      {}", document["classes"]);
    println!("preprocess   {}", text("preprocess"));
    println!("arena        {} bytes", document["arena_bytes"]);
    println!("weights      {} bytes", document["weights_bytes"]);
    println!("work         {:.3} GMAC per run", document["macs"].as_f64().unwrap_or(0.0) / 1e9);
    println!("calibration  {}", text("calibration"));
    println!("ood profile  {}", if document["ood"] == true { "yes" } else { "no" });
    println!("golden       {}", if document["golden"] == true { "yes" } else { "no" });
    println!("signed       {}", if document["signed"] == true { "yes" } else { "no" });
    println!("\n{:<12} {:>10} {:>10}  sha256", "section", "offset", "bytes");
    for entry in document["sections"].as_array().into_iter().flatten() {
        println!(
            "{:<12} {:>10} {:>10}  {}",
            entry["section"].as_str().unwrap_or_default(),
            entry["offset"],
            entry["bytes"],
            &entry["sha256"].as_str().unwrap_or_default()[..16]
        );
    }
    if !plan {
        return;
    }
    println!("\n{:>8} {:>12} {:>6} {:>20}", "schedule", "arena bytes", "cost", "left after last row");
    for schedule in document["schedules"].as_array().into_iter().flatten() {
        println!(
            "{:>8} {:>12} {:>6.2} {:>18.0} % {}",
            schedule["number"],
            schedule["arena_bytes"],
            schedule["modelled_cost"].as_f64().unwrap_or(0.0),
            100.0 * schedule["left_after_last_row"].as_f64().unwrap_or(0.0),
            if schedule["used"] == true { "used" } else { "" },
        );
    }
    println!("\n{:>4} {:<24} {:>18} {:>18} {:>12}", "step", "op", "input", "output", "macs");
    for step in document["plan"].as_array().into_iter().flatten() {
        println!(
            "{:>4} {:<24} {:>18} {:>18} {:>12}",
            step["step"],
            step["op"].as_str().unwrap_or_default(),
            step["input"].to_string(),
            step["output"].to_string(),
            step["macs"]
        );
    }
}
