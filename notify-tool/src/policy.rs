//! What of the app's messages is handed on: pure decisions, with what must be remembered from one
//! message to the next.

use std::collections::BTreeMap;

use crate::message::{self, Field, Malformed};

/// What the app may send unless the command line says otherwise: what concerns itself only.
/// NOTIFYACCESS and MAINPID change whom the service manager listens to, FDSTORE fills its tables.
pub const DEFAULT: &[&str] = &[
    "READY",
    "RELOADING",
    "MONOTONIC_USEC",
    "STOPPING",
    "STATUS",
    "ERRNO",
    "BUSERROR",
    "VARLINKERROR",
    "EXIT_STATUS",
    "WATCHDOG",
    "WATCHDOG_USEC",
    "EXTEND_TIMEOUT_USEC",
    "BARRIER",
    "X_*",
];
/// What needs `--allow` or `--fdstore`.
pub const FURTHER: &[&str] = &["MAINPID", "NOTIFYACCESS"];
/// What belongs to the descriptor store.
const STORE: &[&str] = &["FDSTORE", "FDNAME", "FDPOLL", "FDSTOREREMOVE"];
/// The name that systemd gives to descriptors without FDNAME.
const UNNAMED: &[u8] = b"stored";

/// Which fields the app may send.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allowed: Vec<String>,
    /// How many descriptors may be in the store at a time.
    store: usize,
}

/// What a message comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The datagram to hand on; empty if there is none.
    pub text: Vec<u8>,
    /// Whether its descriptors go with it.
    pub descriptors: bool,
    /// The process that is to be the unit's main one, as the sender numbers it.
    pub main: Option<i32>,
    /// The app said that it is ready.
    pub ready: bool,
    /// The first field that was left out although systemd knows it.
    pub denied: Option<&'static str>,
}

/// The policy, and what the messages so far have led to.
///
/// It does no I/O and knows no clock, so that any sequence of messages can be tried on it:
///
/// ```
/// use notify_tool::policy::{Judge, Policy};
///
/// let mut judge = Judge::new(Policy::new(&[], &[], 1));
/// let verdict = judge.judge(b"READY=1\nMAINPID=1", 0)?;
/// assert_eq!(verdict.text, b"READY=1");
/// assert!(judge.judge(b"FDSTORE=1", 1)?.descriptors);
/// assert!(!judge.judge(b"FDSTORE=1", 1)?.descriptors);
/// # Ok::<(), notify_tool::message::Malformed>(())
/// ```
///
/// After each message: every field of `Verdict::text` is one that the policy allows, `message::parse`
/// and `message::print` give back the same bytes, and [`Judge::stored`] is at most what the policy
/// has room for.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    policy: Policy,
    /// What is in the descriptor store, by name.
    stored: BTreeMap<Vec<u8>, usize>,
}

impl Policy {
    /// The default, more and less of it, and room for `store` descriptors.
    pub fn new(more: &[String], less: &[String], store: usize) -> Self {
        let mut allowed: Vec<String> = DEFAULT.iter().map(ToString::to_string).collect();
        allowed.extend(more.iter().cloned());
        if store > 0 {
            allowed.extend(STORE.iter().map(ToString::to_string));
        }
        allowed.retain(|key| !less.contains(key));
        Policy { allowed, store }
    }

    /// Whether any message may hold descriptors.
    pub fn takes_descriptors(&self) -> bool {
        self.allows("BARRIER") || self.allows("FDSTORE")
    }

    /// How many descriptors may be in the store at a time.
    pub fn store(&self) -> usize {
        self.store
    }

    fn allows(&self, key: &str) -> bool {
        self.allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == allowed,
        })
    }
}

/// A key as `--allow` and `--deny` take it.
pub fn known_key(key: &str) -> Result<String, String> {
    if STORE.contains(&key) {
        return Err("the descriptor store is opened by --fdstore N".into());
    }
    let mut known = DEFAULT.iter().chain(FURTHER);
    if known.any(|name| *name == key) {
        return Ok(key.to_owned());
    }
    let known: Vec<&str> = DEFAULT.iter().chain(FURTHER).copied().collect();
    Err(format!("the keys are {}", known.join(" ")))
}

