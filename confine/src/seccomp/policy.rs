//! What a filter is to do, as a list of rules: the model that the compiled filter is held to.

use std::collections::BTreeMap;

use crate::seccomp::bpf::Call;

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made, and the kernel's log says so.
    Log,
    /// It fails with this errno.
    Errno(u16),
    /// The thread gets SIGSYS.
    Trap,
    /// A tracer is asked; without one it fails with ENOSYS.
    Trace(u16),
    /// The thread is killed.
    KillThread,
    /// The process is killed.
    KillProcess,
}

impl Action {
    /// What a filter returns for it (`SECCOMP_RET_*` of linux/seccomp.h).
    pub fn value(self) -> u32 {
        match self {
            Action::KillProcess => 0x8000_0000,
            Action::KillThread => 0,
            Action::Trap => 0x0003_0000,
            Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Action::Trace(data) => 0x7ff0_0000 | u32::from(data),
            Action::Log => 0x7ffc_0000,
            Action::Allow => 0x7fff_0000,
        }
    }

    /// Whether the call is made.
    pub fn lets_through(self) -> bool {
        matches!(self, Action::Allow | Action::Log)
    }
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// ==
    Eq,
    /// !=
    Ne,
    /// <
    Lt,
    /// <=
    Le,
    /// >
    Gt,
    /// >=
    Ge,
}

/// A comparison of an argument, masked, with a value; all of it 64 bits wide and unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which of the arguments 0 to 5.
    pub argument: u8,
    /// The bits of it that count.
    pub mask: u64,
    /// How.
    pub operator: Operator,
    /// With what.
    pub value: u64,
}

/// The mask for an argument of which the kernel takes an `int`: it drops the high half, so a
/// comparison that saw it could be passed by setting a bit there.
pub const LOW_HALF: u64 = 0xffff_ffff;

impl Condition {
    /// Whether it holds for these arguments.
    pub fn holds(&self, arguments: &[u64; 6]) -> bool {
        let found = arguments[usize::from(self.argument)] & self.mask;
        match self.operator {
            Operator::Eq => found == self.value,
            Operator::Ne => found != self.value,
            Operator::Lt => found < self.value,
            Operator::Le => found <= self.value,
            Operator::Gt => found > self.value,
            Operator::Ge => found >= self.value,
        }
    }
}

/// What becomes of a system call if all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The conditions; none holds always.
    pub conditions: Vec<Condition>,
    /// The action.
    pub action: Action,
}

/// A whole filter, for one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The rules for each number: the first whose conditions hold counts.
    pub rules: BTreeMap<u32, Vec<Rule>>,
    /// What becomes of all others.
    pub default: Action,
    /// Numbers above this are newer than the filter: they fail with ENOSYS, as on a kernel that
    /// doesn't have them, so that libraries fall back to what they did before.
    pub newest: Option<u32>,
}

/// This machine, `AUDIT_ARCH_*` of linux/audit.h.
#[cfg(target_arch = "x86_64")]
pub const MACHINE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub const MACHINE: u32 = 0xc000_00b7;

/// The bit that x86_64 adds to the numbers of x32, which share its `AUDIT_ARCH`; no number of
/// any machine is as high.
pub const X32: u32 = 0x4000_0000;

impl Policy {
    /// What becomes of `call`. Whatever the rules say, another machine's entry points (32 bits)
    /// end the process, and x32's are answered as by a kernel without them: the rules
    /// speak of this machine's numbers only.
    pub fn decide(&self, call: &Call) -> Action {
        if call.machine != MACHINE {
            return Action::KillProcess;
        }
        if call.number >= X32 || self.newest.is_some_and(|newest| call.number > newest) {
            return Action::Errno(libc::ENOSYS as u16);
        }
        let holds = |rule: &&Rule| rule.conditions.iter().all(|c| c.holds(&call.arguments));
        let rule = self.rules.get(&call.number).and_then(|rules| rules.iter().find(holds));
        rule.map_or(self.default, |rule| rule.action)
    }
}
