//! The machine against a naive model over random histories, and each promise by an example.

use super::*;
use crate::state::StateError;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The rule read literally: every observation since the last change of episode is kept.
struct Model {
    rule: Rule,
    standing: Standing,
    seen: Vec<Level>,
    last_ms: u64,
    stale: bool,
    changes: Vec<Change>,
}

impl Model {
    fn observe(&mut self, now_ms: u64, level: Level) {
        if self.stale {
            self.changes.push(Change::Fresh);
            self.seen.clear();
        }
        (self.stale, self.last_ms) = (false, now_ms);
        self.seen.push(level);
        let lows = self.seen.iter().rev().take_while(|&&level| level == Level::Low).count();
        let window = self.seen.iter().rev().take(usize::from(self.rule.window));
        let votes = window.filter(|&&level| level == Level::High).count();
        let holds = matches!(self.standing, Standing::Active | Standing::Acknowledged);
        if holds && lows >= usize::from(self.rule.clear_after) {
            self.seen = vec![Level::Low; lows];
            let latches = self.rule.latch && self.standing == Standing::Active;
            self.standing = if latches { Standing::Latched } else { Standing::Normal };
            self.changes.push(if latches { Change::Returned } else { Change::Cleared });
        } else if !holds && level == Level::High && votes >= usize::from(self.rule.needed) {
            self.standing = Standing::Active;
            self.changes.push(Change::Raised);
        }
    }

    fn acknowledge(&mut self) {
        match self.standing {
            Standing::Active => self.standing = Standing::Acknowledged,
            Standing::Latched => self.standing = Standing::Normal,
            Standing::Normal | Standing::Acknowledged => return,
        }
        self.changes.push(Change::Acknowledged);
        if self.standing == Standing::Normal {
            self.changes.push(Change::Cleared);
        }
    }

    fn tick(&mut self, now_ms: u64) {
        let limit = u64::from(self.rule.stale_ms);
        if limit > 0 && now_ms - self.last_ms >= limit && !self.stale {
            self.stale = true;
            self.changes.push(Change::Stale);
        }
    }
}

fn random_rule(random: &mut Random) -> Rule {
    let window = 1 + random.below(12) as u8;
    Rule {
        severity: Severity::Warning,
        needed: 1 + random.below(u64::from(window)) as u8,
        window,
        clear_after: 1 + random.below(6) as u8,
        latch: random.below(2) == 0,
        stale_ms: random.below(3) as u32 * 40,
    }
}

#[test]
fn follows_the_literal_rule_over_random_histories() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let rule = random_rule(&mut random);
        let mut rules = Rules::default();
        rules.set(Reason::Drift, rule).expect("the rule is in range");
        let mut machine = AlertMachine::<512>::new(rules, 0);
        let mut model = Model {
            rule,
            standing: Standing::Normal,
            seen: Vec::new(),
            last_ms: 0,
            stale: false,
            changes: Vec::new(),
        };
        let (mut now_ms, mut bias) = (0, 5);
        for frame in 0..300 {
            now_ms += random.below(12);
            if frame % 40 == 0 {
                bias = 1 + random.below(9);
            }
            match random.below(12) {
                0 => {
                    machine.acknowledge(now_ms, Reason::Drift);
                    model.acknowledge();
                }
                1 => {
                    now_ms += random.below(60);
                    machine.tick(now_ms);
                    model.tick(now_ms);
                }
                _ => {
                    let level = match random.below(10) {
                        draw if draw < bias => Level::High,
                        9 => Level::Between,
                        _ => Level::Low,
                    };
                    machine.observe(now_ms, Reason::Drift, level, frame, 0);
                    model.observe(now_ms, level);
                }
            }
            assert_eq!(machine.standing(Reason::Drift), model.standing, "seed {seed} frame {frame}");
            assert_eq!(machine.tally(Reason::Drift).stale, model.stale, "seed {seed} frame {frame}");
        }
        let changes: Vec<Change> = std::iter::from_fn(|| machine.pop()).map(|event| event.change).collect();
        assert_eq!(changes, model.changes, "seed {seed}");
    }
}

#[test]
fn every_number_is_an_event_or_counted_as_lost() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut machine = AlertMachine::<6>::new(Rules::default(), 0);
        let mut expected = 0;
        let mut account = |event: Event| {
            assert_eq!(event.number, expected, "seed {seed}");
            expected += if event.reason == Reason::EventsLost { event.value as u64 } else { 1 };
        };
        for step in 0..500 {
            if random.below(3) > 0 {
                machine.record(step, Reason::FrameRejected, step, 0);
            } else {
                for _ in 0..random.below(5) {
                    machine.pop().into_iter().for_each(&mut account);
                }
            }
            assert!(machine.queue().len() <= 6);
        }
        while let Some(event) = machine.pop() {
            account(event);
        }
        assert_eq!(expected, machine.queue().next_number(), "seed {seed}");
        assert!(machine.queue().lost() > 0, "the queue was never full");
    }
}

