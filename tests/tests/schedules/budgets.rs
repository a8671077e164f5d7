//! A budget is kept or refused with the least that does, and changes no byte.

use crate::networks::Case;
use crate::oracle::Truth;
use candor::{Error, ErrorKind, Package, Session, SessionOptions};

/// The number after "give at least" in a budget error.
fn least(error: &Error) -> usize {
    assert_eq!(error.kind(), ErrorKind::Memory);
    let text = error.to_string();
    text.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// Steps from the least budget to more than is ever needed.
const STEPS: usize = 7;

/// Tries budgets with `options`; the number of different sizes that sessions took.
fn check(package: &Package, case: &Case, truth: &Truth, options: SessionOptions) -> usize {
    let seed = case.seed;
    let session = Session::new(package, &options).expect("there is no budget");
    let input = session.plan().tensor(0).expect("sound").layout;
    let extent = [input.height, input.width];
    let with = |memory| Session::new(package, &SessionOptions { memory: Some(memory), ..options });
    let enough = least(&with(1).err().expect("one byte is too little"));
    for short in [0, enough / 2, enough - 1] {
        assert_eq!(least(&with(short).err().expect("it is too little")), enough, "seed {seed}");
    }
    let whole = session.bytes(extent).max(enough) * 5 / 4;
    let mut sizes = Vec::new();
    for step in 0..=STEPS {
        let budget = enough + (whole - enough) * step / STEPS;
        let mut session = match with(budget) {
            Ok(session) => session,
            Err(error) => panic!("seed {seed}: {budget} of {enough}: {error}"),
        };
        assert!(session.bytes(extent) <= budget, "seed {seed}: {} of {budget}", session.bytes(extent));
        sizes.push(session.bytes(extent));
        for (inputs, again) in [(&case.frames[1], false), (&case.frames[0], true)] {
            let found = Truth::by(&mut session, inputs).expect("the codes are sound");
            assert!(!again || found == *truth, "seed {seed}: {budget} bytes");
        }
        assert_eq!(session.output().is_ok(), options.keep_output);
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes.len()
}

#[test]
fn budgets_are_kept_or_refused_with_the_least_that_does() {
    let mut sizes = 0;
    for seed in 40_000..40_040 {
        let case = if seed % 2 == 0 { Case::any(seed) } else { Case::streamed(seed, true) };
        let package = Package::load(&case.package).expect("the package is sound");
        let truth = Truth::of(&package, &case.frames[0]);
        for (keep_output, streaming) in [(false, false), (true, false), (false, true), (true, true)] {
            let options = SessionOptions { keep_output, streaming, ..Default::default() };
            sizes += check(&package, &case, &truth, options);
        }
    }
    println!("{sizes} different sizes");
    assert!(sizes > 40 * 4, "some budgets choose smaller schedules");
}
