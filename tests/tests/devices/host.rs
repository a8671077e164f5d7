//! The GPU's kernels, compiled by the host's C++ compiler and run thread after thread: what they compute is
//! known where there is no GPU.

use candor_core::ops::group_norm::Affine;
use candor_core::plan::Plan;
use candor_gpu::{Item, Launch, Program, coefficients, normalised};
use candor_tests::{require, workspace_root};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The compiled kernels.
pub struct Host {
    program: PathBuf,
}

impl Host {
    /// Compiled once for all tests, with checks of every access; `None` without a compiler: optional thing
    /// `cxx`.
    pub fn compiled() -> Option<&'static Self> {
        static HOST: OnceLock<Result<Host, String>> = OnceLock::new();
        let host = HOST.get_or_init(|| compile(Path::new(env!("CARGO_TARGET_TMPDIR"))));
        require("cxx", host.as_ref().map_err(Clone::clone))
    }

    /// Runs a frame as CUDA does, with all kernels, or as Metal, without matrix units and with group
    /// normalisation's coefficients made in between as the executor makes them; gives the arena.
    pub fn run(&self, plan: &Plan<'_>, program: &Program, inputs: &[&[u8]], has_all: bool) -> Vec<u8> {
        let mut arena = vec![0x5a; program.regions.bytes];
        for (region, codes) in program.regions.inputs.iter().zip(inputs) {
            arena[region.clone()].copy_from_slice(codes);
        }
        let mut launches = Vec::new();
        for item in &program.items {
            match item {
                Item::Launch(launch) | Item::Tap(launch) => {
                    let other = launch.on_matrices().filter(|_| has_all);
                    launches.push(other.unwrap_or(*launch));
                }
                Item::Coefficients { launch, .. } if has_all => launches.push(*launch),
                Item::Coefficients { step, .. } => {
                    arena = self.launch(&arena, &program.constants, &std::mem::take(&mut launches));
                    end_sums(plan, program, *step, &mut arena);
                }
            }
        }
        self.launch(&arena, &program.constants, &launches)
    }

    /// Runs launches over an arena, and gives it.
    pub fn launch(&self, arena: &[u8], constants: &[u8], launches: &[Launch]) -> Vec<u8> {
        let mut request = Vec::new();
        for size in [arena.len(), constants.len(), launches.len()] {
            request.extend((size as u32).to_le_bytes());
        }
        request.extend_from_slice(arena);
        request.extend_from_slice(constants);
        for launch in launches {
            let numbers = [launch.kernel as u32, launch.grid[0], launch.grid[1], launch.grid[2]];
            request.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            request.extend_from_slice(bytemuck::bytes_of(&launch.step));
        }
        let mut command = Command::new(&self.program);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the kernels start");
        let mut stdin = child.stdin.take().expect("it was asked for");
        let sender = std::thread::spawn(move || stdin.write_all(&request));
        let output = child.wait_with_output().expect("they end");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        sender.join().expect("it does not panic").expect("the kernels read everything");
        output.stdout
    }
}

/// Slopes and offsets of a normalisation, which a device without 64-bit floats leaves to the host.
fn end_sums(plan: &Plan<'_>, program: &Program, step: usize, arena: &mut [u8]) {
    let channels = normalised(plan, step).expect("parsed");
    let number = |at: usize| u64::from_le_bytes(arena[at..at + 8].try_into().expect("eight bytes"));
    let places = (0..channels).map(|c| program.regions.channel_sums as usize + c * 16);
    let sums: Vec<[u64; 2]> = places.map(|at| [number(at), number(at + 8)]).collect();
    let mut affine: Vec<Affine> = vec![bytemuck::Zeroable::zeroed(); channels];
    coefficients(plan, step, &sums, &mut affine).expect("only a normalisation needs the host");
    let place = program.regions.affine as usize;
    arena[place..place + channels * 8].copy_from_slice(bytemuck::cast_slice(&affine));
}

fn compile(folder: &Path) -> Result<Host, String> {
    let program = folder.join("candor-kernels");
    let source = workspace_root().join("devices/gpu/kernels/host.cpp");
    let output = Command::new("c++")
        .args(["-std=c++14", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
        .args(["-ffp-contract=off", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        .arg("-o")
        .args([&program, &source])
        .output()
        .map_err(|error| format!("c++ does not start ({error})"))?;
    // A compiler that is there must take the kernels.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Host { program })
}
