//! cg-enter: create or reuse a cgroup, set its limits, move into it.
#![forbid(unsafe_code)]

fn main() {
    chain::main::<cgroup_tool::cg_enter::CgEnter>()
}
