//! A device that fails in the middle of a stream: where that is allowed the CPU goes on, findings unchanged.

use candor::record::Head;
use candor::stream::clock::{Clock, VirtualClock};
use candor::stream::event::{Event, StopCause};
use candor::stream::{Ring, Sink, Slot, Step, Stream, StreamOptions};
use candor::{Backend, Error, ErrorKind, FrameView, Package, Samples, Session, SessionOptions};
use candor_core::golden::input_code;
use candor_gpu::{Executor, ExecutorOptions, GpuError, Target};
use candor_tests::workspace_root;
use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use crate::agree::Model;

/// Rows and columns of the frames.
const EXTENT: [usize; 2] = [120, 160];
/// Frames before the device fails.
const FRAMES: usize = 3;

/// A device that is lost after some frames.
struct Failing<'p> {
    inner: Executor<'p>,
    left: usize,
}

impl Backend for Failing<'_> {
    fn name(&self) -> String {
        "failing:0".into()
    }

    fn bytes(&self) -> usize {
        self.inner.bytes()
    }

    fn load(&mut self, input: usize, codes: &[u8]) -> Result<(), Error> {
        if self.left == 0 {
            let reason = "it fell off the bus".into();
            return Err(GpuError::Lost { device: self.name(), reason }.into());
        }
        self.left -= 1;
        Backend::load(&mut self.inner, input, codes)
    }

    fn steps(&mut self, steps: Range<usize>) -> Result<(), Error> {
        Backend::steps(&mut self.inner, steps)
    }

    fn end(&mut self) -> Result<(), Error> {
        Backend::end(&mut self.inner)
    }

    fn wait(&mut self) -> Result<(), Error> {
        Backend::wait(&mut self.inner)
    }

    fn frame(&mut self, tapped: bool) -> Result<(), Error> {
        Backend::frame(&mut self.inner, tapped)
    }

    fn read_tensor(&mut self, tensor: usize, into: &mut [u8]) -> Result<(), Error> {
        Backend::read_tensor(&mut self.inner, tensor, into)
    }

    fn read_finding(
        &mut self,
        mask: &mut [u8],
        confidence: &mut [u16],
        output: &mut [u8],
    ) -> Result<(), Error> {
        Backend::read_finding(&mut self.inner, mask, confidence, output)
    }
}

/// Keeps what is told of a lost device.
#[derive(Default)]
struct Told<'a>(Option<&'a RefCell<Vec<String>>>);

impl Sink for Told<'_> {
    fn event(&mut self, event: &Event<'_>, _: i64, _: u64) {
        if let (Event::DeviceLost { device, reason }, Some(told)) = (event, self.0) {
            told.borrow_mut().push(format!("{device}: {reason}"));
        }
    }

    fn tick(&mut self, _: i64, _: u64) {}

    fn outstanding(&self) -> u64 {
        0
    }

    fn head(&self) -> Head {
        Head::default()
    }
}

/// Digests of frames of a stream over `session`, and the error that ended it.
fn digests(
    session: Session<'_>,
    fall_back: bool,
    told: &RefCell<Vec<String>>,
) -> (Vec<[u8; 32]>, Option<Error>) {
    let clock = VirtualClock::default();
    let options = StreamOptions { fall_back, ..StreamOptions::default() };
    let mut stream = Stream::new(session, options, Told(Some(told)), &clock).expect("the settings are sound");
    let (ring, mut slot) = (Ring::default(), Slot::default());
    let mut digests = Vec::new();
    let [height, width] = EXTENT;
    for seed in 0..2 * FRAMES as u32 {
        let own: Vec<u8> = (0..height * width).map(|at| input_code(seed, at, width)).collect();
        let samples = Samples::U8(&own);
        slot.fill(&FrameView { width, height, channels: 1, full_scale: 255, samples });
        clock.advance_ns(33_000_000);
        ring.publish(&mut slot, clock.monotonic_ns());
        match stream.step(&ring, &clock, Duration::ZERO) {
            Ok(Step::Report(report)) => digests.push(report.finding.expect("it is in time").digest),
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (digests, Some(error)),
        }
    }
    let ledger = stream.finish(&ring, &clock, StopCause::EndOfSource);
    assert_eq!((ledger.processed, ledger.reconciles()), (2 * FRAMES as u64, true));
    (digests, None)
}

#[test]
fn the_cpu_goes_on_where_it_may() {
    let path = workspace_root().join("models/packages/phantom.candor");
    let package = Package::open(&path).expect("it is there");
    let model = Model::new(&package);
    let options = SessionOptions { threads: 1, ..SessionOptions::default() };
    let failing = || {
        let own = ExecutorOptions { target: Target::CandleCpu, memory: None, tier: None, threads: 1 };
        let head = Some((model.head, model.tables));
        let inner =
            Executor::new(model.plan, head, Vec::new(), &own).unwrap_or_else(|error| panic!("{error}"));
        let backend = Box::new(Failing { inner, left: FRAMES });
        Session::on_device(&package, &options, backend).unwrap_or_else(|error| panic!("{error}"))
    };
    let told = RefCell::default();
    let own = Session::new(&package, &options).unwrap_or_else(|error| panic!("{error}"));
    let (expected, ended) = digests(own, true, &told);
    assert!(ended.is_none() && told.borrow().is_empty());
    let (found, ended) = digests(failing(), true, &told);
    assert!(ended.is_none() && found == expected, "{ended:?}");
    assert_eq!(told.borrow().len(), 1);
    assert!(told.borrow()[0].contains("failing:0") && told.borrow()[0].contains("fell off the bus"));
    let (found, ended) = digests(failing(), false, &told);
    assert_eq!(found, expected[..FRAMES]);
    assert_eq!(ended.map(|error| error.kind()), Some(ErrorKind::Device));
    assert_eq!(told.borrow().len(), 1, "nothing falls back by itself");
}
