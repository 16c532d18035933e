//! A profile that is taken is compiled to a filter which decides as the profile's rules do.

use caps_tool::seccomp::bpf::{Call, run};
use caps_tool::seccomp::policy::{MACHINE, X32};
use caps_tool::seccomp::{CapabilitySet, Circumstances, compile, parse_profile};

/// The profile's text; what it decides about is drawn from it.
pub fn check(input: &[u8]) {
    let Some(text) = super::text(input) else { return };
    for capabilities in [CapabilitySet::empty(), CapabilitySet::SYS_ADMIN] {
        let about = Circumstances { capabilities, kernel: (6, 1) };
        let Ok(profile) = parse_profile(text, &about) else { continue };
        let Some(program) = compile(&profile.policy) else { continue };
        let mut seed =
            input.iter().fold(1, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(*byte));
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed ^ seed >> 29
        };
        let numbers: Vec<u32> = profile.policy.rules.keys().copied().collect();
        for turn in 0..64 {
            let any = (random() >> 32) as u32 % 700;
            let number = match numbers.len() {
                0 => any,
                known => *numbers.get(turn % (known + 2)).unwrap_or(&any),
            };
            // The values that a profile compares with are small, or the input's own.
            let mut arguments = [0; 6].map(|_: u64| random() >> (random() % 64));
            for rule in profile.policy.rules.get(&number).into_iter().flatten() {
                for condition in &rule.conditions {
                    arguments[usize::from(condition.argument)] =
                        condition.value ^ (random() & random() & 1) ^ (random() % 3) << 32;
                }
            }
            for number in [number, number | X32] {
                for machine in [MACHINE, 0x4000_0003] {
                    let call = Call { number, machine, arguments };
                    let decided = profile.policy.decide(&call).value();
                    assert_eq!(run(&program, &call), Some(decided), "{call:?}");
                }
            }
        }
    }
}
