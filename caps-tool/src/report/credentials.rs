//! Ids, capabilities, no_new_privs, seccomp, limits: what /proc/PID/status and its like say.

use rustix::thread::CapabilitySet;

use super::{Line, Verdict};
use crate::capability;

/// A field of /proc/PID/status.
pub fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// Whether the ids are mapped, that is, not the host's: the identity of all maps none, be it the
/// initial map or that of a user namespace.
pub fn ids_are_mapped(uid_map: &str) -> bool {
    uid_map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

/// The lines about what this process is: with ids that are `mapped`, with capabilities that are
/// `confined` to a user namespace.
pub fn lines(status: &str, mapped: bool, confined: bool) -> Vec<Line> {
    vec![
        ids(status, "user", "Uid", mapped),
        ids(status, "group", "Gid", mapped),
        groups(status),
        capabilities(status, confined),
        bounding_set(status, confined),
        no_new_privs(status),
        seccomp(status),
        core_dumps(),
    ]
}

fn ids(status: &str, what: &'static str, name: &str, mapped: bool) -> Line {
    let Some(text) = field(status, name) else {
        return Line::unknown(what, "can't read /proc/self/status");
    };
    let ids: Vec<&str> = text.split_whitespace().collect();
    let mut distinct = ids.clone();
    distinct.dedup();
    let verdict = match (distinct[..] == ["0"], mapped) {
        _ if distinct.len() > 1 => Verdict::Open,
        (false, _) => Verdict::Tight,
        (true, true) => Verdict::Loose,
        (true, false) => Verdict::Open,
    };
    let whose = if mapped { "of a user namespace" } else { "the host's" };
    Line::new(what, [format!("{} ({whose})", distinct.join("/"))], verdict)
}

fn groups(status: &str) -> Line {
    let what = "further groups";
    match field(status, "Groups") {
        None => Line::unknown(what, "can't read /proc/self/status"),
        Some("") => Line::new(what, ["none".to_owned()], Verdict::Tight),
        Some(text) => {
            let groups: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Line::new(what, groups, Verdict::Loose)
        }
    }
}

fn set(status: &str, name: &str) -> Option<CapabilitySet> {
    let bits = u64::from_str_radix(field(status, name)?, 16).ok()?;
    Some(CapabilitySet::from_bits_retain(bits))
}

fn capability_line(what: &'static str, sets: &[Option<CapabilitySet>], confined: bool) -> Line {
    let Some(all) = sets.iter().copied().reduce(|a, b| Some(a? | b?)).flatten() else {
        return Line::unknown(what, "can't read /proc/self/status");
    };
    if all.is_empty() {
        return Line::new(what, ["none".to_owned()], Verdict::Tight);
    }
    let names: Vec<String> = capability::names(all).split(' ').map(str::to_owned).collect();
    Line::new(what, names, if confined { Verdict::Loose } else { Verdict::Open })
}

fn capabilities(status: &str, confined: bool) -> Line {
    let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|name| set(status, name));
    capability_line("capabilities", &sets, confined)
}

/// What an exec can bring back: with no_new_privs and another user than root nothing.
fn bounding_set(status: &str, confined: bool) -> Line {
    let mut line = capability_line("bounding set", &[set(status, "CapBnd")], confined);
    let root = field(status, "Uid").is_none_or(|ids| ids.split_whitespace().any(|id| id == "0"));
    if field(status, "NoNewPrivs") == Some("1") && !root && line.verdict != Verdict::Unknown {
        line.verdict = Verdict::Tight;
    }
    line
}

fn no_new_privs(status: &str) -> Line {
    let what = "no_new_privs";
    match field(status, "NoNewPrivs") {
        Some("1") => Line::new(what, ["set".to_owned()], Verdict::Tight),
        Some(_) => Line::new(what, ["not set".to_owned()], Verdict::Open),
        None => Line::unknown(what, "can't read /proc/self/status"),
    }
}

fn seccomp(status: &str) -> Line {
    let what = "seccomp";
    let count = field(status, "Seccomp_filters").unwrap_or("some");
    match field(status, "Seccomp") {
        Some("0") => Line::new(what, ["off".to_owned()], Verdict::Open),
        Some("1") => Line::new(what, ["strict".to_owned()], Verdict::Tight),
        Some("2") => Line::new(what, [format!("filters: {count}")], Verdict::Tight),
        _ => Line::unknown(what, "can't read /proc/self/status"),
    }
}

fn core_dumps() -> Line {
    let what = "core dumps";
    match nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE) {
        Ok((0, 0)) => Line::new(what, ["never".to_owned()], Verdict::Tight),
        Ok((_, hard)) => {
            let size =
                if hard == u64::MAX { "any size".to_owned() } else { format!("{hard} bytes") };
            Line::new(what, [format!("up to {size}")], Verdict::Loose)
        }
        Err(errno) => Line::unknown(what, errno.desc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t5\t5\t5\t5\nGroups:\t \n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000002400\n\
        CapAmb:\t0000000000000000\n";

    fn found<'a>(lines: &'a [Line], what: &str) -> (&'a [String], Verdict) {
        let line = lines.iter().find(|line| line.what == what).unwrap();
        (&line.found, line.verdict)
    }

    #[test]
    fn a_status() {
        let lines = lines(STATUS, true, true);
        assert_eq!(
            found(&lines, "user"),
            (&["0 (of a user namespace)".into()][..], Verdict::Loose)
        );
        assert_eq!(found(&lines, "group").1, Verdict::Tight);
        assert_eq!(found(&lines, "further groups").1, Verdict::Tight);
        let kept = (&["CAP_NET_BIND_SERVICE".into()][..], Verdict::Loose);
        assert_eq!(found(&lines, "capabilities"), kept);
        assert_eq!(found(&lines, "bounding set").0.len(), 2);
        assert_eq!(found(&lines, "seccomp"), (&["filters: 3".into()][..], Verdict::Tight));
    }

    #[test]
    fn what_can_t_be_read_is_not_tight() {
        let lines = lines("", false, false);
        assert!(lines.iter().all(|l| l.what == "core dumps" || l.verdict == Verdict::Unknown));
        assert!(ids_are_mapped("") && ids_are_mapped("0 1000 1\n"));
        assert!(!ids_are_mapped("         0          0 4294967295\n"));
    }
}
