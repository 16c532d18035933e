//! Profiles in the JSON form of the OCI runtime specification and of Moby, which adds conditions
//! on capabilities, machine and kernel.

use std::collections::BTreeMap;

use rustix::thread::CapabilitySet;
use serde::Deserialize;

use crate::capability;
use crate::seccomp::policy::{Action, Condition, LOW_HALF, Operator, Policy, Rule};
use crate::seccomp::syscalls::{Syscall, named};

/// What a profile's conditions are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The capabilities that are left.
    pub capabilities: CapabilitySet,
    /// The running kernel's version.
    pub kernel: (u32, u32),
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The rules.
    pub policy: Policy,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

// A field that is not known here could change the meaning of those that are: it is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    default_action: String,
    default_errno_ret: Option<u16>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Architecture>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Architecture {
    architecture: String,
    #[serde(rename = "subArchitectures")]
    _sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u16>,
    args: Option<Vec<Argument>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// How profiles call this machine, and how Go does.
#[cfg(target_arch = "x86_64")]
const NAMES: [&str; 2] = ["SCMP_ARCH_X86_64", "amd64"];
#[cfg(target_arch = "aarch64")]
const NAMES: [&str; 2] = ["SCMP_ARCH_AARCH64", "arm64"];

/// Arguments that the kernel takes as 32 bits: the high half must not decide (threats, H1).
const NARROW: &[(&str, &[u8])] = &[
    ("clone", &[0]),
    ("fcntl", &[0, 1]),
    ("futex", &[1]),
    ("ioctl", &[0, 1]),
    ("keyctl", &[0]),
    ("bpf", &[0]),
    ("personality", &[0]),
    ("prctl", &[0]),
    ("setns", &[1]),
    ("socket", &[0, 1, 2]),
    ("socketpair", &[0, 1, 2]),
];

/// Reads a profile.
pub fn parse(text: &str, about: &Circumstances) -> Result<Profile, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    check_machine(&file)?;
    let default = action(&file.default_action, file.default_errno_ret)?;
    let mut newest = None;
    let mut conditional: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    let mut plain: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for entry in file.syscalls.iter().flatten() {
        let action = action(&entry.action, entry.errno_ret)?;
        let applies = applies(entry, about)?;
        for name in entry.name.iter().chain(entry.names.iter().flatten()) {
            let number = match named(name) {
                Some(Syscall::Number(number)) => number,
                // Kept from nobody, since nobody has it here, or refused by default.
                Some(Syscall::NotHere) => continue,
                None if action.lets_through() || !default.lets_through() => continue,
                None => return Err(format!("no system call is called '{name}'")),
            };
            newest = newest.max(Some(number));
            for conditions in alternatives(name, entry.args.as_deref().unwrap_or_default())? {
                let rules = if conditions.is_empty() { &mut plain } else { &mut conditional };
                if applies {
                    rules.entry(number).or_default().push(Rule { conditions, action });
                }
            }
        }
    }
    // The special comes before the general, whatever the order in the file.
    for (number, rules) in plain {
        conditional.entry(number).or_default().extend(rules);
    }
    let newest = newest.filter(|_| !default.lets_through());
    let flags = flags(file.flags.as_deref().unwrap_or_default())?;
    Ok(Profile { policy: Policy { rules: conditional, default, newest }, flags })
}

/// A profile for other machines only would leave this one without rules.
fn check_machine(file: &File) -> Result<(), String> {
    let is_here = |name: &String| NAMES[0] == name;
    let found = match (&file.architectures, &file.arch_map) {
        (Some(names), _) => names.iter().any(is_here),
        (None, Some(map)) => map.iter().any(|entry| is_here(&entry.architecture)),
        (None, None) => true,
    };
    if found { Ok(()) } else { Err(format!("it is not for {}", NAMES[0])) }
}

