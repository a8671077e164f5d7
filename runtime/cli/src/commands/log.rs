//! `candor log verify`: whether an event log is whole, from the first line that is left to the last.

use crate::exit::{Failure, INVALID};
use candor::record::{Verification, verify};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `log`.
#[derive(Args)]
pub struct LogArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Check that every line seals the one before, over all segments, and that the counts add up
    Verify(VerifyArguments),
}

/// Arguments of `log verify`.
#[derive(Args)]
struct VerifyArguments {
    /// The log that grows; its closed segments lie beside it
    log: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Looks at a log. Exit code 3 when it does not hold.
pub fn log(arguments: &LogArguments) -> Result<ExitCode, Failure> {
    let Action::Verify(arguments) = &arguments.action;
    let found = verify(&arguments.log)?;
    if arguments.json {
        let mut document = json!(found);
        document["ok"] = found.fault.is_none().into();
        println!("{document:#}");
    } else {
        print_text(&found);
    }
    if let Some(fault) = &found.fault {
        let segment = arguments.log.with_file_name(&fault.segment);
        let message = format!("{}: line {}: {}", segment.display(), fault.line, fault.problem);
        eprintln!("candor: {message}; keep the files as they are for whoever finds out why");
        return Ok(ExitCode::from(INVALID));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_text(found: &Verification) {
    println!("{} lines in {} segments hold", found.lines, found.segments);
    if found.first_line > 0 {
        println!("begins at line {}: older segments are not here", found.first_line);
    }
    for (event, count) in &found.events {
        println!("{count:>10}  {event}");
    }
    if found.lost > 0 {
        println!("{} lines were lost while the storage refused them, as the log says", found.lost);
    }
    if found.torn_bytes > 0 {
        println!("{} bytes of an unfinished line at the end; the next start cuts them off", found.torn_bytes);
    }
    println!("last chain value {}", found.head);
}
