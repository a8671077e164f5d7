//! Whole plans written by hand, run by the reference and compared with plain definitions over planar
//! values.

mod filters;
mod maps;
mod statistics;

use super::*;
use crate::kernels::Reference;
use crate::ops::{Add, CopyChannels, Lookup};
use crate::tensor::Halo;
use crate::tests::{Aligned, PlanWriter, Random, bits};

/// A planar `[C,H,W]` image of codes with its zero point; reads outside give the zero point.
struct Image {
    extent: [usize; 3],
    zero_point: u8,
    codes: Vec<u8>,
}

impl Image {
    /// `extent` is height, width, channels.
    fn random(random: &mut Random, extent: [usize; 3], zero_point: u8) -> Self {
        let codes = random.codes(extent.iter().product());
        Self { extent, zero_point, codes }
    }

    /// The code at a position, when that lies in the image.
    fn code(&self, y: isize, x: isize, c: usize) -> Option<u8> {
        let [height, width, _] = self.extent;
        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        inside.then(|| self.codes[(c * height + y as usize) * width + x as usize])
    }

    /// Code minus zero point; 0 outside.
    fn centred(&self, y: isize, x: isize, c: usize) -> i32 {
        self.code(y, x, c).map_or(0, |code| i32::from(code) - i32::from(self.zero_point))
    }
}

/// `clamp(rne(f32(sum) · multiplier) + zero)` over the full code range.
fn rescaled(sum: i32, multiplier: f32, zero_point: u8) -> i32 {
    let steps = f64::from((sum as f32) * multiplier).round_ties_even();
    (steps + f64::from(zero_point)).clamp(0.0, 255.0) as i32
}

/// The planar output values of a plan whose first tensors are `inputs`.
fn run_plan(writer: &PlanWriter, inputs: &[&Image]) -> Vec<i32> {
    let (bytes, weights) = (writer.plan(), writer.weights());
    let plan = Plan::parse(bytes.bytes(), weights.bytes()).unwrap();
    // Whatever an arena held before must not show.
    let mut arena = Aligned::of(&Random(99).codes(plan.arena_bytes()));
    for (index, image) in inputs.iter().enumerate() {
        load_input(&plan, arena.bytes_mut(), index, &image.codes).unwrap();
    }
    run(&plan, &Reference, arena.bytes_mut(), &mut ()).unwrap();
    let rows = tensor_rows(&plan, arena.bytes(), plan.output()).unwrap();
    let layout = rows.layout;
    let mut values = Vec::new();
    for c in 0..layout.channels {
        for y in 0..layout.height {
            values.extend((0..layout.width).map(|x| rows.value(y, x, c)));
        }
    }
    values
}

/// Planar values of a function of (row, column, channel).
fn planar([height, width, channels]: [usize; 3], value: impl Fn(usize, usize, usize) -> i32) -> Vec<i32> {
    let mut values = Vec::new();
    for c in 0..channels {
        for y in 0..height {
            values.extend((0..width).map(|x| value(y, x, c)));
        }
    }
    values
}

fn add_plan() -> PlanWriter {
    let mut plan = PlanWriter::with_inputs(2);
    let halo = Halo { top: 1, left: 1, bottom: 2, right: 0 };
    let (a, b) = (plan.tensor([3, 5, 6], halo, 10), plan.tensor([3, 5, 6], Halo::default(), 20));
    let output = plan.tensor([3, 5, 6], halo, 30);
    let factors = [1 << 20, -(1i32 << 22)].map(|f| f as u32);
    plan.step(Add::OPCODE, [a, b], output, &[factors[0], factors[1], bits(1.0 / 4_194_304.0), 5, 60]);
    plan
}

