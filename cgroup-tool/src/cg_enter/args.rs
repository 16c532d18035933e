//! The command line of `cg-enter`.

use std::ops::Deref;
use std::os::fd::RawFd;
use std::path::{Component, Path, PathBuf};

use chain::rare::{self, Rare};
use chain::{Error, LinkArgs, Result};

use super::limit_args::LimitArgs;
use crate::name;

/// Create or reuse a cgroup, set its limits, move into it, start COMMAND there
#[derive(Debug, clap::Parser)]
#[command(name = "cg-enter", version)]
pub struct CgEnter {
    #[command(flatten)]
    options: Rare<Options>,

    #[command(flatten)]
    pub(super) limits: Rare<LimitArgs>,

    #[command(flatten)]
    pub(super) link: LinkArgs,
}

/// Which cgroup, and what becomes of it.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// The cgroup's name: it is kept, and reused if it is there; without one a new cgroup is made,
    /// and removed at the end with all that is left in it
    #[arg(long, value_parser = name::parse)]
    pub name: Option<String>,

    /// The cgroup to make it in, instead of the one this process is in: a path from there, or with
    /// a slash at its start from the root of the hierarchy
    #[arg(long, value_name = "PATH", value_parser = parse_parent)]
    pub parent: Option<PathBuf>,

    /// Remove the named cgroup too at the end, killing what is left in it
    #[arg(long)]
    pub rm: bool,

    /// Join the named cgroup even if it has processes
    #[arg(long, requires = "name")]
    pub share: bool,

    /// Hand the cgroup on to this user: its processes may make cgroups below it
    #[arg(long, value_name = "UID[:GID]", value_parser = parse_owner)]
    pub delegate: Option<(u32, u32)>,

    /// Start frozen: 'cg-signal --thaw' lets it run
    #[arg(long)]
    pub freeze: bool,

    /// Say at the end how long processes had to wait for CPU, memory and io
    #[arg(long)]
    pub pressure: bool,

    /// Write what became of it to descriptor N at the end, as one JSON object
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub status_fd: Option<RawFd>,

    /// As --status-fd, to a file
    #[arg(long, value_name = "FILE", conflicts_with = "status_fd")]
    pub status_file: Option<PathBuf>,
}

impl Deref for CgEnter {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

impl rare::Group for Options {}

impl CgEnter {
    /// Whether the cgroup ends with COMMAND, so that this process waits for that.
    pub fn is_removed(&self) -> bool {
        self.name.is_none() || self.rm
    }

    /// Refuses what only a process that waits can do, where none does.
    pub fn check(&self) -> Result<()> {
        let reports = self.pressure || self.status_fd.is_some() || self.status_file.is_some();
        if reports && !self.is_removed() {
            return Err(Error::new("can't report on the end of a cgroup that is kept")
                .hint("--pressure, --status-fd and --status-file need --rm, or no --name"));
        }
        Ok(())
    }
}

/// Upwards there may be cgroups that belong to somebody else.
pub fn parse_parent(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if text.is_empty() {
        return Err("an empty path".to_owned());
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(
            "'..' leads out of what is delegated; a path from the root (/...) can be given"
                .to_owned(),
        );
    }
    Ok(path.to_owned())
}

fn parse_owner(text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let id = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
    id(user).zip(id(group)).ok_or_else(|| "not a user id, or UID:GID".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        assert_eq!(parse_owner("1000"), Ok((1000, 1000)));
        assert_eq!(parse_owner("1000:5"), Ok((1000, 5)));
        for text in ["", "root", "-1", "4294967295", "4294967296", "1:", ":1", "1:2:3"] {
            assert!(parse_owner(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parents() {
        assert!(parse_parent("/a/b").is_ok());
        assert!(parse_parent("team").is_ok());
        assert!(parse_parent("").is_err());
        assert!(parse_parent("..").is_err());
        assert!(parse_parent("a/../b").is_err());
    }
}
