//! CPU time: `1.5` processors, or `QUOTA/PERIOD` in microseconds.

use std::collections::BTreeSet;

use crate::decimal::Decimal;

/// So much CPU time in each period, both in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// `None` is no limit.
    pub quota: Option<u64>,
    /// The kernel takes 1 ms to 1 s.
    pub period: u64,
}

const DEFAULT_PERIOD: u64 = 100_000;
const SHORTEST: u64 = 1_000;
const LONGEST: u64 = 1_000_000;

/// Reads a number of processors, `QUOTA/PERIOD`, or `max`.
pub fn parse_bandwidth(text: &str) -> Result<Bandwidth, String> {
    let form = || "not a number of CPUs like 1.5, QUOTA/PERIOD in microseconds, or max".to_owned();
    let (quota, period) = match text.split_once('/') {
        Some((quota, period)) => {
            (quota, Decimal::parse(period).and_then(|n| n.times(1)).ok_or_else(form)?)
        }
        None => (text, DEFAULT_PERIOD),
    };
    let unit = if text.contains('/') { 1 } else { period };
    let quota = match quota {
        "max" => None,
        _ => Some(Decimal::parse(quota).and_then(|n| n.times(unit)).ok_or_else(form)?),
    };
    if !(SHORTEST..=LONGEST).contains(&period) {
        return Err(format!("the period must be {SHORTEST} to {LONGEST} microseconds"));
    }
    // The kernel's own bound: quotas are counted in nanoseconds, shifted by 20 bits.
    if quota.is_some_and(|quota| !(SHORTEST..=(1 << 44) / 1000).contains(&quota)) {
        return Err(format!(
            "the quota must be {SHORTEST} to {} microseconds",
            (1_u64 << 44) / 1000
        ));
    }
    Ok(Bandwidth { quota, period })
}

/// Reads a percentage; gives it as the kernel takes it.
pub fn parse_percent(text: &str) -> Result<String, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let is_share = |share: &Decimal| share.times(1000).is_some_and(|n| n <= 100_000);
    match Decimal::parse(number).filter(is_share) {
        Some(_) => Ok(number.to_owned()),
        None if text == "max" => Ok("max".to_owned()),
        None => Err("not a percentage from 0 to 100, or max".to_owned()),
    }
}

/// Reads a list of CPUs or memory nodes: `0-3,8`.
pub fn parse_list(text: &str) -> Result<String, String> {
    match list(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("not a list like 0-3,8".to_owned()),
    }
}

/// The numbers in a list of CPUs or memory nodes.
pub fn list(text: &str) -> Option<BTreeSet<u16>> {
    let mut numbers = BTreeSet::new();
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths() {
        let limit = |quota, period| Ok(Bandwidth { quota: Some(quota), period });
        assert_eq!(parse_bandwidth("1.5"), limit(150_000, 100_000));
        assert_eq!(parse_bandwidth("0.01"), limit(1_000, 100_000));
        assert_eq!(parse_bandwidth("20000/50000"), limit(20_000, 50_000));
        assert_eq!(parse_bandwidth("max"), Ok(Bandwidth { quota: None, period: 100_000 }));
        assert_eq!(parse_bandwidth("max/5000"), Ok(Bandwidth { quota: None, period: 5_000 }));
    }

    #[test]
    fn nonsense_and_overflow() {
        for text in [
            "",
            "/",
            "1/",
            "/1000",
            "0",
            "0.001",
            "-1",
            "1,5",
            "2000/999",
            "2000/1000001",
            "999/1000",
            "99999999999999999999",
            "100000000000",
            "1/2/3",
        ] {
            assert!(parse_bandwidth(text).is_err(), "{text}");
        }
    }
    #[test]
    fn lists_and_percentages() {
        assert_eq!(parse_list("0-3,8").as_deref(), Ok("0-3,8"));
        assert_eq!(list("0-2,1"), Some(BTreeSet::from([0, 1, 2])));
        for text in ["", "-", "1-", "-1", "3-1", "0,", "a", "0-70000", "0 1", "+1"] {
            assert!(parse_list(text).is_err(), "{text}");
        }
        assert_eq!(parse_percent("12.5%").as_deref(), Ok("12.5"));
        assert_eq!(parse_percent("max").as_deref(), Ok("max"));
        assert!(parse_percent("101").is_err());
    }
}
