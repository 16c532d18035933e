//! Where the bytes of a pipe come from: a stage of ours, somebody else, or not to be decided.

use std::ffi::{OsStr, OsString};

use crate::pipeline::holders::{self, Holder, Input};
use crate::pipeline::process::{self, Kind};

/// How many programs between a filter of ours and this one are looked through.
const DEPTH: usize = 8;

/// Who writes to a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A filter of ours, its plan complete.
    Filter(u32),
    /// A program that is not ours, which reads what a filter of ours writes.
    HandedOn,
    /// It may become a filter, or be about to hand on what one writes.
    MayBeStage,
    /// No stage of ours.
    Stranger,
}

/// What is seen of a pipe's writers.
#[derive(Debug, Default)]
pub struct Origins {
    /// What each of them is.
    pub found: Vec<Origin>,
    /// Those that may be a stage, by what they are or what their command line says.
    pub suspects: Vec<u32>,
    /// One of them is, or may run, what only others than the candidates can tell.
    pub look_further: bool,
}

/// The writers of the pipe called `link` among `candidates`.
pub fn writers(candidates: &[u32], link: &OsStr) -> Origins {
    let mut writers = holders::holders(candidates, link);
    writers.retain(|holder| holder.writes || is_filter_of(holder, link));
    let mut origins = Origins::default();
    for writer in &writers {
        let origin = origin(writer, &writers, candidates, link);
        if origin == Origin::MayBeStage && writer.kind != Kind::InBetween {
            origins.suspects.push(writer.pid);
        }
        // A copy of a shell without children is about to run its exec; with some it runs them.
        let others_tell = match writer.kind {
            Kind::Foreign => true,
            Kind::InBetween => !process::children(writer.pid).is_empty(),
            _ => false,
        };
        origins.look_further |= origin != Origin::Stranger && others_tell;
        origins.found.push(origin);
    }
    origins
}

/// Whether it is a ready filter at its end of the pipe. For a program that is not ours to see the
/// end of the plan it may have kept only the reading end.
fn is_filter_of(holder: &Holder, link: &OsStr) -> bool {
    holder.kind == Kind::Ready && holders::link_of(holder.pid, 1).as_deref() == Some(link)
}

fn origin(writer: &Holder, all: &[Holder], candidates: &[u32], link: &OsStr) -> Origin {
    let parent = std::os::unix::process::parent_id();
    match writer.kind {
        Kind::Ready if is_filter_of(writer, link) => Origin::Filter(writer.pid),
        Kind::Ready | Kind::Ours | Kind::LooksLikeOurs => Origin::MayBeStage,
        // A shell closes its writing end before it starts who reads.
        Kind::InBetween if writer.pid == parent => Origin::Stranger,
        Kind::InBetween => match relay(writer.pid, candidates, false, DEPTH) {
            Origin::HandedOn => Origin::HandedOn,
            _ => Origin::MayBeStage,
        },
        Kind::Foreign if writer.pid == parent => {
            relay(writer.pid, candidates, process::names_a_tool(parent), DEPTH)
        }
        Kind::Foreign if is_wrapper(writer.pid, all) => Origin::MayBeStage,
        Kind::Foreign => relay(writer.pid, candidates, true, DEPTH),
    }
}

/// Whether it is to run one of our tools, and nobody below it is seen to have become that.
fn is_wrapper(pid: u32, all: &[Holder]) -> bool {
    if process::is_shell(pid) {
        return process::mentions_a_tool(pid);
    }
    process::mentions_a_tool(pid) && !all.iter().any(|other| holders::descends(other.pid, pid))
}

/// What program `pid` reads, and so may hand on, by however many others, as jq(1), tee(1) and
/// cat(1) do. With `strict`, a pipe of its own that nobody writes to, or one that it has closed, may be
/// a dead stage's.
fn relay(pid: u32, candidates: &[u32], strict: bool, depth: usize) -> Origin {
    let link = match holders::input_of(pid) {
        Input::Pipe(link) => link,
        Input::Other if process::kind_of(pid) == Kind::Foreign => return Origin::Stranger,
        // cat(1) closes its standard input before its output.
        Input::Closed if !strict && process::kind_of(pid) == Kind::Foreign => {
            return Origin::Stranger;
        }
        // One that is about to end no longer shows what it has read.
        Input::Other | Input::Closed => return Origin::MayBeStage,
    };
    let mut found = holders::holders(candidates, &link);
    found.retain(|holder| holder.pid != pid && (holder.writes || is_filter_of(holder, &link)));
    if found.is_empty() {
        let dead = strict && !is_inherited(pid, &link);
        return if dead { Origin::MayBeStage } else { Origin::Stranger };
    }
    let origin = |holder: &Holder| match holder.kind {
        Kind::Ready => Origin::HandedOn,
        Kind::Ours | Kind::LooksLikeOurs | Kind::InBetween => Origin::MayBeStage,
        Kind::Foreign if depth == 0 || is_wrapper(holder.pid, &found) => Origin::MayBeStage,
        Kind::Foreign => relay(holder.pid, candidates, strict, depth - 1),
    };
    let origins: Vec<Origin> = found.iter().map(origin).collect();
    [Origin::HandedOn, Origin::MayBeStage]
        .into_iter()
        .find(|origin| origins.contains(origin))
        .unwrap_or(Origin::Stranger)
}

/// Whether process `pid` has its standard input from its parent: it is not for it alone.
fn is_inherited(pid: u32, link: &OsString) -> bool {
    process::parent_of(pid).and_then(|parent| holders::link_of(parent, 0)).as_ref() == Some(link)
}
