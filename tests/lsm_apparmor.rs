//! priv-drop --apparmor, and the profile of the Debian package, on a kernel that has AppArmor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use catena_tests::pivot::{before_drop, drops};
use catena_tests::{
    Chain, Rootfs, Scratch, User, each_user, here_or_elsewhere, like, need, toolbox,
};

each_user![if has_apparmor;
    the_app_is_under_its_profile,
    what_the_profile_denies_is_denied,
    a_profile_that_is_not_loaded_starts_nothing,
    a_profile_that_lets_nobody_go_is_not_left,
    a_profile_that_denies_standard_input_starts_nothing,
];

/// Elsewhere the tests end before they ask for it: see `here_or_elsewhere!` in each.
fn has_apparmor(_: User) -> Result<(), String> {
    match need::security_module("apparmor") {
        Ok(()) => need::program("apparmor_parser").map(drop),
        Err(_) => Ok(()),
    }
}

/// A profile that is loaded until this is dropped.
struct Profile {
    name: String,
    _scratch: Scratch,
    file: PathBuf,
}

impl Profile {
    /// Loads one that allows all but what `denied` says. What was opened outside of the mount
    /// namespace counts as the root's.
    fn load(name: &str, user: User, denied: &str) -> Profile {
        Profile::load_with("flags=(attach_disconnected)", name, user, denied)
    }

    fn load_with(flags: &str, name: &str, user: User, denied: &str) -> Profile {
        let name = format!("{name}-{user:?}");
        let scratch = Scratch::new(User::Root);
        let text = format!(
            "abi <abi/3.0>,\nprofile {name} {flags} {{\n  capability,\n  file,\n  \
             mount,\n  umount,\n  pivot_root,\n  network,\n  unix,\n  signal,\n  ptrace,\n  {denied}\n}}\n"
        );
        let file = scratch.file("profile", &text);
        parse("--add", &file);
        Profile { name, _scratch: scratch, file }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        parse("--remove", &self.file);
    }
}