impl Judge {
    /// Nothing has been sent yet.
    pub fn new(policy: Policy) -> Self {
        Judge { policy, stored: BTreeMap::new() }
    }

    /// How many descriptors are in the store, as far as this knows.
    pub fn stored(&self) -> usize {
        self.stored.values().sum()
    }

    /// What becomes of a datagram with this many descriptors, all of a kind that can be stored.
    pub fn judge(&mut self, datagram: &[u8], descriptors: usize) -> Result<Verdict, Malformed> {
        let fields = message::parse(datagram)?;
        if fields.iter().any(|field| field.is_set("BARRIER")) {
            return Ok(self.barrier(&fields, descriptors));
        }
        let mut verdict = Verdict::default();
        let mut passed = Vec::new();
        for field in fields {
            if !self.policy.allows(field.key) {
                verdict.denied = verdict.denied.or(name_of(field.key));
            } else if field.key == "MAINPID" {
                verdict.main = number(field.value);
            } else {
                passed.push(field);
            }
        }
        let stores = passed.iter().any(|field| field.is_set("FDSTORE"));
        if stores && descriptors == 0 {
            passed.retain(|field| !STORE.contains(&field.key));
        } else if !self.account(&passed, descriptors) {
            passed.retain(|field| !STORE.contains(&field.key));
            verdict.denied = Some("FDSTORE");
        }
        verdict.descriptors = passed.iter().any(|field| field.is_set("FDSTORE"));
        verdict.ready = passed.iter().any(|field| field.is_set("READY"));
        verdict.text = message::print(passed);
        Ok(verdict)
    }

    /// What another sign of readiness comes to; no policy concerns it.
    pub fn ready() -> Verdict {
        Verdict { text: b"READY=1".to_vec(), ready: true, ..Verdict::default() }
    }

