//! All tools in one program, started under one of their names. The next link is then often this very
//! file, and this process goes on as that link in place of an exec, which would load the file anew.
//!
//! What an exec does to a process is done here too:
//!
//! | an exec | here |
//! |---|---|
//! | closes descriptors | all but those that the next link is given |
//! | keeps the signal mask, resets handlers | the mask is set as it would be; no tool has a handler but std's |
//! | has this process be its user's (dumpable) | the same |
//! | shows the next link's name and words to ps(1) | the same |
//! | gives capabilities by the ids that there are | was done for the first link, and changes nothing the second time; a link that has changed ids or capabilities since is followed by an exec where it would ([`Next::exec_anew_unless`]) |
//! | changes the security module's label | only where a link has asked for one, which an exec follows |
//! | shows another file as /proc/PID/exe | not done: see below |
//! | shows another environment in /proc/PID/environ | not done: it is the first link's |
//! | is seen by tracers and by what goes by the file executed | not done |
//!
//! A link that shares its monitor's memory is followed by an exec, since the next may not write to that.
//!
//! Behind the pivot /proc/PID/exe must be the file in the read-only toolbox, or who shares this process's
//! namespaces could open the host's for writing (CVE-2019-5736): as soon as the process has no more
//! capabilities than others. So the first link behind the pivot is executed from there, and only those behind that are
//! gone on as.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use crate::act::{self, Act};
use crate::error::Error;
#[cfg(doc)]
use crate::next::Next;
use crate::start::Start;
use crate::sys;
use crate::tool::{self, Tool};

/// One of the tools of this program.
#[derive(Debug)]
pub struct Member {
    name: &'static str,
    /// Its `main`, after an exec.
    main: fn() -> !,
    /// What the link before it goes on by, where it may.
    follow: Option<fn(Start) -> !>,
}

impl Member {
    /// A tool that starts a next link.
    pub const fn tool<T: Tool>(name: &'static str) -> Self {
        let follow: Option<fn(Start) -> !> =
            if T::WITHOUT_EXEC { Some(tool::follow::<T>) } else { None };
        Member { name, main: tool::main::<T>, follow }
    }

    /// A tool that starts none.
    pub const fn act<T: Act>(name: &'static str) -> Self {
        Member::other(name, act::act::<T>)
    }

    /// A tool with a `main` of its own.
    pub const fn other(name: &'static str, main: fn() -> !) -> Self {
        Member { name, main, follow: None }
    }
}

static MEMBERS: OnceLock<&'static [Member]> = OnceLock::new();

/// The whole of the program's `main`.
pub fn main(members: &'static [Member]) -> ! {
    MEMBERS.get_or_init(|| members);
    let Some(member) = started_as(members) else {
        let names: Vec<&str> = members.iter().map(|member| member.name).collect();
        let error = Error::new("this file is many tools, and is none by this name");
        tool::fail("catena", &error.hint(format!("link it to one of: {}", names.join(" "))));
    };
    sys::mark_stack(member.main)
}

/// The tool by whose name this program was started: the file's own, or where that is none (a link that leads to one
/// of another name) the one that it was executed by, or the first word.
fn started_as(members: &'static [Member]) -> Option<&'static Member> {
    let named = |word: &OsStr| {
        let name = tool_of(Path::new(word).file_name()?.as_bytes());
        members.iter().find(|member| name == member.name.as_bytes())
    };
    std::fs::read_link("/proc/self/exe")
        .ok()
        .and_then(|file| named(file.as_os_str()))
        .or_else(|| named(&sys::executed_file()?))
        .or_else(|| named(&std::env::args_os().next()?))
}

/// The name of a file without what proc_pid_exe(5) adds: that it is in memory, as the copy that ns-enter
/// runs from, or has been removed.
fn tool_of(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    name.strip_prefix(b"memfd:").unwrap_or(name)
}

/// What goes on as the tool called `name`, if this process may where it is: not in a root that its file is
/// not from.
pub(crate) fn follower(name: &str, is_in_own_root: bool) -> Option<fn(Start) -> !> {
    let member = MEMBERS.get()?.iter().find(|member| member.name == name)?;
    member.follow.filter(|_| is_in_own_root && !sys::shares_memory())
}
