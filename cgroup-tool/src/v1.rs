//! The v1 twin of each v2 limit: the option means the same wherever its controller lives.

use chain::{Error, Result};

use crate::device::{IoMax, IoWeight};
use crate::limit::{Limit, Setting, Value};

/// What is written in a v1 hierarchy for `limit`; `all` are the limits asked for together.
pub fn translate(limit: &Limit, all: &[Limit]) -> Result<Vec<Setting>> {
    let amount = |none: &str| match limit.value {
        Value::Amount(Some(amount)) => amount.to_string(),
        _ => none.to_owned(),
    };
    Ok(match (limit.file.as_str(), &limit.value) {
        (file, Value::Literal(text)) => vec![Setting::new(file, text)],
        ("memory.max", _) => vec![Setting::new("memory.limit_in_bytes", amount("-1"))],
        ("memory.swap.max", _) => {
            vec![Setting::new("memory.memsw.limit_in_bytes", memory_and_swap(limit, all)?)]
        }
        ("pids.max", _) => vec![Setting::new("pids.max", amount("max"))],
        ("cpu.max", Value::Bandwidth(cpu)) => vec![
            Setting::new("cpu.cfs_period_us", cpu.period),
            Setting::new(
                "cpu.cfs_quota_us",
                cpu.quota.map_or("-1".to_owned(), |quota| quota.to_string()),
            ),
        ],
        // 100 and 1024 are the defaults of the two; the kernel itself converts so.
        ("cpu.weight", Value::Amount(Some(weight))) => {
            vec![Setting::new("cpu.shares", weight * 1024 / 100)]
        }
        ("cpu.max.burst", _) => vec![Setting::new("cpu.cfs_burst_us", amount("0"))],
        (
            "cpuset.cpus" | "cpuset.mems" | "cpu.idle" | "cpu.uclamp.min" | "cpu.uclamp.max"
            | "rdma.max" | "misc.max",
            Value::Text(text),
        ) => {
            vec![Setting::new(&limit.file, text)]
        }
        ("io.max", Value::IoMax(io)) => io.limits.iter().map(|limit| throttle(io, limit)).collect(),
        ("io.weight", Value::IoWeight(IoWeight { device: None, weight })) => {
            vec![Setting::new("blkio.bfq.weight", weight)]
        }
        ("io.weight", Value::IoWeight(IoWeight { device: Some(device), weight })) => {
            vec![Setting::new("blkio.bfq.weight_device", format!("{} {weight}", device.0))]
        }
        (file, _) if file.starts_with("hugetlb.") => {
            vec![Setting::new(file.replace(".max", ".limit_in_bytes"), amount("-1"))]
        }
        (file, _) => {
            return Err(Error::new(format!("can't set {}", limit.option))
                .reason(format!("the controller '{}' is a cgroup v1 one on this host", limit.controller()))
                .hint(format!("cgroup v1 has nothing like {file}; boot with systemd.unified_cgroup_hierarchy=1")));
        }
    })
}

/// v1 has a file for each kind of limit; 0 lifts it, and the line is gone then.
fn throttle(io: &IoMax, (key, limit): &(String, Option<u64>)) -> Setting {
    let kind = match key.as_str() {
        "rbps" => "read_bps",
        "wbps" => "write_bps",
        "riops" => "read_iops",
        _ => "write_iops",
    };
    Setting::new(
        format!("blkio.throttle.{kind}_device"),
        format!("{} {}", io.device.0, limit.unwrap_or(0)),
    )
}

/// The controller as v1 calls it.
pub fn controller(v2: &str) -> &str {
    match v2 {
        "io" => "blkio",
        other => other,
    }
}

/// v1 limits memory and swap together.
fn memory_and_swap(limit: &Limit, all: &[Limit]) -> Result<String> {
    let Value::Amount(Some(swap)) = limit.value else {
        return Ok("-1".to_owned());
    };
    let memory = all.iter().find(|other| other.file == "memory.max").map(|other| &other.value);
    match memory {
        Some(Value::Amount(Some(memory))) => Ok(memory.saturating_add(swap).to_string()),
        _ => Err(Error::new(format!("can't set {}", limit.option))
            .reason("cgroup v1, as on this host, limits memory and swap together")
            .hint("give --memory-max too")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Bandwidth;

    fn limit(file: &str, value: Value) -> Limit {
        Limit::new("--x", file, value)
    }

    fn amount(file: &str, amount: u64) -> Limit {
        limit(file, Value::Amount(Some(amount)))
    }

    #[test]
    fn twins() {
        let max = [amount("memory.max", 8192), amount("memory.swap.max", 4096)];
        assert_eq!(translate(&max[0], &max), Ok(vec![Setting::new("memory.limit_in_bytes", 8192)]));
        assert_eq!(
            translate(&max[1], &max),
            Ok(vec![Setting::new("memory.memsw.limit_in_bytes", 12288)])
        );
        let none = limit("memory.max", Value::Amount(None));
        assert_eq!(translate(&none, &[]), Ok(vec![Setting::new("memory.limit_in_bytes", -1)]));
        let cpu = limit("cpu.max", Value::Bandwidth(Bandwidth { quota: Some(150), period: 100 }));
        assert_eq!(
            translate(&cpu, &[]),
            Ok(vec![Setting::new("cpu.cfs_period_us", 100), Setting::new("cpu.cfs_quota_us", 150)])
        );
        assert_eq!(
            translate(&amount("cpu.weight", 100), &[]),
            Ok(vec![Setting::new("cpu.shares", 1024)])
        );
    }

    #[test]
    fn devices() {
        let io = crate::device::parse_io_max("8:0,rbps=4096,wiops=max").unwrap();
        assert_eq!(
            translate(&limit("io.max", Value::IoMax(io)), &[]),
            Ok(vec![
                Setting::new("blkio.throttle.read_bps_device", "8:0 4096"),
                Setting::new("blkio.throttle.write_iops_device", "8:0 0"),
            ])
        );
        assert_eq!(
            translate(&amount("hugetlb.2MB.max", 1 << 21), &[]),
            Ok(vec![Setting::new("hugetlb.2MB.limit_in_bytes", 1 << 21)])
        );
    }

    #[test]
    fn without_a_twin() {
        assert!(translate(&amount("memory.high", 1), &[]).is_err());
        assert!(translate(&amount("memory.swap.max", 1), &[]).is_err());
    }
}
