//! Which of Candle's devices this build and this machine have, and that no other is used in an absent one's
//! place.

use crate::agree::Model;
use candor::Package;
use candor_gpu::{Executor, ExecutorOptions, GpuError, Target};
use candor_tests::workspace_root;

/// The devices that open.
pub fn present() -> Vec<Target> {
    let all = [Target::CandleCpu, Target::Cuda(0), Target::Metal(0)];
    all.into_iter().filter(|target| target.open().is_ok()).collect()
}

#[test]
fn names_lead_back_to_targets() {
    for target in [Target::CandleCpu, Target::Cuda(0), Target::Cuda(3), Target::Metal(1)] {
        assert_eq!(Target::from_name(&target.to_string()), Some(target));
    }
    assert_eq!(Target::from_name("cuda"), Some(Target::Cuda(0)));
    for name in ["cuda:", "cuda:x", "candle-cpu:1", "cpu", "rocm", ""] {
        assert_eq!(Target::from_name(name), None, "{name}");
    }
}

#[test]
fn an_absent_device_is_an_error() {
    let package =
        Package::open(&workspace_root().join("models/packages/phantom.candor")).expect("it is there");
    let model = Model::new(&package);
    for target in [Target::Cuda(63), Target::Metal(63)] {
        let options = ExecutorOptions { target, memory: None, tier: None, threads: 1 };
        let error =
            Executor::new(model.plan, None, Vec::new(), &options).err().expect("no machine has so many");
        assert!(matches!(error, GpuError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains(&target.to_string()), "{error}");
    }
}
