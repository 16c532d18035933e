//! Chains with a root of their own, as the tests of fs-pivot and of whole containers begin.

use std::path::Path;

use crate::{Chain, Rootfs, User};

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

/// [`pivot`], once for each way to have namespaces.
pub fn pivots(user: User, options: &str, root: impl AsRef<Path>) -> impl Iterator<Item = Chain> {
    let rest = format!("fs-pivot {options} {} --", root.as_ref().display());
    isolations(user).iter().map(move |isolation| Chain::new(user, &format!("{isolation} {rest}")))
}

/// The default chain on `root`, once for each way to have namespaces.
pub fn containers(user: User, root: &Rootfs) -> impl Iterator<Item = Chain> {
    let line = format!("fs-pivot {root} -- priv-drop -- mini-init --");
    isolations(user).iter().map(move |isolation| Chain::new(user, &format!("{isolation} {line}")))
}
