//! Random sequences of steps, and the shortest script of one that breaks a law.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use crate::play::Tally;

/// So many sequences; they are shortened here, and none is written down.
pub fn config(count: u32) -> Config {
    Config {
        failure_persistence: None,
        max_shrink_iters: 0,
        cases: count,
        ..Config::default()
    }
}

/// Plays as many sequences as `runner` is configured for, of `length` steps, and tells of the steps of each.
///
/// # Errors
/// A law is broken: which, and the script of a sequence that breaks it.
pub fn sequences<S: Clone + fmt::Debug>(
    mut runner: TestRunner,
    any: impl Strategy<Value = S>,
    length: RangeInclusive<usize>,
    play: fn(&[S]) -> anyhow::Result<Tally>,
    tell: impl Fn(u64),
) -> Result<Tally, String> {
    let total = RefCell::new(Tally::default());
    let outcome = runner.run(&vec(any, length), |steps| {
        let tally = play(&steps).map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
        tell(tally.steps);
        total.borrow_mut().add(&tally);
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(total.into_inner()),
        Err(TestError::Fail(reason, steps)) => {
            let fails =
                |steps: &[S]| !matches!(catch_unwind(AssertUnwindSafe(|| play(steps))), Ok(Ok(_)));
            let steps = shorten(steps, fails);
            Err(format!("a law is broken: {reason}\n\n{}", Script(&steps)))
        }
        Err(TestError::Abort(reason)) => Err(format!("stopped: {reason}")),
    }
}

/// Leaves out of a failing sequence what it fails without: halves first, single steps last. The values of steps
/// stay what they are, so that a few hundred sequences are played and not thousands.
fn shorten<S: Clone>(mut steps: Vec<S>, fails: impl Fn(&[S]) -> bool) -> Vec<S> {
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < steps.len() {
            let mut rest = steps.clone();
            rest.drain(from..steps.len().min(from + size));
            if fails(&rest) {
                steps = rest;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    steps
}

/// A failing sequence as a script, a step on a line.
struct Script<'a, S>(&'a [S]);

impl<S: fmt::Debug> fmt::Display for Script<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in (1..).zip(self.0) {
            writeln!(f, "{number:>3}  {step:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_law_is_told_as_its_shortest_script() {
        fn play(steps: &[u8]) -> anyhow::Result<Tally> {
            let seven = steps.iter().position(|step| *step == 7);
            let broken = seven.is_some_and(|at| steps[at..].contains(&3));
            anyhow::ensure!(!broken, "a three after a seven");
            Ok(Tally::default())
        }
        let runner = TestRunner::new(config(1_000));
        let broken = sequences(runner, 0..10_u8, 1..=50, play, |_| ()).unwrap_err();
        let expected = "a law is broken: a three after a seven\n\n  1  7\n  2  3\n";
        assert_eq!(broken, expected);
    }
}
