//! What `make install` and `make deb` put where, tried with stand-ins for what the compiler makes.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use catena_tests::{Chain, Scratch, User, debian, need, toolbox};

/// Runs make for `target` on the checkout, with the binaries of this test run as the release build,
/// and as what is shipped, and a cargo that builds nothing.
fn make(scratch: &Scratch, xtask: &Path, target: &str, words: &[String]) -> String {
    let built = toolbox::folder();
    let made = Command::new("make")
        .args(["-s", "-C", concat!(env!("CARGO_MANIFEST_DIR"), "/.."), target])
        .arg("CARGO=true")
        .arg(format!("RELEASE={}", built.display()))
        .arg(format!("SHIPPED={}", built.display()))
        .arg(format!("XTASK={}", xtask.display()))
        .arg(format!("DIST={}", scratch.path().join("dist").display()))
        .args(words)
        .output()
        .expect("make");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("UTF-8")
}

fn me() -> User {
    if User::suite_is_root() { User::Root } else { User::Ordinary }
}

/// What must be below the prefix.
fn expected() -> Vec<String> {
    let mut paths = vec!["share/man/man7/catena.7".to_owned()];
    for command in xtask::commands() {
        let name = command.get_name();
        paths.extend([
            format!("bin/{name}"),
            format!("share/man/man1/{name}.1"),
            format!("share/bash-completion/completions/{name}"),
            format!("share/zsh/site-functions/_{name}"),
            format!("share/fish/vendor_completions.d/{name}.fish"),
        ]);
    }
    paths.sort();
    paths
}

/// The files below `folder`.
fn files(folder: &Path) -> Vec<String> {
    let find = Command::new("find").args([".", "-type", "f"]).current_dir(folder).output();
    let text = String::from_utf8(find.expect("find").stdout).expect("UTF-8");
    let mut paths: Vec<String> = text.lines().map(|line| line[2..].to_owned()).collect();
    paths.sort();
    paths
}

/// How many files the tools in `folder` are: one, where they are one program.
fn programs(folder: &Path) -> usize {
    let tools = xtask::commands().into_iter().map(|command| folder.join(command.get_name()));
    tools.map(|tool| tool.metadata().expect("a tool").ino()).collect::<BTreeSet<_>>().len()
}

/// The program that writes the documents, which is built beside this one.
fn xtask() -> Result<PathBuf, String> {
    let test = std::env::current_exe().expect("this program has a path");
    let path = test.ancestors().nth(2).expect("a folder").join("xtask");
    if path.is_file() { Ok(path) } else { Err("xtask is not built".to_owned()) }
}

#[test]
fn everything_is_installed_below_the_prefix() {
    need!(need::program("make"));
    let xtask = need!(xtask());
    let scratch = Scratch::new(me());
    let root = scratch.path().join("root");
    make(
        &scratch,
        &xtask,
        "install",
        &[format!("DESTDIR={}", root.display()), "PREFIX=/opt/c".into()],
    );
    assert_eq!(files(&root.join("opt/c")), expected());
    let chain = "ns-unshare --user --map-root --keep-groups -- mini-init --subreaper -- true";
    let mut words = chain.split(' ').map(str::to_owned);
    let first = root.join("opt/c/bin").join(words.next().expect("a tool"));
    need!(me().can_isolate());
    assert!(Command::new(first).args(words).status().expect("an installed tool").success());
}

#[test]
fn packages_are_made_of_what_dist_builds() {
    need!(need::program("make"));
    for target in ["deb", "tarball"] {
        let top = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let plan = Command::new("make").args(["-n", "-C", top, target]).output().expect("make");
        let plan = String::from_utf8(plan.stdout).expect("UTF-8");
        let build = plan.find("release/build dist").expect("it is built first");
        assert!(plan.find("install FROM=dist ").expect("it is installed") > build, "{plan}");
    }
}

