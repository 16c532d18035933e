//! What the container's process may do, and becoming that.

use chain::procfs::Procfs;
use chain::{Errno, Error, Next, Result, ResultExt};
use confine::seccomp::Filters;
use nix::unistd::{getresgid, getresuid};
use rustix::process::{Gid, Uid, getgroups};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set,
    capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, no_new_privs, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::ids::Ids;
use super::seccomp::SeccompArgs;

/// Users, groups and capabilities of a process, in ids of the namespace that is joined.
#[derive(Debug)]
pub(super) struct Privileges {
    /// Real, effective and saved.
    users: [u32; 3],
    groups: [u32; 3],
    supplementary: Option<Supplementary>,
    /// `None`: all that the namespace gives.
    sets: Option<Sets>,
    no_new_privs: bool,
    filters: Filters,
}

/// Supplementary groups, in ids out here and in there.
#[derive(Debug)]
struct Supplementary {
    outside: Vec<u32>,
    inside: Vec<u32>,
}

#[derive(Debug)]
struct Sets {
    inheritable: CapabilitySet,
    permitted: CapabilitySet,
    effective: CapabilitySet,
    bounding: CapabilitySet,
    ambient: CapabilitySet,
}

impl Privileges {
    /// Root of the user namespace that is joined.
    pub(super) fn of_root() -> Self {
        let root = [0; 3];
        Privileges {
            users: root,
            groups: root,
            supplementary: None,
            sets: None,
            no_new_privs: false,
            filters: Filters::default(),
        }
    }

    /// Those of process `pid`.
    pub(super) fn of(
        procfs: &Procfs,
        pid: i32,
        joins_user: bool,
        seccomp: &SeccompArgs,
        next: &mut Next,
    ) -> Result<Self> {
        let status = procfs.read(&format!("{pid}/status"))?;
        let permitted = set(&status, "CapPrm")?;
        let filters = seccomp.filters(pid, field(&status, "Seccomp")?, permitted, next)?;
        let map = |file: &str| match joins_user {
            true => Ok(Ids::parse(&procfs.read(&format!("{pid}/{file}"))?)),
            false => Ok(Ids::identity()),
        };
        let (users, groups) = (map("uid_map")?, map("gid_map")?);
        let outside = numbers(field(&status, "Groups")?);
        let inside = outside.iter().map(|id| groups.inside(*id).unwrap_or(Ids::UNMAPPED)).collect();
        Ok(Privileges {
            users: three(&users, field(&status, "Uid")?)?,
            groups: three(&groups, field(&status, "Gid")?)?,
            supplementary: Some(Supplementary { outside, inside }),
            sets: Some(Sets {
                inheritable: set(&status, "CapInh")?,
                permitted,
                effective: set(&status, "CapEff")?,
                bounding: set(&status, "CapBnd")?,
                ambient: set(&status, "CapAmb")?,
            }),
            no_new_privs: field(&status, "NoNewPrivs")? == "1",
            filters,
        })
    }

    /// Sets the supplementary groups from outside, where that is allowed: inside it is not, if
    /// the namespace was mapped without privilege.
    pub(super) fn take_groups_outside(&self) -> Result<()> {
        let Some(groups) = &self.supplementary else { return Ok(()) };
        if own_groups()? == groups.outside {
            return Ok(());
        }
        match set_groups(&groups.outside) {
            Ok(()) | Err(rustix::io::Errno::PERM) => Ok(()),
            Err(errno) => Err(errno).or_fail("can't set the supplementary groups"),
        }
    }

    /// Becomes them: the bounding set while CAP_SETPCAP is held, then groups and users, then the
    /// capabilities. All is read back. Seccomp filters that do not hold yet are left: with
    /// no_new_privs they can be loaded last, without it while CAP_SYS_ADMIN is held.
    ///
    /// The filters are the container's: they could make the calls that set and read back lie. So
    /// all that outlives the exec is set and read back before they are loaded.
    pub(super) fn become_them(mut self) -> Result<Filters> {
        let loads_now = !self.no_new_privs && !self.filters.is_empty();
        let held = match loads_now {
            true => CapabilitySet::SYS_ADMIN,
            false => CapabilitySet::empty(),
        };
        if let Some(sets) = &self.sets {
            sets.limit_bounding_set()?;
        }
        if let Some(groups) = &self.supplementary
            && own_groups()? != groups.inside
        {
            set_groups(&groups.inside).or_fail("can't set the supplementary groups")?;
        }
        let unmapped = "it is not mapped in the container's user namespace";
        let [real, effective, saved] = self.groups.map(Gid::from_raw);
        set_thread_res_gid(real, effective, saved)
            .or_fail_on("can't become group", effective.to_string())
            .map_err(|error| error.hint_if(Errno::EINVAL, unmapped))?;
        set_keep_capabilities(true)
            .or_fail("can't keep the capabilities over the change of user")?;
        let [real, effective, saved] = self.users.map(Uid::from_raw);
        set_thread_res_uid(real, effective, saved)
            .or_fail_on("can't become user", effective.to_string())
            .map_err(|error| error.hint_if(Errno::EINVAL, unmapped))?;
        set_keep_capabilities(false).or_fail("can't reset PR_SET_KEEPCAPS")?;
        if let Some(sets) = &self.sets {
            sets.become_them(held)?;
        }
        if self.no_new_privs {
            set_no_new_privs(true).or_fail("can't set no_new_privs")?;
        }
        self.check(held)?;
        if loads_now {
            std::mem::take(&mut self.filters).load()?;
            // No more than an exec does anyway, whatever the filter says to it.
            if let Some(sets) = &self.sets {
                sets.take_own(CapabilitySet::empty())?;
            }
        }
        Ok(self.filters)
    }

