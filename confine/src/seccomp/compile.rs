//! From a policy to the filter that the kernel runs.
//!
//! Why not `seccompiler`: one of its filters knows two actions, one for a match and one for
//! everything else, and compares numbers for equality only. Our profile needs four (allow, EPERM,
//! ENOSYS for what is newer and for clone3, another errno for an address family) and a bound on
//! the number; x32, which shares x86_64's `AUDIT_ARCH`, would get the default action. And it walks
//! its list from the start for each call, where this is a binary search.

use crate::seccomp::bpf::{self, Call, Instruction, Test};
use crate::seccomp::policy::{Action, Condition, MACHINE, Operator, Policy, Rule, X32};

/// The filter, or `None` if it is longer than the kernel takes.
pub fn compile(policy: &Policy) -> Option<Vec<Instruction>> {
    let mut program = vec![
        bpf::load(Call::MACHINE),
        bpf::test(Test::Eq, MACHINE, 1, 0),
        bpf::end(Action::KillProcess.value()),
        bpf::load(Call::NUMBER),
    ];
    program.extend(search(&ranges(policy)));
    (program.len() <= bpf::MAX_LENGTH).then_some(program)
}

/// What is done from one number on, up to the next range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range<'a> {
    first: u32,
    rules: &'a [Rule],
    otherwise: Action,
}

/// The whole of the numbers, in ranges that are treated alike.
fn ranges<'a>(policy: &'a Policy) -> Vec<Range<'a>> {
    let unknown = Action::Errno(libc::ENOSYS as u16);
    let end = policy.newest.map_or(X32, |newest| newest.saturating_add(1).min(X32));
    let mut ranges: Vec<Range<'a>> = Vec::new();
    let mut add = |range: Range<'a>| {
        let last = ranges.last();
        if last.is_none_or(|last| (last.rules, last.otherwise) != (range.rules, range.otherwise)) {
            ranges.push(range);
        }
    };
    let gap = |first| Range { first, rules: &[], otherwise: policy.default };
    add(gap(0));
    for (&number, rules) in policy.rules.range(..end) {
        add(match &rules[..] {
            [only] if only.conditions.is_empty() => {
                Range { first: number, rules: &[], otherwise: only.action }
            }
            rules => Range { first: number, rules, otherwise: policy.default },
        });
        if number + 1 < end && !policy.rules.contains_key(&(number + 1)) {
            add(gap(number + 1));
        }
    }
    add(Range { first: end, rules: &[], otherwise: unknown });
    ranges
}

/// A binary search for the number, which is in the accumulator.
fn search(ranges: &[Range<'_>]) -> Vec<Instruction> {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    if below.is_empty() {
        let mut block: Vec<_> =
            ranges.iter().flat_map(|range| range.rules).flat_map(rule).collect();
        block.extend(ranges.iter().map(|range| bpf::end(range.otherwise.value())));
        return block;
    }
    let (left, right) = (search(below), search(above));
    let mut block = match u8::try_from(left.len()) {
        Ok(length) => vec![bpf::test(Test::Ge, above[0].first, length, 0)],
        // A test can skip 255 instructions, `skip` any number.
        Err(_) => vec![bpf::test(Test::Ge, above[0].first, 0, 1), bpf::skip(left.len())],
    };
    block.extend(left);
    block.extend(right);
    block
}

/// Where a test goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    /// The next step.
    Next,
    /// The next condition.
    Holds,
    /// The next rule.
    Fails,
}

/// A part of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Do(Instruction),
    Test(Test, u32, To, To),
}

/// The code of a rule: falls off its end if a condition doesn't hold.
fn rule(rule: &Rule) -> Vec<Instruction> {
    let steps: Vec<Vec<Step>> = rule.conditions.iter().map(condition).collect();
    let length = steps.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(length);
    for condition in &steps {
        let end = code.len() + condition.len();
        for step in condition {
            let next = code.len() + 1;
            // Seven steps at most for each of six arguments.
            let distance = |to: To| {
                let target = match to {
                    To::Next => next,
                    To::Holds => end,
                    To::Fails => length,
                };
                u8::try_from(target - next).expect("a rule has six conditions at most")
            };
            code.push(match *step {
                Step::Do(instruction) => instruction,
                Step::Test(test, k, yes, no) => bpf::test(test, k, distance(yes), distance(no)),
            });
        }
    }
    code.push(bpf::end(rule.action.value()));
    code
}

