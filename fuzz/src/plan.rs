//! Whatever is read as a plan is printed and read again as the same plan.

use chain::plan::Plan;

/// See above.
pub fn check(input: &[u8]) {
    if let Ok(plan) = Plan::parse(input) {
        assert_eq!(Plan::parse(plan.print().as_bytes()), Ok(plan));
    }
}
