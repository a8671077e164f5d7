//! Runs a plan by itself: what a package adds (head, classes, tables) has limits that single operators
//! exceed.

use candor_core::interpreter::{self, Observer, RunError};
use candor_core::kernels::Kernels;
use candor_core::plan::{ALIGNMENT, Plan};
use candor_core::schedule::{self, Schedule};
use candor_core::tensor::Rows;

/// What the arena holds before a run: a kernel that reads what nobody wrote gives itself away.
const DIRT: [u8; 2] = [0x5a, 0xa5];

/// Takes the rows of the output as they are finished.
struct Output {
    tensor: usize,
    values: Vec<i32>,
}

impl Observer for Output {
    fn after_rows(&mut self, _: usize, tensor: usize, rows: Rows<'_>) {
        if tensor != self.tensor {
            return;
        }
        let [height, width] = [rows.layout.height, rows.layout.width];
        for c in 0..rows.layout.channels {
            for y in rows.image_rows() {
                for x in 0..width {
                    self.values[(c * height + y) * width + x] = rows.value(y, x, c);
                }
            }
        }
    }
}

/// Runs `plan` on planar input codes `[C,H,W]`, step by step or by a schedule, and gives the values of its
/// output, planar `[C,H,W]`; a value that was never finished is `i32::MIN`.
///
/// # Errors
/// [`RunError`] when an input does not fit or the schedule is another plan's.
pub fn run(
    plan: &Plan<'_>,
    schedule: Option<&Schedule<'_>>,
    kernels: &impl Kernels,
    inputs: &[&[u8]],
) -> Result<Vec<i32>, RunError> {
    let bytes = schedule.map_or(plan.arena_bytes(), |schedule| schedule.arena_bytes);
    let mut dirty: Vec<u8> = (0..bytes + ALIGNMENT).map(|index| DIRT[index % DIRT.len()]).collect();
    let start = dirty.as_ptr().align_offset(ALIGNMENT);
    let arena = &mut dirty[start..start + bytes];
    let layout = plan.tensor(plan.output())?.layout;
    let values = vec![i32::MIN; layout.channels * layout.height * layout.width];
    let mut output = Output { tensor: plan.output(), values };
    let mut source = inputs;
    match schedule {
        Some(schedule) => {
            schedule::run(plan, schedule, kernels, arena, &mut source, &mut output, &mut 0)?;
        }
        None => {
            for (index, codes) in inputs.iter().enumerate() {
                interpreter::load_input(plan, arena, index, codes)?;
            }
            interpreter::run(plan, kernels, arena, &mut output)?;
        }
    }
    Ok(output.values)
}
