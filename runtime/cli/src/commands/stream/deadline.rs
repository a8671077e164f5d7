//! Deadline and memory of a device, from its profile.

use crate::exit::Failure;
use serde::Deserialize;

/// The profiles that are known by name.
const PROFILES: [&str; 5] = [
    include_str!("../../../../../devices/profiles/linux-box.toml"),
    include_str!("../../../../../devices/profiles/jetson-orin-nano.toml"),
    include_str!("../../../../../devices/profiles/jetson-orin-nx.toml"),
    include_str!("../../../../../devices/profiles/jetson-orin-agx.toml"),
    include_str!("../../../../../devices/profiles/apple-m.toml"),
];

/// What a stream needs of a profile.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Bytes that a session may hold.
    pub memory_bytes: usize,
    /// Devices it has, by preference; a stream leaves a lost one for `cpu` where that is among them.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Greatest age of a finding.
    pub deadline_ms: f64,
}

/// The profile of this name, or in this file.
///
/// # Errors
/// A usage failure for an unknown name, exit code 3 for a file that is no profile.
pub fn profile(name: Option<&str>) -> Result<Option<Profile>, Failure> {
    let Some(name) = name else { return Ok(None) };
    if name.contains(['/', '.']) {
        let text = std::fs::read_to_string(name)
            .map_err(|error| Failure::invalid(format!("{name}: {error}; name a device profile")))?;
        return parse(&text).map(Some).map_err(|error| Failure::invalid(format!("{name}: {error}")));
    }
    let known: Vec<Profile> = PROFILES.iter().filter_map(|text| parse(text).ok()).collect();
    let names: Vec<&str> = known.iter().map(|profile| profile.name.as_str()).collect();
    let unknown = || {
        let names = names.join(", ");
        Failure::usage(format!("no profile is called '{name}'; there are {names}, or give a file"))
    };
    known.iter().find(|profile| profile.name == name).cloned().map(Some).ok_or_else(unknown)
}

fn parse(text: &str) -> Result<Profile, String> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}
