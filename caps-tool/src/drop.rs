//! Giving privileges up, in the one order that works, and reading every one of them back.

use chain::{Errno, Error, Result, ResultExt};
use rustix::process::{Gid, Uid, getgroups};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capabilities_secure_bits,
    capability_is_in_ambient_set, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, no_new_privs, remove_capability_from_bounding_set,
    set_capabilities, set_capabilities_secure_bits, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::capability;
use crate::securebits::SecureBits;

/// What the process is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// User and group id, if they change.
    pub ids: Option<(u32, u32)>,
    /// Supplementary groups; `None` keeps those that there are.
    pub groups: Option<Vec<u32>>,
    /// What is left of the capabilities.
    pub capabilities: CapabilitySet,
    /// Secure bits to be set.
    pub secure_bits: SecureBits,
}

impl Target {
    /// Becomes it. The bounding set goes first, while CAP_SETPCAP is held, and the capabilities
    /// last, since the ids need CAP_SETGID and CAP_SETUID.
    pub fn become_it(&self) -> Result<()> {
        limit_bounding_set(self.capabilities)?;
        if let Some(groups) = &self.groups {
            let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
            set_groups(&groups)?;
        }
        if let Some((uid, gid)) = self.ids {
            set_ids(Uid::from_raw(uid), Gid::from_raw(gid))?;
        }
        self.limit_sets()?;
        set_no_new_privs(true).or_fail("can't set no_new_privs")?;
        self.check()
    }

    /// Reads back all that was set.
    fn check(&self) -> Result<()> {
        let what = "can't read back the privileges that are left";
        let differs = |what: &str| {
            Err(Error::new("not dropped").object(what).reason("the kernel says otherwise"))
        };
        if let Some((uid, gid)) = self.ids {
            let now = nix::unistd::getresuid().or_fail(what)?;
            if [now.real, now.effective, now.saved].iter().any(|id| id.as_raw() != uid) {
                return differs("user id");
            }
            let now = nix::unistd::getresgid().or_fail(what)?;
            if [now.real, now.effective, now.saved].iter().any(|id| id.as_raw() != gid) {
                return differs("group id");
            }
        }
        if let Some(groups) = &self.groups {
            let mut now: Vec<u32> = getgroups().or_fail(what)?.iter().map(|g| g.as_raw()).collect();
            let mut wanted = groups.clone();
            now.sort_unstable();
            wanted.sort_unstable();
            if now != wanted {
                return differs("supplementary groups");
            }
        }
        let sets = capabilities(None).or_fail(what)?;
        let left = self.capabilities;
        let secure_bits = capabilities_secure_bits().or_fail(what)?;
        if !secure_bits.contains(self.secure_bits.0) {
            return differs("secure bits");
        }
        let inherited = self.inheritable(secure_bits);
        if sets.permitted != left || sets.effective != left || sets.inheritable != inherited {
            return differs("capabilities");
        }
        let bounding = bounding_set(what)?;
        if bounding.set != left & bounding.known {
            return differs("bounding set");
        }
        // It is never more than what is inheritable, which has just been read (capabilities(7)).
        for single in singles(inherited) {
            if !capability_is_in_ambient_set(single).or_fail(what)? {
                return differs("ambient set");
            }
        }
        if !no_new_privs().or_fail(what)? {
            return differs("no_new_privs");
        }
        Ok(())
    }

    /// Root gets its capabilities at exec from the bounding set, unless a secure bit says
    /// otherwise; another user only from the ambient set, which can hold what is inheritable
    /// (capabilities(7)).
    fn inheritable(&self, secure_bits: CapabilitiesSecureBits) -> CapabilitySet {
        let is_root = rustix::process::geteuid().is_root();
        if is_root && !secure_bits.contains(CapabilitiesSecureBits::NO_ROOT) {
            CapabilitySet::empty()
        } else {
            self.capabilities
        }
    }

