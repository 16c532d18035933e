//! A map that is taken is one which the kernel takes: no overlap, no id beyond the last, and what
//! /etc/subuid grants is never more than its lines say.

use std::collections::BTreeSet;

use unshare_tool::range::{Range, check as check_map, granted, identity, with_subordinates};

/// The last line of a map would overlap or overflow.
fn check_taken(map: &[Range]) {
    let ends = |first: u32, count: u32| u64::from(first) + u64::from(count);
    for (index, a) in map.iter().enumerate() {
        assert!(a.count > 0);
        assert!(ends(a.inside, a.count) <= u64::from(u32::MAX));
        assert!(ends(a.outside, a.count) <= u64::from(u32::MAX));
        for b in &map[index + 1..] {
            let apart = |a_first: u32, b_first: u32| {
                ends(a_first, a.count) <= u64::from(b_first)
                    || ends(b_first, b.count) <= u64::from(a_first)
            };
            assert!(apart(a.inside, b.inside) && apart(a.outside, b.outside), "{a:?} {b:?}");
        }
    }
}

/// Ranges one a line, as `--map-users` takes them, and the same text as a file.
pub fn check(input: &[u8]) {
    let Some(text) = super::text(input) else { return };
    let map: Vec<Range> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if check_map(&map).is_ok() {
        check_taken(&map);
    }
    for range in &map {
        let text = format!("{}:{}:{}", range.inside, range.outside, range.count);
        assert_eq!(text.parse(), Ok(*range));
        assert!(range.holds(range.outside) && !range.holds(range.outside + range.count));
    }
    for range in identity(text).unwrap_or_default() {
        assert_eq!(range.inside, range.outside);
    }
    let names: BTreeSet<&str> = text.lines().filter_map(|line| line.split(':').next()).collect();
    for name in names {
        let granted = granted(text, &[name]);
        for (first, count) in &granted {
            let says = |line: &str| {
                let mut fields = line.trim().split(':');
                fields.next() == Some(name)
                    && fields.next().and_then(|word| word.parse().ok()) == Some(*first)
                    && fields.next().and_then(|word| word.parse().ok()) == Some(*count)
            };
            assert!(text.lines().any(says), "{name:?}: {first}:{count}");
        }
        for own in [0, 1000] {
            if let Ok(map) = with_subordinates(own, &granted) {
                check_taken(&map);
            }
        }
    }
}
