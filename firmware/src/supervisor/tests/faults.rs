//! Every way in which a box or its line can go wrong, and the cause that it must lead to.

use super::*;

/// Runs on after `change` and tells what came of it.
fn after(change: impl FnOnce(&mut World)) -> (State, Cause) {
    let mut world = World::closed();
    world.run(730 * MS);
    change(&mut world);
    world.run(4500 * MS);
    assert_eq!(world.board.closed, world.supervisor.state() == State::Closed);
    assert_eq!(world.black_box.stops(), u32::from(world.supervisor.state() == State::Stopped));
    (world.supervisor.state(), world.supervisor.cause())
}

/// A heartbeat with a flipped bit.
fn damaged(world: &mut World) {
    let mut bytes = world.device.heartbeat(world.now_us + world.ahead_us);
    bytes[5] ^= 4;
    world.send(bytes);
}

#[test]
fn every_fault_stops_for_its_own_cause() {
    const NEVER: u64 = u64::MAX / 2;
    let cases: [(&str, Cause, Change<'_, World>); 15] = [
        ("the box sends nothing any more", Cause::Silence, &|world| {
            (world.next_heartbeat_us, world.next_finding_us, world.device.answers) = (NEVER, NEVER, false);
        }),
        ("two frames in a row are lost", Cause::Gap, &|world| world.device.sequence += 2),
        ("two frames in a row are damaged", Cause::Gap, &|world| (0..2).for_each(|_| damaged(world))),
        ("a frame comes twice", Cause::Replay, &|world| {
            let bytes = world.device.heartbeat(world.now_us + world.ahead_us);
            (0..2).for_each(|_| world.send(bytes.clone()));
        }),
        ("frames wait in some queue", Cause::Stale, &|world| world.delay_us += 151 * MS),
        ("the box's clock goes back", Cause::ClockBack, &|world| world.ahead_us -= 60 * MS),
        ("an older exam", Cause::OrderBack, &|world| world.device.epoch -= 1),
        ("an older camera frame", Cause::OrderBack, &|world| world.device.frame_id -= 5),
        ("another package", Cause::Package, &|world| world.device.package ^= 1),
        ("a frozen camera", Cause::Frozen, &|world| {
            for _ in 0..4 {
                world.device.input -= 1;
                let bytes = world.device.finding(world.now_us + world.ahead_us);
                world.send(bytes);
            }
        }),
        ("no findings", Cause::Stalled, &|world| world.next_finding_us = NEVER),
        ("void calibration", Cause::CalibrationVoid, &|world| world.device.calibration = Calibration::Void),
        ("a critical alert", Cause::Alert, &|world| world.device.worst = Some(Severity::Critical)),
        ("no answers", Cause::Unanswered, &|world| world.device.answers = false),
        ("a flipped weight", Cause::WrongAnswer, &|world| world.device.error = 1),
    ];
    for (why, cause, change) in cases {
        assert_eq!(after(change), (State::Stopped, cause), "{why}");
    }
}

#[test]
fn what_happens_to_healthy_boxes_stops_nothing() {
    let cases: [(&str, Change<'_, World>); 6] = [
        ("nothing", &|_| {}),
        ("one frame is damaged", &|world| damaged(world)),
        ("noise between frames", &|world| world.send(vec![3, 1, 4, 1, 5, 0, 9, 2, 6, 0])),
        ("a new exam begins and counts its frames anew", &|world| {
            world.device.epoch += 1;
            world.device.frame_id = 0;
        }),
        ("a warning", &|world| world.device.worst = Some(Severity::Warning)),
        ("a package without calibration", &|world| world.device.calibration = Calibration::Absent),
    ];
    for (why, change) in cases {
        assert_eq!(after(change).0, State::Closed, "{why}");
    }
}

#[test]
fn the_sensor_is_heard_whatever_the_box_says() {
    let dark = |world: &mut World| world.board.rows.extend((0..8).map(|row| (vec![0; 16], row == 7)));
    assert_eq!(after(dark), (State::Stopped, Cause::Constant));
}

#[test]
fn the_first_cause_is_kept_and_each_stop_has_its_number() {
    let mut world = World::closed();
    world.device.package ^= 1;
    world.device.worst = Some(Severity::Critical);
    world.run(300 * MS);
    assert_eq!((world.supervisor.cause(), world.supervisor.latch()), (Cause::Package, 2));
    world.device.package ^= 1;
    world.board.button = true;
    world.run(300 * MS);
    assert_eq!((world.supervisor.cause(), world.supervisor.latch()), (Cause::Alert, 3));
    assert_eq!(world.black_box.stop(1).map(|stop| stop.cause), Some(Cause::Package as u8));
    assert_eq!(world.black_box.stop(0).map(|stop| stop.cause), Some(Cause::Alert as u8));
}

#[test]
fn a_box_that_was_started_again_is_heard_while_stopped() {
    let mut world = World::closed();
    (world.device.sequence, world.device.epoch) = (0, world.device.epoch + 1);
    world.run(300 * MS);
    assert_eq!((world.supervisor.state(), world.supervisor.cause()), (State::Stopped, Cause::Replay));
    let latch = world.supervisor.latch();
    let bytes = world.device.frame(world.now_us + world.ahead_us, Message::Acknowledge { latch });
    world.send(bytes);
    world.run(1500 * MS);
    assert_eq!(world.supervisor.state(), State::Closed);
}

#[test]
fn an_acknowledgement_of_an_earlier_stop_lifts_no_later_one() {
    let mut world = World::closed();
    let latch = world.supervisor.latch();
    world.device.package ^= 1;
    world.run(300 * MS);
    world.device.package ^= 1;
    for latch in [latch, latch + 2] {
        let bytes = world.device.frame(world.now_us + world.ahead_us, Message::Acknowledge { latch });
        world.send(bytes);
        world.run(1500 * MS);
        assert_eq!((world.supervisor.state(), world.supervisor.cause()), (State::Stopped, Cause::Package));
    }
}
