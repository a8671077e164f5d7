//! Frames against outside definitions of their parts, and refusals one by one.

mod corruption;

use super::*;

/// A frame of the given number that says `message`.
fn frame(sequence: u32, message: Message) -> Frame {
    Frame {
        version: VERSION,
        sequence,
        epoch: 3,
        package: 0x1122_3344_0066_7788,
        frame_id: u64::from(sequence) * 5,
        time_us: 1_000_000 + u64::from(sequence) * 50_000,
        message,
    }
}

fn finding() -> Message {
    let (input, output) = (0xfeed_0000_0000_0001, 7);
    Message::Finding(Finding {
        input,
        output,
        calibration: Calibration::Void,
        worst: Some(Severity::Critical),
    })
}

/// One of every kind.
fn messages() -> [Message; 6] {
    [
        Message::Heartbeat,
        finding(),
        Message::Challenge { nonce: 9, seed: 0 },
        Message::Answer { nonce: u32::MAX, digest: u64::MAX },
        Message::Status { closed: true, latch: 300, cause: 200 },
        Message::Acknowledge { latch: 4 },
    ]
}

fn bytes(frame: &Frame) -> Vec<u8> {
    frame.encode(&mut [0; WIRE_BYTES_MAX]).unwrap().to_vec()
}

/// What a receiver says to all of `bytes`.
fn receive(receiver: &mut Receiver, bytes: &[u8]) -> Vec<Result<Received, Refusal>> {
    bytes.iter().filter_map(|&byte| receiver.push(byte)).collect()
}

#[test]
fn the_checksum_is_castagnolis() {
    // Check value of CRC-32/ISCSI in the catalogue of parametrised CRC algorithms.
    assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
}

/// Written out by hand from the postcard 1 wire specification.
#[test]
fn the_bytes_of_a_frame_are_those_of_the_specification() {
    let mut plain = vec![1, 0x2c, 0x01, 0, 0, 3, 0, 0, 0];
    plain.extend([0x88, 0x77, 0x66, 0x00, 0x44, 0x33, 0x22, 0x11]);
    plain.extend([0xdc, 0x05, 0, 0, 0, 0, 0, 0]);
    plain.extend([0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0]);
    plain.push(0);
    let mut own = frame(300, Message::Heartbeat);
    own.time_us = 0x1234_5678;
    plain.extend(CRC.checksum(&plain).to_le_bytes());
    let mut expected = vec![0];
    expected.extend(cobs::encode_vec(&plain));
    expected.push(0);
    assert_eq!(bytes(&own), expected);
}

#[test]
fn stuffing_is_that_of_another_implementation() {
    let mut random = crate::tests::Random(5);
    for length in 0..=PLAIN_BYTES_MAX {
        for _ in 0..20 {
            let plain: Vec<u8> = random.codes(length).iter().map(|code| code % 3).collect();
            let mut wire = [0; WIRE_BYTES_MAX];
            let used = stuff(&plain, &mut wire).unwrap();
            let between = &mut wire[1..used - 1];
            assert_eq!(between, cobs::encode_vec(&plain));
            let length = unstuff(between).unwrap();
            assert_eq!(between[..length], plain);
        }
    }
}

#[test]
fn the_longest_frame_fits() {
    for message in messages() {
        let mut own = frame(u32::MAX, message);
        (own.epoch, own.package, own.frame_id, own.time_us) = (u32::MAX, u64::MAX, u64::MAX, u64::MAX);
        let wire = bytes(&own);
        assert_eq!(receive(&mut Receiver::new(), &wire), [Ok(Received { frame: own, missed: 0 })]);
    }
}

#[test]
fn frames_pass_in_order_and_lost_ones_are_counted() {
    let mut receiver = Receiver::new();
    for (sequence, missed) in [(u32::MAX - 1, 0), (u32::MAX, 0), (0, 0), (1, 0), (4, 2), (5, 0)] {
        let own = frame(sequence, finding());
        assert_eq!(receive(&mut receiver, &bytes(&own)), [Ok(Received { frame: own, missed })]);
    }
}

#[test]
fn what_was_said_before_is_refused_until_a_restart() {
    let mut receiver = Receiver::new();
    let (old, new) = (frame(1, Message::Heartbeat), frame(2, Message::Heartbeat));
    assert!(receive(&mut receiver, &bytes(&new))[0].is_ok());
    assert_eq!(receive(&mut receiver, &bytes(&new)), [Err(Refusal::Replay)]);
    assert_eq!(receive(&mut receiver, &bytes(&old)), [Err(Refusal::Replay)]);
    receiver.restart();
    assert!(receive(&mut receiver, &bytes(&old))[0].is_ok());
}

/// A frame of any content with a sound CRC.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut plain = body.to_vec();
    plain.extend(CRC.checksum(body).to_le_bytes());
    let mut wire = [0; WIRE_BYTES_MAX];
    let used = stuff(&plain, &mut wire).unwrap();
    wire[..used].to_vec()
}

#[test]
fn sound_bytes_of_no_frame_are_refused() {
    let mut receiver = Receiver::new();
    let mut body = postcard::to_slice(&frame(1, Message::Heartbeat), &mut [0; 80]).unwrap().to_vec();
    let first = |wire: Vec<u8>, receiver: &mut Receiver| receive(receiver, &wire).remove(0).unwrap_err();
    assert_eq!(first(sealed(&[]), &mut receiver), Refusal::Version);
    assert_eq!(first(sealed(&[&[2], &body[1..]].concat()), &mut receiver), Refusal::Version);
    assert_eq!(first(sealed(&body[..body.len() - 1]), &mut receiver), Refusal::Content);
    assert_eq!(first(sealed(&[&body[..], &[0]].concat()), &mut receiver), Refusal::Content);
    *body.last_mut().unwrap() = 6;
    assert_eq!(first(sealed(&body), &mut receiver), Refusal::Content);
    assert_eq!(first(vec![1, 1, 0], &mut receiver), Refusal::Checksum);
    assert_eq!(first(vec![9, 1, 0], &mut receiver), Refusal::Stuffing);
    assert_eq!(first([vec![1; WIRE_BYTES_MAX + 1], vec![0]].concat(), &mut receiver), Refusal::Length);
    let sound = frame(1, Message::Heartbeat);
    assert!(receive(&mut receiver, &bytes(&sound))[0].is_ok());
}
