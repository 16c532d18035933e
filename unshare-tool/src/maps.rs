//! The id maps of a new user namespace: what they are, and who may write them.

use std::path::Path;
use std::process::Command;

use chain::procfs::Procfs;
use chain::{Error, Result, ResultExt, accounts, rare};
use rustix::process::{getegid, geteuid, getgroups};

use crate::range::{self, Range};

/// What the command line says of maps.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MapArgs {
    /// Map you, and only you, to root inside
    #[arg(long, group = "map")]
    map_root: bool,

    /// Map you, and only you, to yourself
    #[arg(long, group = "map")]
    map_current: bool,

    /// Map you to root and your ranges of /etc/subuid and /etc/subgid to the ids from 1 on
    #[arg(long, group = "map")]
    map_auto: bool,

    /// Map N user ids from IN on inside to those from OUT on (repeatable)
    #[arg(long, value_name = "IN:OUT:N", conflicts_with = "map")]
    map_users: Vec<Range>,

    /// Map N group ids from IN on inside to those from OUT on (repeatable)
    #[arg(long, value_name = "IN:OUT:N", conflicts_with = "map")]
    map_groups: Vec<Range>,

    /// Whether setgroups(2) may be used inside
    #[arg(long, value_name = "allow|deny")]
    setgroups: Option<Setgroups>,

    /// Keep supplementary groups that are not mapped: they stay in force, without a name inside
    #[arg(long)]
    keep_groups: bool,
}

/// /proc/PID/setgroups (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Setgroups {
    Allow,
    Deny,
}

/// Who writes the maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Any process with the user's own id: the map is that one id.
    Anybody,
    /// A process with CAP_SETUID in the parent user namespace.
    Privileged,
    /// The setuid helpers newuidmap(1) and newgidmap(1).
    Helper,
}

/// The maps to be written.
#[derive(Debug)]
pub struct Maps {
    pub(crate) users: Vec<Range>,
    pub(crate) groups: Vec<Range>,
    pub(crate) writer: Writer,
    pub(crate) deny_setgroups: bool,
    /// What setgroups(2) is called with inside, in ids of the caller's namespace.
    pub(crate) mapped_groups: Option<Vec<u32>>,
    pub(crate) own: (u32, u32),
}

impl rare::Group for MapArgs {
    const PREFIXES: &'static [&'static str] = &["--map-", "--setgroups", "--keep-groups"];
}

impl MapArgs {
    /// Works out the maps before anything is done.
    pub fn resolve(&self, procfs: &Procfs) -> Result<Maps> {
        let own = (geteuid().as_raw(), getegid().as_raw());
        let (users, groups) = self.ranges(procfs, own)?;
        for (what, map) in [("can't map users", &users), ("can't map groups", &groups)] {
            range::check(map).map_err(|reason| Error::new(what).reason(reason))?;
        }
        let is_only = |map: &[Range], own| matches!(map, [r] if r.count == 1 && r.outside == own);
        let writer = if own.0 == 0 {
            Writer::Privileged
        } else if is_only(&users, own.0) && is_only(&groups, own.1) {
            Writer::Anybody
        } else {
            Writer::Helper
        };
        // Who maps a group without privilege must give up setgroups(2) first, or groups that
        // deny access could be dropped (CVE-2014-8989).
        let must_deny = writer == Writer::Anybody;
        if must_deny && self.setgroups == Some(Setgroups::Allow) {
            return Err(Error::new(
                "can't allow setgroups(2) where one group is mapped without privilege",
            )
            .hint("--map-auto maps the groups that /etc/subgid grants"));
        }
        let deny_setgroups = must_deny || self.setgroups == Some(Setgroups::Deny);
        let mapped_groups = self.mapped_groups(&groups, own.1, deny_setgroups)?;
        Ok(Maps { users, groups, writer, deny_setgroups, mapped_groups, own })
    }

    fn ranges(&self, procfs: &Procfs, own: (u32, u32)) -> Result<(Vec<Range>, Vec<Range>)> {
        if !self.map_users.is_empty() || !self.map_groups.is_empty() {
            let or_own = |map: &Vec<Range>, own| {
                if map.is_empty() { vec![Range::single(0, own)] } else { map.clone() }
            };
            return Ok((or_own(&self.map_users, own.0), or_own(&self.map_groups, own.1)));
        }
        if self.map_auto {
            return Ok((
                subordinates("/etc/subuid", own.0, own.0)?,
                subordinates("/etc/subgid", own.0, own.1)?,
            ));
        }
        if self.map_current {
            return Ok((vec![Range::single(own.0, own.0)], vec![Range::single(own.1, own.1)]));
        }
        if self.map_root || own.0 != 0 {
            return Ok((vec![Range::single(0, own.0)], vec![Range::single(0, own.1)]));
        }
        let identity = |file: &str| {
            let path = format!("{}/{file}", procfs.own_id()?);
            let text = procfs.read(&path)?;
            range::identity(&text).ok_or_else(|| {
                Error::new("can't understand")
                    .object(format!("/proc/{path}"))
                    .reason("not an id map")
            })
        };
        Ok((identity("uid_map")?, identity("gid_map")?))
    }

