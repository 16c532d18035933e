//! What `make install` and `make deb` put where, tried with stand-ins for what the compiler makes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use catena_tests::{Scratch, User, need, toolbox};

/// A cargo that builds nothing: the tools of this test run are in place of the release build.
const CARGO: &str = "#!/bin/sh\nexit 0\n";

/// Runs make for `target` on the checkout, with the binaries of this test run as the release build.
fn make(scratch: &Scratch, xtask: &Path, target: &str, words: &[String]) -> String {
    let cargo = scratch.path().join("cargo");
    std::fs::write(&cargo, CARGO).expect("write a script");
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).expect("chmod");
    let built = toolbox::folder();
    let made = Command::new("make")
        .args(["-s", "-C", concat!(env!("CARGO_MANIFEST_DIR"), "/.."), target])
        .arg(format!("CARGO={}", cargo.display()))
        .arg(format!("RELEASE={}", built.display()))
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
    let field = Command::new("dpkg-deb").arg("-f").arg(&package).arg("Version").output();
    let version = String::from_utf8(field.expect("dpkg-deb").stdout).expect("UTF-8");
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
}
