//! What cg-enter's options take is what the kernel can hold, and a name is one component of a path.

use std::path::{Component, Path};

use cgroup_tool::cg_enter::parse_parent;
use cgroup_tool::decimal::Decimal;
use cgroup_tool::size::Size;
use cgroup_tool::{cpu, device, name, size};

/// One option's value.
pub fn check(input: &[u8]) {
    let Some(text) = super::text(input) else { return };
    if let Ok(size) = size::parse(text) {
        for whole in [0, 1, 4096, i64::MAX as u64] {
            match size.of(whole) {
                None => assert_eq!(size, Size::Max),
                Some(bytes) => assert!(bytes <= i64::MAX as u64, "{text:?} of {whole}: {bytes}"),
            }
            if let (Size::Percent(_), Some(bytes)) = (size, size.of(whole)) {
                assert!(bytes <= whole, "{text:?} of {whole}: {bytes}");
            }
        }
    }
    if let Some(number) = Decimal::parse(text) {
        assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
        assert!(number.times(0).is_none_or(|product| product == 0));
    }
    if let Ok(bandwidth) = cpu::parse_bandwidth(text) {
        assert!(bandwidth.period > 0 && bandwidth.quota != Some(0), "{text:?}: {bandwidth:?}");
    }
    for word in [cpu::parse_percent(text), cpu::parse_list(text)].into_iter().flatten() {
        check_line(&word);
    }
    if let Ok(name) = name::parse(text) {
        let mut components = Path::new(&name).components();
        assert_eq!(components.next(), Some(Component::Normal(name.as_ref())));
        assert_eq!(components.next(), None);
        assert_eq!(name, text);
    }
    if let Ok(path) = parse_parent(text) {
        assert!(path.components().all(|part| part != Component::ParentDir));
    }
    for line in [
        device::parse_io_latency(text),
        device::parse_resource(text),
        device::parse_hugetlb_max(text).map(|(page, _)| page),
        device::parse_io_max(text).map(|limit| limit.device.0),
    ]
    .into_iter()
    .flatten()
    {
        check_line(&line);
    }
}

/// It is written into a file of the kernel, where a second line would be a second limit.
fn check_line(text: &str) {
    assert!(!text.contains(['\n', '\0']), "{text:?}");
}
