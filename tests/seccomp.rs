//! The seccomp filters, asked by every system call number and every way into the kernel.

use caps_tool::seccomp::bpf::Call;
use caps_tool::seccomp::policy::{Action, MACHINE, Policy};
use caps_tool::seccomp::{
    CapabilitySet, Circumstances, default_policy, kernel_version, parse_profile,
};
use catena_tests::pivot::isolations;
use catena_tests::{Chain, Scratch, User, each_user, like, need};

each_user![if User::can_isolate;
    h1_every_number_as_the_model_says,
    h1_x32_has_no_system_calls,
    h1_32_bit_calls_end_the_process,
    h1_h2_no_high_bit_hides_a_request,
    without_a_filter_all_of_it_passes,
    capabilities_open_what_they_are_for,
    a_profile_in_oci_form,
    a_profile_in_mobys_form,
    nested_user_namespaces_can_be_forbidden,
    what_is_refused_is_logged_if_asked,
    a_profile_of_the_image_is_refused,
    a_filter_that_forbids_execve_is_refused,
    several_filters_add_up,
];

const LAST: u32 = 600;
const ENOSYS: &str = "38";

/// x86_64's uretprobe and uprobe: the kernel asks no filter about them, and they do nothing for
/// who is not probed.
const UNASKED: [u32; 2] = [335, 336];

fn is_asked(number: u32) -> bool {
    cfg!(not(target_arch = "x86_64")) || !UNASKED.contains(&number)
}

/// What the probe finds, number by number.
fn ask(user: User, line: &str, entry: &str) -> Vec<String> {
    let chain = Chain::new(user, line).args(["{probe}", "calls", entry]).arg(LAST.to_string());
    let outcome = chain.deadline(std::time::Duration::from_secs(60)).run();
    outcome.expect(0, like("*\n"), "");
    let found: Vec<String> = outcome.stdout.split_whitespace().map(str::to_owned).collect();
    assert_eq!(found.len(), LAST as usize + 1);
    found
}

fn as_the_model_says(user: User, options: &str, left: CapabilitySet) {
    as_the_policy_says(user, options, &default_policy(left));
}

fn as_the_policy_says(user: User, options: &str, policy: &Policy) {
    for isolation in isolations(user) {
        let line = format!("{isolation} priv-drop {options} --");
        for (number, found) in (0..).zip(ask(user, &line, "native")) {
            if !is_asked(number) {
                continue;
            }
            let call = Call { number, machine: MACHINE, arguments: [0; 6] };
            let expected = match policy.decide(&call) {
                // Held back by the probe.
                Action::Allow => ENOSYS.to_owned(),
                Action::Errno(errno) => errno.to_string(),
                other => panic!("the default profile does not {other:?}"),
            };
            assert_eq!(found, expected, "{isolation}: system call {number}");
        }
    }
}

fn h1_every_number_as_the_model_says(user: User) {
    as_the_model_says(user, "", CapabilitySet::empty());
}

fn capabilities_open_what_they_are_for(user: User) {
    let options = "--caps +SYS_ADMIN,+SYS_CHROOT,+SYS_TIME";
    let left = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_CHROOT | CapabilitySet::SYS_TIME;
    as_the_model_says(user, options, left);
}

fn h1_x32_has_no_system_calls(user: User) {
    for isolation in isolations(user) {
        let found = ask(user, &format!("{isolation} priv-drop --"), "x32");
        assert!(found.iter().all(|word| word == ENOSYS), "{found:?}");
    }
}

fn h1_32_bit_calls_end_the_process(user: User) {
    for isolation in isolations(user).iter().filter(|_| cfg!(target_arch = "x86_64")) {
        let found = ask(user, &format!("{isolation} priv-drop --"), "i386");
        assert!(found.iter().all(|word| word == "SIGSYS"), "{found:?}");
    }
}

fn h1_h2_no_high_bit_hides_a_request(user: User) {
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        for high in [0, 1_u64 << 32, 1 << 63, 0xffff_ffff << 32] {
            let start = |line: &str| {
                let chain = Chain::new(user, line).args(["{probe}", "ioctl"]);
                chain.arg((request | high).to_string()).run().stdout
            };
            for isolation in isolations(user) {
                let filtered = format!("{isolation} priv-drop --");
                assert_eq!(start(&filtered), "EPERM\n", "{isolation}: {high:x}");
                // The null device knows neither.
                let without = format!("{isolation} priv-drop --seccomp none --");
                assert_eq!(start(&without), "ENOTTY\n", "{isolation}");
            }
        }
    }
}

fn without_a_filter_all_of_it_passes(user: User) {
    for entry in ["native", "i386"] {
        if entry == "native" || cfg!(target_arch = "x86_64") {
            let found = ask(user, "ns-unshare -- priv-drop --seccomp none --", entry);
            let held_back = |(number, word): (u32, &String)| {
                word == ENOSYS || entry == "native" && !is_asked(number)
            };
            assert!((0..).zip(&found).all(held_back), "{entry}: {found:?}");
        }
    }
}

const NO_FOLDERS: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22}]}"#;

