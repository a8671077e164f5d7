//! What devices sum of tapped outputs is what detectors sum of the reference's.

use crate::agree::Model;
use crate::host::Host;
use crate::networks::Case;
use crate::targets;
use candor::Package;
use candor::ood::features::{Features, TAP_LIMIT, TapPlace};
use candor_core::kernels::Reference;
use candor_core::plan::Plan;
use candor_core::tensor::Element;
use candor_gpu::{Executor, ExecutorOptions, Program};

/// Taps on every step with codes that there is room for, with different rows and spectra.
fn places(plan: &Plan<'_>, seed: u64) -> Vec<TapPlace> {
    let of = |step: usize| {
        let turn = step + seed as usize;
        TapPlace { step, every: [1, 2, 3, 5][turn % 4], spectrum: [1, 64, 3, 8, 0][turn % 5] }
    };
    let has_codes = |step: &usize| {
        let output = plan.step(*step).expect("parsed").output;
        plan.tensor(output).expect("parsed").layout.element == Element::Code
    };
    (0..plan.steps()).rev().filter(has_codes).take(TAP_LIMIT).map(of).collect()
}

/// Pooled values, as bits, and Gram matrices.
fn seen(features: &Features) -> (Vec<u64>, Vec<Vec<i64>>) {
    let mut pooled = vec![0.0; features.pooled_len()];
    features.pooled(&mut pooled);
    (pooled.iter().map(|value| value.to_bits()).collect(), features.grams())
}

/// By the specification.
fn reference(model: &Model<'_>, places: &[TapPlace], inputs: &[&[u8]]) -> Features {
    let mut features = Features::new(&model.plan, places, 1).expect("the steps are there");
    model.run(inputs, &mut features.observe(&Reference), |_| ());
    features
}

#[test]
fn taps_of_random_networks_agree() {
    let mut products = 0;
    for seed in 80_000..80_060 {
        let case = Case::any(seed);
        let package = Package::load(&case.package).expect("the package is sound");
        let model = Model::new(&package);
        let places = places(&model.plan, seed);
        let empty = Features::new(&model.plan, &places, 1).expect("the steps are there");
        let taps = empty.taps().to_vec();
        let frames: Vec<Vec<&[u8]>> =
            case.frames.iter().map(|inputs| inputs.iter().map(Vec::as_slice).collect()).collect();
        let expected: Vec<_> =
            frames.iter().map(|inputs| seen(&reference(&model, &places, inputs))).collect();
        products += expected[0].1.iter().flatten().filter(|product| **product != 0).count();
        for target in targets::present() {
            let options = ExecutorOptions { target, memory: None, tier: None, threads: 2 };
            let head = Some((model.head, model.tables));
            let mut executor =
                Executor::new(model.plan, head, taps.clone(), &options).expect("it is present");
            let mut words = vec![0; taps.iter().map(|tap| tap.words()).sum()];
            for (inputs, expected) in frames.iter().zip(&expected) {
                inputs.iter().enumerate().for_each(|(input, codes)| {
                    executor.load(input, codes).expect("the codes fit");
                });
                executor.frame(true).expect("the device is there");
                executor.read_taps(&mut words).expect("they are as many");
                let mut features = empty.clone();
                features.add_words(&words);
                assert!(seen(&features) == *expected, "seed {seed} differs on {target}");
            }
            assert!(executor.read_taps(&mut [0; 1]).is_err() || words.len() == 1);
        }
        if let Some(host) = Host::compiled() {
            let head = Some((&model.head, &model.tables));
            let program = Program::new(&model.plan, head, &taps).expect("parsed");
            let arena = host.run(&model.plan, &program, &frames[0], false);
            let words = arena[program.regions.taps.clone()].as_chunks::<8>().0;
            let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
            let mut features = empty.clone();
            features.add_words(&words);
            assert!(seen(&features) == expected[0], "seed {seed} differs in the kernels");
        }
    }
    assert!(products > 1_000, "{products} products that are not zero say little");
}
