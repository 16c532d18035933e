//! Time namespaces: before Linux 6.2 nobody shares memory with a child that is born into another one,
//! as all children are after `unshare --time`.

use catena_tests::{Cell, Chain, Scratch, User, each_user, need};

each_user![if can_have_cgroups; links_after_unshare, new_ones];

fn can_have_cgroups(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Cell::new(user).map(drop)
}

/// The app of each chain is in another one than this test.
fn each_is_elsewhere(user: User, chains: &[&str]) {
    let own = Chain::new(user, "{probe}").see().namespaces["time"];
    for chain in chains {
        let seen = Chain::new(user, &format!("{chain} {{probe}}")).see();
        assert_ne!(seen.namespaces["time"], own, "{chain}");
    }
}

fn links_after_unshare(user: User) {
    let links = [
        "mini-init --subreaper --",
        "cg-enter --",
        "ns-unshare --pid --",
        "cg-enter -- ns-unshare -- priv-drop -- mini-init --",
    ];
    let chains = links.map(|links| format!("unshare --user --map-root-user --time {links}"));
    each_is_elsewhere(user, &chains.each_ref().map(String::as_str));
}

fn new_ones(user: User) {
    let chains = [
        "ns-unshare --user --time --",
        "ns-unshare --user --time -- mini-init --subreaper --",
        "ns-unshare --user --time --pid --mount -- cg-enter -- mini-init --subreaper --",
        "cg-enter -- ns-unshare --user --time --pid --mount -- priv-drop -- mini-init --",
    ];
    each_is_elsewhere(user, &chains);
}

/// newuidmap(1) is started by one that has such children. Only root makes them without a user
/// namespace, in which the helper has no power.
#[test]
fn the_helpers_after_unshare() {
    if !User::suite_is_root() {
        return;
    }
    need!(need::program("newuidmap"));
    let scratch = Scratch::new(User::Root);
    let ranges = scratch.file("ranges", "root:300000:65536\n");
    let chain = Chain::new(User::Root, "unshare --time ns-unshare --map-auto -- {probe}");
    let seen = chain.cover(&ranges, "/etc/subuid").cover(&ranges, "/etc/subgid").see();
    assert_eq!(seen.uid_map, [[0, 0, 1], [1, 300_000, 65536]]);
}
