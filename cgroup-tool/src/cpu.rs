//! CPU time: `1.5` processors, or `QUOTA/PERIOD` in microseconds.

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
        Some((quota, period)) => (
            quota,
            Decimal::parse(period)
                .and_then(|n| n.times(1))
                .ok_or_else(form)?,
        ),
        None => (text, DEFAULT_PERIOD),
    };
    let unit = if text.contains('/') { 1 } else { period };
    let quota = match quota {
        "max" => None,
        _ => Some(
            Decimal::parse(quota)
                .and_then(|n| n.times(unit))
                .ok_or_else(form)?,
        ),
    };
    if !(SHORTEST..=LONGEST).contains(&period) {
        return Err(format!(
            "the period must be {SHORTEST} to {LONGEST} microseconds"
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths() {
        let limit = |quota, period| {
            Ok(Bandwidth {
                quota: Some(quota),
                period,
            })
        };
        assert_eq!(parse_bandwidth("1.5"), limit(150_000, 100_000));
        assert_eq!(parse_bandwidth("0.01"), limit(1_000, 100_000));
        assert_eq!(parse_bandwidth("20000/50000"), limit(20_000, 50_000));
        assert_eq!(
            parse_bandwidth("max"),
            Ok(Bandwidth {
                quota: None,
                period: 100_000
            })
        );
        assert_eq!(
            parse_bandwidth("max/5000"),
            Ok(Bandwidth {
                quota: None,
                period: 5_000
            })
        );
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
}
