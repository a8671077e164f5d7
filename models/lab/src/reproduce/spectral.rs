//! Karimi & Gholipour 2022: does the spectrum of activations find foreign frames, and better than what?

use super::material::{Family, Material, family, nodule_patches};
use super::segmenter::{Regime, network, softmax, train};
use super::{Claim, Figures, Job, Record, Relation, Size, Study, every};
use crate::detect::fit::{fit_intensity, fit_mahalanobis, fit_spectrum};
use crate::detect::score::{
    Normalisation, add_to_gram, count_intensities, intensity_score, mahalanobis_score, normalise,
    spectral_signature, spectrum_score,
};
use crate::losses::Loss;
use crate::metrics::area_under_roc;
use crate::nets::{Model, Norm};
use crate::train::{ListSource, PhantomSource, Sample, Source, TrainError, draw, gray, tensors};
use candor_imaging::phantom::fault::Fault;
use std::fmt::Display;

/// Layers looked at: the deepest for the spectrum, all for Mahalanobis distance.
const TAPS: [&str; 3] = ["down1.second.relu", "down2.second.relu", "bottom.second.relu"];
/// Arms, in the order of the scores.
const SCORES: [&str; 5] = ["spectrum", "softmax", "entropy", "Mahalanobis", "histogram"];
/// Foreign families, and faults laid on frames as trained.
const FAMILIES: [&str; 3] = ["cells", "vessels", "speckle"];
const FAULTS: [(&str, Fault); 4] = [
    ("dose", Fault::DoseDrop { dose: 0.1 }),
    ("streak", Fault::MetalStreak { strength: 0.3 }),
    ("gain", Fault::Gain { gain: 1.2, offset: 0.0 }),
    ("stripes", Fault::Stripes { amplitude: 0.02 }),
];

/// Five scores of foreign frames, over networks trained on nodules and, where there is data, on cardiac MR.
pub struct Spectral(pub Size);

/// What one frame leaves behind.
struct Trace {
    signature: Vec<f64>,
    pooled: Vec<f64>,
    shares: Vec<f64>,
    /// 1 − mean of the largest probability; mean entropy.
    doubt: [f64; 2],
}

fn refused(error: impl Display) -> TrainError {
    TrainError::Invalid(vec![error.to_string()])
}

/// Where the taps are, and the channels of each.
fn taps(model: &Model) -> Result<Vec<(usize, usize)>, TrainError> {
    let place = |name: &&'static str| {
        let nodes = &model.graph().nodes;
        let at = nodes.iter().position(|node| node.name == *name);
        at.map(|at| (at, nodes[at].channels)).ok_or_else(|| refused(format!("no layer '{name}'")))
    };
    TAPS.iter().map(place).collect()
}

fn trace(model: &Model, sample: &Sample, shape: [usize; 3], classes: usize) -> Result<Trace, TrainError> {
    let [image, _] = tensors(std::slice::from_ref(sample), shape, 1)?;
    let values = model.forward_all(&image, false)?;
    let (mut pooled, mut signature) = (Vec::new(), Vec::new());
    for (at, channels) in taps(model)? {
        let planes = values[at].flatten_all()?.to_vec1::<f32>()?;
        let pixels = planes.len() / channels;
        let mean = |plane: &[f32]| plane.iter().map(|own| f64::from(*own)).sum::<f64>() / pixels as f64;
        pooled.extend(planes.chunks(pixels).map(mean));
        signature = signature_of(&planes, channels)?;
    }
    let logits = values[model.graph().outputs[0]].flatten_all()?.to_vec1::<f32>()?;
    let probabilities = softmax(&logits, classes, 1.0);
    let pixels = probabilities.len() / classes;
    let mut doubt = [0.0; 2];
    for pixel in 0..pixels {
        let own = (0..classes).map(|class| f64::from(probabilities[class * pixels + pixel]));
        doubt[0] += (1.0 - own.clone().fold(0.0, f64::max)) / pixels as f64;
        doubt[1] -= own.filter(|p| *p > 0.0).map(|p| p * p.ln()).sum::<f64>() / pixels as f64;
    }
    let bytes: Vec<u8> = sample.image.iter().map(|own| (own * 255.0).round() as u8).collect();
    let (mut counts, mut shares) = ([0u32; 64], vec![0.0; 64]);
    count_intensities(&bytes, &mut counts);
    normalise(&counts, &mut shares).map_err(refused)?;
    Ok(Trace { signature, pooled, shares, doubt })
}

/// The signature of planar activations, rounded to a thousandth of the largest.
fn signature_of(planes: &[f32], channels: usize) -> Result<Vec<f64>, TrainError> {
    let pixels = planes.len() / channels;
    let largest = planes.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut gram = vec![0i64; channels * channels];
    for pixel in 0..pixels {
        let one = |channel: usize| (planes[channel * pixels + pixel] / largest * 1000.0).round() as i16;
        add_to_gram(&(0..channels).map(one).collect::<Vec<_>>(), &mut gram);
    }
    let (mut matrix, mut signature) = (vec![0.0; channels * channels], vec![0.0; channels]);
    spectral_signature(&gram, Normalisation::MeanLog, &mut matrix, &mut signature).map_err(refused)?;
    Ok(signature)
}

