//! An upper bound of a binary's stack, from its disassembly: the frame of every function, and who calls whom.
//!
//! The bound counts every push of a function whether or not they happen together. It refuses what it cannot
//! see through: recursion, and calls through a register.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::log;

/// A function.
#[derive(Debug, Default)]
struct Function {
    bytes: usize,
    calls: Vec<String>,
    indirect: Vec<String>,
}

/// Most bytes of stack that `entry` of the binary can use, and the way to them.
pub fn bound(elf: &Path, entry: &str) -> (usize, Vec<String>) {
    let output = Command::new("arm-none-eabi-objdump").args(["-d", "--no-show-raw-insn"]).arg(elf).output();
    let output = output.expect("arm-none-eabi-objdump starts; tests/setup.sh installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    // One function may have several names, of which objdump prints one.
    let bytes = std::fs::read(elf).expect("the binary was built");
    let address = format!("{:08x} <", log::address(&bytes, entry));
    let name = text.lines().find_map(|line| line.strip_prefix(&address)?.strip_suffix(">:"));
    let name = name.unwrap_or_else(|| panic!("there is no function {entry} at {address}"));
    deepest(&functions(&text), name, &mut Vec::new())
}

fn deepest(
    functions: &BTreeMap<String, Function>,
    name: &str,
    above: &mut Vec<String>,
) -> (usize, Vec<String>) {
    assert!(!above.iter().any(|caller| caller == name), "{name} calls itself: {above:?}");
    let function = functions.get(name).unwrap_or_else(|| panic!("there is no function {name}"));
    assert!(function.indirect.is_empty(), "{name} calls through a register: {:?}", function.indirect);
    above.push(name.to_owned());
    let deepest = function.calls.iter().map(|callee| deepest(functions, callee, above)).max();
    above.pop();
    let (below, mut way) = deepest.unwrap_or_default();
    way.insert(0, format!("{name} {}", function.bytes));
    (function.bytes + below, way)
}

/// The functions of a disassembly as objdump prints it.
fn functions(text: &str) -> BTreeMap<String, Function> {
    let mut functions: BTreeMap<String, Function> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(found) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            name = found.1.to_owned();
            functions.entry(name.clone()).or_default();
            continue;
        }
        let Some((_, instruction)) = line.split_once(":\t") else { continue };
        let (operation, operands) = instruction.split_once('\t').unwrap_or((instruction, ""));
        let Some(function) = functions.get_mut(&name) else { continue };
        function.bytes += pushed(operation, operands);
        let target =
            operands.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(target, _)| target);
        match (operation, target) {
            ("blx", None) => function.indirect.push(instruction.to_owned()),
            (operation, Some(target)) if operation.starts_with('b') || operation.starts_with("cb") => {
                let callee = target.split_once('+').map_or(target, |(callee, _)| callee);
                let is_call = operation == "bl" || (callee != name && !target.contains('+'));
                if is_call && !function.calls.iter().any(|known| known == callee) {
                    function.calls.push(callee.to_owned());
                }
            }
            _ => {}
        }
    }
    functions
}

/// Bytes by which an instruction lowers the stack pointer.
fn pushed(operation: &str, operands: &str) -> usize {
    let constant = || {
        let digits = operands.rsplit_once('#').map_or("", |(_, rest)| rest);
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{operation} {operands} lowers the stack by no constant"))
    };
    let operation = operation.trim_end_matches(".w");
    match operation {
        "push" => 4 * registers(operands),
        "stmdb" if operands.starts_with("sp!") => 4 * registers(operands),
        "vpush" => registers(operands) * if operands.contains('d') { 8 } else { 4 },
        "sub" | "subw" | "sub.n" if operands.starts_with("sp") => constant(),
        "str" | "strd" if operands.contains("[sp, #-") => {
            let after = operands.split_once("[sp, #-").map_or("", |(_, rest)| rest);
            after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(8)
        }
        _ => 0,
    }
}

/// Registers of a list; ranges count each.
fn registers(operands: &str) -> usize {
    let list = operands.split_once('{').map_or("", |(_, rest)| rest).trim_end_matches(|c| c != '}');
    let number = |text: &str| text.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap_or(0);
    let count = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(last) - number(first) + 1,
        None => 1,
    };
    list.trim_end_matches('}').split(',').map(count).sum()
}

#[test]
fn frames_and_calls_are_read_as_they_are_printed() {
    let text = "
00000400 <main>:
 400:\tpush\t{r7, lr}
 402:\tvpush\t{d8-d9}
 404:\tsub\tsp, #308\t@ 0x134
 406:\tbl\t00000500 <leaf>
 408:\tbne.n\t400 <main>
 40a:\tb.w\t600 <tail>

00000500 <leaf>:
 500:\tstmdb\tsp!, {r8, r9, sl, fp}
 504:\tsub.w\tsp, sp, #608\t@ 0x260
 508:\tb.n\t504 <leaf+0x4>

00000600 <tail>:
 600:\tstr.w\tr8, [sp, #-4]!
 604:\tblx\tr3
";
    let functions = functions(text);
    assert_eq!(functions["main"].bytes, 8 + 16 + 308);
    assert_eq!(functions["main"].calls, ["leaf", "tail"]);
    assert_eq!((functions["leaf"].bytes, functions["leaf"].calls.len()), (16 + 608, 0));
    assert_eq!((functions["tail"].bytes, functions["tail"].indirect.len()), (4, 1));
}
