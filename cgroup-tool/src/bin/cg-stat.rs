//! cg-stat: show the cgroups below a point.
#![forbid(unsafe_code)]

fn main() {
    chain::act::<cgroup_tool::cg_stat::CgStat>()
}
