//! What one link of ours tells the next, in one environment variable that the app never sees.

use std::fmt::Write;
use std::os::fd::RawFd;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::signal::SignalSet;

/// The variable. Whoever can set it can run the tools with any arguments, so it grants nothing.
const VARIABLE: &str = "CATENA_LINK";
/// What all our variables begin with.
const PREFIX: &str = "CATENA_";
const FOREGROUND: &str = "foreground";

/// What one link tells the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handover {
    /// The folder of our own tools, as a detached mount that survives the pivot.
    pub toolbox: Option<RawFd>,
    /// Descriptors that the app inherits besides 0 to 2 and those of LISTEN_FDS.
    pub keep: Vec<RawFd>,
    /// The mask that the app gets, where PID 1 keeps all signals blocked until then.
    pub mask: Option<SignalSet>,
    /// The end of the monitor's pipe that reads end-of-file once the monitor is gone.
    pub leash: Option<RawFd>,
    /// The inode of a mount namespace that a link of this chain made for it.
    pub mount_namespace: Option<u64>,
    /// The first link was in the foreground of its terminal.
    pub foreground: bool,
    /// The inode of the chain's standard input, where a program that is not ours comes between:
    /// it may start our tools anew, with another.
    pub stdin: Option<u64>,
    /// The chain is explained and not run: what the links before this one would have changed.
    pub explain: Option<Vec<String>>,
}

impl Handover {
    /// Takes the hand-over out of the environment; `None` if this is the first link.
    pub fn take(environment: &mut Environment) -> Result<Option<Self>> {
        let Some(text) = environment.get(VARIABLE).map(ToOwned::to_owned) else {
            environment.remove_prefix(PREFIX);
            return Ok(None);
        };
        environment.remove_prefix(PREFIX);
        let refused =
            || Error::new("not a hand-over of ours").object(VARIABLE).reason("is it set by hand?");
        Self::parse(text.to_str().ok_or_else(refused)?).map(Some).ok_or_else(refused)
    }

    /// Whether a process whose standard input has the inode `stdin` is the next link of the chain that this
    /// is from.
    pub fn is_for(&self, stdin: impl FnOnce() -> Option<u64>) -> bool {
        self.stdin.is_none_or(|inode| Some(inode) == stdin())
    }

    /// Puts the hand-over into the environment of the next link.
    pub fn put(&self, environment: &mut Environment) {
        environment.set(VARIABLE, self.print());
    }

    fn parse(text: &str) -> Option<Self> {
        let mut handover = Handover::default();
        for field in text.split_ascii_whitespace() {
            if field == FOREGROUND {
                handover.foreground = true;
                continue;
            }
            match field.split_once('=')? {
                ("toolbox", fd) => handover.toolbox = Some(descriptor(fd)?),
                ("leash", fd) => handover.leash = Some(descriptor(fd)?),
                ("keep", fd) => handover.keep.push(descriptor(fd)?),
                ("mask", hex) => {
                    handover.mask = Some(SignalSet(u64::from_str_radix(hex, 16).ok()?));
                }
                ("mntns", inode) => handover.mount_namespace = Some(inode.parse().ok()?),
                ("explain", list) => {
                    let changed = list.split(',').filter(|word| !word.is_empty());
                    handover.explain = Some(changed.map(ToOwned::to_owned).collect());
                }
                ("stdin", inode) => handover.stdin = Some(inode.parse().ok()?),
                _ => return None,
            }
        }
        Some(handover)
    }

    fn print(&self) -> String {
        let mut text = String::from(if self.foreground { FOREGROUND } else { "" });
        let mut field = |name: &str, value: &dyn std::fmt::Display| {
            let gap = if text.is_empty() { "" } else { " " };
            write!(text, "{gap}{name}={value}").expect("a String takes all");
        };
        if let Some(fd) = self.toolbox {
            field("toolbox", &fd);
        }
        if let Some(fd) = self.leash {
            field("leash", &fd);
        }
        for fd in &self.keep {
            field("keep", fd);
        }
        if let Some(mask) = self.mask {
            field("mask", &format_args!("{:x}", mask.0));
        }
        if let Some(inode) = self.mount_namespace {
            field("mntns", &inode);
        }
        if let Some(inode) = self.stdin {
            field("stdin", &inode);
        }
        if let Some(changed) = &self.explain {
            field("explain", &changed.join(","));
        }
        text
    }
}

/// 0 to 2 are the app's and can't be one of ours.
fn descriptor(text: &str) -> Option<RawFd> {
    text.parse().ok().filter(|fd| *fd > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way() {
        let full = Handover {
            toolbox: Some(5),
            keep: vec![7, 8],
            mask: Some(SignalSet(u64::MAX)),
            leash: Some(9),
            mount_namespace: Some(4_026_532_000),
            foreground: true,
            stdin: Some(12),
            explain: Some(vec!["net".into(), "root".into()]),
        };
        let explained = Handover { explain: Some(Vec::new()), ..Handover::default() };
        for handover in [full, explained, Handover::default()] {
            assert_eq!(Handover::parse(&handover.print()), Some(handover));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["toolbox=1", "toolbox=-1", "toolbox", "x=3", "mask=zz", "leash=99999999999"] {
            assert_eq!(Handover::parse(text), None, "{text}");
        }
    }
}
