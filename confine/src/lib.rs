//! What the tools that confine a process share: capabilities by name, and seccomp profiles.

#![forbid(unsafe_code)]

pub mod capability;
pub mod seccomp;
