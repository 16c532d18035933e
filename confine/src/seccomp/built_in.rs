//! The default filter of a process that keeps none of the capabilities that the profile asks about,
//! as the compiler of this program left it: most containers have just that one, and to compile it
//! anew at each start takes longer than all else that a priv-drop does.
//!
//! `built_in.txt` is written by the test below, which holds it to what [`compile`] makes of the
//! profile: `WRITE_TABLE=1 cargo test -p confine built_in`.
//!
//! [`compile`]: super::compile::compile

use super::bpf::Instruction;
use super::syscalls::{count_lines, cut, decimal};

/// An instruction each line: code, jt, jf, k.
const TEXT: &str = include_str!("built_in.txt");
/// Its head says what it is.
const COUNT: usize = count_lines(TEXT.as_bytes()) - 1;
static PROGRAM: [Instruction; COUNT] = parse(TEXT.as_bytes());

/// The filter, on the machine for whose numbers of system calls it was compiled.
pub fn program() -> Option<&'static [Instruction]> {
    cfg!(target_arch = "x86_64").then_some(PROGRAM.as_slice())
}

const fn parse(text: &'static [u8]) -> [Instruction; COUNT] {
    let mut program = [Instruction { code: 0, jt: 0, jf: 0, k: 0 }; COUNT];
    let (_, mut rest) = cut(text, b'\n');
    let mut row = 0;
    while row < COUNT {
        let (line, after) = cut(rest, b'\n');
        let (code, line) = cut(line, b' ');
        let (jt, line) = cut(line, b' ');
        let (jf, k) = cut(line, b' ');
        let (code, jt, jf, k) = (decimal(code), decimal(jt), decimal(jf), decimal(k));
        assert!(code <= u16::MAX as u32 && jt <= u8::MAX as u32 && jf <= u8::MAX as u32);
        program[row] = Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k };
        rest = after;
        row += 1;
    }
    program
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::seccomp::compile::compile;
    use crate::seccomp::{CapabilitySet, default_policy};

    #[test]
    fn built_in_is_what_the_profile_says() {
        let compiled = compile(&default_policy(CapabilitySet::empty())).unwrap();
        if std::env::var_os("WRITE_TABLE").is_some() {
            let (head, _) = TEXT.split_once('\n').unwrap();
            let line = |i: &Instruction| format!("{} {} {} {}\n", i.code, i.jt, i.jf, i.k);
            let text: String = compiled.iter().map(line).collect();
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/seccomp/built_in.txt");
            std::fs::write(file, format!("{head}\n{text}")).unwrap();
        } else {
            assert!(PROGRAM.as_slice() == compiled, "WRITE_TABLE=1 writes it anew");
        }
    }
}