#[test]
fn a_debian_package_has_it_all() {
    need!(need::program("make"));
    need!(need::program("dpkg-deb"));
    let xtask = need!(xtask());
    let scratch = Scratch::new(me());
    make(&scratch, &xtask, "deb", &["DEBFLAGS=-Znone".into()]);
    let dist = scratch.path().join("dist");
    let packages: Vec<String> =
        files(&dist).into_iter().filter(|name| name.ends_with(".deb")).collect();
    assert_eq!(packages.len(), 1, "{packages:?}");
    let unpacked = scratch.path().join("unpacked");
    let package = dist.join(&packages[0]);
    let done = Command::new("dpkg-deb").arg("-x").args([&package, &unpacked]).status();
    assert!(done.expect("dpkg-deb").success());
    let present = files(&unpacked.join("usr"));
    for path in expected() {
        assert!(present.contains(&path), "{path}");
    }
    assert!(present.contains(&"share/doc/catena/examples/systemd/web.service".to_owned()));
    assert_eq!(programs(&unpacked.join("usr/bin")), programs(toolbox::folder()));
    let field = Command::new("dpkg-deb").arg("-f").arg(&package).arg("Version").output();
    let version = String::from_utf8(field.expect("dpkg-deb").stdout).expect("UTF-8");
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_tarball_works_where_it_is_unpacked() {
    need!(need::program("make"));
    need!(me().can_isolate());
    let xtask = need!(xtask());
    let scratch = Scratch::new(me());
    make(&scratch, &xtask, "tarball", &[]);
    let dist = scratch.path().join("dist");
    let made = files(&dist).into_iter().filter(|name| name.ends_with(".tar.gz"));
    let made: Vec<String> = made.collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let unpack = Command::new("tar").arg("-xzf").arg(&made[0]).current_dir(&dist).status();
    assert!(unpack.expect("tar").success());
    let top = dist.join(made[0].trim_end_matches(".tar.gz"));
    let present = files(&top);
    for path in expected() {
        assert!(present.contains(&path), "{path}");
    }
    assert_eq!(programs(&top.join("bin")), programs(toolbox::folder()));
    let chain = "--user --map-root --keep-groups --pid -- mini-init -- echo inside";
    let tool = top.join("bin/ns-unshare");
    let run = Command::new(tool).args(chain.split(' ')).output().expect("an unpacked tool");
    assert_eq!(String::from_utf8_lossy(&run.stdout), "inside\n");
    assert!(run.status.success() && run.stderr.is_empty());
}

/// What is typed in the fresh tree: the package is installed, tried by root and by a user, and removed.
const IN_A_FRESH_TREE: &str = r#"
dpkg -i /tmp/packages/*.deb >/dev/null
main_job='ns-unshare --keep-groups --hostname fresh -- fs-pivot --ephemeral / -- \
    priv-drop --keep-groups -- mini-init -- sh -c "uname -n; id -u; echo x >/etc/left; ls /proc | grep -c ^1$"'
sh -c "$main_job"
setpriv --reuid 4242 --regid 4242 --clear-groups sh -c "$main_job"
test ! -e /etc/left
cg-enter -- true && echo limited
chain-doctor >/dev/null && echo healthy
setpriv --reuid 4242 --regid 4242 --clear-groups chain-doctor >/dev/null && echo healthy
catena=$(dpkg -L catena | grep -c /usr/share/man/man1/)
echo "$catena pages"
dpkg -r catena >/dev/null
command -v ns-unshare || echo gone
"#;

/// The AppArmor profile that comes with it, on a system whose parser may not be able to read it.
const THE_PROFILE: &str = r#"
dpkg -i /tmp/packages/*.deb >/dev/null
if test -e /etc/apparmor.d/catena; then echo profile; fi
dpkg -r catena >/dev/null
ls /etc/apparmor.d | grep catena || echo gone
"#;

/// Makes the package and runs a script in `tree`, where it lies in /tmp/packages.
fn in_tree(tree: &Path, xtask: &Path, script: &str) -> catena_tests::Outcome {
    let scratch = Scratch::new(User::Root);
    make(&scratch, xtask, "deb", &["DEBFLAGS=-Znone".into()]);
    // A procfs and a sysfs in which nothing is hidden: where some is, the kernel allows no new ones.
    let line = "ns-unshare --mount --pid -- fs-pivot --no-defaults --ephemeral --dev minimal \
                --bind /proc:/proc --bind /sys:/sys --tmpfs /tmp:mode=1777";
    let packages = format!("--ro-bind={}:/tmp/packages", scratch.path().join("dist").display());
    let run = Chain::new(User::Root, line)
        .arg(packages)
        .arg(tree)
        .args(["--", "mini-init", "--", "bash", "-euo", "pipefail", "-c", script])
        .deadline(Duration::from_secs(120))
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run();
    assert!(!tree.join("usr/bin/ns-unshare").exists(), "the tree was changed");
    run
}

#[test]
fn the_debian_package_installs_in_a_fresh_tree_and_works_there() {
    if !User::suite_is_root() {
        return need::skip("dpkg installs as root only");
    }
    need!(need::program("make"));
    need!(need::program("dpkg-deb"));
    let xtask = need!(xtask());
    let run = in_tree(need!(debian::tree()), &xtask, IN_A_FRESH_TREE);
    let main_job = "fresh\n0\n1\n";
    let rest = "limited\nhealthy\nhealthy\n11 pages\ngone\n";
    run.expect(0, format!("{main_job}{main_job}{rest}"), "");
}

/// AppArmor 4 of Debian 13 knows the rule `userns,`; an older one doesn't, and would fail at boot.
#[test]
fn the_debian_package_brings_its_profile_where_that_can_be_read() {
    if !User::suite_is_root() {
        return need::skip("dpkg installs as root only");
    }
    need!(need::program("make"));
    need!(need::program("dpkg-deb"));
    let xtask = need!(xtask());
    // This machine's own release may be older than that.
    for tree in [need!(debian::newer_tree()), need!(debian::tree())] {
        let is_read = tree.join("etc/apparmor.d/abi/4.0").exists();
        let expected = if is_read { "profile\ngone\n" } else { "gone\n" };
        in_tree(tree, &xtask, THE_PROFILE).expect(0, expected, "");
    }
    assert!(debian::newer_tree().is_ok_and(|tree| tree.join("etc/apparmor.d/abi/4.0").exists()));
}
