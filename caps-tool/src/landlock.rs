//! `--landlock`: what the app may reach, by the Landlock security module (landlock(7)).

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;

use chain::explain::word;
use chain::{Error, Explanation, Next, Result, ResultExt};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

/// What strict rules need: the rights that Linux 6.10 knows.
const STRICT: ABI = ABI::V5;

/// `ro:PATH` or `rw:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    writable: bool,
    path: PathBuf,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((kind @ ("ro" | "rw"), path)) if !path.is_empty() => {
                Ok(Place { writable: kind == "rw", path: path.into() })
            }
            _ => Err(format!("'{text}' is neither ro:PATH nor rw:PATH")),
        }
    }
}

/// A TCP port, or `none` for none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(Option<u16>);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            _ if text == "none" => Ok(Port(None)),
            Ok(port) if digits => Ok(Port(Some(port))),
            _ => Err(format!("'{text}' is neither a port from 0 to 65535 nor none")),
        }
    }
}

/// What the app may reach.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LandlockArgs {
    /// Let the app reach the files below PATH, and no others; `ro` includes executing (repeatable)
    #[arg(id = "landlock", long = "landlock", value_name = "ro:PATH|rw:PATH")]
    places: Vec<Place>,

    /// Let the app bind this TCP port, and no others (repeatable)
    #[arg(id = "landlock-tcp-bind", long = "landlock-tcp-bind", value_name = "PORT|none")]
    bind: Vec<Port>,

    /// Let the app connect to this TCP port, and no others (repeatable)
    #[arg(id = "landlock-tcp-connect", long = "landlock-tcp-connect", value_name = "PORT|none")]
    connect: Vec<Port>,

    /// Do what this kernel's Landlock can; without this, less than all is an error
    #[arg(id = "try-landlock", long = "try-landlock")]
    lenient: bool,
}

/// Rules whose paths are open, ready to be put in force.
#[derive(Debug)]
pub struct Rules {
    places: Vec<(OwnedFd, BitFlags<AccessFs>)>,
    bind: Vec<Port>,
    connect: Vec<Port>,
    lenient: bool,
}

impl LandlockArgs {
    /// What is said of it with `--explain`.
    pub fn say(&self, to: &mut Explanation) {
        for place in &self.places {
            let path = word(&place.path);
            to.step(match place.writable {
                true => format!("lets the app reach what is below {path}"),
                false => format!("lets the app read and execute what is below {path}"),
            });
        }
        if !self.places.is_empty() {
            to.step("lets the app reach no other files (Landlock)");
        }
        for (ports, what) in [(&self.bind, "bind"), (&self.connect, "connect to")] {
            let allowed: Vec<String> =
                ports.iter().filter_map(|port| port.0).map(|port| port.to_string()).collect();
            if !ports.is_empty() {
                let list = if allowed.is_empty() { "none".to_owned() } else { allowed.join(" ") };
                to.step(format!("lets the app {what} these TCP ports only (Landlock): {list}"));
            }
        }
    }

    /// Opens the paths, with the rights that this process has before it gives them up. The
    /// toolbox is added where the next link is in it.
    pub fn prepare(&self, next: &Next) -> Result<Option<Rules>> {
        if self.places.is_empty() && self.bind.is_empty() && self.connect.is_empty() {
            return Ok(None);
        }
        let mut places = Vec::new();
        for place in &self.places {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let fd = openat(CWD, &place.path, flags, Mode::empty())
                .or_fail_on("can't open", &place.path)?;
            let rights = if place.writable {
                AccessFs::from_all(STRICT)
            } else {
                AccessFs::from_read(STRICT)
            };
            let kind = fstat(&fd).or_fail_on("can't examine", &place.path)?.st_mode;
            let is_folder = FileType::from_raw_mode(kind) == FileType::Directory;
            let possible = if is_folder { rights } else { rights & AccessFs::from_file(STRICT) };
            places.push((fd, possible));
        }
        if !places.is_empty()
            && let Some(folder) = next.own_folder()?
        {
            places.push((folder, AccessFs::from_read(STRICT)));
        }
        let (bind, connect) = (self.bind.clone(), self.connect.clone());
        Ok(Some(Rules { places, bind, connect, lenient: self.lenient }))
    }
}