fn a_profile_in_oci_form(user: User) {
    let scratch = Scratch::new(user);
    let profile = scratch.file("profile.json", NO_FOLDERS);
    let folder = scratch.join("folder");
    let start = |option: &str, file: Option<&std::path::Path>| {
        let chain = Chain::new(user, "ns-unshare --keep-fd 9 -- priv-drop --seccomp").arg(option);
        let input = std::fs::File::open(file.unwrap_or("/dev/null".as_ref())).expect("open");
        chain.args(["--", "mkdir"]).arg(&folder).descriptor(9, input).run()
    };
    let refused = like("mkdir: *: Invalid argument\n");
    start(profile.to_str().expect("UTF-8"), None).expect(1, "", refused.clone());
    start("fd:9", Some(&profile)).expect(1, "", refused);
    start("none", None).expect(0, "", "");
    for wrong in ["fd:9", "/nonexistent", "fd:8", "fd:1", ""] {
        start(wrong, None).expect(125, "", like("priv-drop: *"));
    }
}

/// All that profiles of Moby have: architectures, conditions on capabilities, machines, kernels and
/// arguments, an errno for each, names that this kernel or machine doesn't know.
fn a_profile_in_mobys_form(user: User) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/seccomp_profile/moby-form");
    let text = std::fs::read_to_string(path).expect("read");
    let scratch = Scratch::new(user);
    let file = scratch.file("profile.json", &text);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("read");
    let kernel = kernel_version(&kernel).expect("a version");
    let all = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_CHROOT;
    let mut decided = Vec::new();
    for (caps, capabilities) in [("none", CapabilitySet::empty()), ("+SYS_ADMIN,+SYS_CHROOT", all)]
    {
        let profile = parse_profile(&text, &Circumstances { capabilities, kernel }).expect("good");
        let options = format!("--caps {caps} --seccomp {}", file.display());
        as_the_policy_says(user, &options, &profile.policy);
        decided.push(profile.policy);
        for entry in ["x32", "i386"] {
            let expected = if entry == "x32" { ENOSYS } else { "SIGSYS" };
            if cfg!(target_arch = "x86_64") {
                let found = ask(user, &format!("ns-unshare -- priv-drop {options} --"), entry);
                assert!(found.iter().all(|word| word == expected), "{entry}: {found:?}");
            }
        }
    }
    assert_ne!(decided[0], decided[1], "the capabilities make no difference");
}

fn nested_user_namespaces_can_be_forbidden(user: User) {
    let nest = |options: &str| {
        let line = format!("ns-unshare -- priv-drop --seccomp none {options} -- unshare -U true");
        Chain::new(user, &line).run()
    };
    nest("").expect(0, "", "");
    nest("--no-nested-userns").expect(1, "", like("unshare: *\n"));
}

fn what_is_refused_is_logged_if_asked(user: User) {
    need!(need::program("strace"));
    let scratch = Scratch::new(user);
    let log = scratch.join("log");
    let flags = |options: &str| {
        let chain = Chain::new(user, "ns-unshare -- strace -e trace=seccomp -o").arg(&log);
        let chain = chain.args(["priv-drop"]).args(options.split_whitespace());
        chain.args(["--", "true"]).run().expect(0, "", "");
        std::fs::read_to_string(&log).expect("read")
    };
    assert!(!flags("").contains("SECCOMP_FILTER_FLAG_LOG"));
    let both = flags("--seccomp-log --no-nested-userns");
    assert_eq!(both.matches("SECCOMP_FILTER_FLAG_LOG").count(), 2, "{both}");
}

fn a_profile_of_the_image_is_refused(user: User) {
    let Ok(root) = catena_tests::Rootfs::new(user) else { return };
    root.file("etc/profile.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
    let line = format!("ns-unshare -- fs-pivot {root} -- priv-drop");
    for option in ["--seccomp", "--seccomp-bpf"] {
        let chain = Chain::new(user, &line).args([option, "/etc/profile.json", "--", "/bin/probe"]);
        chain.run().expect(
            125,
            "",
            like("priv-drop: refused: *: a file of the new root\nhint: *fd:9*\n"),
        );
    }
}

fn a_filter_that_forbids_execve_is_refused(user: User) {
    let scratch = Scratch::new(user);
    let profile = scratch.file(
        "none.json",
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let chain = Chain::new(user, "ns-unshare -- priv-drop --seccomp").arg(profile);
    chain.args(["--", "{probe}"]).run().expect(125, "", like("priv-drop: *: it forbids execve*\n"));
}

fn several_filters_add_up(user: User) {
    let scratch = Scratch::new(user);
    // BPF_RET | BPF_K, SECCOMP_RET_ALLOW.
    let allow = scratch.join("allow.bpf");
    std::fs::write(&allow, [6, 0, 0, 0, 0, 0, 0xff, 0x7f]).expect("write");
    let line = "ns-unshare -- priv-drop --seccomp default --no-nested-userns --seccomp-bpf";
    let chain = Chain::new(user, line).arg(allow).args(["--", "cat", "/proc/self/status"]);
    chain.run().expect(0, like("*\nSeccomp:\t2\nSeccomp_filters:\t3\n*"), "");
}
