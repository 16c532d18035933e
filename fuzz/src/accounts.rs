//! No line of passwd(5) or group(5) gives the id that means "no id", or a name that is no name.

use chain::accounts::{id, parse_groups, parse_users};

/// See above.
pub fn check(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let check_id = |id: u32| assert_ne!(id, u32::MAX);
    let check_name = |name: &str| assert!(!name.contains([':', '\n']), "{name:?}");
    for user in parse_users(text) {
        check_name(&user.name);
        check_id(user.uid);
        check_id(user.gid);
    }
    for group in parse_groups(text) {
        check_name(&group.name);
        check_id(group.gid);
        assert!(group.members.iter().all(|name| !name.is_empty() && !name.contains([':', ','])));
    }
    for word in text.split([':', '\n']) {
        if let Some(number) = id(word) {
            check_id(number);
            // Leading zeroes are decimal too, as in the kernel's and shadow's files.
            assert_eq!(word.trim_start_matches('0'), number.to_string().trim_start_matches('0'));
        }
    }
}
