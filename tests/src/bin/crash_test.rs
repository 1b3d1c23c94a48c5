//! Kills the oracle at random points while orders flow; see `scripts/crash-test`.

use std::process::ExitCode;

use clap::Parser;
use vouch_tests::oracle::crash::{Settings, Where, run};

/// Kills the oracle at random points while orders flow on a local chain, and checks that every order
/// has one verdict for each phase and one payment.
#[derive(Debug, Parser)]
struct Args {
    /// How many times a daemon is killed.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// `private`: two daemons on a `PostgreSQL` server of the test's own, which is crashed too; a
    /// postgres:// address: two daemons on an empty database there. By default one daemon with an
    /// embedded database.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Orders at a time.
    #[arg(long, default_value_t = 3)]
    lanes: usize,
    /// Where the random points come from.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let settings = Settings {
        kills: args.kills,
        lanes: args.lanes,
        seed: args.seed.unwrap_or_else(rand::random),
        store: match args.store {
            None => Where::Embedded,
            Some(url) if url == "private" => Where::Private,
            Some(url) => Where::Url(url),
        },
    };
    match run(&settings).await {
        Ok(Some(outcome)) => {
            let report = outcome.report;
            println!(
                "{} kills, {} crashes of the database server, seed {}, {:.0} s: {} orders settled, {} refunded, \
                 {} verdicts, each once; {} transactions failed; nothing stuck",
                outcome.kills,
                outcome.server_crashes,
                settings.seed,
                outcome.took.as_secs_f64(),
                report.settled,
                report.refunded,
                report.verdicts,
                report.failed
            );
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}\nseed {}", settings.seed);
            ExitCode::FAILURE
        }
    }
}
