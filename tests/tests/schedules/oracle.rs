//! What a package gives without any schedule: its plan layer by layer on the specification's own loops.

use candor::buffer::AlignedBuffer;
use candor::{Error, Finding, Package, Session, StepDigests};
use candor_core::calibration::{self, Tables};
use candor_core::digest;
use candor_core::interpreter;
use candor_core::kernels::Reference;
use candor_core::package::Section;
use candor_core::tensor::{Element, Rows};
use sha2::{Digest, Sha256};

/// Everything a run shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Digest of every step's output.
    pub steps: Vec<Option<[u8; 32]>>,
    /// Digest of the output, as findings state it.
    pub digest: [u8; 32],
    pub mask: Vec<u8>,
    pub confidence: Vec<u16>,
}

impl Truth {
    /// By the plan's own order over whole tensors, with [`Reference`].
    pub fn of(package: &Package, inputs: &[Vec<u8>]) -> Self {
        let view = package.view().expect("the package is sound");
        let (plan, head) = (view.plan().expect("sound"), view.head().expect("sound"));
        let mut arena = AlignedBuffer::zeroed(plan.arena_bytes());
        arena.as_mut_slice().fill(0xa5);
        for (index, codes) in inputs.iter().enumerate() {
            interpreter::load_input(&plan, arena.as_mut_slice(), index, codes).expect("they fit");
        }
        let mut digests = StepDigests::new(&plan).expect("sound");
        interpreter::run(&plan, &Reference, arena.as_mut_slice(), &mut digests).expect("it runs");
        let (steps, output) = digests.finish();
        let rows = interpreter::tensor_rows(&plan, arena.as_slice(), plan.output()).expect("sound");
        let own = by_definition(rows);
        assert_eq!(output, Some(own));
        let mut chain = digest::Chain::default();
        chain.add(own);
        let tables = match view.section(Section::Calibration) {
            Some(section) => Tables::parse(section, &head).expect("sound").0,
            None => Tables::uncalibrated(&head),
        };
        let (height, width) = (rows.layout.height, rows.layout.width);
        let (mut mask, mut confidence) = (vec![0; height * width], vec![0; height * width]);
        calibration::apply(&head, &tables, rows, &mut mask, &mut confidence);
        calibration::finish(&head, &tables, width, 0, &mask, &mut confidence);
        Self { steps, digest: chain.finish(), mask, confidence }
    }

    /// By a session.
    ///
    /// # Errors
    /// The session's.
    pub fn by(session: &mut Session<'_>, inputs: &[Vec<u8>]) -> Result<Self, Error> {
        let mut digests = StepDigests::new(session.plan())?;
        let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let finding = session.run_codes(&slices, &mut digests)?;
        Ok(Self { steps: digests.finish().0, ..Self::shown(&finding) })
    }

    /// What a finding shows, without the steps.
    pub fn shown(finding: &Finding<'_>) -> Self {
        Self {
            steps: Vec::new(),
            digest: finding.digest,
            mask: finding.mask.to_vec(),
            confidence: finding.confidence.to_vec(),
        }
    }

    /// Without the steps.
    pub fn without_steps(&self) -> Self {
        Self { steps: Vec::new(), ..self.clone() }
    }
}

/// The digest of a tensor, value by value as it is defined.
fn by_definition(rows: Rows<'_>) -> [u8; 32] {
    let layout = rows.layout;
    let mut bytes: Vec<u8> = [layout.height, layout.width, layout.channels]
        .into_iter()
        .flat_map(|extent| (extent as u32).to_le_bytes())
        .collect();
    for (y, x) in (0..layout.height).flat_map(|y| (0..layout.width).map(move |x| (y, x))) {
        for value in (0..layout.channels).map(|channel| rows.value(y, x, channel)) {
            match layout.element {
                Element::Code => bytes.push(value as u8),
                Element::Accumulator => bytes.extend(value.to_le_bytes()),
            }
        }
    }
    Sha256::digest(bytes).into()
}
