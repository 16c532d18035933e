//! Amounts of memory: `256M`, `1.5G`, `20%`, `max`.

use crate::decimal::Decimal;

/// An amount of memory as the command line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(u64),
    /// A share, in hundredths.
    Percent(Decimal),
    /// No limit.
    Max,
}

const UNITS: &[(char, u32)] = &[('K', 10), ('M', 20), ('G', 30), ('T', 40)];
/// The kernel counts pages in a signed long: it would take more for no limit at all.
const LARGEST: u64 = i64::MAX as u64;

/// Reads a size: bytes, or with K, M, G, T (1024 each), or a percentage, or `max`.
pub fn parse(text: &str) -> Result<Size, String> {
    if text == "max" {
        return Ok(Size::Max);
    }
    if let Some(share) = text.strip_suffix('%') {
        return Decimal::parse(share)
            .filter(|share| share.times(1000).is_some_and(|n| n <= 100_000))
            .map(Size::Percent)
            .ok_or_else(|| "not a percentage from 0% to 100%".to_owned());
    }
    let last = text.chars().next_back().map(|c| c.to_ascii_uppercase());
    let (digits, shift) = match UNITS.iter().find(|(letter, _)| Some(*letter) == last) {
        Some((_, shift)) => (&text[..text.len() - 1], *shift),
        None => (text, 0),
    };
    let number = Decimal::parse(digits)
        .filter(|_| shift > 0 || !digits.contains('.'))
        .ok_or("not a size like 4096, 256M, 1.5G, 20% or max (units: K M G T)")?;
    number
        .times(1 << shift)
        .filter(|bytes| *bytes <= LARGEST)
        .map(Size::Bytes)
        .ok_or_else(|| format!("too large: the kernel counts up to {LARGEST}; 'max' lifts a limit"))
}

impl Size {
    /// The bytes, a share being one of `whole`; `None` is no limit.
    pub fn of(self, whole: u64) -> Option<u64> {
        match self {
            Size::Bytes(bytes) => Some(bytes),
            // Divided first where the product would be too large, which must not mean no limit.
            Size::Percent(share) => match share.times(whole) {
                Some(hundredfold) => Some(hundredfold / 100),
                None => share.times(whole / 100),
            },
            Size::Max => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse("0"), Ok(Size::Bytes(0)));
        assert_eq!(parse("4096"), Ok(Size::Bytes(4096)));
        assert_eq!(parse("256M"), Ok(Size::Bytes(256 << 20)));
        assert_eq!(parse("1.5g"), Ok(Size::Bytes(3 << 29)));
        assert_eq!(parse("2T"), Ok(Size::Bytes(2 << 40)));
        assert_eq!(parse("max"), Ok(Size::Max));
        assert_eq!(parse("20%").unwrap().of(1000), Some(200));
        assert_eq!(parse("12.5%").unwrap().of(1000), Some(125));
        assert_eq!(parse("100%").unwrap().of(u64::MAX / 100), Some(u64::MAX / 100));
        assert_eq!(parse("100%").unwrap().of(u64::MAX), Some(u64::MAX / 100 * 100));
        assert_eq!(parse("9223372036854775807"), Ok(Size::Bytes(i64::MAX as u64)));
    }

    #[test]
    fn nonsense_and_overflow() {
        for text in [
            "",
            "M",
            "-1",
            "1.5",
            "256MB",
            "1 G",
            "101%",
            "100.001%",
            "%",
            "Max",
            "0x10",
            "8388608T",
            "9223372036854775808",
            "18446744073709551616",
            "é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