fn action(name: &str, errno: Option<u16>) -> Result<Action, String> {
    let errno = errno.unwrap_or(libc::EPERM as u16);
    match name {
        "SCMP_ACT_ALLOW" => Ok(Action::Allow),
        "SCMP_ACT_LOG" => Ok(Action::Log),
        // The kernel cuts what is larger than its largest errno (MAX_ERRNO).
        "SCMP_ACT_ERRNO" if (1..=4095).contains(&errno) => Ok(Action::Errno(errno)),
        "SCMP_ACT_TRACE" => Ok(Action::Trace(errno)),
        "SCMP_ACT_TRAP" => Ok(Action::Trap),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Ok(Action::KillThread),
        "SCMP_ACT_KILL_PROCESS" => Ok(Action::KillProcess),
        "SCMP_ACT_NOTIFY" => Err("SCMP_ACT_NOTIFY needs a listener, which isn't there".into()),
        "SCMP_ACT_ERRNO" => Err(format!("{errno} is no errno")),
        _ => Err(format!("no action is called '{name}'")),
    }
}

fn applies(entry: &Entry, about: &Circumstances) -> Result<bool, String> {
    let held = |name: &String| {
        // One that this program doesn't know is not left either.
        capability::named(name).is_ok_and(|capability| about.capabilities.contains(capability))
    };
    let here = |name: &String| NAMES[1] == name;
    let new = |version: &Option<String>| match version {
        None => Ok(None),
        Some(text) => kernel_version(text)
            .map(|version| Some(about.kernel >= version))
            .ok_or_else(|| format!("'{text}' is no kernel version")),
    };
    if let Some(Filter { caps, arches, min_kernel }) = &entry.includes
        && (!caps.iter().flatten().all(held)
            || arches.as_ref().is_some_and(|arches| !arches.is_empty() && !arches.iter().any(here))
            || new(min_kernel)? == Some(false))
    {
        return Ok(false);
    }
    if let Some(Filter { caps, arches, min_kernel }) = &entry.excludes {
        return Ok(!(caps.iter().flatten().any(held)
            || arches.iter().flatten().any(here)
            || new(min_kernel)? == Some(true)));
    }
    Ok(true)
}

/// The first two numbers of a kernel's version.
pub fn kernel_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The conditions of an entry: all must hold, unless one argument stands there twice; then, as in
/// runc, each alone suffices.
fn alternatives(name: &str, arguments: &[Argument]) -> Result<Vec<Vec<Condition>>, String> {
    let conditions: Vec<Condition> =
        arguments.iter().map(|argument| condition(name, argument)).collect::<Result<_, _>>()?;
    let count = |index| arguments.iter().filter(|argument| argument.index == index).count();
    if (0..6).any(|index| count(index) > 1) {
        return Ok(conditions.into_iter().map(|condition| vec![condition]).collect());
    }
    Ok(vec![conditions])
}

fn condition(name: &str, argument: &Argument) -> Result<Condition, String> {
    let Argument { index, value, value_two, ref op } = *argument;
    if index > 5 {
        return Err(format!("'{name}' has no argument {index}"));
    }
    let narrow = NARROW.iter().any(|(known, which)| *known == name && which.contains(&index));
    let all = if narrow { LOW_HALF } else { u64::MAX };
    let compare = |operator| (operator, all, value & all);
    let (operator, mask, value) = match op.as_str() {
        "SCMP_CMP_EQ" => compare(Operator::Eq),
        "SCMP_CMP_NE" => compare(Operator::Ne),
        "SCMP_CMP_LT" => compare(Operator::Lt),
        "SCMP_CMP_LE" => compare(Operator::Le),
        "SCMP_CMP_GT" => compare(Operator::Gt),
        "SCMP_CMP_GE" => compare(Operator::Ge),
        "SCMP_CMP_MASKED_EQ" => (Operator::Eq, value & all, value_two & all),
        _ => return Err(format!("no comparison is called '{op}'")),
    };
    Ok(Condition { argument: index, mask, operator, value })
}

fn flags(names: &[String]) -> Result<u32, String> {
    let mut flags = 0;
    for name in names {
        flags |= match name.as_str() {
            "SECCOMP_FILTER_FLAG_LOG" => libc::SECCOMP_FILTER_FLAG_LOG as u32,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
            // There is one thread.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            _ => return Err(format!("no flag is called '{name}'")),
        };
    }
    Ok(flags)
}
