//! Whatever is read as a plan is printed and read again as the same plan.

#![no_main]

use chain::plan::Plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(plan) = Plan::parse(text) {
        assert_eq!(Plan::parse(plan.print().as_bytes()), Ok(plan));
    }
});