    /// The supplementary groups that stay: those that are mapped. Others are dropped; where that
    /// can't be done they would stay in force unseen, which is refused.
    fn mapped_groups(&self, map: &[Range], own: u32, denied: bool) -> Result<Option<Vec<u32>>> {
        if self.keep_groups {
            return Ok(None);
        }
        let all = getgroups().or_fail("can't read the supplementary groups")?;
        let (mapped, unmapped): (Vec<u32>, Vec<u32>) = all
            .iter()
            .map(|group| group.as_raw())
            .partition(|group| map.iter().any(|range| range.holds(*group)));
        if unmapped.is_empty() {
            return Ok(None);
        }
        if denied {
            let list: Vec<String> =
                unmapped.iter().filter(|group| **group != own).map(u32::to_string).collect();
            return Err(Error::new("supplementary groups would stay in force inside")
                .object(list.join(" "))
                .reason("setgroups(2) is denied where one group is mapped without privilege")
                .hint(
                    "--keep-groups accepts that; --map-auto drops them, with ranges of /etc/subgid",
                ));
        }
        Ok(Some(mapped))
    }
}

/// `own` as 0 and the ranges that `file` grants to user `uid`.
fn subordinates(file: &str, uid: u32, own: u32) -> Result<Vec<Range>> {
    let text = std::fs::read_to_string(file).or_fail_on("can't read", file)?;
    let users = accounts::users()?;
    let number = uid.to_string();
    let mut names = vec![number.as_str()];
    names.extend(users.iter().filter(|user| user.uid == uid).map(|user| user.name.as_str()));
    let granted = range::granted(&text, &names);
    if granted.is_empty() {
        let name = names.last().copied().unwrap_or_default();
        return Err(Error::new("no subordinate ids")
            .object(file)
            .reason(format!("nothing for {name}"))
            .hint(format!(
                "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
            )));
    }
    range::with_subordinates(own, &granted)
        .map_err(|reason| Error::new("can't map").object(file).reason(reason))
}

impl Maps {
    /// Whether the process that is mapped can't write the maps itself.
    pub fn need_outsider(&self) -> bool {
        self.writer != Writer::Anybody
    }

    /// Writes the maps of process `pid`.
    pub fn write(&self, procfs: &Procfs, pid: &str) -> Result<()> {
        if self.deny_setgroups {
            procfs.write(&format!("{pid}/setgroups"), "deny")?;
        }
        if self.writer == Writer::Helper {
            run_helper("newuidmap", pid, &self.users)?;
            return run_helper("newgidmap", pid, &self.groups);
        }
        procfs.write(&format!("{pid}/uid_map"), &range::to_map_file(&self.users))?;
        procfs.write(&format!("{pid}/gid_map"), &range::to_map_file(&self.groups))
    }

    /// Inside: becomes root if the caller's own ids are not mapped, and drops the groups that
    /// are not.
    pub fn enter(&self) -> Result<()> {
        let what = "can't take on the ids of the user namespace";
        let mapped = |map: &[Range], id| map.iter().any(|range| range.holds(id));
        if let Some(groups) = &self.mapped_groups {
            let inside: Vec<_> = groups
                .iter()
                .filter_map(|id| to_inside(&self.groups, *id))
                .map(rustix::process::Gid::from_raw)
                .collect();
            rustix::thread::set_thread_groups(&inside)
                .or_fail("can't drop supplementary groups")?;
        }
        if !mapped(&self.groups, self.own.1) {
            let root = rustix::process::Gid::ROOT;
            rustix::thread::set_thread_res_gid(root, root, root).or_fail(what)?;
        }
        if !mapped(&self.users, self.own.0) {
            let root = rustix::process::Uid::ROOT;
            rustix::thread::set_thread_res_uid(root, root, root).or_fail(what)?;
        }
        Ok(())
    }
}

fn to_inside(map: &[Range], outside: u32) -> Option<u32> {
    let range = map.iter().find(|range| range.holds(outside))?;
    Some(range.inside + (outside - range.outside))
}

/// Runs newuidmap(1) or newgidmap(1), by absolute path and with an empty environment: it is the
/// one program of the chain that has more privilege than its caller.
fn run_helper(name: &str, pid: &str, map: &[Range]) -> Result<()> {
    let folders = ["/usr/bin", "/bin", "/run/wrappers/bin"];
    let path = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    let path = path.ok_or_else(|| {
        Error::new("not found").object(name).hint("it comes with the package uidmap (shadow-utils)")
    })?;
    let mut command = Command::new(&path);
    command.env_clear().arg(pid);
    for range in map {
        command.args([range.inside, range.outside, range.count].map(|number| number.to_string()));
    }
    let output = command.output().or_fail_on("can't run", &path)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim_start_matches(&format!("{name}: "));
    Err(Error::new("can't map ids").object(path).reason(said).hint(
        "the ranges must lie within /etc/subuid and /etc/subgid, and the helper be setuid root or have file capabilities",
    ))
}
