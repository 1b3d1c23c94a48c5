//! Plays random sequences of steps against the contracts' rules, then against the contracts on test machines
//! and on the chain's, until enough steps were played. A sequence that breaks a law is shrunk and printed as a script.

use std::fmt;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use clap::Parser;
use proptest::strategy::Strategy;
use proptest::test_runner::TestRunner;
use vouch_laws::market::Market;
use vouch_laws::play::{Tally, play};
use vouch_laws::random::{config, sequences};
use vouch_laws::rules::Rules;
use vouch_laws::stakes;
use vouch_laws::step::any_step;
use vouch_laws::testvm::Machines;
use vouch_laws::world::World;

/// Sequences between two looks at how many steps were played.
const AT_ONCE: u32 = 16;

/// Plays random steps against the contracts and their rules, and compares each with a reference model.
#[derive(Debug, Parser)]
struct Args {
    /// Steps to play on the rules alone, at least.
    #[arg(long, default_value_t = 200_000)]
    steps: u64,
    /// Steps to play on the contracts, each on a `TestVM`, at least.
    #[arg(long, default_value_t = 20_000)]
    testvm_steps: u64,
    /// Steps to play on the contracts as a chain runs them, at least; each takes milliseconds.
    #[arg(long, default_value_t = 10_000)]
    contract_steps: u64,
    /// Steps of one sequence, at most.
    #[arg(long, default_value_t = 120)]
    length: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let held = run::<Rules>("rules", args.steps, args.length)
        && run::<Machines>("TestVM", args.testvm_steps, args.length)
        && run_with(
            "bonds",
            args.testvm_steps,
            args.length,
            stakes::any_step,
            stakes::play,
        )
        && run::<Market>("contracts", args.contract_steps, args.length);
    if held {
        println!("No law was broken.");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// Whether the laws hold in so many steps, shared by the processors; says what happened.
fn run<W: World>(name: &str, steps: u64, length: usize) -> bool {
    run_with(name, steps, length, any_step, play::<W>)
}

/// The same of any kind of steps.
fn run_with<A: Strategy<Value: Clone + fmt::Debug>>(
    name: &str,
    steps: u64,
    length: usize,
    any: fn() -> A,
    play: fn(&[A::Value]) -> anyhow::Result<Tally>,
) -> bool {
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let share = steps.div_ceil(threads);
    let played = AtomicU64::new(0);
    let tell = |more: u64| {
        let before = played.fetch_add(more, Ordering::Relaxed);
        let tenths = |played: u64| played * 10 / steps.max(1);
        if (1..10).contains(&tenths(before + more)) && tenths(before) < tenths(before + more) {
            eprintln!("{name}: {} of {steps} steps", before + more);
        }
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| share_of(share, length, any, play, &tell)))
            .collect();
        let join = |thread: ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    });
    let mut total = Tally::default();
    for outcome in outcomes {
        match outcome {
            Ok(tally) => total.add(&tally),
            Err(broken) => {
                eprintln!("{name}: {broken}");
                return false;
            }
        }
    }
    let Tally {
        steps,
        effective,
        placed,
        settled,
        refunded,
        disputed,
        refused_verdicts,
    } = total;
    println!(
        "{name}: {steps} steps, {effective} of them with effect, {:.0} s on {threads} processors.",
        started.elapsed().as_secs_f64()
    );
    if placed > 0 {
        println!(
            "{name}: {placed} orders placed: {settled} paid, {refunded} refunded, {disputed} disputed before; {refused_verdicts} verdicts refused."
        );
    }
    true
}

/// Plays sequences until there were so many steps, telling of those of each, or one breaks a law: then its script.
fn share_of<A: Strategy<Value: Clone + fmt::Debug>>(
    steps: u64,
    length: usize,
    any: fn() -> A,
    play: fn(&[A::Value]) -> anyhow::Result<Tally>,
    tell: &impl Fn(u64),
) -> Result<Tally, String> {
    let mut total = Tally::default();
    while total.steps < steps {
        let runner = TestRunner::new(config(AT_ONCE));
        total.add(&sequences(runner, any(), 1..=length, play, tell)?);
    }
    Ok(total)
}
