//! A box and a board in virtual time.

mod faults;
mod schedules;

use super::*;
use candor_core::alert::Severity;
use candor_core::link::{Calibration, Finding, Received};
use std::collections::VecDeque;

const PACKAGE: u64 = 0x0102_0304_0506_0708;
const TILES: [Tile; 3] =
    [Tile { seed: 4, digest: 40 }, Tile { seed: 5, digest: 50 }, Tile { seed: 6, digest: 60 }];

/// What a test does to the world, or one task of a supervisor.
type Change<'a, T> = &'a dyn Fn(&mut T);

/// A millisecond.
const MS: u64 = 1000;

/// A board without hardware.
#[derive(Clone, Default)]
struct Board {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
    rows: VecDeque<(Vec<u8>, bool)>,
    fed: u32,
    closed: bool,
    button: bool,
}

impl Link for &mut Board {
    fn take(&mut self) -> Option<u8> {
        self.incoming.pop_front()
    }

    fn put(&mut self, byte: u8) -> bool {
        self.outgoing.push(byte);
        true
    }
}

struct Rows(VecDeque<(Vec<u8>, bool)>, Vec<u8>);

impl Sensor for Rows {
    fn row(&mut self) -> Option<(&[u8], bool)> {
        let (row, last) = self.0.pop_front()?;
        self.1 = row;
        Some((&self.1, last))
    }
}

#[derive(Default)]
struct Dog(u32);

impl Watchdog for Dog {
    fn feed(&mut self) {
        self.0 += 1;
    }
}

#[derive(Default)]
struct Contact {
    closed: bool,
    pressed: bool,
}

impl Interlock for Contact {
    fn set(&mut self, closed: bool) {
        self.closed = closed;
    }

    fn acknowledged(&mut self) -> bool {
        std::mem::take(&mut self.pressed)
    }
}

/// A box that behaves, and what tests change about it.
#[derive(Clone)]
struct Device {
    sequence: u32,
    epoch: u32,
    frame_id: u64,
    package: u64,
    input: u64,
    calibration: Calibration,
    worst: Option<Severity>,
    /// Added to every answer.
    error: u64,
    answers: bool,
}

impl Device {
    fn new() -> Self {
        Self {
            sequence: 100,
            epoch: 7,
            frame_id: 1,
            package: PACKAGE,
            input: 1,
            calibration: Calibration::Applied,
            worst: None,
            error: 0,
            answers: true,
        }
    }

    fn frame(&mut self, time_us: u64, message: Message) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let frame = Frame {
            version: VERSION,
            sequence: self.sequence,
            epoch: self.epoch,
            package: self.package,
            frame_id: self.frame_id,
            time_us,
            message,
        };
        frame.encode(&mut [0; WIRE_BYTES_MAX]).unwrap().to_vec()
    }

    fn heartbeat(&mut self, time_us: u64) -> Vec<u8> {
        self.frame(time_us, Message::Heartbeat)
    }

    fn finding(&mut self, time_us: u64) -> Vec<u8> {
        self.frame_id += 1;
        self.input += 1;
        let (calibration, worst) = (self.calibration, self.worst);
        let finding = Finding { input: self.input, output: self.input * 3, calibration, worst };
        self.frame(time_us, Message::Finding(finding))
    }

    /// The answer to whatever the supervisor asked in `received`.
    fn answer(&mut self, time_us: u64, received: &Received) -> Option<Vec<u8>> {
        let Message::Challenge { nonce, seed } = received.frame.message else { return None };
        let tile = TILES.iter().find(|tile| tile.seed == seed).unwrap();
        let digest = tile.digest + self.error;
        self.answers.then(|| self.frame(time_us, Message::Answer { nonce, digest }))
    }
}

/// Supervisor, board and box together.
#[derive(Clone)]
struct World {
    now_us: u64,
    supervisor: Supervisor,
    board: Board,
    device: Device,
    /// The box's ear.
    ear: Receiver,
    black_box: BlackBox,
    next_heartbeat_us: u64,
    next_finding_us: u64,
    /// The box's clock is ahead by this.
    ahead_us: u64,
    delay_us: u64,
    wire: VecDeque<(u64, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let settings = Settings::usual(PACKAGE, &TILES);
        Self {
            now_us: 5 * MS,
            supervisor: Supervisor::new(settings, Cause::PowerOn, 0),
            board: Board::default(),
            device: Device::new(),
            ear: Receiver::new(),
            black_box: BlackBox::new(),
            next_heartbeat_us: 0,
            next_finding_us: 0,
            ahead_us: 77_000,
            delay_us: 3 * MS,
            wire: VecDeque::new(),
        }
    }

    /// One whose interlock is closed.
    fn closed() -> Self {
        let mut world = Self::new();
        world.run(100 * MS);
        world.board.button = true;
        world.run(500 * MS);
        assert_eq!(world.supervisor.state(), State::Closed, "{:?}", world.supervisor.cause());
        assert!(world.board.closed);
        world
    }

