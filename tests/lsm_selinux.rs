//! priv-drop --selinux, on a kernel that has SELinux, with a policy of a few lines.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use catena_tests::pivot::{before_drop, drops};
use catena_tests::{Chain, Rootfs, Scratch, User, each_user, here_or_elsewhere, like, need};

each_user![if has_selinux;
    the_app_has_its_context,
    what_the_policy_denies_is_denied,
    a_context_that_is_not_known_starts_nothing,
    a_context_that_is_not_allowed_starts_nothing,
];

/// What it doesn't name is allowed. `app_t` may not read /proc/version; to `far_t` there is no way
/// from where the tests are, and to `old_t` none for who has set no_new_privs.
const POLICY: &str = r#"
(handleunknown allow)
(mls true)
(policycap nnp_nosuid_transition)
(class process (transition dyntransition setexec))
(class process2 (nnp_transition nosuid_transition))
(class file (read entrypoint))
(classorder (process process2 file))
(sensitivity s0)
(sensitivityorder (s0))
(category c0)
(categoryorder (c0))
(sensitivitycategory s0 (c0))
(sid kernel)
(sid security)
(sid unlabeled)
(sidorder (kernel security unlabeled))
(user u)
(role r)
(role object_r)
(userrole u r)
(userrole u object_r)
(userlevel u (s0))
(userrange u ((s0) (s0 (c0))))
(type kernel_t)
(type app_t)
(type old_t)
(type far_t)
(type file_t)
(type closed_t)
(roletype r kernel_t)
(roletype r app_t)
(roletype r old_t)
(roletype r far_t)
(roletype object_r file_t)
(roletype object_r closed_t)
(sidcontext kernel (u r kernel_t ((s0) (s0))))
(sidcontext security (u object_r file_t ((s0) (s0))))
(sidcontext unlabeled (u object_r file_t ((s0) (s0))))
(genfscon proc "/" (u object_r file_t ((s0) (s0))))
(genfscon proc "/version" (u object_r closed_t ((s0) (s0))))
(typeattribute domain)
(typeattributeset domain (kernel_t app_t old_t far_t))
(allow domain file_t (file (read entrypoint)))
(allow kernel_t closed_t (file (read)))
(allow domain self (process (setexec)))
(allow domain self (file (read)))
(allow kernel_t app_t (process (transition)))
(allow kernel_t app_t (process2 (nnp_transition nosuid_transition)))
(allow kernel_t old_t (process (transition)))
"#;

const APP: &str = "u:r:app_t:s0";

fn has_selinux(_: User) -> Result<(), String> {
    match need::security_module("selinux") {
        Ok(()) => need::program("secilc").map(drop),
        Err(_) => Ok(()),
    }
}

/// Loads the policy, once.
fn policy() -> Result<(), String> {
    static LOADED: OnceLock<()> = OnceLock::new();
    need::security_module("selinux")?;
    LOADED.get_or_init(|| {
        let scratch = Scratch::new(User::Root);
        let (source, binary) = (scratch.file("policy.cil", POLICY), scratch.join("policy"));
        let compiler = need::program("secilc").expect("asked before");
        let mut command = Command::new(compiler);
        command.arg("--output").arg(&binary).arg("--filecontexts=/dev/null").arg(&source);
        let done = command.output().expect("start the compiler");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let policy = fs::read(binary).expect("read the policy");
        fs::write("/sys/fs/selinux/load", policy).expect("load the policy");
        assert_eq!(fs::read_to_string("/sys/fs/selinux/enforce").expect("read"), "1");
    });
    Ok(())
}

fn the_app_has_its_context(user: User) {
    here_or_elsewhere!(policy());
    let root = Rootfs::new(user).expect("a root");
    for chain in drops(user, &root, &format!("priv-drop --selinux {APP}")) {
        let outcome = Chain::new(user, &format!("{chain} cat /proc/self/attr/current")).run();
        outcome.expect(0, format!("{APP}\0"), "");
    }
    let without = format!("{} priv-drop -- cat /proc/self/attr/current", before_drop(user));
    Chain::new(user, &without).run().expect(0, "u:r:kernel_t:s0\0", "");
}

fn what_the_policy_denies_is_denied(user: User) {
    here_or_elsewhere!(policy());
    let read = |options: &str| {
        let line = format!("{} priv-drop {options} -- cat /proc/version", before_drop(user));
        Chain::new(user, &line).run()
    };
    read("").expect(0, like("Linux version *"), "");
    let outcome = read(&format!("--selinux {APP}"));
    outcome.expect(1, "", "cat: /proc/version: Permission denied\n");
}

fn a_context_that_is_not_known_starts_nothing(user: User) {
    here_or_elsewhere!(policy());
    for context in ["u:r:missing_t:s0", "nonsense"] {
        let line = format!("{} priv-drop --selinux {context} -- echo started", before_drop(user));
        let message = format!(
            "priv-drop: can't write: '/proc/*/attr/exec': Invalid argument\n\
             hint: is '{context}' loaded, and a transition to it allowed?\n"
        );
        Chain::new(user, &line).run().expect(125, "", like(message));
    }
}

/// The kernel refuses at the exec: that of the next link, or of the app.
fn a_context_that_is_not_allowed_starts_nothing(user: User) {
    here_or_elsewhere!(policy());
    for context in ["u:r:far_t:s0", "u:r:old_t:s0"] {
        for next in ["", "mini-init --"] {
            let line = format!(
                "{} priv-drop --selinux {context} -- {next} echo started",
                before_drop(user)
            );
            let outcome = Chain::new(user, &line).run();
            outcome.expect(126, "", like("priv-drop: *\n"));
        }
    }
}
