//! Checkpoints survive damage of the newest generation, and foreign or torn files are not taken for state.

use super::{Keeper, Restored, StateOrigin, restore, slot_path};

const PACKAGE: [u8; 32] = [7; 32];

fn save(keeper: &mut Keeper, payload: &[u8]) {
    assert!(keeper.save(|bytes| bytes.extend_from_slice(payload)));
    keeper.wait();
    assert_eq!(keeper.failure(), None);
}

#[test]
fn the_newest_whole_generation_is_restored() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let found = |package: &[u8; 32]| restore(folder.path(), package).expect("the folder can be read");
    assert_eq!(found(&PACKAGE), Restored { payload: vec![], generation: 0, origin: StateOrigin::Fresh });
    let mut keeper = Keeper::new(folder.path(), PACKAGE, 0, 64).expect("a thread");
    for (generation, payload) in [(1, &b"one"[..]), (2, b"two, longer"), (3, b"3")] {
        save(&mut keeper, payload);
        let restored = found(&PACKAGE);
        assert_eq!((restored.payload.as_slice(), restored.generation), (payload, generation));
        assert_eq!(restored.origin, StateOrigin::Newest);
    }
    assert_eq!(found(&[8; 32]).origin, StateOrigin::Lost, "another package's state");
    // Generation 3 lies in slot 1. Whatever byte is hit, and wherever it is cut, the one before is found.
    let newest = slot_path(folder.path(), 3);
    let whole = std::fs::read(&newest).expect("it was written");
    for at in 0..whole.len() {
        let mut hit = whole.clone();
        hit[at] ^= 0x10;
        for bytes in [&hit, &whole[..at].to_vec()] {
            std::fs::write(&newest, bytes).expect("the folder can be written");
            let restored = found(&PACKAGE);
            assert_eq!((restored.payload.as_slice(), restored.generation), (&b"two, longer"[..], 2));
            assert_eq!(restored.origin, StateOrigin::Previous);
        }
    }
    std::fs::write(slot_path(folder.path(), 2), b"").expect("the folder can be written");
    assert_eq!(found(&PACKAGE).origin, StateOrigin::Lost);
}

#[test]
fn a_failure_is_told_and_the_last_checkpoint_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("state");
    restore(&place, &PACKAGE).expect("the folder is made");
    let mut keeper = Keeper::new(&place, PACKAGE, 0, 64).expect("a thread");
    save(&mut keeper, b"kept");
    let moved = folder.path().join("moved");
    std::fs::rename(&place, &moved).expect("the folder can be moved");
    assert!(keeper.save(|bytes| bytes.extend_from_slice(b"lost")));
    keeper.wait();
    assert!(keeper.failure().is_some() && keeper.failure().is_none(), "it is told once");
    std::fs::rename(&moved, &place).expect("the folder can be moved back");
    assert_eq!(restore(&place, &PACKAGE).expect("the folder can be read").payload, b"kept");
}
