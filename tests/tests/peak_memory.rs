//! `candor run` stays within a stated peak of resident memory, package, masks and overlays included.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use candor_core::package::{ChannelOrder, Geometry, Preprocess};
use candor_imaging::frame::{Frame, Samples, Source};
use candor_imaging::write;
use candor_lab::build;
use candor_lab::lower::{self, Ending};
use candor_lab::network::Network;
use candor_lab::onnx::{self, ImportOptions};
use candor_lab::pack::{self, Description};
use candor_lab::quantize::{Quantization, QuantizedNetwork};
use candor_tests::binaries::binary;
use candor_tests::onnx::{Model, floats, int, ints, node};
use candor_tests::workspace_root;

/// The most that may ever be resident, in KiB.
const PEAK_KIB_MAX: u64 = 40 << 10;
/// Side of the large model's input.
const SIDE: usize = 256;

/// A U-Net of about 7 million weights: 32 channels at full resolution, doubled at each of four halvings.
struct UNet {
    model: Model,
    convolutions: usize,
}

impl UNet {
    fn convolution(&mut self, input: &str, channels: [usize; 2], kernel: usize) -> String {
        let (weight, output) = (format!("w{}", self.convolutions), format!("c{}", self.convolutions));
        self.convolutions += 1;
        let [from, to] = channels;
        let count = to * from * kernel * kernel;
        let scale = (2.0 / (from * kernel * kernel) as f32).sqrt();
        let values: Vec<f32> = (0..count).map(|at| ((at * 7 % 11) as f32 / 5.0 - 1.0) * scale).collect();
        let extents = [to, from, kernel, kernel].map(|extent| extent as i64);
        let pad = (kernel / 2) as i64;
        self.model = std::mem::take(&mut self.model)
            .initializer(floats(&weight, &extents, &values))
            .node(node("Conv", &[input, &weight], &[&output], &[ints("pads", &[pad; 4])]));
        output
    }

    fn pointwise(
        &mut self,
        op: &str,
        inputs: &[&str],
        name: &str,
        attributes: &[candor_tests::onnx::Proto],
    ) -> String {
        self.model = std::mem::take(&mut self.model).node(node(op, inputs, &[name], attributes));
        name.to_string()
    }

    /// Two convolutions with their activations.
    fn stage(&mut self, input: &str, [from, to]: [usize; 2]) -> String {
        let mut value = input.to_string();
        for channels in [[from, to], [to, to]] {
            let convolved = self.convolution(&value, channels, 3);
            value = self.pointwise("Relu", &[&convolved], &format!("r{convolved}"), &[]);
        }
        value
    }

    fn bytes() -> Vec<u8> {
        let widths = [32, 64, 128, 256, 512];
        let model = Model::image(&[1, 1, SIDE as i64, SIDE as i64]).initializer(floats(
            "twice",
            &[4],
            &[1.0, 1.0, 2.0, 2.0],
        ));
        let mut net = Self { model, convolutions: 0 };
        let mut skips = vec![net.stage("x", [1, widths[0]])];
        for (level, pair) in widths.windows(2).enumerate() {
            let halves = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
            let halved = net.pointwise("MaxPool", &[&skips[level]], &format!("p{level}"), &halves);
            skips.push(net.stage(&halved, [pair[0], pair[1]]));
        }
        let mut value = skips.pop().expect("there is a deepest stage");
        for (level, skip) in skips.iter().enumerate().rev() {
            let doubled = net.pointwise("Resize", &[&value, "", "twice"], &format!("u{level}"), &[]);
            let narrowed = net.convolution(&doubled, [widths[level + 1], widths[level]], 1);
            let joined = net.pointwise("Concat", &[skip, &narrowed], &format!("j{level}"), &[int("axis", 1)]);
            value = net.stage(&joined, [2 * widths[level], widths[level]]);
        }
        let logits = net.convolution(&value, [widths[0], 1], 1);
        net.pointwise("Sigmoid", &[&logits], "y", &[]);
        net.model.output("y").bytes(17)
    }
}

/// The network with one quantization everywhere, which is enough to run it.
fn quantized(network: &Network) -> QuantizedNetwork {
    let unit = Quantization { scale: 1.0 / 16.0, zero_point: 128 };
    QuantizedNetwork {
        activations: network.values.iter().map(|value| value.constant.is_none().then_some(unit)).collect(),
        network: network.clone(),
        ..Default::default()
    }
}

/// Writes the large package into `folder`.
fn large_package(folder: &Path) -> PathBuf {
    let import = onnx::import(&UNet::bytes(), &ImportOptions::default()).expect("the model is sound");
    let mut network = import.network;
    onnx::simplify(&mut network);
    let lowered =
        lower::lower(&quantized(&network), Ending::Logits).expect("the network has an integer form");
    assert!(lowered.weights.len() > 7_000_000, "{} bytes of weights", lowered.weights.len());
    let description = Description {
        name: "large".into(),
        source: "generated".into(),
        preprocess: Preprocess {
            geometry: Geometry::Resize,
            order: ChannelOrder::Gray,
            normalize: build::standardize(),
        },
        classes: vec!["background".into(), "foreground".into()],
        card: String::new(),
    };
    let path = folder.join("large.candor");
    let bytes = pack::sections(&lowered, &description).to_bytes();
    write::file(&path, &bytes).expect("the temporary folder can be written");
    path
}

/// Peak resident memory of a running process in KiB, as Linux counts it.
fn peak_kib(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs `candor run` on several frames of `extent` (columns, rows).
///
/// The peak only grows, so the last look at it, taken after the first frame's last file was written, covers
/// everything a frame needs.
fn peak_of_run(package: &Path, [width, height]: [usize; 2], frames: usize, threads: usize) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let mut command = Command::new(binary("candor"));
    command.arg("run").arg(package).args(["--threads", &threads.to_string(), "--out"]).arg(&out);
    for index in 0..frames {
        let samples = (0..width * height).map(|at| (at * 31 % 251 + index) as u8).collect();
        let frame = Frame::new(width, height, 1, Samples::U8(samples), Source::new("generated", 8));
        let path = folder.path().join(format!("{index:03}.png"));
        write::frame_png(&path, &frame.expect("the frame is sound")).expect("the frame can be written");
        command.arg(path);
    }
    let mut child =
        command.env_remove("CANDOR_TIER").stdout(Stdio::null()).spawn().expect("the binary starts");
    let (last_file, mut peak) = (out.join("000.overlay.png"), None);
    let status = loop {
        let written = last_file.is_file();
        let seen = peak_kib(&child);
        if written && seen.is_some() {
            peak = seen;
        }
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    peak.expect("the memory was seen after the first frame")
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn running_a_large_model_stays_under_forty_mebibytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = large_package(folder.path());
    let kib = peak_of_run(&package, [SIDE, SIDE], 3, 2);
    println!("large model: {kib} KiB");
    assert!(kib < PEAK_KIB_MAX, "{kib} KiB");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn running_the_shipped_model_stays_under_forty_mebibytes() {
    let package = workspace_root().join("models/packages/phantom.candor");
    let kib = peak_of_run(&package, [640, 480], 60, 1);
    println!("shipped model: {kib} KiB");
    assert!(kib < PEAK_KIB_MAX, "{kib} KiB");
}