    /// systemd wants it alone, with one descriptor, whose end tells the sender that all before it
    /// has been dealt with.
    fn barrier(&self, fields: &[Field<'_>], descriptors: usize) -> Verdict {
        let allowed = self.policy.allows("BARRIER");
        if allowed && fields.len() == 1 && descriptors == 1 {
            return Verdict {
                text: message::print(fields.iter().copied()),
                descriptors: true,
                ..Verdict::default()
            };
        }
        Verdict { denied: (!allowed).then_some("BARRIER"), ..Verdict::default() }
    }

    /// Keeps count of the descriptor store; says whether this message leaves it within bounds.
    /// What the service manager drops by itself (hung up, or stored before) counts until the app
    /// removes it.
    fn account(&mut self, fields: &[Field<'_>], descriptors: usize) -> bool {
        let name = fields.iter().find(|field| field.key == "FDNAME");
        let name = name.map_or(UNNAMED, |field| field.value);
        if fields.iter().any(|field| field.is_set("FDSTOREREMOVE")) {
            self.stored.remove(name);
            return true;
        }
        if !fields.iter().any(|field| field.is_set("FDSTORE")) {
            return true;
        }
        let fits = self.stored() + descriptors <= self.policy.store;
        if fits {
            *self.stored.entry(name.to_owned()).or_default() += descriptors;
        }
        fits
    }
}

/// The key, if systemd knows it: what the app invents is dropped without a word.
fn name_of(key: &str) -> Option<&'static str> {
    let mut known = DEFAULT.iter().chain(FURTHER).chain(STORE);
    known.find(|known| **known == key).copied()
}

fn number(value: &[u8]) -> Option<i32> {
    let text = str::from_utf8(value).ok()?;
    text.parse().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(store: usize) -> Judge {
        Judge::new(Policy::new(&[], &[], store))
    }

    fn text(judge: &mut Judge, datagram: &str, descriptors: usize) -> (String, bool) {
        let verdict = judge.judge(datagram.as_bytes(), descriptors).unwrap();
        (String::from_utf8(verdict.text).unwrap(), verdict.descriptors)
    }

    #[test]
    fn only_what_is_allowed() {
        let mut judge = judge(0);
        for (sent, passed) in [
            ("READY=1\nMAINPID=1\nSTATUS=a\nNOTIFYACCESS=all", "READY=1\nSTATUS=a"),
            ("STATUS=x\rMAINPID=1", "STATUS=x"),
            ("RELOADING=1\nMONOTONIC_USEC=5", "RELOADING=1\nMONOTONIC_USEC=5"),
            ("X_OWN=1\nXOWN=1", "X_OWN=1"),
            ("UNKNOWN=1", ""),
            ("FDSTORE=1\nFDNAME=a", ""),
        ] {
            assert_eq!(text(&mut judge, sent, 1), (passed.to_owned(), false));
        }
    }

    #[test]
    fn allow_and_deny() {
        let policy = Policy::new(&["NOTIFYACCESS".into()], &["STATUS".into()], 0);
        let sent = "NOTIFYACCESS=all\nSTATUS=a\nREADY=1";
        let passed = "NOTIFYACCESS=all\nREADY=1";
        assert_eq!(text(&mut Judge::new(policy), sent, 0).0, passed);
        assert!(known_key("FDSTORE").is_err());
        assert!(known_key("ready").is_err());
    }

    #[test]
    fn a_barrier_stands_alone() {
        let mut judge = judge(9);
        assert_eq!(text(&mut judge, "BARRIER=1", 1), ("BARRIER=1".to_owned(), true));
        for (sent, descriptors) in [("BARRIER=1", 0), ("BARRIER=1", 2), ("BARRIER=1\nREADY=1", 1)] {
            assert_eq!(text(&mut judge, sent, descriptors), (String::new(), false), "{sent}");
        }
    }

    #[test]
    fn the_store_is_bounded_over_many_messages() {
        let mut judge = judge(3);
        assert!(text(&mut judge, "FDSTORE=1\nFDNAME=a", 2).1);
        assert!(!text(&mut judge, "FDSTORE=1\nFDNAME=b", 2).1);
        assert!(text(&mut judge, "FDSTORE=1", 1).1);
        assert_eq!(text(&mut judge, "FDSTORE=1\nSTATUS=x", 1).0, "STATUS=x");
        assert_eq!(text(&mut judge, "FDSTOREREMOVE=1\nFDNAME=a", 0).0, "FDSTOREREMOVE=1\nFDNAME=a");
        assert!(text(&mut judge, "FDSTORE=1", 2).1);
        assert!(!text(&mut judge, "FDSTORE=1", 1).1);
    }

    /// Whatever the app sends, in whatever order, what is handed on is allowed and reads the same
    /// there, and the store never holds more than it may.
    #[test]
    fn no_sequence_gets_around_it() {
        let words = [
            "READY=1",
            "STATUS=",
            "STATUS=a\\",
            "MAINPID=1",
            "FDSTORE=1",
            "FDSTOREREMOVE=1",
            "FDNAME=a",
            "FDNAME=b\\\\",
            "FDPOLL=0",
            "BARRIER=1",
            "NOTIFYACCESS=all",
            "X_A=1",
            "=",
            "\u{1}",
            "\0",
            "WATCHDOG=trigger",
            "A=1",
        ];
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut judge = judge(5);
        for _ in 0..20_000 {
            let mut datagram = Vec::new();
            for _ in 0..random(6) {
                datagram.extend_from_slice(words[random(words.len())].as_bytes());
                datagram.push([b'\n', b'\r', b'\n', b'\\'][random(4)]);
            }
            let Ok(verdict) = judge.judge(&datagram, random(4)) else { continue };
            assert!(judge.stored() <= 5);
            if verdict.text.is_empty() {
                continue;
            }
            let fields = message::parse(&verdict.text).unwrap();
            assert!(fields.iter().all(|field| judge.policy.allows(field.key)));
            assert_eq!(message::print(fields), verdict.text);
            // systemd's own reading: a backslash takes the meaning from what follows.
            assert!(
                !verdict.text.windows(2).any(|pair| pair == b"\\\n") || {
                    let text = String::from_utf8_lossy(&verdict.text).replace("\\\\", "");
                    !text.contains("\\\n")
                }
            );
        }
    }

    #[test]
    fn the_main_process_is_told_apart() {
        let policy = Policy::new(&["MAINPID".into()], &[], 0);
        let verdict = Judge::new(policy).judge(b"MAINPID=7\nREADY=1", 0).unwrap();
        assert_eq!((verdict.main, verdict.text), (Some(7), b"READY=1".to_vec()));
        assert!(verdict.ready);
    }
}