/// The halves of the argument, the high one first.
fn condition(condition: &Condition) -> Vec<Step> {
    let Condition { argument, mask, operator, value } = *condition;
    let half = |shift: u32| ((mask >> shift) as u32, (value >> shift) as u32);
    let ((high_mask, high), (low_mask, low)) = (half(32), half(0));
    // A negated operator is its opposite with the ends exchanged.
    let (test, yes, no) = match operator {
        Operator::Eq => (Test::Eq, To::Holds, To::Fails),
        Operator::Ne => (Test::Eq, To::Fails, To::Holds),
        Operator::Gt => (Test::Gt, To::Holds, To::Fails),
        Operator::Le => (Test::Gt, To::Fails, To::Holds),
        Operator::Ge => (Test::Ge, To::Holds, To::Fails),
        Operator::Lt => (Test::Ge, To::Fails, To::Holds),
    };
    let mut steps =
        vec![Step::Do(bpf::load(Call::low_half(argument) + 4)), Step::Do(bpf::and(high_mask))];
    if test != Test::Eq {
        steps.push(Step::Test(Test::Gt, high, yes, To::Next));
    }
    steps.push(Step::Test(Test::Eq, high, To::Next, no));
    steps.push(Step::Do(bpf::load(Call::low_half(argument))));
    steps.push(Step::Do(bpf::and(low_mask)));
    steps.push(Step::Test(test, low, yes, no));
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::seccomp::bpf::run;
    use crate::seccomp::policy::LOW_HALF;

    const OPERATORS: [Operator; 6] =
        [Operator::Eq, Operator::Ne, Operator::Lt, Operator::Le, Operator::Gt, Operator::Ge];

    /// Numbers around which comparisons of halves go wrong.
    const VALUES: [u64; 8] = [0, 1, 5, LOW_HALF, 1 << 32, (1 << 32) + 5, u64::MAX - 1, u64::MAX];

    #[track_caller]
    fn agree(policy: &Policy, program: &[Instruction], call: Call) {
        assert_eq!(run(program, &call), Some(policy.decide(&call).value()), "{call:?}");
    }

    #[test]
    fn every_comparison() {
        for operator in OPERATORS {
            for (value, mask) in VALUES.iter().flat_map(|v| VALUES.map(|mask| (*v, mask))) {
                let condition = Condition { argument: 5, mask, operator, value };
                let rule = Rule { conditions: vec![condition], action: Action::Allow };
                let policy = Policy {
                    rules: BTreeMap::from([(3, vec![rule])]),
                    default: Action::Errno(1),
                    newest: None,
                };
                let program = compile(&policy).unwrap();
                for last in VALUES {
                    let arguments = [0, 0, 0, 0, 0, last];
                    agree(&policy, &program, Call { number: 3, machine: MACHINE, arguments });
                }
            }
        }
    }

    /// A generator of numbers that is good enough to spread over cases (Marsaglia's xorshift).
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self, below: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % below
        }

        fn policy(&mut self) -> Policy {
            let action = |n| match n {
                0 | 1 => Action::Allow,
                2 => Action::Log,
                3 => Action::KillThread,
                n => Action::Errno(n as u16),
            };
            let mut rules = BTreeMap::new();
            for _ in 0..self.next(150) {
                let number = self.next(500) as u32;
                let rule = Rule {
                    conditions: (0..self.next(4) as u8)
                        .map(|argument| Condition {
                            argument,
                            mask: VALUES[self.next(8) as usize],
                            operator: OPERATORS[self.next(6) as usize],
                            value: VALUES[self.next(8) as usize],
                        })
                        .collect(),
                    action: action(self.next(6)),
                };
                rules.entry(number).or_insert_with(Vec::new).push(rule);
            }
            let newest = [None, Some(self.next(600) as u32)][self.next(2) as usize];
            Policy { rules, default: action(self.next(6)), newest }
        }
    }

    #[test]
    fn any_policy_is_compiled_to_what_it_says() {
        let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
        for _ in 0..200 {
            let policy = numbers.policy();
            let program = compile(&policy).unwrap();
            for number in (0..620).chain([X32 - 1, X32, X32 + 1, u32::MAX]) {
                let arguments = [(); 6].map(|()| VALUES[numbers.next(8) as usize]);
                agree(&policy, &program, Call { number, machine: MACHINE, arguments });
            }
            agree(&policy, &program, Call { number: 1, machine: 0x4000_0003, arguments: [0; 6] });
        }
    }

    #[test]
    fn what_is_too_long_is_not_loaded() {
        let rules =
            |number: u32| (number * 2, vec![Rule { conditions: vec![], action: Action::Allow }]);
        let policy = Policy {
            rules: (0..2000).map(rules).collect(),
            default: Action::Errno(1),
            newest: None,
        };
        assert_eq!(compile(&policy), None);
    }
}
