//! Classic BPF as seccomp uses it (linux/filter.h, linux/bpf_common.h): its instructions, and a
//! machine that runs them as the kernel would.

pub use chain::sys::BpfInstruction as Instruction;

/// The longest program that the kernel takes (BPF_MAXINSNS).
pub const MAX_LENGTH: usize = 4096;

// Classes of instructions.
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
// Where LD and LDX take their value from; IMM is 0.
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
/// The second operand is X, not the constant.
const FROM_X: u16 = 0x08;
const RET_A: u16 = 0x10;
const TXA: u16 = 0x80;
const AND: u16 = 0x50;
const JA: u16 = 0x00;

/// A test of the accumulator against a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Equal.
    Eq = 0x10,
    /// Greater.
    Gt = 0x20,
    /// Greater or equal.
    Ge = 0x30,
}

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

/// Loads the word at `offset` of the call.
pub fn load(offset: u32) -> Instruction {
    plain(LD | ABS, offset)
}

/// Keeps the bits in `mask`.
pub fn and(mask: u32) -> Instruction {
    plain(ALU | AND, mask)
}

/// Skips `count` instructions.
pub fn skip(count: usize) -> Instruction {
    plain(JMP | JA, count as u32)
}

/// Skips `jt` instructions if the test holds, `jf` otherwise.
pub fn test(test: Test, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: JMP | test as u16, jt, jf, k }
}

/// Ends with `value`.
pub fn end(value: u32) -> Instruction {
    plain(RET, value)
}

/// What a filter looks at: `struct seccomp_data` (linux/seccomp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Call {
    /// The number of the system call.
    pub number: u32,
    /// The machine whose numbers are meant, `AUDIT_ARCH_*`.
    pub machine: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl Call {
    /// Where `number` stands.
    pub const NUMBER: u32 = 0;
    /// Where `machine` stands.
    pub const MACHINE: u32 = 4;
    const SIZE: u32 = 64;

    /// Where the low half of an argument stands on a little-endian machine; the high one is 4 on.
    pub fn low_half(argument: u8) -> u32 {
        16 + 8 * u32::from(argument)
    }

    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            Self::NUMBER => Some(self.number),
            Self::MACHINE => Some(self.machine),
            // The instruction pointer, which no profile speaks of.
            8 | 12 => Some(0),
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                Some((argument >> (offset % 8 * 8)) as u32)
            }
            _ => None,
        }
    }
}

/// What `program` returns for `call`; `None` if it is one that the kernel would refuse.
pub fn run(program: &[Instruction], call: &Call) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; 16]);
    let mut at = 0_usize;
    loop {
        let Instruction { code, jt, jf, k } = *program.get(at)?;
        at += 1;
        let operand = if code & FROM_X != 0 { x } else { k };
        let slot = k as usize;
        match code & 0x07 {
            LD | LDX => {
                let value = match code & !0x07 {
                    ABS if code & 0x07 == LD => call.word(k)?,
                    IMM => k,
                    MEM => *memory.get(slot)?,
                    LEN => Call::SIZE,
                    _ => return None,
                };
                *(if code & 0x07 == LD { &mut a } else { &mut x }) = value;
            }
            ST => *memory.get_mut(slot)? = a,
            STX => *memory.get_mut(slot)? = x,
            ALU => a = arithmetic(code & 0xf0, a, operand)?,
            JMP if code & 0xf0 == JA => at = at.checked_add(k as usize)?,
            JMP => {
                let holds = match code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => return None,
                };
                at += usize::from(if holds { jt } else { jf });
            }
            RET => return Some(if code & 0x18 == RET_A { a } else { k }),
            MISC if code & 0xf8 == TXA => a = x,
            _ => x = a,
        }
    }
}

fn arithmetic(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        AND => a & operand,
        0x60 => a.checked_shl(operand)?,
        0x70 => a.checked_shr(operand)?,
        0x80 => a.wrapping_neg(),
        0xa0 => a ^ operand,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call = Call { number: 7, machine: 9, arguments: [0x1_0000_0002, 0, 0, 0, 0, 5] };

    #[test]
    fn words_of_a_call() {
        for (offset, value) in [(0, 7), (4, 9), (8, 0), (16, 2), (20, 1), (56, 5), (60, 0)] {
            assert_eq!(run(&[load(offset), plain(RET | RET_A, 0)], &CALL), Some(value), "{offset}");
        }
        for offset in [2, 18, 64, u32::MAX] {
            assert_eq!(run(&[load(offset), end(0)], &CALL), None);
        }
    }

    #[test]
    fn jumps() {
        let program = [load(0), test(Test::Ge, 7, 1, 0), end(1), skip(1), end(2), end(3)];
        assert_eq!(run(&program, &CALL), Some(3));
        assert_eq!(run(&program, &Call { number: 6, ..CALL }), Some(1));
        assert_eq!(run(&[skip(1), end(0)], &CALL), None);
        assert_eq!(run(&[], &CALL), None);
    }

    #[test]
    fn registers_and_memory() {
        // M[3] = 7; X = M[3]; A = 9; A -= X; M[4] = A
        let program = [
            load(0),
            plain(ST, 3),
            plain(LDX | MEM, 3),
            load(4),
            plain(ALU | 0x10 | FROM_X, 0),
            plain(RET | RET_A, 0),
        ];
        assert_eq!(run(&program, &CALL), Some(2));
        assert_eq!(run(&[load(0), plain(ALU | 0x30, 0), end(0)], &CALL), None);
    }
}
