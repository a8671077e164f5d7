//! Every schedule reads what was written for it, and nothing else.

use crate::networks::Case;
use crate::simulate;
use candor::Package;
use candor::planner::{self, Goal};
use candor_core::plan::Plan;
use candor_core::schedule::{Entry, Schedule};
use candor_tests::workspace_root;
use std::collections::BTreeMap;

/// What the schedules of some plans did, so that a test can tell whether it met what it is for.
#[derive(Debug, Default)]
struct Met {
    /// How often each operator was met.
    operators: BTreeMap<&'static str, usize>,
    plans: usize,
    schedules: usize,
    entries: usize,
    moves: usize,
    /// Tensors held in fewer slots than they have rows.
    partial: usize,
    /// Schedules with rows that their producers wrote where a step would have copied them.
    in_place: usize,
    /// Schedules in which moves go to later slots: rings that repeat their first rows at the end.
    rings: usize,
}

impl Met {
    fn check(&mut self, name: &str, plan: &Plan<'_>) {
        self.plans += 1;
        for step in 0..plan.steps() {
            *self.operators.entry(plan.step(step).expect("parsed").op.name()).or_default() += 1;
        }
        for keep_output in [false, true] {
            let goal = Goal { keep_output, ..Goal::default() };
            let survey = planner::survey(plan, goal).expect("parsed");
            for (number, planned) in survey.iter().enumerate() {
                let schedule = planned.schedule();
                if let Err(what) = simulate::check(plan, &schedule, keep_output) {
                    panic!("{name}, schedule {number}, keep_output {keep_output}: {what}");
                }
                self.schedules += 1;
                self.entries += schedule.entries.len();
                let count =
                    |matches: fn(&Entry) -> bool| schedule.entries.iter().filter(|&e| matches(e)).count();
                self.moves += count(|entry| matches!(entry, Entry::Move { .. }));
                self.in_place += usize::from(count(|entry| matches!(entry, Entry::Finish { .. })) > 0);
                let mirrored = |entry: &Entry| matches!(entry, Entry::Move { from, to, .. } if from < to);
                self.rings += usize::from(count(mirrored) > 0);
                let places = schedule.places.iter();
                self.partial += places.filter(|place| place.slots < place.layout.stored_rows()).count();
            }
        }
    }
}

#[test]
fn schedules_of_random_networks_read_what_was_written_for_them() {
    let mut met = Met::default();
    for seed in 0..300 {
        let case = if seed % 3 == 2 { Case::streamed(seed, seed % 2 == 0) } else { Case::any(seed) };
        let package = Package::load(&case.package).expect("the package is sound");
        let view = package.view().expect("sound");
        met.check(&format!("seed {seed}"), &view.plan().expect("sound"));
    }
    println!("{met:?}");
    assert_eq!(met.operators.len(), 13, "{met:?}");
    assert!(met.moves > 1000 && met.partial > 1000 && met.in_place > 500 && met.rings > 50, "{met:?}");
}

#[test]
fn schedules_of_the_shipped_package_read_what_was_written_for_them() {
    let path = workspace_root().join("models/packages/phantom.candor");
    let package = Package::open(&path).expect("it is committed");
    let mut met = Met::default();
    met.check("phantom", &package.view().expect("sound").plan().expect("sound"));
    println!("{met:?}");
    assert!(met.partial > 0);
}

/// What remains of entry `at` when it is damaged in one of several ways; `None` when it is left out.
fn damaged(entry: Entry, way: usize) -> Option<Entry> {
    match (entry, way) {
        (Entry::Run { step, first, count, slot, inputs: [a, b], finishes }, 1) => {
            Some(Entry::Run { step, first, count, slot, inputs: [a + 1, b], finishes })
        }
        (Entry::Run { step, first, count, slot, inputs, finishes }, 2) => {
            Some(Entry::Run { step, first, count, slot: slot + 1, inputs, finishes })
        }
        (Entry::Load { input, first, count, slot }, 1) => {
            Some(Entry::Load { input, first, count, slot: slot + 1 })
        }
        (Entry::Move { tensor, from, to, count }, 1) => {
            Some(Entry::Move { tensor, from: from + 1, to, count })
        }
        _ => None,
    }
}

#[test]
fn the_check_sees_entries_that_are_left_out_or_work_on_other_slots() {
    let (mut seen, mut tried) = (0, 0);
    for seed in 0..20 {
        let package = Package::load(&Case::any(seed).package).expect("the package is sound");
        let plan = package.view().expect("sound").plan().expect("sound");
        let survey = planner::survey(&plan, Goal::default()).expect("parsed");
        let last = survey.last().expect("there is one");
        let schedule = last.schedule();
        let mut entries = schedule.entries.to_vec();
        let stride = entries.len().div_ceil(30);
        for at in (0..entries.len()).step_by(stride) {
            let whole = entries[at];
            // Rows repeated at a ring's end are not always read.
            let spare = matches!(whole, Entry::Move { from, to, .. } if from < to);
            for way in (0..3).filter(|_| !spare) {
                let outcome = match damaged(whole, way) {
                    Some(entry) => {
                        entries[at] = entry;
                        let outcome =
                            simulate::check(&plan, &Schedule { entries: &entries, ..schedule }, false);
                        entries[at] = whole;
                        outcome
                    }
                    None => {
                        let fewer = [&entries[..at], &entries[at + 1..]].concat();
                        simulate::check(&plan, &Schedule { entries: &fewer, ..schedule }, false)
                    }
                };
                tried += 1;
                seen += usize::from(outcome.is_err());
            }
        }
    }
    println!("{seen} of {tried} faults seen");
    // Some rows are read by nothing, and some rows read nothing.
    assert!(seen * 100 > tried * 97, "{seen} of {tried} faults seen");
}
