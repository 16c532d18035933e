//! What stands behind a device or resource: `/dev/sda,rbps=1M,wiops=max`, `8:0,200`, `2MB,64M`.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{major, minor};

use crate::size::{self, Size};

/// A block device as the kernel numbers it: `8:0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device(pub String);

/// Limits on what is read from a device and written to it; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoMax {
    /// The device.
    pub device: Device,
    /// `rbps`, `wbps`, `riops`, `wiops`, each at most once.
    pub limits: Vec<(String, Option<u64>)>,
}

/// A share of the io time, of one device or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoWeight {
    /// `None`: of all that have no weight of their own.
    pub device: Option<Device>,
    /// 1 to 10000.
    pub weight: u64,
}

impl Device {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((major, minor)) = text.split_once(':')
            && major.parse::<u32>().is_ok()
            && minor.parse::<u32>().is_ok()
        {
            return Ok(Device(text.to_owned()));
        }
        let found =
            std::fs::metadata(text).map_err(|error| format!("no device '{text}': {error}"))?;
        if !found.file_type().is_block_device() {
            return Err(format!("'{text}' is not a block device"));
        }
        Ok(Device(format!("{}:{}", major(found.rdev()), minor(found.rdev()))))
    }
}

/// Reads `DEVICE,KEY=VALUE,...` of `--io-max`.
pub fn parse_io_max(text: &str) -> Result<IoMax, String> {
    let form =
        || "not DEVICE,rbps=N,wbps=N,riops=N,wiops=N (N: a number, a size, or max)".to_owned();
    let (device, rest) = text.split_once(',').ok_or_else(form)?;
    let mut limits: Vec<(String, Option<u64>)> = Vec::new();
    for part in rest.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(form)?;
        let is_known = ["rbps", "wbps", "riops", "wiops"].contains(&key);
        if !is_known || limits.iter().any(|(known, _)| known == key) {
            return Err(form());
        }
        let value = match size::parse(value)? {
            Size::Max => None,
            Size::Bytes(number) if number > 0 => Some(number),
            _ => return Err(form()),
        };
        limits.push((key.to_owned(), value));
    }
    Ok(IoMax { device: Device::parse(device)?, limits })
}

/// Reads `[DEVICE,]N` of `--io-weight`.
pub fn parse_io_weight(text: &str) -> Result<IoWeight, String> {
    let (device, weight) = match text.split_once(',') {
        Some((device, weight)) => (Some(Device::parse(device)?), weight),
        None => (None, text),
    };
    let weight = weight.parse().ok().filter(|weight| (1..=10_000).contains(weight));
    Ok(IoWeight { device, weight: weight.ok_or("not [DEVICE,]N with N from 1 to 10000")? })
}

/// Reads `DEVICE,TIME` of `--io-latency`; gives the kernel's line.
pub fn parse_io_latency(text: &str) -> Result<String, String> {
    let form = "not DEVICE,TIME with a time like 75ms, 500us or 1s";
    let (device, time) = text.split_once(',').ok_or(form)?;
    let unit = [("us", 1), ("ms", 1000), ("s", 1_000_000)].into_iter();
    let microseconds = unit
        .filter_map(|(suffix, unit)| {
            time.strip_suffix(suffix)?.parse::<u64>().ok()?.checked_mul(unit)
        })
        .next();
    let Device(device) = Device::parse(device)?;
    Ok(format!("{device} target={}", microseconds.ok_or(form)?))
}

/// Reads `PAGE,SIZE` of `--hugetlb-max`, the page's size as the kernel writes it; gives the page
/// and the limit.
pub fn parse_hugetlb_max(text: &str) -> Result<(String, Option<u64>), String> {
    let form = "not PAGE,SIZE with a page size like 2MB or 1GB";
    let (page, limit) = text.split_once(',').ok_or(form)?;
    let bytes = page.strip_suffix('B').and_then(|size| match size::parse(size) {
        Ok(Size::Bytes(bytes)) if bytes > 0 => Some(bytes),
        _ => None,
    });
    let bytes = bytes.ok_or(form)?;
    match size::parse(limit)? {
        Size::Bytes(limit) if limit % bytes == 0 => Ok((page.to_owned(), Some(limit))),
        Size::Max => Ok((page.to_owned(), None)),
        _ => Err(format!("the limit is not a number of whole pages of {page}")),
    }
}

/// Reads `NAME,KEY=N,...` of `--rdma-max`, or `NAME,N` of `--misc-max`; gives the kernel's line.
pub fn parse_resource(text: &str) -> Result<String, String> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-=".contains(&byte))
    };
    let parts: Vec<_> = text.split(',').collect();
    if parts.len() < 2 || !parts.iter().all(|part| is_plain(part)) {
        return Err("not NAME,N or NAME,KEY=N,...".to_owned());
    }
    Ok(parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_max() {
        let parsed = parse_io_max("8:0,rbps=1M,wiops=max").unwrap();
        assert_eq!(parsed.device, Device("8:0".into()));
        assert_eq!(parsed.limits, [("rbps".into(), Some(1 << 20)), ("wiops".into(), None)]);
        for text in [
            "",
            "8:0",
            "8:0,",
            "8:0,rbps",
            "8:0,rbps=0",
            "8:0,x=1",
            "8:0,rbps=1,rbps=2",
            "/dev/null,rbps=1",
            "/none,rbps=1",
            "8:0,rbps=5%",
        ] {
            assert!(parse_io_max(text).is_err(), "{text}");
        }
    }

    #[test]
    fn io_weight_and_latency() {
        assert_eq!(parse_io_weight("200").unwrap(), IoWeight { device: None, weight: 200 });
        assert_eq!(parse_io_weight("8:0,1").unwrap().device, Some(Device("8:0".into())));
        for text in ["", "0", "10001", "8:0", "8:0,", ",5"] {
            assert!(parse_io_weight(text).is_err(), "{text}");
        }
        assert_eq!(parse_io_latency("8:0,75ms").as_deref(), Ok("8:0 target=75000"));
        assert_eq!(parse_io_latency("8:0,500us").as_deref(), Ok("8:0 target=500"));
        for text in ["", "8:0", "8:0,5", "8:0,99999999999999999s", "8:0,ms"] {
            assert!(parse_io_latency(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hugetlb_rdma_misc() {
        assert_eq!(parse_hugetlb_max("2MB,64M"), Ok(("2MB".into(), Some(64 << 20))));
        assert_eq!(parse_hugetlb_max("1GB,max"), Ok(("1GB".into(), None)));
        for text in ["", "2MB", "2M,64M", "2MB,3M", "B,1", "../x,1", "2MB,1X"] {
            assert!(parse_hugetlb_max(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_resource("mlx4_0,hca_handle=2,hca_object=max").as_deref(),
            Ok("mlx4_0 hca_handle=2 hca_object=max")
        );
        assert_eq!(parse_resource("res_a,10").as_deref(), Ok("res_a 10"));
        for text in ["", "x", "x,", ",1", "a b,1", "x,1\n2"] {
            assert!(parse_resource(text).is_err(), "{text}");
        }
    }
}
