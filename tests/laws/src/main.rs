//! Plays random sequences of steps against the contracts until enough steps were played. A sequence
//! that breaks a law is shrunk and printed as a script.

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use vouch_laws::play::{Tally, play};
use vouch_laws::step::{Script, any_step};

/// Sequences between two looks at how many steps were played.
const AT_ONCE: u32 = 16;

/// Plays random steps against the contracts and a reference model, and compares after each.
#[derive(Debug, Parser)]
struct Args {
    /// Steps to play, at least.
    #[arg(long, default_value_t = 20_000)]
    steps: u64,
    /// Steps of one sequence, at most.
    #[arg(long, default_value_t = 120)]
    length: usize,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let started = Instant::now();
    let total = RefCell::new(Tally::default());
    let mut sequences = 0;
    let mut shown = 0;
    while total.borrow().steps < args.steps {
        sequences += u64::from(AT_ONCE);
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            max_shrink_iters: 20_000,
            cases: AT_ONCE,
            ..Config::default()
        });
        let outcome = runner.run(&vec(any_step(), 1..=args.length), |steps| {
            let tally = play(&steps).map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
            total.borrow_mut().add(&tally);
            Ok(())
        });
        if let Err(error) = outcome {
            match error {
                TestError::Fail(reason, steps) => {
                    eprintln!("A law is broken: {reason}\n\n{}", Script(&steps));
                }
                TestError::Abort(reason) => eprintln!("stopped: {reason}"),
            }
            return Ok(ExitCode::FAILURE);
        }
        let steps = total.borrow().steps;
        if steps / 100_000 > shown {
            shown = steps / 100_000;
            eprintln!("{steps} steps, {:.0} s", started.elapsed().as_secs_f64());
        }
    }
    let Tally {
        steps,
        effective,
        placed,
        settled,
        refunded,
        refused_verdicts,
    } = total.into_inner();
    println!(
        "{steps} steps in {sequences} sequences, {effective} of them with effect, {:.0} s.\n\
         {placed} orders placed: {settled} paid, {refunded} refunded; {refused_verdicts} verdicts refused.\n\
         No law was broken.",
        started.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}
