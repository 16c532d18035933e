//! `--rlimit`: resource limits (getrlimit(2)).

use std::fmt;
use std::str::FromStr;

use chain::{Errno, Error, Result, ResultExt};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// A limit to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    name: &'static str,
    resource: Resource,
    soft: u64,
    hard: u64,
}

/// The kernel's names, as prlimit(1) and ulimit have them.
const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::RLIMIT_AS),
    ("core", Resource::RLIMIT_CORE),
    ("cpu", Resource::RLIMIT_CPU),
    ("data", Resource::RLIMIT_DATA),
    ("fsize", Resource::RLIMIT_FSIZE),
    ("locks", Resource::RLIMIT_LOCKS),
    ("memlock", Resource::RLIMIT_MEMLOCK),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE),
    ("nice", Resource::RLIMIT_NICE),
    ("nofile", Resource::RLIMIT_NOFILE),
    ("nproc", Resource::RLIMIT_NPROC),
    ("rss", Resource::RLIMIT_RSS),
    ("rtprio", Resource::RLIMIT_RTPRIO),
    ("rttime", Resource::RLIMIT_RTTIME),
    ("sigpending", Resource::RLIMIT_SIGPENDING),
    ("stack", Resource::RLIMIT_STACK),
];

impl Limit {
    /// No core dumps: one holds all that the app knew.
    pub const NO_CORE: Limit =
        Limit { name: "core", resource: Resource::RLIMIT_CORE, soft: 0, hard: 0 };

    /// Whether both are about the same resource.
    pub fn is_about(&self, other: &Limit) -> bool {
        self.resource == other.resource
    }

    /// Sets it and reads it back.
    pub fn set(&self) -> Result<()> {
        setrlimit(self.resource, self.soft, self.hard)
            .or_fail_on("can't set the limit", self.name)
            .map_err(|error| {
                error.hint_if(
                    Errno::EPERM,
                    "raising a hard limit needs CAP_SYS_RESOURCE on the host",
                )
            })?;
        let now = getrlimit(self.resource).or_fail_on("can't read back the limit", self.name)?;
        if now != (self.soft, self.hard) {
            return Err(Error::new("not set")
                .object(self.name)
                .reason("the kernel says otherwise"));
        }
        Ok(())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: u64| match value {
            RLIM_INFINITY => "unlimited".to_owned(),
            number => number.to_string(),
        };
        write!(f, "{}={}:{}", self.name, value(self.soft), value(self.hard))
    }
}

/// `NAME=SOFT[:HARD]`, each a number or `unlimited`; one alone counts for both.
impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, values) = text.split_once('=').ok_or("it is not NAME=SOFT[:HARD]")?;
        let known = NAMES.iter().find(|(known, _)| *known == name);
        let &(name, resource) = known.ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            format!("no limit is called '{name}'; there are {names}")
        })?;
        let value = |text: &str| match text {
            "unlimited" => Ok(RLIM_INFINITY),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| format!("'{digits}' is not a number"))
            }
            _ => Err(format!("'{text}' is neither a number nor 'unlimited'")),
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (value(soft)?, value(hard)?);
        if soft > hard {
            return Err("the soft limit is above the hard one".into());
        }
        Ok(Limit { name, resource, soft, hard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let limit: Limit = "nofile=64:1024".parse().unwrap();
        assert_eq!((limit.resource, limit.soft, limit.hard), (Resource::RLIMIT_NOFILE, 64, 1024));
        assert_eq!("core=0".parse(), Ok(Limit::NO_CORE));
        let limit: Limit = "as=1:unlimited".parse().unwrap();
        assert_eq!((limit.soft, limit.hard), (1, RLIM_INFINITY));
        for text in [
            "",
            "core",
            "core=",
            "core=:",
            "core=-1",
            "core=+1",
            "core=1:",
            "core=2:1",
            "x=1",
            "core=1:2:3",
            "core=99999999999999999999",
            "CORE=1",
            "core= 1",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
