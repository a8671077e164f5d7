//! A package on the host, whole tensors by its own plan, against its golden vector.

use super::*;
use candor_core::golden::Golden;
use candor_core::schedule::{Entry, Place};
use candor_core::tensor::Layout;
use candor_cpu::Tier;

/// A copy that starts at a multiple of 64.
fn aligned(bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut copy = vec![0; bytes.len() + 64];
    let shift = copy.as_ptr().align_offset(64);
    copy[shift..shift + bytes.len()].copy_from_slice(bytes);
    (copy, shift)
}

/// Every tensor whole, where the plan places it.
fn whole(plan: &Plan<'_>) -> (Vec<Place>, Vec<Entry>) {
    let places: Vec<Place> = (0..plan.tensors())
        .map(|index| plan.tensor(index).unwrap())
        .map(|tensor| Place {
            offset: tensor.offset,
            slots: tensor.layout.stored_rows(),
            layout: tensor.layout,
        })
        .collect();
    let mut entries = Vec::new();
    let halo = |entries: &mut Vec<Entry>, index: usize| {
        let Layout { halo, height, .. } = places[index].layout;
        let tensor = index as u16;
        entries.push(Entry::Edges { tensor });
        entries.push(Entry::Halo { tensor, slot: 0, count: halo.top as u16 });
        entries.push(Entry::Halo { tensor, slot: (halo.top + height) as u16, count: halo.bottom as u16 });
    };
    let all = |index: usize| (places[index].layout.height as u16, places[index].layout.halo.top as u16);
    let (count, slot) = all(0);
    entries.push(Entry::Load { input: 0, first: 0, count, slot });
    halo(&mut entries, 0);
    for index in 0..plan.steps() {
        let step = plan.step(index).unwrap();
        let (count, slot) = all(step.output);
        halo(&mut entries, step.output);
        let rows = 0..usize::from(count);
        let read = |which: usize| {
            step.op.input_rows(which, &places[step.inputs[which]].layout, rows.clone()).start as u16
        };
        let (inputs, finishes) = ([read(0), read(1)], plan.is_last_writer(index));
        entries.push(Entry::Run { step: index as u16, first: 0, count, slot, inputs, finishes });
    }
    (places, entries)
}

#[test]
fn the_embedded_package_gives_its_golden_digests_and_a_full_mask() {
    let (bytes, shift) = aligned(include_bytes!("../../../models/packages/phantom.candor"));
    let bytes = &bytes[shift..bytes.len() - 64 + shift];
    let package = Package::parse(bytes).unwrap();
    let golden = Golden::parse(package.section(Section::Golden).unwrap()).unwrap();
    let plan = package.plan().unwrap();
    let (places, entries) = whole(&plan);
    let scratch = plan.scratch().start;
    let schedule = Schedule { places: &places, entries: &entries, arena_bytes: plan.arena_bytes(), scratch };
    let kernels = CpuKernels::new(Tier::best(), 1).unwrap();
    let segmenter = Segmenter::new(bytes, schedule, kernels).unwrap();
    let (mut arena, start) = aligned(&vec![0; plan.arena_bytes()]);
    let (mut mask, mut confidence) = (vec![9; 120 * 160], vec![0; 120 * 160]);
    let mut digests = StepDigests::new();
    let mut source = GoldenSource { seed: golden.seed };
    let arena = &mut arena[start..];
    segmenter.run(arena, &mut source, &mut mask, &mut confidence, &mut digests).unwrap();
    let mut seen = 0;
    for (step, digest) in digests.take() {
        assert_eq!(Some(candor_core::digest::short(digest)), golden.step(step), "step {step}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen} steps were seen");
    assert!(mask.iter().all(|&class| class < 3) && confidence.iter().all(|&value| value > 0));
    let refused = segmenter.run(arena, &mut source, &mut mask[1..], &mut confidence, &mut ());
    assert_eq!(refused, Err(Refusal::Pixels));
}
