//! `candor demo`.

use crate::exit::Failure;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArguments {
    /// Directory for overlays and the report
    #[arg(long, default_value = "demo")]
    out: PathBuf,
}

/// Runs the demo.
pub fn demo(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    Err(Failure::usage(format!("no embedded package yet for {}", arguments.out.display())))
}