    /// Sends from the box.
    fn send(&mut self, bytes: Vec<u8>) {
        self.wire.push_back((self.now_us + self.delay_us, bytes));
    }

    /// The box at work: heartbeats every 50 ms, findings every 100 ms, answers at once.
    fn work(&mut self) {
        let time = self.now_us + self.ahead_us;
        if self.now_us >= self.next_heartbeat_us {
            self.next_heartbeat_us = self.now_us + 50 * MS;
            let bytes = self.device.heartbeat(time);
            self.send(bytes);
        }
        if self.now_us >= self.next_finding_us {
            self.next_finding_us = self.now_us + 100 * MS;
            let bytes = self.device.finding(time);
            self.send(bytes);
        }
        for byte in std::mem::take(&mut self.board.outgoing) {
            let Some(Ok(received)) = self.ear.push(byte) else { continue };
            if let Some(bytes) = self.device.answer(time, &received) {
                self.send(bytes);
            }
        }
    }

    /// The supervisor's turn, `after_us` later.
    fn poll(&mut self, after_us: u64) {
        self.now_us += after_us;
        while self.wire.front().is_some_and(|(at, _)| *at <= self.now_us) {
            let (_, bytes) = self.wire.pop_front().unwrap();
            self.board.incoming.extend(bytes);
        }
        let sensor = Rows(std::mem::take(&mut self.board.rows), Vec::new());
        let interlock = Contact { closed: false, pressed: std::mem::take(&mut self.board.button) };
        let mut ports = Ports { link: &mut self.board, sensor, watchdog: Dog::default(), interlock };
        self.supervisor.poll(self.now_us, &mut ports, &mut self.black_box);
        let Ports { sensor, watchdog, interlock, .. } = ports;
        self.board.fed += watchdog.0;
        self.board.closed = interlock.closed;
        self.board.rows = sensor.0;
    }

    /// Works for a while, polled every millisecond.
    fn run(&mut self, duration_us: u64) {
        let end = self.now_us + duration_us;
        while self.now_us < end {
            self.work();
            self.poll(MS);
        }
    }
}

#[test]
fn it_starts_stopped_and_closes_only_after_a_person_and_the_box_have_spoken() {
    let mut world = World::new();
    world.run(2000 * MS);
    assert_eq!((world.supervisor.state(), world.supervisor.cause()), (State::Stopped, Cause::PowerOn));
    assert!(!world.board.closed);
    world.device.answers = false;
    world.board.button = true;
    world.run(900 * MS);
    assert_eq!(world.supervisor.state(), State::Proving, "no answer, no closing");
    assert!(!world.board.closed);
    world.run(200 * MS);
    assert_eq!((world.supervisor.state(), world.supervisor.cause()), (State::Stopped, Cause::Unanswered));
    world.device.answers = true;
    world.board.button = true;
    world.run(400 * MS);
    assert!(world.board.closed);
}

#[test]
fn an_acknowledgement_over_the_link_must_name_the_stop() {
    let mut world = World::new();
    world.run(100 * MS);
    for (latch, expected) in [(0, State::Stopped), (2, State::Stopped), (1, State::Closed)] {
        let bytes = world.device.frame(world.now_us + world.ahead_us, Message::Acknowledge { latch });
        world.send(bytes);
        world.run(400 * MS);
        assert_eq!(world.supervisor.state(), expected, "latch {latch}");
    }
}

#[test]
fn a_task_that_is_not_done_leaves_the_watchdog_hungry() {
    let mut world = World::closed();
    let own = &mut world.supervisor;
    let mut dog = Dog::default();
    let now = world.now_us + 100 * MS;
    let all: [Change<'_, Supervisor>; 5] = [
        &|own| own.receive(now, &mut &mut Board::default()),
        &|own| own.judge(now),
        &|own| own.question(now),
        &|own| own.sense(now, &mut Rows(VecDeque::new(), Vec::new())),
        &|own| own.report(now, &mut &mut Board::default()),
    ];
    for missing in 0..all.len() {
        own.done = 0;
        all.iter().enumerate().filter(|(index, _)| *index != missing).for_each(|(_, task)| task(own));
        own.feed(now, &mut dog);
        assert_eq!(dog.0, 0, "task {missing}");
    }
    all[4](own);
    own.feed(now, &mut dog);
    assert_eq!(dog.0, 1);
    all.iter().for_each(|task| task(own));
    own.feed(now + 19 * MS, &mut dog);
    assert_eq!(dog.0, 1, "too soon");
    own.feed(now + 20 * MS, &mut dog);
    assert_eq!(dog.0, 2);
}

#[test]
fn an_hour_of_ordinary_traffic_opens_nothing() {
    let mut world = World::closed();
    for _ in 0..3600 {
        world.run(1000 * MS);
        assert_eq!(world.supervisor.state(), State::Closed, "{:?}", world.supervisor.cause());
        // The clocks drift apart by 100 parts in a million.
        world.ahead_us -= 20;
    }
    assert!(world.board.fed > 3600 * 40);
}
