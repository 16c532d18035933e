//! Decimal numbers, read exactly: `1.5` is 15/10.

/// A number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    numerator: u64,
    denominator: u64,
}

impl Decimal {
    /// Reads digits with at most one point between them and nine digits behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 9 || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let denominator = 10_u64.pow(fraction.len() as u32);
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        let numerator = whole
            .parse::<u64>()
            .ok()?
            .checked_mul(denominator)?
            .checked_add(fraction.parse().ok()?)?;
        Some(Decimal { numerator, denominator })
    }

    /// The number times `unit`, rounded down; `None` if that is too large.
    pub fn times(self, unit: u64) -> Option<u64> {
        let product = u128::from(self.numerator) * u128::from(unit) / u128::from(self.denominator);
        u64::try_from(product).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str, unit: u64) -> Option<u64> {
        Decimal::parse(text)?.times(unit)
    }

    #[test]
    fn numbers() {
        assert_eq!(times("1.5", 100_000), Some(150_000));
        assert_eq!(times("0", 5), Some(0));
        assert_eq!(times("18446744073709551615", 1), Some(u64::MAX));
        assert_eq!(times("0.000000001", 1_000_000_000), Some(1));
    }

    #[test]
    fn nonsense_and_overflow() {
        for text in [
            "",
            ".",
            ".5",
            "1.",
            "-1",
            "+1",
            "1e3",
            "1.2.3",
            " 1",
            "0x1",
            "0.0000000001",
            "18446744073709551616",
            "18446744073709551615.5",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(times("18446744073709551615", 2), None);
    }
}
