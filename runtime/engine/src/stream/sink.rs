//! Where events go: the record, or whatever a device puts in its place.

use super::event::Event;
use crate::record::disk::Disk;
use crate::record::{Head, Record, Written};

/// Takes events in their order.
pub trait Sink {
    /// Takes one event; `wall_ms` is calendar time, `now_ms` monotonic.
    fn event(&mut self, event: &Event<'_>, wall_ms: i64, now_ms: u64);
    /// Called at least once a second.
    fn tick(&mut self, wall_ms: i64, now_ms: u64);
    /// Events that could not be stored so far.
    fn outstanding(&self) -> u64;
    /// How far the log has come.
    fn head(&self) -> Head;
}

impl<D: Disk> Sink for Record<D> {
    fn event(&mut self, event: &Event<'_>, wall_ms: i64, now_ms: u64) {
        // Lost and held events are told in the log itself and counted in `outstanding`.
        let _: Written = self.write(event, wall_ms, now_ms);
    }

    fn tick(&mut self, wall_ms: i64, now_ms: u64) {
        Self::tick(self, wall_ms, now_ms);
    }

    fn outstanding(&self) -> u64 {
        Self::outstanding(self)
    }

    fn head(&self) -> Head {
        Self::head(self)
    }
}

/// Keeps nothing.
impl Sink for () {
    fn event(&mut self, _: &Event<'_>, _: i64, _: u64) {}

    fn tick(&mut self, _: i64, _: u64) {}

    fn outstanding(&self) -> u64 {
        0
    }

    fn head(&self) -> Head {
        Head::default()
    }
}
