//! A case lowered to integers, quantized from its own inputs: on every tier, with one and two threads, step
//! by step and by every schedule, and on Candle's devices.

use std::iter;

use candor::Tier;
use candor::buffer::AlignedBuffer;
use candor::planner::{self, Goal, Planned};
use candor_core::plan::Plan;
use candor_core::tensor::Rows;
use candor_cpu::CpuKernels;
use candor_gpu::{Executor, ExecutorOptions, Target};
use candor_lab::execute;
use candor_lab::lower::{self, Ending, Lowered};
use candor_lab::network::{Network, Tensor, ValueId};
use candor_lab::onnx::{NamedTensor, Problem, simplify};
use candor_lab::quantize::ranges::{self, Method};

use crate::case::{Case, Reading, named};
use crate::image::Form;

/// How a case ended: `ran`, the number of steps and how far the output was from the float network's; or
/// `refused: ` with the reason; `Err` with what is wrong.
pub fn outcome(case: &Case) -> Result<String, String> {
    let Ok(inputs) = &case.inputs else { return Ok("refused on import".into()) };
    let mut refusal = None;
    for reading in Reading::ALL {
        let Ok(import) = case.import(inputs, reading) else { continue };
        match read(&import.network, inputs)? {
            Ok(ran) => return Ok(format!("{ran}{}", reading.suffix())),
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Ok(refusal.map_or_else(|| "refused on import".into(), |why| format!("refused: {why}")))
}

/// Runs every output of an imported case by itself; the inner `Err` is a refusal.
fn read(imported: &Network, inputs: &[NamedTensor]) -> Result<Result<String, String>, String> {
    let (mut steps, mut farthest, mut suffix) = (0, 0.0f32, "");
    for &output in &imported.outputs {
        let mut network = Network { outputs: vec![output], ..imported.clone() };
        simplify(&mut network);
        let operands = match operands(&network, inputs) {
            Ok(operands) => operands,
            Err(why) => return Ok(Err(why)),
        };
        let mut refusal = String::new();
        let mut subjects = Form::plain(network, operands).all().into_iter().map(Subject::new);
        let subject = subjects.find_map(|subject| subject.map_err(|why| refusal = why).ok());
        let Some(subject) = subject else { return Ok(Err(refusal)) };
        farthest = farthest.max(subject.run()?);
        steps += subject.lowered.names.len();
        suffix = subject.form.suffix;
    }
    let plural = if steps == 1 { "" } else { "s" };
    // Half a step is the rounding of the output itself.
    let off = (farthest - 0.01).ceil().max(0.0);
    Ok(Ok(format!("ran {steps} step{plural}, off by {off} at most{suffix}")))
}

/// The float inputs of the network.
fn operands(network: &Network, inputs: &[NamedTensor]) -> Result<Vec<Tensor>, String> {
    if network.inputs.is_empty() {
        return Err("folded on import, nothing is left to run".into());
    }
    let name = |id: ValueId| network.values[id].name.as_str();
    let operands: Vec<Tensor> =
        network.inputs.iter().map(|&id| named(inputs, name(id)).cloned()).collect::<Result<_, _>>()?;
    match operands.iter().position(|operand| operand.as_f32().is_none()) {
        Some(at) => {
            Err(format!("input '{}' holds integers: there is no image to quantize", name(network.inputs[at])))
        }
        None => Ok(operands),
    }
}

/// A lowered case.
struct Subject {
    form: Form,
    lowered: Lowered,
}

impl Subject {
    /// Quantizes and lowers, or says why not.
    fn new(form: Form) -> Result<Self, String> {
        let observed = ranges::observe(&form.network, &form.images).map_err(|error| error.to_string())?;
        let quantized = observed.quantize(&form.network, Method::MinMax);
        let listed =
            |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let lowered = lower::lower(&quantized, Ending::Codes).map_err(listed)?;
        Ok(Self { form, lowered })
    }

    /// Runs every image everywhere; every output must be the reference's. Gives the greatest distance to the
    /// float network's output, in steps of the output.
    fn run(&self) -> Result<f32, String> {
        let sections = [&self.lowered.plan, &self.lowered.weights].map(|bytes| AlignedBuffer::copy_of(bytes));
        let plan = Plan::parse(sections[0].as_slice(), sections[1].as_slice());
        let plan = plan.map_err(|error| format!("the plan is refused: {error:?}"))?;
        let schedules = planner::survey(&plan, Goal::default());
        let schedules = schedules.map_err(|error| format!("the plan has no schedule: {error:?}"))?;
        let reference = CpuKernels::new(Tier::Reference, 1).map_err(|error| error.to_string())?;
        let mut farthest = 0.0f32;
        for operands in &self.form.images {
            let codes = self.codes(operands);
            let inputs: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
            let run = |schedule: Option<&Planned>, kernels: &CpuKernels| {
                let schedule = schedule.map(Planned::schedule);
                let values = candor_tests::plan::run(&plan, schedule.as_ref(), kernels, &inputs);
                values.map_err(|error| format!("{kernels:?}: {error:?}"))
            };
            let expected = run(None, &reference)?;
            farthest = farthest.max(self.distance(&codes, operands, &expected)?);
            for (tier, threads) in Tier::available().flat_map(|tier| [(tier, 1), (tier, 2)]) {
                let kernels = CpuKernels::eager(tier, threads).map_err(|error| error.to_string())?;
                for schedule in iter::once(None).chain(schedules.iter().map(Some)) {
                    if run(schedule, &kernels)? != expected {
                        let chunk = schedule.map(|schedule| schedule.chunk);
                        return Err(format!("{kernels:?}, chunk {chunk:?}: differs from the reference"));
                    }
                }
            }
            for target in [Target::CandleCpu, Target::Cuda(0), Target::Metal(0)] {
                if target.open().is_ok() && on_device(&plan, target, &inputs)? != expected {
                    return Err(format!("{target}: differs from the reference"));
                }
            }
        }
        Ok(farthest)
    }

    fn codes(&self, operands: &[Tensor]) -> Vec<Vec<u8>> {
        let coded = operands.iter().zip(&self.lowered.inputs);
        coded
            .map(|(tensor, q)| tensor.as_f32().unwrap_or_default().iter().map(|&x| q.code(x)).collect())
            .collect()
    }

    /// Greatest distance to the float network on the very same codes, in steps of the output.
    fn distance(&self, codes: &[Vec<u8>], operands: &[Tensor], found: &[i32]) -> Result<f32, String> {
        let dequantized = |(at, codes): (usize, &Vec<u8>)| {
            let real = codes.iter().map(|&code| self.lowered.inputs[at].real(code)).collect();
            Tensor::f32(operands[at].shape.clone(), real)
        };
        let inputs: Vec<Tensor> = codes.iter().enumerate().map(dequantized).collect();
        let outputs = execute::run(&self.form.network, &inputs, &mut |_, _| {});
        let outputs = outputs.map_err(|error| error.to_string())?;
        let expected = outputs[0].as_f32().unwrap_or_default();
        if expected.len() != found.len() {
            return Err(format!("{} values, expected {}", found.len(), expected.len()));
        }
        let (scale, zero_point) = self.lowered.head.codes.ok_or("the output holds no codes")?;
        let real = |code: i32| (code - i32::from(zero_point)) as f32 * scale;
        let off = found.iter().zip(expected).map(|(&code, expected)| (real(code) - expected).abs() / scale);
        Ok(off.fold(0.0, f32::max))
    }
}

/// The output's values, planar `[C,H,W]`, by one of Candle's devices.
fn on_device(plan: &Plan<'_>, target: Target, inputs: &[&[u8]]) -> Result<Vec<i32>, String> {
    let said = |error: candor_gpu::GpuError| format!("{target}: {error}");
    let options = ExecutorOptions { target, memory: None, tier: None, threads: 1 };
    let mut executor = Executor::new(*plan, None, Vec::new(), &options).map_err(said)?;
    executor.run(inputs).map_err(said)?;
    let layout = plan.tensor(plan.output()).map_err(|error| format!("{error:?}"))?.layout;
    let mut bytes = vec![0; layout.bytes()];
    executor.read_tensor(plan.output(), &mut bytes).map_err(said)?;
    let rows = Rows::whole(layout, &bytes);
    let mut values = Vec::with_capacity(layout.channels * layout.height * layout.width);
    for (channel, y) in (0..layout.channels).flat_map(|c| (0..layout.height).map(move |y| (c, y))) {
        values.extend((0..layout.width).map(|x| rows.value(y, x, channel)));
    }
    Ok(values)
}
