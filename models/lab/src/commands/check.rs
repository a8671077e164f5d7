//! `candor-lab check`: every operator, how it runs, and all problems at once.

use super::{Failure, ModelOptions};
use candor_lab::lower::{self, Ending};
use candor_lab::network::{Network, Node, Op};
use candor_lab::quantize::{Quantization, QuantizedNetwork, qdq};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `check`.
#[derive(Args)]
pub struct CheckArguments {
    #[command(flatten)]
    model: ModelOptions,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Prints every operator; fails with all problems when the model cannot be packed.
pub fn check(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let model = arguments.model.load()?;
    let path = &arguments.model.model;
    let listed = |problems: Vec<candor_lab::onnx::Problem>| {
        Failure::problems(path, problems.iter().map(ToString::to_string))
    };
    let from_file = qdq::is_quantized(&model.network);
    let quantized =
        if from_file { qdq::annotate(&model.network).map_err(listed)? } else { placeholder(&model.network) };
    let lowered = lower::lower(&quantized, Ending::Logits).map_err(listed)?;
    let rows: Vec<Value> = quantized.network.nodes.iter().map(|node| row(&quantized.network, node)).collect();
    let macs: u64 = lowered.macs.iter().sum();
    if arguments.json {
        let document = json!({
            "model": path.display().to_string(), "origin": model.origin, "sha256": model.digest,
            "quantized_in_file": from_file, "operators": rows, "steps": lowered.names.len(), "macs": macs,
            "weights_bytes": lowered.weights.len(), "notes": model.notes,
        });
        println!("{document:#}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: {} ({})", path.display(), model.origin, if from_file { "QDQ int8" } else { "float" });
    for note in &model.notes {
        println!("note: {note}");
    }
    println!("{:<40} {:<24} {:>20} {:>9}", "node", "operator", "output", "runs as");
    for row in &rows {
        println!(
            "{:<40} {:<24} {:>20} {:>9}",
            row["node"].as_str().unwrap_or_default(),
            row["op"].as_str().unwrap_or_default(),
            row["output"].to_string(),
            row["runs_as"].as_str().unwrap_or_default()
        );
    }
    println!(
        "every operator runs in integers: {} steps, {:.3} GMAC, {} bytes of constants",
        lowered.names.len(),
        macs as f64 / 1e9,
        lowered.weights.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Any quantization at all: enough to see whether every operator has an integer form.
fn placeholder(network: &Network) -> QuantizedNetwork {
    let unit = Quantization { scale: 1.0 / 16.0, zero_point: 128 };
    QuantizedNetwork {
        activations: network.values.iter().map(|value| value.constant.is_none().then_some(unit)).collect(),
        network: network.clone(),
        ..Default::default()
    }
}

fn row(network: &Network, node: &Node) -> Value {
    let runs_as = match node.op {
        Op::Unary(_) | Op::PRelu | Op::BatchNorm { .. } => "table",
        Op::Softmax { .. } | Op::ArgMax { .. } => "head",
        Op::Reshape => "nothing",
        _ => "integers",
    };
    json!({
        "node": node.name,
        "op": lower::op_name(&node.op),
        "output": network.values[node.output].shape,
        "runs_as": runs_as,
    })
}
