//! Every schedule of random networks, on every tier and thread count, gives the bytes of no schedule at all.

use crate::networks::Case;
use crate::oracle::Truth;
use candor::planner::{self, Goal};
use candor::{Package, Session, SessionOptions, Tier};
use candor_core::digest;
use candor_core::plan::Plan;

/// Networks in each of the tests below, which run side by side.
const NETWORKS: u64 = 100;

/// The numbers of those schedules of the survey that differ from all before them.
pub fn distinct(plan: &Plan<'_>, keep_output: bool) -> Vec<usize> {
    let goal = Goal { keep_output, ..Goal::default() };
    let survey = planner::survey(plan, goal).expect("parsed");
    let same = |a: usize, b: usize| {
        let (a, b) = (survey[a].schedule(), survey[b].schedule());
        a.entries == b.entries && a.places == b.places
    };
    (0..survey.len()).filter(|&number| !(0..number).any(|before| same(before, number))).collect()
}

/// Runs all of a case; the number of sessions.
fn check(case: &Case) -> usize {
    let package = Package::load(&case.package).expect("the package is sound");
    let plan = package.view().expect("sound").plan().expect("sound");
    let truths = case.frames.each_ref().map(|inputs| Truth::of(&package, inputs));
    let mut sessions = 0;
    for number in distinct(&plan, false) {
        for (tier, threads) in Tier::available().flat_map(|tier| [(tier, 1), (tier, 2)]) {
            let options =
                SessionOptions { tier: Some(tier), threads, schedule: Some(number), ..Default::default() };
            let mut session = Session::new(&package, &options).expect("there is no budget");
            let what = format!("seed {}, schedule {number}, {tier}, {threads} threads", case.seed);
            // The second frame finds what the first left behind.
            for (inputs, truth) in case.frames.iter().zip(&truths) {
                let found = Truth::by(&mut session, inputs).expect("the codes are sound");
                let first = found.steps.iter().zip(&truth.steps).position(|(a, b)| a != b);
                assert_eq!(first, None, "{what}: the first step that differs");
                assert!(found == *truth, "{what}: mask, confidence or digest differ");
            }
            assert!(session.output().is_err());
            sessions += 1;
        }
    }
    sessions + kept(case, &package, &truths[0])
}

/// The same with the output kept whole, on the best tier.
fn kept(case: &Case, package: &Package, truth: &Truth) -> usize {
    let plan = package.view().expect("sound").plan().expect("sound");
    let numbers = distinct(&plan, true);
    for &number in &numbers {
        let options =
            SessionOptions { threads: 1, keep_output: true, schedule: Some(number), ..Default::default() };
        let mut session = Session::new(package, &options).expect("there is no budget");
        let what = format!("seed {}, schedule {number}, output kept", case.seed);
        let found = Truth::by(&mut session, &case.frames[0]).expect("the codes are sound");
        assert!(found == *truth, "{what}");
        let mut chain = digest::Chain::default();
        chain.add(digest::tensor(session.output().expect("it was kept")));
        assert_eq!(chain.finish(), truth.digest, "{what}: the output itself");
    }
    numbers.len()
}

fn check_from(first: u64) {
    let sessions: usize = (first..first + NETWORKS).map(|seed| check(&Case::any(seed))).sum();
    println!("{NETWORKS} networks from {first}: {sessions} sessions");
    assert!(sessions as u64 > NETWORKS * 4);
}

#[test]
fn no_schedule_changes_a_byte_of_random_networks() {
    check_from(10_000);
}

#[test]
fn no_schedule_changes_a_byte_of_other_random_networks() {
    check_from(20_000);
}

#[test]
fn no_schedule_changes_a_byte_where_rows_can_be_streamed() {
    for seed in 30_000..30_000 + NETWORKS / 2 {
        check(&Case::streamed(seed, seed % 2 == 0));
    }
}
