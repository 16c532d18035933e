//! cgroups: `cg-enter` makes one, limits it and moves into it.
//!
//! What is a pure function (sizes, names, what procfs says, what a limit is called where) has a
//! module of its own; `hierarchy` knows where the controllers live, `group` is one open cgroup.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod cg_enter;
pub mod cg_signal;
pub mod cg_stat;
pub mod cpu;
pub mod decimal;
pub mod device;
pub mod explain;
pub mod group;
pub mod hierarchy;
pub mod limit;
pub mod name;
pub mod position;
pub mod processes;
pub mod prune;
pub mod read_back;
pub mod removal;
pub mod size;
pub mod usage;
pub mod v1;
