//! The seccomp filters: which ones, and loading them.

pub mod bpf;
mod built_in;
mod compile;
mod default;
mod oci;
#[cfg(test)]
mod oci_tests;
pub mod policy;
mod source;
pub mod syscalls;

use std::borrow::Cow;
use std::str::FromStr;

use chain::{Error, Next, Result, ResultExt};
pub use rustix::thread::CapabilitySet;

pub use compile::compile;
pub use default::{no_user_namespaces, policy as default_policy};
pub use oci::{Circumstances, Profile, kernel_version, parse as parse_profile};

pub use source::Source;

use bpf::{Call, Instruction};
use policy::{MACHINE, Policy};
use syscalls::{Syscall, named};

/// `--seccomp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The profile that is built in.
    Default,
    /// None at all.
    None,
    /// A profile of the user's.
    File(Source),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "default" => Ok(Choice::Default),
            "none" => Ok(Choice::None),
            _ => text.parse().map(Choice::File),
        }
    }
}

/// Filters, ready to be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    programs: Vec<(Cow<'static, [Instruction]>, u32)>,
}

impl Filters {
    /// Adds the profile chosen, for a process that keeps the capabilities `left`.
    pub fn add_profile(
        &mut self,
        choice: &Choice,
        left: CapabilitySet,
        next: &mut Next,
    ) -> Result<()> {
        match choice {
            Choice::None => Ok(()),
            Choice::Default => match built_in::program().filter(|_| default::opens_nothing(left)) {
                Some(program) => self.push(program.into(), 0, "default"),
                None => self.add(&default_policy(left), 0, "default"),
            },
            Choice::File(source) => {
                let name = source.to_string();
                let refused = |reason: String| {
                    Error::new("can't use the seccomp profile").object(&name).reason(reason)
                };
                let text =
                    String::from_utf8(source.read(next)?).map_err(|e| refused(e.to_string()))?;
                let about = Circumstances { capabilities: left, kernel: running_kernel()? };
                let profile = parse_profile(&text, &about).map_err(refused)?;
                self.add(&profile.policy, profile.flags, &name)
            }
        }
    }

    /// Adds what keeps the app from making user namespaces.
    pub fn add_no_user_namespaces(&mut self) -> Result<()> {
        self.add(&no_user_namespaces(), 0, "no user namespaces")
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty()
    }

    /// Adds a compiled filter: an array of `struct sock_filter`, as libseccomp exports it.
    pub fn add_compiled(&mut self, source: &Source, next: &mut Next) -> Result<()> {
        let (bytes, name) = (source.read(next)?, source.to_string());
        let refused =
            |reason: &str| Error::new("can't use the seccomp filter").object(&name).reason(reason);
        let (instructions, rest) = bytes.as_chunks::<8>();
        if instructions.is_empty() || !rest.is_empty() || instructions.len() > bpf::MAX_LENGTH {
            return Err(refused("not 1 to 4096 instructions of 8 bytes"));
        }
        let program: Vec<Instruction> = instructions.iter().map(instruction).collect();
        self.push(program.into(), 0, &name)
    }

    /// Adds a filter as another process has it (SECCOMP_RET_USER_NOTIF has no listener here, so such
    /// a call fails with ENOSYS).
    pub fn add_copy(&mut self, program: Vec<Instruction>, flags: u32) -> Result<()> {
        self.push(program.into(), flags, "a copy of the container's")
    }

    fn add(&mut self, policy: &Policy, flags: u32, name: &str) -> Result<()> {
        let program = compile(policy).ok_or_else(|| {
            Error::new("can't use the seccomp profile")
                .object(name)
                .reason("it is longer than the kernel takes")
        })?;
        self.push(program.into(), flags, name)
    }

    /// A filter that keeps the app from being started would be seen as the app's failure.
    fn push(&mut self, program: Cow<'static, [Instruction]>, flags: u32, name: &str) -> Result<()> {
        if !["execve", "execveat"].iter().any(|name| lets_through(&program, name)) {
            return Err(Error::new("can't use the seccomp profile")
                .object(name)
                .reason("it forbids execve, which starts the app"));
        }
        self.programs.push((program, flags));
        Ok(())
    }

    /// Lets the kernel's log tell of all that these filters refuse.
    pub fn log(&mut self) {
        for (_, flags) in &mut self.programs {
            *flags |= libc::SECCOMP_FILTER_FLAG_LOG as u32;
        }
    }

    /// Loads them. This needs no_new_privs, and comes last: they bind this process too.
    pub fn load(&self) -> Result<()> {
        for (index, (program, flags)) in self.programs.iter().enumerate() {
            // What has been loaded must let the next one through.
            if !self.programs[..index].iter().all(|(loaded, _)| lets_through(loaded, "seccomp")) {
                return Err(Error::new("can't load all seccomp filters")
                    .reason("one of them forbids seccomp"));
            }
            chain::sys::add_seccomp_filter(*flags, program)
                .or_fail("can't load the seccomp filter")
                .map_err(|error| {
                    error.hint_if(chain::Errno::EINVAL, "this kernel may lack seccomp filters")
                })?;
        }
        // Where it can still be asked: a filter may forbid even that.
        if !self.programs.is_empty()
            && self.programs.iter().all(|(program, _)| lets_through(program, "prctl"))
        {
            let mode = rustix::thread::secure_computing_mode();
            let what = "can't read back the seccomp mode";
            if mode.or_fail(what)? != rustix::thread::SecureComputingMode::Filter {
                return Err(Error::new("not loaded")
                    .object("seccomp filter")
                    .reason("the kernel says otherwise"));
            }
        }
        Ok(())
    }
}

fn instruction(bytes: &[u8; 8]) -> Instruction {
    let [code @ .., _, _, _, _, _, _] = *bytes;
    let [.., k0, k1, k2, k3] = *bytes;
    Instruction {
        code: u16::from_ne_bytes(code),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes([k0, k1, k2, k3]),
    }
}

/// Whether a filter lets `name` through, its arguments all zero.
fn lets_through(program: &[Instruction], name: &str) -> bool {
    let Some(Syscall::Number(number)) = named(name) else { return false };
    let value = bpf::run(program, &Call { number, machine: MACHINE, arguments: [0; 6] });
    // SECCOMP_RET_LOG or SECCOMP_RET_ALLOW.
    value.is_some_and(|value| matches!(value >> 16, 0x7ffc | 0x7fff))
}

fn running_kernel() -> Result<(u32, u32)> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    kernel_version(&release)
        .ok_or_else(|| Error::new("can't read the kernel's version").object(&*release))
}
