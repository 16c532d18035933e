//! Capabilities by name, and the sets that `--caps` describes: pure functions.

use std::str::FromStr;

use rustix::thread::CapabilitySet;

/// What a container engine usually leaves (the OCI runtimes' default).
const OCI: [CapabilitySet; 11] = [
    CapabilitySet::CHOWN,
    CapabilitySet::DAC_OVERRIDE,
    CapabilitySet::FOWNER,
    CapabilitySet::FSETID,
    CapabilitySet::KILL,
    CapabilitySet::NET_BIND_SERVICE,
    CapabilitySet::SETFCAP,
    CapabilitySet::SETGID,
    CapabilitySet::SETPCAP,
    CapabilitySet::SETUID,
    CapabilitySet::SYS_CHROOT,
];

/// Which capabilities are to be left: by default none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// All that the process holds, before the two below count.
    all: bool,
    added: CapabilitySet,
    removed: CapabilitySet,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { all: false, added: CapabilitySet::empty(), removed: CapabilitySet::empty() }
    }
}

impl Wanted {
    /// The set for a process that holds `held`; the ones that it asks for and `held` lacks as the
    /// error.
    pub fn of(self, held: CapabilitySet) -> Result<CapabilitySet, CapabilitySet> {
        let base = if self.all { held } else { CapabilitySet::empty() };
        let wanted = (base | self.added) - self.removed;
        if held.contains(wanted) { Ok(wanted) } else { Err(wanted - held) }
    }
}

/// Takes a list of `none`, `all` or `oci` first, then `+NAME` and `-NAME`. Without the first
/// word a list that begins with `-` takes away from all, one that begins with `+` adds to none.
impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut wanted = Wanted::default();
        for (index, word) in text.split(',').enumerate() {
            match (index, word) {
                (0, "none") => {}
                (0, "all") => wanted.all = true,
                (0, "oci") => wanted.added = OCI.into_iter().collect(),
                _ => {
                    if let Some(name) = word.strip_prefix('+') {
                        let capability = named(name)?;
                        wanted.added |= capability;
                        wanted.removed -= capability;
                    } else if let Some(name) = word.strip_prefix('-') {
                        let capability = named(name)?;
                        wanted.all |= index == 0;
                        wanted.removed |= capability;
                        wanted.added -= capability;
                    } else {
                        return Err(format!("'{word}' is not none, all, oci, +NAME or -NAME"));
                    }
                }
            }
        }
        Ok(wanted)
    }
}

/// The capability that `name` means: with or without `CAP_`, in either case.
pub fn named(name: &str) -> Result<CapabilitySet, String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CapabilitySet::from_name(short).ok_or_else(|| format!("no capability is called '{name}'"))
}

/// The names in a set, a number for one that is newer than this program.
pub fn names(set: CapabilitySet) -> String {
    let name = |number: u32| {
        let single = CapabilitySet::from_bits_retain(1 << number);
        set.contains(single).then(|| match single.iter_names().next() {
            Some((name, _)) => format!("CAP_{name}"),
            None => number.to_string(),
        })
    };
    (0..u64::BITS).filter_map(name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: CapabilitySet = CapabilitySet::SYS_ADMIN;
    const RAW: CapabilitySet = CapabilitySet::NET_RAW;

    fn of(text: &str, held: CapabilitySet) -> Result<CapabilitySet, CapabilitySet> {
        text.parse::<Wanted>().unwrap().of(held)
    }

    #[test]
    fn lists() {
        let held = ADMIN | RAW;
        assert_eq!(of("none", held), Ok(CapabilitySet::empty()));
        assert_eq!(of("all", held), Ok(held));
        assert_eq!(of("all,-CAP_SYS_ADMIN", held), Ok(RAW));
        assert_eq!(of("-net_raw", held), Ok(ADMIN));
        assert_eq!(of("+net_raw", held), Ok(RAW));
        assert_eq!(of("none,+net_raw,-net_raw", held), Ok(CapabilitySet::empty()));
        assert_eq!(of("oci", CapabilitySet::all()).unwrap().bits().count_ones(), 11);
    }

    #[test]
    fn what_is_not_held_is_an_error_not_ignored() {
        assert_eq!(of("+sys_admin", RAW), Err(ADMIN));
    }

    #[test]
    fn all_includes_what_this_program_does_not_know() {
        let unknown = CapabilitySet::from_bits_retain(1 << 60);
        assert_eq!(of("all", unknown), Ok(unknown));
        assert_eq!(names(unknown | ADMIN), "CAP_SYS_ADMIN 60");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "some", "+", "+nope", "oci,all", "all,none", "+net_raw,oci", "all,"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }
}
