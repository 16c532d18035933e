//! Whatever the app sends, in whatever order: what is handed on is allowed, reads the same there,
//! and never fills the service manager's store of descriptors beyond what was granted.

use std::collections::BTreeMap;

use notify_tool::message::{self, MAX_LENGTH};
use notify_tool::policy::{DEFAULT, Judge, Policy};

/// How many descriptors may be in the store.
const STORE: usize = 5;
const OF_THE_STORE: [&str; 4] = ["FDSTORE", "FDNAME", "FDPOLL", "FDSTOREREMOVE"];

/// The first byte chooses the policy; then come datagrams, each behind a byte with the number of
/// its descriptors, and ended by a byte 0xff, which no field of systemd's has.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let (store, main) = (if choice & 1 == 0 { 0 } else { STORE }, choice & 2 != 0);
    let more = if main { vec!["MAINPID".to_owned()] } else { Vec::new() };
    let mut judge = Judge::new(Policy::new(&more, &["STATUS".to_owned()], store));
    let mut stored: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for datagram in rest.split(|byte| *byte == 0xff) {
        let Some((count, text)) = datagram.split_first() else { continue };
        let count = usize::from(*count % 8);
        let Ok(verdict) = judge.judge(text, count) else { continue };
        assert!(verdict.main.is_none_or(|pid| main && pid > 0));
        assert!(verdict.text.len() <= MAX_LENGTH);
        if verdict.text.is_empty() {
            assert!(!verdict.descriptors && !verdict.ready);
            continue;
        }
        let fields = message::parse(&verdict.text).expect("what is handed on is well-formed");
        assert_eq!(message::print(fields.iter().copied()), verdict.text, "it reads the same");
        let is_set = |key| fields.iter().any(|field| field.is_set(key));
        for field in &fields {
            let allowed = DEFAULT.contains(&field.key) && field.key != "STATUS"
                || field.key.starts_with("X_")
                || store > 0 && OF_THE_STORE.contains(&field.key);
            assert!(allowed, "{}", field.key);
        }
        assert_eq!(verdict.ready, is_set("READY"));
        if is_set("BARRIER") {
            assert!(fields.len() == 1 && count == 1 && verdict.descriptors);
            continue;
        }
        assert_eq!(verdict.descriptors, is_set("FDSTORE"));
        let name = fields.iter().find(|field| field.key == "FDNAME");
        let name = name.map_or(b"stored".to_vec(), |field| field.value.to_vec());
        if is_set("FDSTOREREMOVE") {
            stored.remove(&name);
        } else if is_set("FDSTORE") {
            *stored.entry(name).or_default() += count;
        }
        assert!(stored.values().sum::<usize>() <= store, "{stored:?}");
    }
}
