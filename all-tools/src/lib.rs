//! All tools in one program: it is the tool by whose name it is started. See `chain::image`.

#![forbid(unsafe_code)]

use chain::image::Member;

/// Each of them.
pub static TOOLS: [Member; 11] = [
    Member::tool::<cgroup_tool::cg_enter::CgEnter>("cg-enter"),
    Member::act::<cgroup_tool::cg_signal::CgSignal>("cg-signal"),
    Member::act::<cgroup_tool::cg_stat::CgStat>("cg-stat"),
    Member::act::<doctor_tool::ChainDoctor>("chain-doctor"),
    Member::tool::<pivot_tool::FsPivot>("fs-pivot"),
    Member::tool::<notify_tool::ListenFds>("listen-fds"),
    Member::tool::<init_tool::MiniInit>("mini-init"),
    Member::tool::<notify_tool::NotifyBridge>("notify-bridge"),
    Member::other("ns-enter", unshare_tool::ns_enter::main),
    Member::tool::<unshare_tool::NsUnshare>("ns-unshare"),
    Member::tool::<caps_tool::PrivDrop>("priv-drop"),
];

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fmt::Debug;

    /// What a line means does not depend on which options are defined: see `chain::rare`.
    fn means_the_same<T: clap::Parser + Debug>(lines: &[&str]) {
        for line in lines {
            let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            let [few, all] =
                chain::help::both_ways::<T>(&words).map(|parsed| format!("{parsed:?}"));
            assert_eq!(few, all, "{line}");
        }
    }

    #[test]
    fn an_option_that_nobody_names_changes_nothing() {
        means_the_same::<cgroup_tool::cg_enter::CgEnter>(&[
            "cg-enter -- app",
            "cg-enter app --name x",
            "cg-enter --memory-max 1M --pids-max 7 -- ns-unshare --user -- app",
            "cg-enter --cpuset-cpus 0 --set a=b app",
            "cg-enter --name x --share --explain app",
            "cg-enter --share app",
            "cg-enter --memory-max -- app",
            "cg-enter --no-such app",
            "cg-enter --keep-fd 7 --keep-fd=8",
        ]);
        means_the_same::<unshare_tool::NsUnshare>(&[
            "ns-unshare app",
            "ns-unshare -mpniuC -- fs-pivot --read-only / -- app",
            "ns-unshare --net=/x --user --map-auto --keep-groups -- app",
            "ns-unshare --share pid,net --hostname x app",
            "ns-unshare --map-root --map-users 0:1:1 app",
            "ns-unshare --kill-signal TERM --stop-signal RTMIN+3 --propagation slave app",
            "ns-unshare --mount-proc --no-mount-proc app",
        ]);
        means_the_same::<pivot_tool::FsPivot>(&[
            "fs-pivot / -- app",
            "fs-pivot -- / app",
            "fs-pivot",
            "fs-pivot --overlay a:b --chdir /x -- app",
            "fs-pivot --bind a:b --tmpfs c / app",
            "fs-pivot --upper u / app",
        ]);
        means_the_same::<caps_tool::PrivDrop>(&[
            "priv-drop app",
            "priv-drop --caps -chown,+kill app",
            "priv-drop --nice -5 --fix-stdio app",
            "priv-drop --json",
            "priv-drop --report",
            "priv-drop -- --caps all",
        ]);
        means_the_same::<init_tool::MiniInit>(&[
            "mini-init app",
            "mini-init -g --grace 1 app",
            "mini-init -vv -e 143 -- app -x",
            "mini-init --signal-to all -g app",
            "mini-init --env A=1 --no-plan app",
        ]);
    }
}
