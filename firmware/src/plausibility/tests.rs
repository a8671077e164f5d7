//! Frames of a generated texture, and what happens to sensors.

use super::*;

const ROWS: usize = 24;
const COLUMNS: usize = 32;

/// A frame of noise between 40 and 200, another for every number.
fn frame(number: u64) -> Vec<Vec<u8>> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        40 + (state >> 40) as u8 % 160
    };
    (0..ROWS).map(|_| (0..COLUMNS).map(|_| next()).collect()).collect()
}

fn show(own: &mut Plausibility, frame: &[Vec<u8>]) -> Result<(), SensorFault> {
    frame.iter().for_each(|row| own.row(row));
    own.finish()
}

#[test]
fn living_frames_pass_and_each_fault_is_named() {
    let limits = Plausible { contact: (6, 32), ..Plausible::usual() };
    let mut own = Plausibility::new(limits);
    for number in 0..50 {
        assert_eq!(show(&mut own, &frame(number)), Ok(()), "frame {number}");
    }
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut damaged = frame(99);
        change(&mut damaged);
        damaged
    };
    let cases: [(&str, SensorFault, Vec<Vec<u8>>); 5] = [
        (
            "a third at full scale",
            SensorFault::Saturated,
            with(&|f| {
                f[..8].iter_mut().for_each(|row| {
                    row[..].fill(255);
                    row[0] = 100;
                })
            }),
        ),
        (
            "three rows of one value",
            SensorFault::DeadRows,
            with(&|f| f[..3].iter_mut().for_each(|row| row.fill(90))),
        ),
        ("one value", SensorFault::Constant, vec![vec![77; COLUMNS]; ROWS]),
        (
            "twice as bright",
            SensorFault::Drifted,
            with(&|f| {
                f.iter_mut().flatten().for_each(|sample| *sample = 170 + *sample / 4);
            }),
        ),
        (
            "smooth next to the probe",
            SensorFault::NoContact,
            with(&|f| {
                f[..6].iter_mut().for_each(|row| (0..COLUMNS).for_each(|x| row[x] = 100 + (x / 8) as u8));
            }),
        ),
    ];
    for (why, fault, damaged) in cases {
        assert_eq!(show(&mut own.clone(), &damaged), Err(fault), "{why}");
    }
}

#[test]
fn a_frozen_sensor_is_found_and_a_slow_change_is_not() {
    let mut own = Plausibility::new(Plausible::usual());
    let still = frame(5);
    assert_eq!(show(&mut own, &still), Ok(()));
    assert_eq!(show(&mut own, &still), Ok(()));
    assert_eq!(show(&mut own, &still), Err(SensorFault::Repeated));
    assert_eq!(show(&mut own, &frame(6)), Ok(()));
    for number in 0..2000 {
        let mut brighter = frame(number);
        brighter
            .iter_mut()
            .flatten()
            .for_each(|sample| *sample = sample.saturating_add((number / 40) as u8).min(254));
        assert_eq!(show(&mut own, &brighter), Ok(()), "frame {number}");
    }
}