#[test]
fn inputs_of_another_size_or_number_and_short_or_misaligned_arenas_are_refused() {
    let writer = add_plan();
    let (bytes, weights) = (writer.plan(), writer.weights());
    let plan = Plan::parse(bytes.bytes(), weights.bytes()).unwrap();
    let mut arena = Aligned::of(&vec![0; plan.arena_bytes() + 64]);
    let whole = arena.bytes_mut();
    assert_eq!(load_input(&plan, whole, 0, &[0; 89]), Err(RunError::Input));
    assert_eq!(load_input(&plan, whole, 0, &[0; 91]), Err(RunError::Input));
    assert_eq!(load_input(&plan, whole, 2, &[0; 90]), Err(RunError::Input));
    assert!(load_input(&plan, whole, 7, &[0; 90]).is_err());
    assert_eq!(load_input(&plan, whole, 1, &[0; 90]), Ok(()));
    let short = plan.arena_bytes() - 1;
    assert_eq!(run(&plan, &Reference, &mut whole[..short], &mut ()), Err(RunError::Arena));
    assert_eq!(run(&plan, &Reference, &mut whole[4..], &mut ()), Err(RunError::Arena));
    assert_eq!(tensor_rows(&plan, &whole[..64], 0).err(), Some(RunError::Arena));
    assert_eq!(run(&plan, &Reference, whole, &mut ()), Ok(()));
}

/// Notes which step showed which tensor, and whether its halo held the zero point.
#[derive(Default)]
struct Seen(Vec<(usize, usize, bool)>);

impl Observer for Seen {
    fn after_rows(&mut self, step: usize, tensor: usize, rows: Rows<'_>) {
        let filled = rows.layout.halo == Halo::default() || rows.stored(0, 0, 0) == 30;
        self.0.push((step, tensor, filled));
    }
}

#[test]
fn observers_see_each_finished_tensor_once_with_its_halo() {
    let mut plan = PlanWriter::default();
    let halo = Halo { top: 1, left: 1, bottom: 1, right: 1 };
    let input = plan.tensor([2, 3, 2], Halo::default(), 0);
    let joined = plan.tensor([2, 3, 4], halo, 30);
    let output = plan.tensor([2, 3, 4], Halo::default(), 0);
    plan.step(CopyChannels::OPCODE, [input; 2], joined, &[0, 0, 2, CopyChannels::NO_TABLE]);
    plan.step(CopyChannels::OPCODE, [input; 2], joined, &[0, 2, 2, CopyChannels::NO_TABLE]);
    let table: Vec<u8> = (0..=255).rev().collect();
    let table = plan.constant(&table);
    plan.step(Lookup::OPCODE, [joined; 2], output, &[table, 0]);
    let (bytes, weights) = (plan.plan(), plan.weights());
    let parsed = Plan::parse(bytes.bytes(), weights.bytes()).unwrap();
    let mut arena = Aligned::of(&vec![0; parsed.arena_bytes()]);
    load_input(&parsed, arena.bytes_mut(), 0, &[7; 12]).unwrap();
    let mut seen = Seen::default();
    run(&parsed, &Reference, arena.bytes_mut(), &mut seen).unwrap();
    assert_eq!(seen.0, [(1, 1, true), (2, 2, true)]);
}

#[test]
fn running_twice_gives_the_same_bytes() {
    let writer = add_plan();
    let mut random = Random(1);
    let a = Image::random(&mut random, [3, 5, 6], 10);
    let b = Image::random(&mut random, [3, 5, 6], 20);
    let expected = planar([3, 5, 6], |y, x, c| {
        let (y, x) = (y as isize, x as isize);
        let sum = (a.centred(y, x, c) << 20) - (b.centred(y, x, c) << 22);
        rescaled(sum, 1.0 / 4_194_304.0, 30).clamp(5, 60)
    });
    assert_eq!(run_plan(&writer, &[&a, &b]), expected);
    assert_eq!(run_plan(&writer, &[&a, &b]), expected);
    assert!(expected.contains(&5) && expected.contains(&60), "the clamp was not met");
}
