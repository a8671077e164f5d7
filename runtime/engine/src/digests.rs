//! The digest of every step's output, collected while a model runs: for golden vectors and self-tests.

use candor_core::digest::TensorDigest;
use candor_core::interpreter::Observer;
use candor_core::plan::{Plan, PlanError};
use candor_core::tensor::Rows;

/// Collects digests as rows are finished.
#[derive(Debug, Clone)]
pub struct StepDigests {
    steps: Vec<Option<TensorDigest>>,
    /// The last step that writes the output.
    output: usize,
}

impl StepDigests {
    /// For one run of `plan`.
    ///
    /// # Errors
    /// [`PlanError`]; never after the plan was parsed.
    pub fn new(plan: &Plan<'_>) -> Result<Self, PlanError> {
        let mut output = 0;
        for index in 0..plan.steps() {
            if plan.step(index)?.output == plan.output() {
                output = index;
            }
        }
        Ok(Self { steps: vec![None; plan.steps()], output })
    }

    /// SHA-256 of every step's output, and of the model's. None for steps whose tensor a later step
    /// completes.
    pub fn finish(self) -> (Vec<Option<[u8; 32]>>, Option<[u8; 32]>) {
        let steps: Vec<_> = self.steps.into_iter().map(|digest| digest.map(TensorDigest::finish)).collect();
        let output = steps.get(self.output).copied().flatten();
        (steps, output)
    }
}

impl Observer for StepDigests {
    fn after_rows(&mut self, step: usize, _: usize, rows: Rows<'_>) {
        self.steps[step].get_or_insert_with(|| TensorDigest::new(&rows.layout)).add(rows);
    }
}
