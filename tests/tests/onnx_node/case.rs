//! One of ONNX's operator cases: a model of one node, its inputs and its outputs.

use std::path::{Path, PathBuf};

use candor_lab::network::Tensor;
use candor_lab::onnx::{Import, ImportErrors, ImportOptions, NamedTensor, import, read_tensor};

/// A folder with `model.onnx` and `test_data_set_0`.
pub struct Case {
    folder: PathBuf,
    /// Name of the folder.
    pub name: String,
    /// The model file.
    pub bytes: Vec<u8>,
    /// Inputs in order; an error where this project has no type for one.
    pub inputs: Result<Vec<NamedTensor>, ImportErrors>,
}

/// Which graph inputs are taken as constants. The cases hand over as graph inputs what a model file holds as
/// constants: shapes, bounds, weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// None.
    AsItIs,
    /// Those of integers.
    IntegersConstant,
    /// All but the first.
    OthersConstant,
}

impl Reading {
    /// In the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::AsItIs, Self::IntegersConstant, Self::OthersConstant];

    /// What stands behind the outcome in a snapshot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::AsItIs => "",
            Self::IntegersConstant => ", integer inputs constant",
            Self::OthersConstant => ", inputs but the first constant",
        }
    }

    fn fixes(self, index: usize, input: &NamedTensor) -> bool {
        match self {
            Self::AsItIs => false,
            Self::IntegersConstant => !input.element.is_float(),
            Self::OthersConstant => index > 0,
        }
    }
}

impl Case {
    /// All cases in order of their names, or `None` after saying why they are skipped.
    pub fn all() -> Option<Vec<Self>> {
        let folder = candor_tests::data("onnx-node")?;
        let entries = std::fs::read_dir(folder).expect("the folder can be read");
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        folders.retain(|folder| folder.join("model.onnx").exists());
        folders.sort();
        Some(folders.into_iter().map(Self::open).collect())
    }

    fn open(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(folder.join("model.onnx")).expect("a readable model");
        Self { name, bytes, inputs: tensors(&folder, "input"), folder }
    }

    /// The expected outputs in order.
    pub fn outputs(&self) -> Result<Vec<NamedTensor>, ImportErrors> {
        tensors(&self.folder, "output")
    }

    /// Imports the model under a reading of its inputs.
    pub fn import(&self, inputs: &[NamedTensor], reading: Reading) -> Result<Import, ImportErrors> {
        let fixed = inputs.iter().enumerate().filter(|(index, input)| reading.fixes(*index, input));
        let fixed_inputs = fixed.map(|(_, input)| (input.name.clone(), input.tensor.clone())).collect();
        import(&self.bytes, &ImportOptions { fixed_inputs, ..ImportOptions::default() })
    }
}

/// The tensor of this name.
pub fn named<'t>(inputs: &'t [NamedTensor], name: &str) -> Result<&'t Tensor, String> {
    let input = inputs.iter().find(|input| input.name == name);
    input.map(|input| &input.tensor).ok_or_else(|| format!("the case has no input {name}"))
}

/// `input_0.pb`, `input_1.pb`, .. of a case, or its outputs.
fn tensors(folder: &Path, prefix: &str) -> Result<Vec<NamedTensor>, ImportErrors> {
    let paths = (0..).map(|index| folder.join(format!("test_data_set_0/{prefix}_{index}.pb")));
    paths
        .take_while(|path| path.exists())
        .map(|path| read_tensor(&std::fs::read(path).expect("a readable tensor")))
        .collect()
}
