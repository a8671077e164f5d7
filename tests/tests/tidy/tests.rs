//! Checks of the checker: a bad snippet for every rule, and good ones that only look bad.

use serde_json::json;

use crate::crates::{Names, check_dependencies, check_manifest};
use crate::documents::{check_commands, check_links, check_places, check_presence, check_rule_names};
use crate::rules::{Fault, Rule};
use crate::source::check;

const LAB: &str = "models/lab/src/import.rs";
const CORE: &str = "runtime/core/src/plan.rs";
const CPU: &str = "devices/cpu/src/avx2.rs";

fn rules(faults: &[Fault]) -> Vec<Rule> {
    faults.iter().map(|fault| fault.rule).collect()
}

/// The rules that a file with a purpose line and then `body` breaks.
fn broken(path: &str, body: &str) -> Vec<Rule> {
    rules(&check(path, &format!("//! Reads plans.\n{body}\n")))
}

#[test]
fn a_tidy_file_has_no_fault() {
    let body = "/// Adds.\npub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n\n#[cfg(test)]\nmod tests;";
    assert_eq!(broken(LAB, body), []);
    assert_eq!(broken(CORE, body), []);
}

#[test]
fn a_file_without_a_purpose_line_is_named() {
    assert_eq!(rules(&check(LAB, "pub struct Plan;\n")), [Rule::Purpose]);
    assert_eq!(rules(&check(LAB, "/// Item docs are no purpose.\npub struct Plan;\n")), [Rule::Purpose]);
    assert_eq!(rules(&check(LAB, "")), [Rule::Purpose]);
}

#[test]
fn length_limits_hold_at_the_limit_and_break_one_past_it() {
    let lines = |count: usize| "const A: u8 = 0;\n".repeat(count);
    assert_eq!(broken(LAB, lines(499).trim_end()), []);
    assert_eq!(broken(LAB, lines(500).trim_end()), [Rule::FileLength]);

    let function = |count: usize| format!("fn long() {{\n{}}}", "    step();\n".repeat(count - 2));
    assert_eq!(broken(LAB, &function(70)), []);
    assert_eq!(broken(LAB, &function(71)), [Rule::FunctionLength]);
    assert_eq!(broken("tests/tests/golden.rs", &function(71)), [Rule::FunctionLength]);
    assert_eq!(broken(LAB, &format!("impl Plan {{\n{}\n}}", function(71))), [Rule::FunctionLength]);

    let comment = |columns: usize| format!("// {}", "\u{e4}".repeat(columns - 3));
    assert_eq!(broken(LAB, &comment(110)), []);
    assert_eq!(broken(LAB, &comment(111)), [Rule::LineWidth]);
}

#[test]
fn function_types_and_bodiless_functions_have_no_length() {
    assert_eq!(broken(LAB, &format!("type Step = fn(u8);\n{}", "\n".repeat(80))), []);
    assert_eq!(broken(LAB, &format!("trait Step {{\n    fn step(&self);\n{}\n}}", "\n".repeat(80))), []);
}

#[test]
fn a_name_that_says_nothing_is_refused() {
    for path in
        ["runtime/core/src/utils.rs", "models/lab/src/common/plan.rs", "runtime/cli/src/io_helpers.rs"]
    {
        assert_eq!(rules(&check(path, "//! Things.\n")), [Rule::FileName], "{path}");
    }
}

#[test]
fn a_panic_in_library_code_is_found_and_tests_may_panic() {
    assert_eq!(broken(LAB, "fn f() { g().unwrap(); }"), [Rule::NoPanic]);
    assert_eq!(broken(LAB, "fn f() { g()\n    .expect(\"a reason\"); }"), [Rule::NoPanic]);
    assert_eq!(broken(LAB, "fn f() { a.map(Option::unwrap); }"), [Rule::NoPanic]);
    assert_eq!(broken(LAB, "macro_rules! get { ($e:expr) => { $e.unwrap() }; }"), [Rule::NoPanic]);
    assert_eq!(broken("models/lab/src/import/tests.rs", "fn f() { g().unwrap(); }"), []);
    assert_eq!(broken("tests/tests/golden.rs", "fn f() { g().unwrap(); }"), []);
    assert_eq!(broken(LAB, "fn f() { g().unwrap_or(\"x.unwrap()\"); } // .unwrap()"), []);
    assert_eq!(broken(LAB, "fn f() -> R { layout::expect(computed, declared)?; fn expect() {} }"), []);
}

#[test]
fn unfinished_work_is_found() {
    assert_eq!(broken(LAB, "fn f() { todo!() }"), [Rule::NoLeftovers]);
    assert_eq!(broken(LAB, "fn f() { dbg!(3); }"), [Rule::NoLeftovers]);
    assert_eq!(broken(LAB, concat!("// TO", "DO: later")), [Rule::NoLeftovers]);
    assert_eq!(broken(LAB, concat!("let a = 1; // FIX", "ME")), [Rule::NoLeftovers]);
    assert_eq!(broken(LAB, "// the todo list of the planner"), []);
}

