//! Chains with a root of their own, as the tests of fs-pivot and of whole containers begin.

use std::path::Path;

use crate::{Cell, Chain, Rootfs, User};

/// Whether `user` can have a root of his own here.
pub fn can_pivot(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Rootfs::new(user).map(drop)
}

/// A root, where [`can_pivot`] has said that there can be one.
pub fn rootfs(user: User) -> Rootfs {
    Rootfs::new(user).expect("asked before")
}

/// `fs-pivot` with these options on `root`, in namespaces of its own.
pub fn pivot(user: User, options: &str, root: impl AsRef<Path>) -> Chain {
    let root = root.as_ref().display();
    Chain::new(user, &format!("ns-unshare -- fs-pivot {options} {root} --"))
}

/// The ways in which `user` can have namespaces: each with a user namespace, root also without.
pub fn isolations(user: User) -> &'static [&'static str] {
    match user {
        User::Root => &["ns-unshare --", "ns-unshare --share=user --"],
        User::Ordinary => &["ns-unshare --"],
    }
}

/// The ways in which `user` can have a host of his own, whose mounts a script may change: each with
/// a user namespace, root also without. No mount of it is shared with the machine's.
pub fn hosts(user: User) -> &'static [&'static str] {
    match user {
        User::Root => &["unshare -r -m", "unshare -m"],
        User::Ordinary => &["unshare -r -m"],
    }
}

/// [`pivot`], once for each way to have namespaces.
pub fn pivots(user: User, options: &str, root: impl AsRef<Path>) -> impl Iterator<Item = Chain> {
    let rest = format!("fs-pivot {options} {} --", root.as_ref().display());
    isolations(user).iter().map(move |isolation| Chain::new(user, &format!("{isolation} {rest}")))
}

/// The whole default chain in these namespaces, with `pivot` (options, and the root) and `drop` for
/// its two links; with `cg-enter` where `user` can have a cgroup.
pub fn whole(user: User, isolation: &str, pivot: impl std::fmt::Display, drop: &str) -> String {
    let first = if Cell::can_be_made(user).is_ok() { "cg-enter --" } else { "" };
    format!("{first} {isolation} fs-pivot {pivot} -- priv-drop {drop} -- mini-init --grace 0 --")
}

/// The whole default chain on `root`, once for each way to have namespaces.
pub fn containers(user: User, root: &Rootfs) -> impl Iterator<Item = Chain> {
    let line = move |isolation: &&str| Chain::new(user, &whole(user, isolation, root, ""));
    isolations(user).iter().map(line)
}

/// What stands before a priv-drop without a root of its own: an ordinary user needs namespaces to drop anything.
pub fn before_drop(user: User) -> &'static str {
    if user.is_root() { "" } else { "ns-unshare --" }
}

/// Chains up to the app, with `drop` (a priv-drop and its options) alone, before an init, and behind a pivot.
pub fn drops(user: User, root: &Rootfs, drop: &str) -> [String; 4] {
    [
        format!("{} {drop} --", before_drop(user)),
        format!("ns-unshare -- {drop} -- mini-init --"),
        format!("ns-unshare -- fs-pivot {root} -- {drop} --"),
        format!("ns-unshare -- fs-pivot {root} -- {drop} -- mini-init --"),
    ]
}
