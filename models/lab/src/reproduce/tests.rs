//! Tests of the studies' machinery: verdicts, tables, jobs that repeat.

use super::*;
use rayon::prelude::*;

fn record(arm: &str, seed: u64, value: f64) -> Record {
    let figures = Figures::from([("ece".to_string(), value)]);
    Record { group: "made".into(), arm: arm.into(), seed, figures }
}

/// Twelve pairs whose first arm differs by `shift` on average and by noise of `spread`.
fn pairs(shift: f64, spread: f64, seeds: u64) -> Vec<Record> {
    let noise = |seed: u64| spread * ((seed * 7 % 5) as f64 - 2.0);
    (0..seeds)
        .flat_map(|seed| {
            let base = seed as f64;
            [record("first", seed, base + shift + noise(seed)), record("second", seed, base)]
        })
        .collect()
}

#[test]
fn verdicts_follow_the_interval() {
    let judged = |relation, records: &[Record]| {
        let claim = Claim::new("ece", "first", relation, "second");
        judge(&[claim], records).unwrap().first().map(|own| own.verdict)
    };
    let lower = pairs(-1.0, 0.1, 12);
    assert_eq!(judged(Relation::Lower, &lower), Some(Verdict::Holds));
    assert_eq!(judged(Relation::Higher, &lower), Some(Verdict::DoesNotHold));
    assert_eq!(judged(Relation::NotLowerBy(0.5), &lower), Some(Verdict::DoesNotHold));
    assert_eq!(judged(Relation::NotLowerBy(2.0), &lower), Some(Verdict::Holds));
    assert_eq!(judged(Relation::Lower, &pairs(0.0, 0.1, 12)), Some(Verdict::Undecided));
    assert_eq!(judged(Relation::Lower, &pairs(-1.0, 0.1, 2)), Some(Verdict::Undecided));
    assert_eq!(judged(Relation::Lower, &[record("first", 0, 1.0)]), None);
}

#[test]
fn tables_hold_every_figure() {
    let records = pairs(-1.0, 0.0, 2);
    assert_eq!(csv(&records).lines().nth(1), Some("made,\"first\",0,ece,-1.000000"));
    let claim = Claim::new("ece", "first", Relation::Lower, "second");
    let text = markdown("title", &["ece", "absent"], &records, &judge(&[claim], &records).unwrap());
    assert!(text.contains("| second | 0.5000 (0.7071) |"), "{text}");
    assert!(text.contains("| -1.0000 | -1.0000 … -1.0000 | 2 | **undecided** |"), "{text}");
    let picture = svg("a < b", &["ece"], &records);
    assert!(picture.contains("a &lt; b") && picture.matches("<circle").count() == 4);
}

#[test]
fn jobs_repeat_and_pairs_share_their_start() {
    let size = Size { seeds: 1, steps: 2, training: 4, validation: 2, test: 2, data: None };
    let study = dice_plus_plus(size);
    let jobs = study.jobs();
    assert_eq!(jobs.len(), 10);
    let first = study.run(&jobs[0]).unwrap();
    assert_eq!(first, study.run(&jobs[0]).unwrap());
    assert_ne!(first[0].figures, study.run(&jobs[1]).unwrap()[0].figures);
    let unknown = Job { group: "elsewhere".into(), ..jobs[0].clone() };
    let error = study.run(&unknown).unwrap_err();
    assert_eq!(error.problems(), ["there is no group 'elsewhere'"]);
}

#[test]
fn every_study_gives_what_its_claims_are_about() {
    let size = Size { seeds: 1, steps: 1, training: 4, validation: 4, test: 4, data: None };
    let studies: [Box<dyn Study>; 8] = [
        Box::new(margin_smoothing(size.clone())),
        Box::new(dice_plus_plus(size.clone())),
        Box::new(recipes(size.clone())),
        Box::new(Plateau(size.clone())),
        Box::new(Rotation(size.clone())),
        Box::new(Multitask(size.clone())),
        Box::new(Spectral(size.clone())),
        Box::new(Nodules(size)),
    ];
    for study in studies {
        let run = |job: &Job| study.run(job).unwrap();
        let records: Vec<Record> = study.jobs().par_iter().flat_map(run).collect();
        assert!(records.iter().flat_map(|own| own.figures.values()).all(|value| value.is_finite()));
        let claims = study.claims();
        let judged = judge(&claims, &records).unwrap();
        for claim in &claims {
            assert!(judged.iter().any(|own| own.claim == *claim), "{}: {claim}", study.title());
        }
        assert!(judged.iter().all(|own| own.verdict == Verdict::Undecided));
        let columns = study.columns();
        let known = |column: &&str| records.iter().any(|own| own.figures.contains_key(*column));
        assert!(columns.iter().all(known), "{}", study.title());
    }
}
