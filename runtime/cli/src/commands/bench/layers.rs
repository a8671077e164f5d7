//! What each step of a package's plan costs alone, and how near it comes to what the device does at most.

use crate::commands::inspect::macs;
use crate::exit::Failure;
use candor::{Roofs, Session};
use candor_core::ops::Op;
use candor_core::plan::{Plan, PlanError};
use serde_json::{Value, json};

/// One step.
pub(super) struct Layer {
    operator: &'static str,
    /// Channels, rows, columns of what it writes.
    output: [usize; 3],
    seconds: f64,
    macs: u64,
    /// Bytes of its inputs, its weights and its output.
    bytes: usize,
}

impl Layer {
    /// The greater share of the two roofs: what bounds the step.
    fn share(&self, roofs: &Roofs) -> f64 {
        let shares = [self.macs as f64 / roofs.products, self.bytes as f64 / roofs.bytes];
        shares[0].max(shares[1]) / self.seconds
    }

    fn document(&self, roofs: Option<&Roofs>) -> Value {
        json!({
            "op": self.operator,
            "output": self.output,
            "ms": self.seconds * 1e3,
            "macs": self.macs,
            "bytes": self.bytes,
            "gmac_s": self.macs as f64 / self.seconds / 1e9,
            "gb_s": self.bytes as f64 / self.seconds / 1e9,
            "roof_fraction": roofs.map(|roofs| self.share(roofs)),
        })
    }
}

/// Times every step of the session's plan on `inputs`.
pub(super) fn measure(session: &mut Session<'_>, inputs: &[&[u8]]) -> Result<Vec<Layer>, Failure> {
    let plan = *session.plan();
    let times = session.time_steps(inputs)?;
    let layers = times.into_iter().enumerate().map(|(step, seconds)| layer(&plan, step, seconds));
    Ok(layers.collect::<Result<_, PlanError>>().map_err(candor::Error::from)?)
}

fn layer(plan: &Plan<'_>, step: usize, seconds: f64) -> Result<Layer, PlanError> {
    let step = plan.step(step)?;
    let output = plan.tensor(step.output)?.layout;
    let [first, second] = step.inputs;
    let from = plan.tensor(first)?.layout;
    // Operators with one input repeat it.
    let beside = if second == first { 0 } else { plan.tensor(second)?.layout.bytes() };
    let weights = match &step.op {
        Op::Convolution(op) => op.filter.weights.len(),
        Op::TransposedConvolution(op) => op.filter.weights.len(),
        Op::Depthwise(op) => op.weights.len(),
        _ => 0,
    };
    Ok(Layer {
        operator: step.op.name(),
        output: [output.channels, output.height, output.width],
        seconds,
        macs: macs(&step.op, from.channels, output.channels * output.height * output.width),
        bytes: from.bytes() + beside + weights + output.bytes(),
    })
}

/// The steps as JSON.
pub(super) fn document(layers: &[Layer], roofs: Option<&Roofs>) -> Value {
    json!({
        "roofs": roofs.map(|own| json!({ "gmac_s": own.products / 1e9, "gb_s": own.bytes / 1e9 })),
        "steps": layers.iter().map(|layer| layer.document(roofs)).collect::<Vec<_>>(),
    })
}

/// Prints the steps as a table.
pub(super) fn print(layers: &[Layer], roofs: Option<&Roofs>) {
    if let Some(roofs) = roofs {
        let memory = match roofs.bytes.is_finite() {
            true => format!(", {:.0} GB/s of memory", roofs.bytes / 1e9),
            false => String::new(),
        };
        println!("at most: {:.0} GMAC/s in registers alone{memory}", roofs.products / 1e9);
    }
    println!(
        "{:>4}  {:<22} {:>16} {:>9} {:>9} {:>8}  of a roof",
        "step", "op", "output", "ms", "GMAC/s", "GB/s"
    );
    for (step, layer) in layers.iter().enumerate() {
        let [channels, rows, columns] = layer.output;
        println!(
            "{step:>4}  {:<22} {:>16} {:>9.4} {:>9.1} {:>8.1}  {}",
            layer.operator,
            format!("{channels}x{rows}x{columns}"),
            layer.seconds * 1e3,
            layer.macs as f64 / layer.seconds / 1e9,
            layer.bytes as f64 / layer.seconds / 1e9,
            roofs.map_or_else(|| "-".to_string(), |roofs| format!("{:.2}", layer.share(roofs))),
        );
    }
}
