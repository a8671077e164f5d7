//! Does every loss train a U-Net to where more training changes nothing? A survey, on one family of phantoms.

use super::material::{Family, Material};
use super::segmenter::{Regime, advance, figures, network, predict};
use super::{Claim, Figures, Job, Record, Relation, Size, Study, every};
use crate::losses::Loss;
use crate::train::{Learner, ListSource, Schedule, Source, TrainError, draw};
use candor_imaging::phantom::families::{FamilyConfig, Kind};

/// Rows and columns of the images.
const SIDE: usize = 32;
/// The group: up to three cells.
const GROUP: &str = "cells";
/// What the name of an arm ends with when it was measured before the last quarter of its training.
const EARLIER: &str = " at three quarters";
/// What the name of an arm ends with whose rate first rises over a sixth of its training.
const WARMED: &str = " with warm-up";
/// Updates per network, as a multiple of the other studies'.
const LENGTH: usize = 2;

/// Every loss with the settings of its paper, trained twice as long as in the other studies and measured
/// before and after the last quarter. The one that mostly stays at the background comes with warm-up, too.
pub struct Plateau(pub Size);

/// Every loss by the name of its arm.
fn arms() -> Vec<(String, Loss)> {
    let mut arms: Vec<(String, Loss)> = Loss::all().into_iter().map(|loss| (loss.label(), loss)).collect();
    let stuck = Loss::FocalTversky { delta: 0.7, exponent: 0.75, gamma: 1.0 };
    arms.push((format!("{}{WARMED}", stuck.label()), stuck));
    arms
}

impl Plateau {
    const fn steps(&self) -> usize {
        LENGTH * self.0.steps
    }

    fn material(&self, seed: u64) -> Result<Material, TrainError> {
        let config = FamilyConfig { objects: (1, 3), ..FamilyConfig::new(Kind::Cells, SIDE, SIDE) };
        let images = |seed, count| draw(&Family::of(config.clone(), seed)? as &dyn Source, 0..count);
        Ok(Material {
            shape: [1, SIDE, SIDE],
            classes: 2,
            training: images(1_000 + seed, self.0.training)?,
            validation: vec![],
            test: images(1, self.0.test)?,
        })
    }
}

impl Study for Plateau {
    fn title(&self) -> &'static str {
        "Every loss, trained to its plateau"
    }

    fn jobs(&self) -> Vec<Job> {
        let arms: Vec<String> = arms().into_iter().map(|(arm, _)| arm).collect();
        every(&[GROUP], &arms, self.0.seeds)
    }

    fn run(&self, job: &Job) -> Result<Vec<Record>, TrainError> {
        let Some((_, loss)) = arms().into_iter().find(|(arm, _)| *arm == job.arm) else {
            return Err(TrainError::Invalid(vec![format!("there is no arm '{}'", job.arm)]));
        };
        let material = self.material(job.seed)?;
        let source = ListSource::new(material.shape, material.training.clone(), job.seed)?;
        let steps = self.steps();
        let warm_up = if job.arm.ends_with(WARMED) { steps / 6 } else { 0 };
        let regime = Regime { schedule: Schedule::Cosine, warm_up, ..Default::default() };
        let model = network(1, material.classes, regime.norm, job.seed)?;
        let mut learner = Learner::new(model, regime.average);
        let mut records = Vec::new();
        let mut done = 0;
        for (end, name) in [(steps * 3 / 4, EARLIER), (steps, "")] {
            let value = advance(&mut learner, &source, material.classes, &loss, &regime, done..end, steps)?;
            let test = predict(learner.model(), &material.test, material.shape)?;
            let mut found: Figures = figures(&test, &material, 1.0)?;
            found.insert("loss".into(), value);
            let arm = format!("{}{name}", job.arm);
            records.push(Record { group: job.group.clone(), arm, seed: job.seed, figures: found });
            done = end;
        }
        Ok(records)
    }

    fn claims(&self) -> Vec<Claim> {
        let plain = Loss::CrossEntropy.label();
        let claims = arms().into_iter().flat_map(|(arm, _)| {
            let earlier = format!("{arm}{EARLIER}");
            let still = Claim::new("dice", earlier, Relation::NotLowerBy(0.02), &arm);
            let learned = Claim::new("dice", &arm, Relation::NotLowerBy(0.05), &plain);
            if arm == plain { vec![still] } else { vec![still, learned] }
        });
        claims.collect()
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["dice", "loss", "ece", "ece_foreground", "brier"]
    }
}
