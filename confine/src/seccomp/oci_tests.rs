//! Profiles as others write them.

use super::oci::{Circumstances, Profile, kernel_version, parse};
use super::policy::{Action, MACHINE};
use super::{bpf::Call, syscalls};
use rustix::thread::CapabilitySet;

fn read_for(capabilities: CapabilitySet, text: &str) -> Result<Profile, String> {
    parse(text, &Circumstances { capabilities, kernel: (6, 1) })
}

fn read(text: &str) -> Result<Profile, String> {
    read_for(CapabilitySet::empty(), text)
}

fn decide(profile: &Profile, name: &str, first: u64) -> Action {
    let Some(syscalls::Syscall::Number(number)) = syscalls::named(name) else { panic!("{name}") };
    profile.policy.decide(&Call { number, machine: MACHINE, arguments: [first, 0, 0, 0, 0, 0] })
}

const DENIED: Action = Action::Errno(1);

#[test]
fn a_list_of_what_is_allowed() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64",
        "SCMP_ARCH_AARCH64"], "syscalls": [{"names": ["read", "statx", "chown32", "from_2040"],
        "action": "SCMP_ACT_ALLOW"}, {"name": "openat", "action": "SCMP_ACT_ERRNO", "errnoRet": 2}]}"#;
    let profile = read(text).unwrap();
    assert_eq!(decide(&profile, "read", 0), Action::Allow);
    assert_eq!(decide(&profile, "openat", 0), Action::Errno(2));
    assert_eq!(decide(&profile, "write", 0), DENIED);
    assert_eq!(decide(&profile, "openat2", 0), Action::Errno(libc::ENOSYS as u16));
}

#[test]
fn a_list_of_what_is_denied() {
    let list = |name: &str| {
        let rest = r#""action": "SCMP_ACT_KILL_PROCESS"}]}"#;
        read(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["{name}"], {rest}"#
        ))
    };
    let profile = list("ptrace").unwrap();
    assert_eq!(decide(&profile, "ptrace", 0), Action::KillProcess);
    assert_eq!(decide(&profile, "landlock_add_rule", 0), Action::Allow);
    // Passing over a name would leave it allowed.
    assert_eq!(list("from_2040"), Err("no system call is called 'from_2040'".into()));
}

#[test]
fn conditions_on_arguments() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
                  {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}"#;
    let profile = read(text).unwrap();
    assert_eq!(decide(&profile, "socket", 2), Action::Allow);
    assert_eq!(decide(&profile, "socket", 40), DENIED);
    assert_eq!(decide(&profile, "socket", 40 | 1 << 32), DENIED);
    assert_eq!(decide(&profile, "clone", 17), Action::Allow);
    assert_eq!(decide(&profile, "clone", 0x1000_0000), DENIED);
    for (value, action) in [(0, Action::Allow), (8, Action::Allow), (9, DENIED)] {
        assert_eq!(decide(&profile, "personality", value), action);
    }
}

#[test]
fn includes_and_excludes() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}], "syscalls": [
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}},
        {"names": ["write"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["s390"]}}]}"#;
    let (without, with) = (read(text).unwrap(), read_for(CapabilitySet::SYS_ADMIN, text).unwrap());
    for (name, without_it, with_it) in [
        ("mount", DENIED, Action::Allow),
        ("clone", Action::Allow, DENIED),
        ("ptrace", Action::Allow, Action::Allow),
        ("kcmp", DENIED, DENIED),
        ("read", DENIED, DENIED),
        ("write", Action::Allow, Action::Allow),
    ] {
        assert_eq!(decide(&without, name, 0), without_it, "{name}");
        assert_eq!(decide(&with, name, 0), with_it, "{name}");
    }
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#,
        r#"{"defaultAction": "ALLOW"}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_S390X"]}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_X"]}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "sysCalls": []}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"]}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"],
            "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"],
            "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "=="}]}]}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn kernel_versions() {
    assert_eq!(kernel_version("4.8"), Some((4, 8)));
    assert_eq!(kernel_version("6.18.44-rc1+"), Some((6, 18)));
    assert_eq!(kernel_version("6.18-rc1"), Some((6, 18)));
    assert_eq!(kernel_version("new"), None);
}
