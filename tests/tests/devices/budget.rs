//! The memory that a device is asked for: known before anything is loaded, and held to.

use crate::agree::Model;
use crate::targets;
use candor::Package;
use candor_gpu::{Executor, ExecutorOptions, GpuError};
use candor_tests::workspace_root;

#[test]
fn a_budget_is_met_or_refused_with_what_would_do() {
    let package =
        Package::open(&workspace_root().join("models/packages/phantom.candor")).expect("it is there");
    let model = Model::new(&package);
    for target in targets::present() {
        let build = |memory| {
            let options = ExecutorOptions { target, memory: Some(memory), tier: None, threads: 1 };
            Executor::new(model.plan, Some((model.head, model.tables)), Vec::new(), &options)
        };
        let Some(GpuError::Memory { needed, budget: 1000 }) = build(1000).err() else {
            panic!("{target} accepts 1000 bytes");
        };
        assert!(build(needed - 1).is_err());
        let executor = build(needed).unwrap_or_else(|error| panic!("{error}"));
        assert!(executor.bytes() <= needed, "{} of {needed} bytes", executor.bytes());
    }
}

#[test]
fn inputs_of_another_size_are_refused() {
    let package =
        Package::open(&workspace_root().join("models/packages/phantom.candor")).expect("it is there");
    let model = Model::new(&package);
    for target in targets::present() {
        let options = ExecutorOptions { target, memory: None, tier: None, threads: 1 };
        let mut executor = Executor::new(model.plan, None, Vec::new(), &options).expect("it is present");
        for inputs in [&[][..], &[&[0u8; 5][..]]] {
            let error = executor.run(inputs).expect_err("they do not fit");
            assert!(matches!(error, GpuError::Input { .. }), "{error}");
        }
        let mut short = [0; 3];
        assert!(executor.read_tensor(0, &mut short).is_err());
        assert!(executor.read_finding(&mut short, &mut [0; 3], &mut []).is_err());
    }
}