#[test]
fn unsafe_needs_an_allowed_place_and_a_reason() {
    let reasoned = "// SAFETY: the slice is long enough.\nlet x = unsafe { load(p) };";
    assert_eq!(broken(CPU, reasoned), []);
    assert_eq!(broken(LAB, reasoned), [Rule::UnsafePlace]);
    assert_eq!(broken(CPU, "let x = unsafe { load(p) };"), [Rule::SafetyComment]);
    assert_eq!(broken(CPU, "// loads\nlet x = unsafe { load(p) };"), [Rule::SafetyComment]);
    let second_without = format!("{reasoned}\nlet y = unsafe {{ load(q) }};");
    assert_eq!(broken(CPU, &second_without), [Rule::SafetyComment]);
}

#[test]
fn a_reason_may_stand_above_attributes_and_a_contract_needs_none() {
    assert_eq!(broken(CPU, "// SAFETY: no other thread.\n#[inline]\nunsafe impl Send for Plan {}"), []);
    assert_eq!(broken(CPU, "unsafe impl Send for Plan {}"), [Rule::SafetyComment]);
    assert_eq!(broken(CPU, "// SAFETY: checked above.\nlet x =\n    unsafe { load(p) };"), []);
    assert_eq!(broken(CPU, "unsafe fn load() {}\nunsafe trait Load {}"), []);
    assert_eq!(broken(CPU, "struct Step { run: unsafe fn(u8), c: unsafe extern \"C\" fn(u8) }"), []);
    assert_eq!(broken(CPU, "// it is \"unsafe\" to say `unsafe` in a string: unsafe"), []);
}

#[test]
fn tests_stand_in_files_of_their_own() {
    assert_eq!(broken(LAB, "#[test]\nfn holds() {}"), [Rule::TestsApart]);
    assert_eq!(broken(LAB, "mod tests { use super::*; }"), [Rule::TestsApart]);
    assert_eq!(broken("models/lab/src/import/tests.rs", "#[test]\nfn holds() {}"), []);
}

#[test]
fn core_is_the_same_on_every_target() {
    assert_eq!(broken(CORE, "#[cfg(target_arch = \"x86_64\")]\nfn f() {}"), [Rule::CoreTarget]);
    assert_eq!(broken(CORE, "#[cfg(all(unix, not(target_os = \"none\")))]\nfn f() {}"), [Rule::CoreTarget]);
    assert_eq!(broken(CORE, "fn f() -> bool { cfg!(target_pointer_width = \"32\") }"), [Rule::CoreTarget]);
    assert_eq!(broken(CORE, "#[cfg_attr(target_arch = \"arm\", inline)]\nfn f() {}"), [Rule::CoreTarget]);
    assert_eq!(broken(CORE, "#[cfg(test)]\nmod tests;"), []);
    assert_eq!(broken(LAB, "#[cfg(target_arch = \"x86_64\")]\nfn f() {}"), []);
}

#[test]
fn floats_of_core_stand_in_arithmetic_only() {
    assert_eq!(broken(CORE, "fn f(x: f32) {}"), [Rule::CoreFloat]);
    assert_eq!(broken(CORE, "fn f() { g(x as f64) }"), [Rule::CoreFloat]);
    assert_eq!(broken(CORE, "const HALF: Q = q(0.5);"), [Rule::CoreFloat]);
    assert_eq!(broken(CORE, "const ONE: Q = q(1_f32);"), [Rule::CoreFloat]);
    assert_eq!(broken(CORE, "/// An f32 in words.\nfn f(x: &[u8]) { g(x.0, 0x1f32, 1..2) }"), []);
    assert_eq!(broken("runtime/core/src/arithmetic.rs", "fn f(x: f32) {}"), []);
    assert_eq!(broken("runtime/core/src/arithmetic/tests.rs", "fn f(x: f32) {}"), []);
    assert_eq!(broken(LAB, "fn f(x: f32) {}"), []);
}

#[test]
fn core_stays_bare() {
    assert_eq!(broken(CORE, "extern crate alloc;"), [Rule::CoreBare]);
    assert_eq!(broken("runtime/core/src/lib.rs", "#![no_std]"), [Rule::CoreBare]);
    assert_eq!(broken("runtime/core/src/lib.rs", "#![no_std]\n#![forbid(unsafe_code)]"), []);
}

fn package(name: &str, dependency: serde_json::Value) -> serde_json::Value {
    json!({ "name": name, "manifest_path": "/x/Cargo.toml", "dependencies": [dependency] })
}

