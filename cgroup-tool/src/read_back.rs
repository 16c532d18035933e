//! Whether what the kernel shows is what was written.

use crate::cpu;
use crate::decimal::Decimal;
use crate::size::{self, Size};

/// Whether reading `shown` means that `written` holds, `page` being the size of a page: amounts of
/// memory are rounded down to pages.
pub fn holds(written: &str, shown: &str, page: u64) -> bool {
    let (written, shown) = (written.trim(), shown.trim());
    words(written).eq(words(shown))
        || same_amount(written, shown, page)
        || same_decimal(written, shown)
        || same_list(written, shown)
        || is_lifted(written, shown)
        || shown.lines().any(|line| has_all_words(written, line))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_ascii_whitespace()
}

/// v1 shows a limit of -1 as the largest number of whole pages.
fn same_amount(written: &str, shown: &str, page: u64) -> bool {
    let largest = i64::MAX as u64 / page * page;
    let written = match (written, size::parse(written)) {
        ("-1", _) => largest,
        (_, Ok(Size::Bytes(bytes))) => bytes,
        _ => return false,
    };
    let rounded = (written / page * page).min(largest);
    // 0 bytes is 0; what is less than a page must not read as no limit at all.
    shown.parse() == Ok(written)
        || shown.parse() == Ok(rounded)
        || (rounded == largest && shown == "max")
}

fn same_decimal(written: &str, shown: &str) -> bool {
    let millionths = |text| Decimal::parse(text).and_then(|number| number.times(1_000_000));
    millionths(written).is_some() && millionths(written) == millionths(shown)
}

/// There is no line for a device without limits: after 0 in v1, `max` alone in v2.
fn is_lifted(written: &str, shown: &str) -> bool {
    let (device, limits) = written.split_once(' ').unwrap_or_default();
    device.contains(':')
        && words(limits).all(|limit| limit == "0" || limit.ends_with("=max"))
        && !shown.lines().any(|line| words(line).next() == Some(device))
}

/// `0,1,2` is shown as `0-2`.
fn same_list(written: &str, shown: &str) -> bool {
    cpu::list(written).is_some() && cpu::list(written) == cpu::list(shown)
}

/// A line for each device or node, of which one was written: `8:0 rbps=1048576 wbps=max ...`.
fn has_all_words(written: &str, line: &str) -> bool {
    let key = words(written).next();
    key.is_some()
        && words(written).count() > 1
        && key == words(line).next()
        && words(written).all(|word| words(line).any(|shown| shown == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds() {
        for (written, shown) in [
            ("4096", "4096"),
            ("5000", "4096"),
            ("100", "0"),
            ("256M", "268435456"),
            ("-1", "9223372036854771712"),
            ("9223372036854775807", "max"),
            ("max", "max"),
            ("max 100000", "max 100000"),
            ("50", "50.00"),
            ("0,1,2,5", "0-2,5"),
            ("8:0 rbps=1000", "7:0 rbps=1 wbps=max\n8:0 rbps=1000 wbps=max"),
            ("root", "root"),
            ("8:0 0", "7:0 5"),
            ("8:0 rbps=max wbps=max", ""),
        ] {
            assert!(holds(written, shown, 4096), "{written} {shown}");
        }
    }

    #[test]
    fn what_does_not() {
        for (written, shown) in [
            ("5000", "8192"),
            ("4096", "max"),
            ("max", "4096"),
            ("root", "root invalid (Cpu list in cpuset.cpus not exclusive)"),
            ("0-1", "0"),
            ("0", ""),
            ("", "x"),
            ("8:0 rbps=1000", "7:0 rbps=1000"),
            ("8:0 rbps=max wbps=1", ""),
            ("8:0 rbps=max", "8:0 rbps=5"),
            ("8:0 rbps=1000", "8:0 rbps=10000"),
        ] {
            assert!(!holds(written, shown, 4096), "{written} {shown}");
        }
    }
}