#[test]
fn a_state_goes_on_as_if_nothing_had_happened() {
    type Machine = AlertMachine<6>;
    let mut random = Random(7);
    let mut machine = Machine::new(Rules::default(), 0);
    for step in 0..400 {
        let reason = Reason::ALL[random.below(Reason::COUNT as u64) as usize];
        let level = Level::when(random.below(2) == 0);
        machine.observe(step, reason, level, step, -3);
        if random.below(3) == 0 {
            machine.pop();
        }
        let mut bytes = [0; Machine::BYTES];
        machine.write(&mut bytes).expect("the state fits");
        let mut twin = Machine::read(&bytes, Rules::default(), step).expect("the state is sound");
        assert_eq!(twin.front(), machine.front());
        machine.observe(step, reason, level, step, 9);
        twin.observe(step, reason, level, step, 9);
        assert_eq!(twin.standing(reason), machine.standing(reason));
        let rest = |mut machine: Machine| std::iter::from_fn(move || machine.pop()).collect::<Vec<_>>();
        assert_eq!(rest(twin), rest(machine));
        bytes[40] ^= 4;
        assert_eq!(Machine::read(&bytes, Rules::default(), 0).err(), Some(StateError::Digest));
    }
}

#[test]
fn between_the_thresholds_nothing_changes() {
    let mut machine = AlertMachine::<8>::new(Rules::default(), 0);
    let level = |value| Level::of(value, 10, 5);
    assert_eq!(machine.observe(0, Reason::StorageLost, level(9), 0, 9), Standing::Normal);
    assert_eq!(machine.observe(1, Reason::StorageLost, level(10), 1, 10), Standing::Active);
    assert_eq!(machine.observe(2, Reason::StorageLost, level(6), 2, 6), Standing::Active);
    assert_eq!(machine.observe(3, Reason::StorageLost, level(5), 3, 5), Standing::Normal);
}

#[test]
fn time_set_back_is_an_event_once_and_never_makes_time_run_backwards() {
    let mut machine = AlertMachine::<8>::new(Rules::default(), 0);
    machine.record(1000, Reason::Lifecycle, 0, 0);
    for back in 0..5 {
        machine.record(400 + back, Reason::Lifecycle, 0, 0);
    }
    let events: Vec<Event> = std::iter::from_fn(|| machine.pop()).collect();
    let backs: Vec<i64> =
        events.iter().filter(|event| event.reason == Reason::ClockSetBack).map(|event| event.value).collect();
    assert_eq!(backs, [600]);
    assert!(events.iter().all(|event| event.time_ms == 1000));
}

#[test]
fn silence_counts_as_a_warning() {
    let mut rules = Rules::default();
    let rule = Rule::plain(Severity::Notice).stale_after(100);
    rules.set(Reason::LinkLost, rule).expect("the rule is in range");
    let mut machine = AlertMachine::<8>::new(rules, 5000);
    machine.tick(5099);
    assert_eq!(machine.worst(), None);
    machine.tick(5100);
    assert_eq!(machine.worst(), Some(Severity::Warning));
    assert_eq!(machine.pop().map(|event| (event.change, event.value)), Some((Change::Stale, 100)));
    machine.observe(5200, Reason::LinkLost, Level::Low, 0, 0);
    assert_eq!(machine.worst(), None);
}

#[test]
fn rules_out_of_range_are_refused_by_name() {
    let mut rules = Rules::default();
    let good = Rule::voted(Severity::Notice, 2, 4, 3);
    for (field, rule) in [
        ("window", Rule { window: 65, ..good }),
        ("needed", Rule { needed: 5, ..good }),
        ("needed", Rule { needed: 0, ..good }),
        ("clear_after", Rule { clear_after: 0, ..good }),
    ] {
        let fault = rules.set(Reason::Drift, rule).expect_err("the rule is out of range");
        assert_eq!((fault.reason, fault.field), (Reason::Drift, field));
    }
}

#[test]
fn the_record_keeps_its_numbers() {
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
    for (index, change) in Change::ALL.into_iter().enumerate() {
        assert_eq!(change as usize, index);
    }
}

#[test]
fn trust_returns_only_after_clean_blocks_in_a_row() {
    let rule = TrustRule { cap: EVEN_ODDS, clean_blocks: 4 };
    let mut trust = Trust::new(rule);
    assert_eq!((trust.cap(), trust.void(), trust.cap()), (u16::MAX, true, EVEN_ODDS));
    assert!(!trust.void());
    let caps: Vec<u16> = (0..3)
        .map(|_| {
            assert!(!trust.block(true));
            trust.cap()
        })
        .collect();
    assert_eq!(caps, [40_959, 49_151, 57_343]);
    trust.block(false);
    assert_eq!((trust.validity(), trust.cap()), (Validity::Void, EVEN_ODDS));
    let mut bytes = [0; TRUST_BYTES];
    trust.write(&mut bytes).expect("the state fits");
    let mut trust = Trust::read(&bytes, rule).expect("the state is sound");
    let restored: Vec<bool> = (0..4).map(|_| trust.block(true)).collect();
    assert_eq!(restored, [false, false, false, true]);
    assert_eq!(trust.cap(), u16::MAX);
    trust.void();
    assert!(trust.restore());
}
