//! Plans that no importer writes but a package may hold: copies far from their group, steps nothing reads.

use crate::bytes::distinct;
use crate::networks::Case;
use crate::oracle::Truth;
use crate::simulate;
use candor::buffer::AlignedBuffer;
use candor::planner::{self, Goal};
use candor::{Package, Session, SessionOptions, Tier};
use candor_core::ops::CopyChannels;
use candor_core::ops::record::RECORD_WORDS;
use candor_core::package::{Package as View, Section};
use candor_core::plan::{HEADER_WORDS, Plan, SLACK, TENSOR_WORDS};
use candor_lab::metrics::SplitMix64;
use candor_lab::pack::writer::Sections;

/// The words of a plan, taken apart.
struct Words {
    header: Vec<u32>,
    tensors: Vec<Vec<u32>>,
    steps: Vec<Vec<u32>>,
}

impl Words {
    fn of(section: &[u8]) -> Self {
        let words: Vec<u32> =
            section.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let (header, rest) = words.split_at(HEADER_WORDS);
        let (tensors, steps) = rest.split_at(header[0] as usize * TENSOR_WORDS);
        Self {
            header: header.to_vec(),
            tensors: tensors.chunks(TENSOR_WORDS).map(<[u32]>::to_vec).collect(),
            steps: steps.chunks(RECORD_WORDS).map(<[u32]>::to_vec).collect(),
        }
    }

    /// The section, every tensor and the scratch at a place of its own.
    fn bytes(mut self) -> Vec<u8> {
        let mut at = 0;
        for tensor in &mut self.tensors {
            let rows = tensor[1] + tensor[4] + tensor[6];
            tensor[0] = at;
            at = (at + rows * tensor[8]).next_multiple_of(64);
        }
        self.header[0] = self.tensors.len() as u32;
        self.header[1] = self.steps.len() as u32;
        self.header[5] = at;
        self.header[4] = (at + self.header[6]).next_multiple_of(64) + SLACK as u32;
        let words = [self.header, self.tensors.concat(), self.steps.concat()].concat();
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Moves copies to where their inputs were just written, away from the others of their tensor.
    fn scatter(&mut self) {
        for index in 0..self.steps.len() {
            if self.steps[index][0] == CopyChannels::OPCODE {
                let input = self.steps[index][1];
                let producer = self.steps[..index].iter().rposition(|step| step[3] == input);
                let copy = self.steps.remove(index);
                self.steps.insert(producer.map_or(0, |producer| producer + 1), copy);
            }
        }
    }

    /// Repeats a step into a tensor that nothing reads.
    fn repeat(&mut self, random: &mut SplitMix64) {
        let index = random.below(self.steps.len());
        let mut step = self.steps[index].clone();
        if step[0] != CopyChannels::OPCODE {
            self.tensors.push(self.tensors[step[3] as usize].clone());
            step[3] = self.tensors.len() as u32 - 1;
            self.steps.insert(index + 1, step);
        }
    }
}

fn with_plan(case: &Case, change: impl FnOnce(&mut Words)) -> Package {
    let buffer = AlignedBuffer::copy_of(&case.package);
    let view = View::parse(buffer.as_slice()).expect("the package is sound");
    let mut sections = Sections::of(&view).expect("sound");
    let mut words = Words::of(view.section(Section::Plan).expect("it is required"));
    change(&mut words);
    sections.set(Section::Plan, words.bytes());
    Package::load(&sections.to_bytes()).expect("the variant is sound")
}

fn check(name: &str, package: &Package, case: &Case, plan: &Plan<'_>) {
    for (number, planned) in planner::survey(plan, Goal::default()).expect("parsed").iter().enumerate() {
        simulate::check(plan, &planned.schedule(), false)
            .unwrap_or_else(|what| panic!("{name}, schedule {number}: {what}"));
    }
    let truths = case.frames.each_ref().map(|inputs| Truth::of(package, inputs));
    for number in distinct(plan, false) {
        for tier in [Tier::Reference, Tier::best()] {
            let options = SessionOptions { tier: Some(tier), schedule: Some(number), ..Default::default() };
            let mut session = Session::new(package, &options).expect("there is no budget");
            for (inputs, truth) in case.frames.iter().zip(&truths) {
                let found = Truth::by(&mut session, inputs).expect("the codes are sound");
                assert!(found == *truth, "{name}, schedule {number}, {tier}");
            }
        }
    }
}

#[test]
fn steps_that_nothing_reads_run_and_change_no_byte() {
    for seed in 60_000..60_040 {
        let case = Case::any(seed);
        let mut random = SplitMix64::new(seed);
        let package = with_plan(&case, |words| (0..3).for_each(|_| words.repeat(&mut random)));
        let plan = package.view().expect("sound").plan().expect("sound");
        check(&format!("seed {seed}"), &package, &case, &plan);
    }
}

#[test]
fn plans_whose_steps_are_apart_run_as_they_are_stated() {
    let mut stated = 0;
    for seed in 70_000..70_060 {
        let case = Case::any(seed);
        let package = with_plan(&case, Words::scatter);
        let plan = package.view().expect("sound").plan().expect("sound");
        stated += usize::from(planner::survey(&plan, Goal::default()).expect("parsed").len() == 1);
        check(&format!("seed {seed}"), &package, &case, &plan);
    }
    assert!(stated > 20, "{stated} plans in their own order only");
}
