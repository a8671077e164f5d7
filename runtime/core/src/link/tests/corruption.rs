//! A noisy line: no damaged frame is accepted, and at most the frame that was hit and the next are lost.
//!
//! `CANDOR_LINK_FRAMES` sets how many frames are damaged.

use super::*;
use crate::tests::Random;

/// What happens to one frame on the way.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// One to eight bits flip.
    Flips,
    /// A burst of up to 32 bytes is replaced.
    Burst,
    /// Bytes are lost from the middle or the end.
    Cut,
    /// The head of this frame runs into the tail of another.
    Splice,
    /// Bytes that nobody sent.
    Insertion,
    /// A frame from before, once more.
    Replay,
}

const KINDS: [Damage; 6] =
    [Damage::Flips, Damage::Burst, Damage::Cut, Damage::Splice, Damage::Insertion, Damage::Replay];

fn below(random: &mut Random, limit: usize) -> usize {
    (random.bits() % limit as u64) as usize
}

/// What arrives in place of `wire`, never `wire` itself.
fn damaged(random: &mut Random, wire: &[u8], earlier: &[Vec<u8>]) -> (Damage, Vec<u8>) {
    loop {
        let kind = KINDS[below(random, KINDS.len())];
        let mut bytes = wire.to_vec();
        let other = &earlier[below(random, earlier.len())];
        match kind {
            Damage::Flips => {
                for _ in 0..=below(random, 8) {
                    bytes[below(random, wire.len())] ^= 1 << below(random, 8);
                }
            }
            Damage::Burst => {
                let start = below(random, wire.len());
                let end = (start + 1 + below(random, 32)).min(wire.len());
                bytes[start..end].iter_mut().for_each(|byte| *byte = random.bits() as u8);
            }
            Damage::Cut => {
                let start = below(random, wire.len());
                let end = start + 1 + below(random, wire.len() - start);
                bytes.drain(start..end);
            }
            Damage::Splice => {
                bytes.truncate(1 + below(random, wire.len()));
                bytes.extend(&other[below(random, other.len())..]);
            }
            Damage::Insertion => {
                let at = below(random, wire.len() + 1);
                let noise: Vec<u8> = (0..=below(random, 140)).map(|_| random.bits() as u8).collect();
                bytes.splice(at..at, noise);
            }
            Damage::Replay => bytes = other.clone(),
        }
        if bytes != wire {
            return (kind, bytes);
        }
    }
}

#[test]
fn no_damaged_frame_passes_and_two_frames_later_all_is_well() {
    let count = std::env::var("CANDOR_LINK_FRAMES").ok().and_then(|text| text.parse().ok());
    let count: u64 = count.unwrap_or(1_000_000);
    let mut random = Random(0x11ec);
    let mut receiver = Receiver::new();
    let (mut sequence, mut earlier) = (0, Vec::new());
    let (mut intact, mut lost, mut worst) = (0_u64, 0_u64, 0);
    let mut send = |random: &mut Random| {
        sequence += 1;
        let own = frame(sequence, messages()[below(random, 6)]);
        (own, bytes(&own))
    };
    for _ in 0..16 {
        let (own, wire) = send(&mut random);
        assert_eq!(receive(&mut receiver, &wire), [Ok(Received { frame: own, missed: 0 })]);
        earlier.push(wire);
    }
    for round in 0..count {
        let (hit, wire) = send(&mut random);
        let (kind, bytes) = damaged(&mut random, &wire, &earlier);
        for outcome in receive(&mut receiver, &bytes) {
            // Noise before or after a frame leaves the frame itself whole.
            match outcome {
                Ok(received) if received.frame == hit => intact += 1,
                Ok(received) => panic!("round {round}, {kind:?}: accepted {received:?} for {hit:?}"),
                Err(_) => lost += 1,
            }
        }
        let mut silent = 0;
        loop {
            let (own, wire) = send(&mut random);
            let outcomes = receive(&mut receiver, &wire);
            let accepted: Vec<&Received> =
                outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
            assert!(
                accepted.iter().all(|received| received.frame == own || received.frame == hit),
                "{round}"
            );
            let place = below(&mut random, earlier.len());
            earlier[place] = wire;
            if accepted.iter().any(|received| received.frame == own) {
                break;
            }
            silent += 1;
        }
        worst = worst.max(silent);
        assert!(silent < 2, "round {round}, {kind:?}: {silent} sound frames were lost after it");
    }
    println!("{count} frames damaged: {lost} refusals, {intact} unharmed, {worst} sound frames lost at most");
    assert!(intact < count / 4 && lost > count / 2);
}