    /// Reads all back; `held` is held beside the capabilities of the container's process.
    fn check(&self, held: CapabilitySet) -> Result<()> {
        let what = "can't read back the privileges";
        let users = getresuid().or_fail(what)?;
        let groups = getresgid().or_fail(what)?;
        let users = [users.real, users.effective, users.saved].map(|id| id.as_raw());
        let groups = [groups.real, groups.effective, groups.saved].map(|id| id.as_raw());
        let supplementary = self.supplementary.as_ref();
        let same = users == self.users
            && groups == self.groups
            && supplementary.map_or(Ok(true), |groups| Ok(own_groups()? == groups.inside))?
            && self.sets.as_ref().map_or(Ok(true), |sets| sets.are_in_force(held))?
            && (!self.no_new_privs || no_new_privs().or_fail(what)?);
        if same {
            return Ok(());
        }
        Err(Error::new("the privileges of the container's process were not taken on")
            .reason("the kernel says otherwise"))
    }
}

impl Sets {
    fn limit_bounding_set(&self) -> Result<()> {
        let what = "can't drop from the bounding set";
        for single in known_capabilities()?.difference(self.bounding).iter() {
            if capability_is_in_bounding_set(single).or_fail(what)? {
                remove_capability_from_bounding_set(single).or_fail(what)?;
            }
        }
        Ok(())
    }

    /// With `held` permitted and effective besides.
    fn become_them(&self, held: CapabilitySet) -> Result<()> {
        clear_ambient_capability_set().or_fail("can't clear the ambient set")?;
        self.take_own(held)?;
        for single in self.ambient.iter() {
            configure_capability_in_ambient_set(single, true)
                .or_fail("can't set the ambient set")?;
        }
        Ok(())
    }

    fn take_own(&self, held: CapabilitySet) -> Result<()> {
        set_capabilities(None, self.own(held)).or_fail("can't set the capabilities").map_err(
            |error| {
                error.hint_if(Errno::EPERM, "the container's process has more of them than you")
            },
        )
    }

    fn own(&self, held: CapabilitySet) -> CapabilitySets {
        CapabilitySets {
            effective: self.effective | held,
            permitted: self.permitted | held,
            inheritable: self.inheritable,
        }
    }

    fn are_in_force(&self, held: CapabilitySet) -> Result<bool> {
        let what = "can't read back the capabilities";
        let mut same = capabilities(None).or_fail(what)? == self.own(held);
        for single in known_capabilities()?.iter() {
            let bounding = capability_is_in_bounding_set(single).or_fail(what)?;
            let ambient = capability_is_in_ambient_set(single).or_fail(what)?;
            // Less than the container's process has is all right: a joiner may have less itself.
            same &= !bounding || self.bounding.contains(single);
            same &= ambient == self.ambient.contains(single);
        }
        Ok(same)
    }
}

/// Every capability that this kernel knows, whatever this program has names for.
fn known_capabilities() -> Result<CapabilitySet> {
    let mut known = CapabilitySet::empty();
    for number in 0..u64::BITS {
        let single = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(single) {
            Ok(_) => known |= single,
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno).or_fail("can't read the bounding set"),
        }
    }
    Ok(known)
}

fn own_groups() -> Result<Vec<u32>> {
    let groups = getgroups().or_fail("can't read the supplementary groups")?;
    Ok(groups.iter().map(|group| group.as_raw()).collect())
}

fn set_groups(groups: &[u32]) -> Result<(), rustix::io::Errno> {
    set_thread_groups(&groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())
}

fn unreadable(name: &str) -> Error {
    Error::new("can't understand").object(format!("/proc/PID/status: {name}"))
}

/// The value of `name` in a /proc/PID/status file.
fn field<'a>(status: &'a str, name: &str) -> Result<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    status.lines().find_map(value).ok_or_else(|| unreadable(name))
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Real, effective and saved id, as the container has them.
fn three(map: &Ids, text: &str) -> Result<[u32; 3]> {
    let ids = numbers(text);
    let inside: Vec<u32> = ids.iter().filter_map(|id| map.inside(*id)).collect();
    match inside[..] {
        [real, effective, saved, _] => Ok([real, effective, saved]),
        _ => Err(Error::new("can't become the user of the container's process")
            .object(text)
            .reason("not mapped in its user namespace")),
    }
}

fn set(status: &str, name: &str) -> Result<CapabilitySet> {
    let bits = u64::from_str_radix(field(status, name)?, 16).map_err(|_| unreadable(name))?;
    Ok(CapabilitySet::from_bits_retain(bits))
}