/// Detectors fitted on training frames: the five scores of a frame, higher for stranger.
fn detectors(
    training: &[Trace],
    channels: &[usize],
) -> Result<impl Fn(&Trace) -> Result<[f64; 5], TrainError>, TrainError> {
    let groups: Vec<u32> = (0..training.len() as u32).collect();
    let rows = |of: fn(&Trace) -> &[f64]| -> Vec<f64> {
        training.iter().flat_map(|own| of(own).iter().copied()).collect()
    };
    let deepest = training.first().map_or(0, |own| own.signature.len());
    let most = training.len();
    let signatures = rows(|own| &own.signature);
    let spectrum = fit_spectrum(&signatures, deepest, &groups, most).map_err(refused)?.detector;
    let distance = fit_mahalanobis(&rows(|own| &own.pooled), channels, &groups).map_err(refused)?.detector;
    let intensity = fit_intensity(&rows(|own| &own.shares), 64, &groups, most).map_err(refused)?.detector;
    Ok(move |own: &Trace| {
        let mut scratch = vec![0.0; distance.scratch()];
        Ok([
            spectrum_score(&spectrum.profile(), &own.signature).map_err(refused)?,
            own.doubt[0],
            own.doubt[1],
            mahalanobis_score(&distance.profiles(), &own.pooled, &mut scratch).map_err(refused)?,
            intensity_score(&intensity.profile(), &own.shares).map_err(refused)?,
        ])
    })
}

/// What networks are trained on: nodules, and cardiac MR where there is data.
const TRAINED: [&str; 2] = ["nodules", "cardiac"];

impl Spectral {
    /// Every set that is foreign to networks trained on `trained`, by name.
    fn foreign(&self, trained: &str) -> Result<Vec<(String, Vec<Sample>)>, TrainError> {
        let mut sets = Vec::new();
        for name in FAMILIES {
            let kind = family(name).ok_or_else(|| refused(format!("no family '{name}'")))?;
            sets.push((name, draw(&Family::new(kind, 2)? as &dyn Source, 0..self.0.test)?));
        }
        let source = PhantomSource::new(nodule_patches(), 2)?;
        if trained == TRAINED[0] {
            for (name, fault) in FAULTS {
                let one = |index: u64| {
                    let (frame, labels) = source.frame(index);
                    Ok(Sample { image: gray(&fault.apply(&frame, index))?, labels: labels.into_values() })
                };
                sets.push((name, (0..self.0.test).map(one).collect::<Result<_, TrainError>>()?));
            }
        } else {
            sets.push((TRAINED[0], draw(&source, 0..self.0.test)?));
            sets.push(("ultrasound", Material::of("ultrasound", &self.0, 0)?.test));
        }
        let named = |name| {
            if trained == TRAINED[0] { String::from(name) } else { format!("{trained}: {name}") }
        };
        Ok(sets.into_iter().map(|(name, samples)| (named(name), samples)).collect())
    }

    /// Frames that weights were not fitted on, so that scores of the test frames are like theirs.
    fn fitting(&self, material: &Material, job: &Job) -> Result<Vec<Sample>, TrainError> {
        if job.group != TRAINED[0] {
            return Ok(material.validation.clone());
        }
        draw(&PhantomSource::new(nodule_patches(), 2_000 + job.seed)?, 0..3 * self.0.validation)
    }
}

impl Study for Spectral {
    fn title(&self) -> &'static str {
        "Spectral signatures of activations against other scores of foreign frames (Karimi & Gholipour 2022)"
    }

    fn jobs(&self) -> Vec<Job> {
        let groups = if self.0.data.is_some() { &TRAINED[..] } else { &TRAINED[..1] };
        every(groups, &["network".into()], self.0.seeds)
    }

    fn run(&self, job: &Job) -> Result<Vec<Record>, TrainError> {
        let material = Material::of(&job.group, &self.0, job.seed)?;
        let (shape, classes) = (material.shape, material.classes);
        let source = ListSource::new(shape, material.training.clone(), job.seed)?;
        let model = network(1, classes, Norm::None, job.seed)?;
        let model = train(model, &source, classes, &Loss::CrossEntropy, &Regime::default(), self.0.steps)?;
        let traces = |samples: &[Sample]| -> Result<Vec<Trace>, TrainError> {
            samples.iter().map(|own| trace(&model, own, shape, classes)).collect()
        };
        let fitted = traces(&self.fitting(&material, job)?)?;
        let channels: Vec<usize> = taps(&model)?.into_iter().map(|(_, channels)| channels).collect();
        let score = detectors(&fitted, &channels)?;
        let scores = |samples: &[Sample]| -> Result<Vec<[f64; 5]>, TrainError> {
            traces(samples)?.iter().map(&score).collect()
        };
        let familiar = scores(&material.test)?;
        let mut records = Vec::new();
        for (group, samples) in self.foreign(&job.group)? {
            let foreign = scores(&samples)?;
            for (at, arm) in SCORES.into_iter().enumerate() {
                let of = |scores: &[[f64; 5]]| scores.iter().map(|own| own[at]).collect::<Vec<_>>();
                let area = area_under_roc(&of(&familiar), &of(&foreign)).map_err(refused)?;
                let figures = Figures::from([("auroc".to_string(), area)]);
                records.push(Record { group: group.clone(), arm: arm.into(), seed: job.seed, figures });
            }
        }
        Ok(records)
    }

    fn claims(&self) -> Vec<Claim> {
        SCORES[1..].iter().map(|other| Claim::new("auroc", SCORES[0], Relation::Higher, *other)).collect()
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["auroc"]
    }
}