#[test]
fn a_dependency_against_the_arrows_is_found() {
    let uses = |name: &str, used: &str| rules(&check_dependencies(&package(name, json!({ "name": used }))));
    assert_eq!(uses("candor", "candor-cpu"), []);
    assert_eq!(uses("candor-cpu", "candor"), [Rule::Arrow]);
    assert_eq!(uses("candor-imaging", "candor"), [Rule::Arrow]);
    assert_eq!(uses("candor", "candor-lab"), [Rule::Arrow]);
    assert_eq!(uses("candor-tests", "candor-lab"), [Rule::Arrow]);
    assert_eq!(uses("candor-new", "png"), [Rule::Arrow]);
    assert_eq!(uses("candor-lab", "candle-nn"), []);
    assert_eq!(uses("candor", "candle-core"), [Rule::Arrow]);
    assert_eq!(uses("candor-lab", "memmap2"), [Rule::Arrow]);
    assert_eq!(uses("candor-cpu", "heapless"), [Rule::Arrow]);
}

#[test]
fn evidence_may_look_at_everything_and_a_gpu_stays_optional() {
    let evidence = package("candor-tests", json!({ "name": "candor-lab", "kind": "dev" }));
    assert_eq!(check_dependencies(&evidence), []);
    let test_of_another = package("candor-cpu", json!({ "name": "candor-lab", "kind": "dev" }));
    assert_eq!(rules(&check_dependencies(&test_of_another)), [Rule::Arrow]);
    let optional = package("candor-cli", json!({ "name": "candor-gpu", "optional": true }));
    assert_eq!(check_dependencies(&optional), []);
    let always = package("candor-cli", json!({ "name": "candor-gpu", "optional": false }));
    assert_eq!(rules(&check_dependencies(&always)), [Rule::Arrow]);
}

#[test]
fn manifests_share_their_settings() {
    let member = "[package]\nname = \"candor\"\n\n[lints]\nworkspace = true\n";
    assert_eq!(check_manifest("runtime/engine/Cargo.toml", member), []);
    assert_eq!(rules(&check_manifest("runtime/engine/Cargo.toml", "[package]\n")), [Rule::SharedSettings]);
    assert_eq!(check_manifest("Cargo.toml", "[workspace]\n\n[workspace.lints.rust]\n\n[profile.dev]\n"), []);
    assert_eq!(rules(&check_manifest("Cargo.toml", "[workspace]\n\n[package]\n")), [Rule::SharedSettings]);
}

#[test]
fn places_of_one_machine_are_found() {
    let folder = |name: &str| format!("open(\"{}{name}/x.png\")", "/");
    for name in ["work", "root", "home", "tmp"] {
        assert_eq!(rules(&check_places(LAB, &folder(name))), [Rule::MachinePath], "{name}");
    }
    assert_eq!(rules(&check_places("README.md", &folder("work"))), [Rule::MachinePath]);
    assert_eq!(
        check_places(LAB, "read(\"models/root/x\"); \"/proc/self/status\"; \"/worker/a\"; \"$TMP/tmp/a\""),
        []
    );
    let host = format!("https://{}.io/x", "crates");
    assert_eq!(rules(&check_places("README.md", &host)), [Rule::RegistryHost]);
    assert_eq!(check_places("Cargo.lock", &host), []);
}

#[test]
fn links_and_commands_must_lead_somewhere() {
    let exists = |path: &str| matches!(path, "tests/check.sh" | "models/cards/phantom.md");
    let names = Names { packages: ["candor-cli".to_owned()].into(), targets: ["candor".to_owned()].into() };
    let commands = |line: &str| {
        let text = format!("```sh\n{line}\n```\n./outside/fences.sh\n");
        rules(&check_commands("README.md", &text, &names, &exists))
    };
    assert_eq!(commands("cargo run --release -p candor-cli --bin candor -- demo && ./tests/check.sh"), []);
    assert_eq!(commands("cargo run -p candor-clis"), [Rule::LiveCommand]);
    assert_eq!(commands("cargo run --bin candela"), [Rule::LiveCommand]);
    assert_eq!(commands("tests/chick.sh"), [Rule::LiveCommand]);

    let links = |text: &str| rules(&check_links("models/README.md", text, &exists));
    assert_eq!(links("[card](cards/phantom.md#use) [page](https://example.org/x.md) [top](#top)"), []);
    assert_eq!(links("[card](cards/lost.md)"), [Rule::LiveLink]);
    assert_eq!(check_presence(&|path| path != "README.md").len(), 1);
}

#[test]
fn contributing_names_exactly_the_rules() {
    let all: Vec<String> =
        Rule::ALL.iter().map(|rule| format!("`tidy: {}`", rule.name_and_fix().0)).collect();
    assert_eq!(check_rule_names("CONTRIBUTING.md", &all.join(" ")), []);
    assert_eq!(rules(&check_rule_names("CONTRIBUTING.md", &all[1..].join(" "))), [Rule::RulesNamed]);
    let invented = format!("{} `tidy: invented`", all.join(" "));
    assert_eq!(rules(&check_rule_names("CONTRIBUTING.md", &invented)), [Rule::RulesNamed]);
}