    /// All sets but the bounding one, and the secure bits: after the ambient set, which one of
    /// them closes, and before CAP_SETPCAP is gone.
    fn limit_sets(&self) -> Result<()> {
        let (left, what) = (self.capabilities, "can't set the capabilities");
        let now = capabilities_secure_bits().or_fail("can't read the secure bits")?;
        let secure_bits = now | self.secure_bits.0;
        let inherited = self.inheritable(secure_bits);
        clear_ambient_capability_set().or_fail("can't clear the ambient set")?;
        let permitted = capabilities(None).or_fail("can't read the capabilities")?.permitted;
        let still = CapabilitySets { effective: permitted, permitted, inheritable: inherited };
        set_capabilities(None, still).or_fail(what)?;
        for single in singles(inherited) {
            configure_capability_in_ambient_set(single, true).map_err(|errno| {
                let what = "can't keep for the app";
                Error::new(what).object(capability::names(single)).because(errno)
            })?;
        }
        if secure_bits != now {
            set_capabilities_secure_bits(secure_bits).or_fail("can't set the secure bits")?;
        }
        let sets = CapabilitySets { effective: left, permitted: left, inheritable: inherited };
        set_capabilities(None, sets).or_fail(what)
    }
}

/// The bounding set, and of which capabilities it consists at most.
struct Bounding {
    set: CapabilitySet,
    known: CapabilitySet,
}

/// Asks for each capability up to the first that PR_CAPBSET_READ calls invalid: all that this
/// kernel knows, whatever this program has names for.
fn bounding_set(what: &'static str) -> Result<Bounding> {
    let mut found = Bounding { set: CapabilitySet::empty(), known: CapabilitySet::empty() };
    for number in 0..u64::BITS {
        let single = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(single) {
            Ok(is_in) => {
                found.known |= single;
                found.set.set(single, is_in);
            }
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno).or_fail(what),
        }
    }
    Ok(found)
}

/// The capabilities of a set, those without a name too.
fn singles(set: CapabilitySet) -> impl Iterator<Item = CapabilitySet> {
    let bits = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
    bits.filter(move |single| set.contains(*single))
}

/// Up to the first that PR_CAPBSET_DROP calls invalid.
fn limit_bounding_set(left: CapabilitySet) -> Result<()> {
    let what = "can't drop from the bounding set";
    for single in singles(CapabilitySet::from_bits_retain(u64::MAX) - left) {
        let errno = match remove_capability_from_bounding_set(single) {
            Ok(()) => continue,
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => errno,
        };
        // Who has not the privilege needs none where there is nothing to drop; and is told that before
        // the number is looked at.
        match capability_is_in_bounding_set(single) {
            Ok(false) => continue,
            Err(rustix::io::Errno::INVAL) => break,
            Ok(true) | Err(_) => {}
        }
        return Err(Error::new(what).object(capability::names(single)).because(errno).hint_if(
            Errno::EPERM,
            "this needs CAP_SETPCAP, which a user namespace gives: put ns-unshare before it",
        ));
    }
    Ok(())
}

fn set_groups(groups: &[Gid]) -> Result<()> {
    // Where setgroups(2) is denied (user_namespaces(7)) nothing can be dropped, which is fine if
    // nothing is there.
    if getgroups().or_fail("can't read the supplementary groups")? == groups {
        return Ok(());
    }
    set_thread_groups(groups).or_fail("can't set the supplementary groups").map_err(|error| match error.errno() {
        Some(Errno::EPERM) => error.hint(
            "setgroups(2) is denied in a user namespace that was mapped without privilege: --keep-groups leaves them as they are; ns-unshare --map-auto allows it",
        ),
        Some(Errno::EINVAL) => error.hint("a group is not mapped in this user namespace"),
        _ => error,
    })
}

fn set_ids(uid: Uid, gid: Gid) -> Result<()> {
    let unmapped = "it is not mapped in this user namespace: ns-unshare --map-auto, or --map-users and --map-groups, map more than one";
    set_thread_res_gid(gid, gid, gid)
        .or_fail_on("can't become group", gid.to_string())
        .map_err(|error| error.hint_if(Errno::EINVAL, unmapped))?;
    set_keep_capabilities(true).or_fail("can't keep the capabilities over the change of user")?;
    set_thread_res_uid(uid, uid, uid)
        .or_fail_on("can't become user", uid.to_string())
        .map_err(|error| error.hint_if(Errno::EINVAL, unmapped))?;
    set_keep_capabilities(false).or_fail("can't reset PR_SET_KEEPCAPS")
}
