//! `--securebits`: what uid 0 and changes of uid do to capabilities (capabilities(7)).

use std::fmt;
use std::str::FromStr;

use rustix::thread::CapabilitiesSecureBits as Bits;

/// Bits to be set, beside those that are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureBits(pub Bits);

const NAMES: [(&str, Bits); 7] = [
    ("noroot", Bits::NO_ROOT),
    ("noroot-locked", Bits::NO_ROOT_LOCKED),
    ("no-setuid-fixup", Bits::NO_SETUID_FIXUP),
    ("no-setuid-fixup-locked", Bits::NO_SETUID_FIXUP_LOCKED),
    ("keep-caps-locked", Bits::KEEP_CAPS_LOCKED),
    ("no-cap-ambient-raise", Bits::NO_CAP_AMBIENT_RAISE),
    ("no-cap-ambient-raise-locked", Bits::NO_CAP_AMBIENT_RAISE_LOCKED),
];

impl Default for SecureBits {
    fn default() -> Self {
        SecureBits(Bits::empty())
    }
}

impl fmt::Display for SecureBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = NAMES.iter().filter(|(_, bit)| self.0.contains(*bit));
        f.write_str(&set.map(|(name, _)| *name).collect::<Vec<_>>().join(","))
    }
}

/// Names between commas, with `_` as setpriv(1) writes them or with `-`.
impl FromStr for SecureBits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bits = Bits::empty();
        for word in text.split(',') {
            let name = word.replace('_', "-");
            let known = NAMES.iter().find(|(known, _)| *known == name);
            bits |= known.map(|(_, bit)| *bit).ok_or_else(|| {
                let names = NAMES.map(|(name, _)| name).join(", ");
                format!("no secure bit is called '{word}'; there are {names}")
            })?;
        }
        Ok(SecureBits(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let bits = Bits::NO_ROOT | Bits::NO_SETUID_FIXUP_LOCKED;
        assert_eq!("noroot,no_setuid_fixup_locked".parse(), Ok(SecureBits(bits)));
        for text in ["", "noroot,", "root", "keep-caps", "NOROOT"] {
            assert!(text.parse::<SecureBits>().is_err(), "{text}");
        }
    }
}