fn parse(action: &str, file: &Path) {
    let parser = need::program("apparmor_parser").expect("asked before");
    let done = Command::new(parser).args([action, "--skip-cache"]).arg(file).output();
    let done = done.expect("start the parser");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn the_app_is_under_its_profile(user: User) {
    here_or_elsewhere!(need::security_module("apparmor"));
    let profile = Profile::load("open", user, "");
    let (name, root) = (&profile.name, Rootfs::new(user).expect("a root"));
    for chain in drops(user, &root, &format!("priv-drop --apparmor {name}")) {
        let outcome = Chain::new(user, &format!("{chain} cat /proc/self/attr/current")).run();
        outcome.expect(0, format!("{name} (enforce)\n"), "");
    }
    let without = format!("{} priv-drop -- cat /proc/self/attr/current", before_drop(user));
    Chain::new(user, &without).run().expect(0, "unconfined\n", "");
}

fn what_the_profile_denies_is_denied(user: User) {
    here_or_elsewhere!(need::security_module("apparmor"));
    let scratch = Scratch::new(user);
    let (open, closed) = (scratch.file("open", "open\n"), scratch.file("closed", "closed\n"));
    let profile = Profile::load("tight", user, &format!("deny {} rw,", closed.display()));
    let read = |options: &str| {
        let line = format!("{} priv-drop {options} -- cat", before_drop(user));
        Chain::new(user, &line).args([&open, &closed]).run()
    };
    read("").expect(0, "open\nclosed\n", "");
    let outcome = read(&format!("--apparmor {}", profile.name));
    outcome.expect(1, "open\n", like("cat: *closed: Permission denied\n"));
}

fn a_profile_that_is_not_loaded_starts_nothing(user: User) {
    here_or_elsewhere!(need::security_module("apparmor"));
    for next in ["", "mini-init --"] {
        let line =
            format!("{} priv-drop --apparmor missing -- {next} echo started", before_drop(user));
        Chain::new(user, &line).run().expect(
            125,
            "",
            like(
                "priv-drop: can't write: '/proc/*/attr/apparmor/exec': No such file or directory\n\
                 hint: is 'missing' loaded, and a transition to it allowed?\n",
            ),
        );
    }
}

/// Without a rule `change_profile` in the one that it has, no process goes to another.
fn a_profile_that_lets_nobody_go_is_not_left(user: User) {
    here_or_elsewhere!(need::security_module("apparmor"));
    let (first, second) = (Profile::load("first", user, ""), Profile::load("second", user, ""));
    let line = format!(
        "{} priv-drop --caps all --seccomp none --apparmor {} -- priv-drop --apparmor {} -- echo started",
        before_drop(user),
        first.name,
        second.name
    );
    Chain::new(user, &line).run().expect(
        125,
        "",
        like("priv-drop: *attr/apparmor/exec*\nhint: *\n"),
    );
}

/// The caller's standard input is a file of another mount namespace.
fn a_profile_that_denies_standard_input_starts_nothing(user: User) {
    here_or_elsewhere!(need::security_module("apparmor"));
    let profile = Profile::load_with("", "apart", user, "");
    let line =
        format!("ns-unshare -- priv-drop --apparmor {} -- mini-init -- echo started", profile.name);
    Chain::new(user, &line).run().expect(
        125,
        "",
        "mini-init: can't examine: 'standard input': Permission denied\n\
         hint: an AppArmor profile with flags=(attach_disconnected) allows what was opened outside\n",
    );
}

/// The profile that the Debian package brings, with the first parser that knows its rule `userns,`
/// (that of Debian 13, tests/vm/run), and with this one's without that rule.
#[test]
fn the_packages_profile_takes_nothing_from_what_the_tools_start() {
    here_or_elsewhere!(need::security_module("apparmor"));
    let newer = here_or_elsewhere!(newer_parser());
    let own = vec![need!(need::program("apparmor_parser")).into()];
    let text = fs::read_to_string("/etc/apparmor.d/catena").expect("the profile");
    let older = text.replace("abi/4.0", "abi/3.0").replace("  userns,\n", "");
    // By another process: one that a test beside this forks would hold a descriptor that is open for
    // writing, and nobody executes such a file.
    let tools = ["cg-enter", "ns-unshare"];
    let mut copy = Command::new("cp");
    copy.arg("--preserve=links").args(tools.map(toolbox::tool)).arg("/usr/bin/");
    assert!(copy.status().expect("cp").success());
    let label = |user: User, links: &str, words: &[&str]| {
        let chain = Chain::new(user, links).args(words);
        chain.args(["cat", "/proc/self/attr/current"]).run()
    };
    let start = |words: &[&str]| label(User::Ordinary, "/usr/bin/ns-unshare --", words);
    // One that goes on as ns-unshare where all tools are one program.
    let behind_another = || label(User::Root, "/usr/bin/cg-enter -- ns-unshare --", &[]);
    start(&[]).expect(0, "unconfined\n", "");
    behind_another().expect(0, "unconfined\n", "");
    let (scratch, drop) = (Scratch::new(User::Root), toolbox::tool("priv-drop"));
    let drop = drop.to_str().expect("UTF-8");
    let other = Profile::load("other", User::Ordinary, "");
    for (parser, text) in [(newer, text.as_str()), (own, older.as_str())] {
        let file = scratch.file("catena", text);
        let run = |action: &str| {
            let mut command = Command::new(&parser[0]);
            command.args(&parser[1..]).args([action, "--skip-cache"]).arg(&file);
            let done = command.output().expect("start the parser");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        run("--add");
        start(&[]).expect(0, "catena (unconfined)\n", "");
        behind_another().expect(0, "catena (unconfined)\n", "");
        // What unconfined processes may ask for is still allowed.
        let under = format!("{} (enforce)\n", other.name);
        start(&[drop, "--apparmor", &other.name, "--"]).expect(0, under, "");
        run("--remove");
        start(&[]).expect(0, "unconfined\n", "");
    }
    for tool in tools {
        fs::remove_file(Path::new("/usr/bin").join(tool)).expect("remove the copy");
    }
}

/// The parser of Debian 13, in a tree of its own.
fn newer_parser() -> Result<Vec<std::ffi::OsString>, String> {
    let tree = Path::new("/newer");
    if !tree.is_dir() {
        return Err("there is no parser of Debian 13".into());
    }
    let loader = tree.join("lib64/ld-linux-x86-64.so.2");
    let parser = tree.join("usr/sbin/apparmor_parser");
    let (base, folder) = (tree.join("etc/apparmor.d"), tree.join("lib"));
    let words: [&Path; 6] =
        [&loader, "--library-path".as_ref(), &folder, &parser, "--base".as_ref(), &base];
    Ok(words.iter().map(Into::into).collect())
}