impl Rules {
    /// Puts them in force, for good. This needs no_new_privs.
    pub fn enforce(self) -> Result<()> {
        let what = "can't put the Landlock rules in force";
        let need = "strict rules need Linux 6.10 with 'landlock' among its security modules; \
                    --try-landlock does what this kernel can";
        let (lenient, asks_for) = (self.lenient, self.asks_for());
        let version = || chain::sys::landlock_version().unwrap_or(0);
        match self.restrict() {
            Ok(status) if status.ruleset == RulesetStatus::FullyEnforced => Ok(()),
            Ok(_) if lenient => {
                let warning = Error::new("not in force").object(lacking(&asks_for, version()));
                chain::print_warning(&warning.reason(there_is(version())));
                Ok(())
            }
            Ok(_) => Err(Error::new(what).reason("the kernel did so in part only")),
            Err(error) if lenient => Err(Error::new(what).reason(flat(&error))),
            Err(error) => {
                let missing = lacking(&asks_for, version());
                let reason = if missing.is_empty() { flat(&error) } else { there_is(version()) };
                let error = if missing.is_empty() {
                    Error::new(what)
                } else {
                    Error::new(what).object(missing)
                };
                Err(error.reason(reason).hint(need))
            }
        }
    }

    /// What is asked for, and the version of Landlock's interface that it takes.
    fn asks_for(&self) -> Vec<(u32, &'static str)> {
        let kinds = [
            // What version 2 added, moves between folders, is denied by version 1 altogether.
            (!self.places.is_empty(), 1, "files"),
            (!self.places.is_empty(), 3, "truncate(2)"),
            (!self.bind.is_empty(), 4, "TCP ports to bind"),
            (!self.connect.is_empty(), 4, "TCP ports to connect to"),
            (!self.places.is_empty(), 5, "ioctl(2) of devices"),
        ];
        kinds.into_iter().filter(|kind| kind.0).map(|(_, version, name)| (version, name)).collect()
    }

    fn restrict(self) -> Result<RestrictionStatus, RulesetError> {
        let level =
            if self.lenient { CompatLevel::BestEffort } else { CompatLevel::HardRequirement };
        let mut ruleset = Ruleset::default().set_compatibility(level);
        if !self.places.is_empty() {
            ruleset = ruleset.handle_access(AccessFs::from_all(STRICT))?;
        }
        let ports = [(self.bind, AccessNet::BindTcp), (self.connect, AccessNet::ConnectTcp)];
        for (ports, access) in &ports {
            if !ports.is_empty() {
                ruleset = ruleset.handle_access(*access)?;
            }
        }
        let mut created = ruleset.create()?;
        for (fd, rights) in self.places {
            created = created.add_rule(PathBeneath::new(fd, rights))?;
        }
        for (ports, access) in ports {
            for port in ports.into_iter().filter_map(|port| port.0) {
                created = created.add_rule(NetPort::new(port, access))?;
            }
        }
        created.restrict_self()
    }
}

/// What a kernel of that version can't do.
fn lacking(asked: &[(u32, &'static str)], version: u32) -> String {
    let names: Vec<_> = asked.iter().filter(|kind| kind.0 > version).map(|kind| kind.1).collect();
    names.join(", ")
}

/// What Landlock there is; version 0 is none.
fn there_is(version: u32) -> String {
    match version {
        0 => "Landlock is not among this kernel's security modules".into(),
        version => format!("this kernel's Landlock is of version {version}"),
    }
}

/// An error with its causes, in one line.
fn flat(error: &dyn std::error::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = Place { writable: true, path: "/a:b".into() };
        assert_eq!("rw:/a:b".parse(), Ok(place));
        for text in ["", "/", "ro", "ro:", "rx:/", ":/"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_lacking() {
        let asked = [(1, "files"), (3, "truncate(2)"), (4, "TCP")];
        assert_eq!(lacking(&asked, 0), "files, truncate(2), TCP");
        assert_eq!(lacking(&asked, 2), "truncate(2), TCP");
        assert_eq!(lacking(&asked, 4), "");
    }

    #[test]
    fn ports() {
        assert_eq!("443".parse(), Ok(Port(Some(443))));
        assert_eq!("none".parse(), Ok(Port(None)));
        for text in ["", "65536", "-1", "+1", "all"] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }
}
