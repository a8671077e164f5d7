//! Steps alone, as a benchmark runs them: every one is timed, nothing of a later frame changes, and what
//! measures the matrix units leaves the arena alone.

use crate::host::Host;
use crate::networks::Case;
use crate::oracle::Truth;
use crate::targets;
use candor::{Package, Session, SessionOptions};
use candor_gpu::{Kernel, Launch, Step};

#[test]
fn every_step_is_timed_and_frames_go_on() {
    let case = Case::any(90_000);
    let package = Package::load(&case.package).expect("the package is sound");
    let options = SessionOptions { threads: 1, ..Default::default() };
    let truth = Truth::of(&package, &case.frames[0]);
    let inputs: Vec<&[u8]> = case.frames[1].iter().map(Vec::as_slice).collect();
    let remote = targets::present().into_iter().map(|target| candor_gpu::open(&package, &options, target));
    for session in std::iter::once(Session::new(&package, &options)).chain(remote) {
        let mut session = session.expect("it is present");
        let times = session.time_steps(&inputs).expect("the codes are sound");
        assert_eq!(times.len(), session.plan().steps());
        assert!(times.iter().all(|seconds| *seconds > 0.0 && seconds.is_finite()), "{times:?}");
        let found = Truth::by(&mut session, &case.frames[0]).expect("the codes are sound");
        assert!(found.without_steps() == truth.without_steps(), "on {}", session.device());
    }
}

#[test]
fn the_roof_of_the_matrix_units_stores_nothing() {
    let Some(host) = Host::compiled() else { return };
    let step = Step { count: 3, ..Step::default() };
    let launch = Launch { kernel: Kernel::MatrixRoof, grid: [4, 1, 1], step };
    let arena: Vec<u8> = (0..=255).collect();
    assert_eq!(host.launch(&arena, &[0; 16], &[launch]), arena);
}
