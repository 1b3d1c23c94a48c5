//! `vouch order`: one job, from its price in escrow to its payment or refund.

mod dispute;
mod place;
mod progress;
mod view;

use alloy::primitives::{B256, TxHash};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vouch_client::{Placed, State};

use crate::chain::{ChainArgs, SignerArgs};
use crate::output::{Exit, Format};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Escrow the price of a job that combines published offers (buyer).
    Place(Box<place::Place>),
    /// Take an order and lock its bond (provider).
    #[command(
        after_help = "Example:\n  vouch order accept 0x91ab… --keystore provider.json --password-file secret"
    )]
    Accept(OrderArgs),
    /// Announce an evidence bundle (provider).
    Evidence(progress::Evidence),
    /// One order.
    Show(ShowArgs),
    /// Orders placed so far.
    List(view::List),
    /// Pay for more seconds of compute before the order has finished (anyone).
    TopUp(progress::TopUp),
    /// Take back the money once a deadline has passed (anyone).
    #[command(
        after_help = "Example:\n  vouch order refund 0x91ab… --keystore buyer.json --password-file secret"
    )]
    Refund(OrderArgs),
    /// Pay a finished order once its challenge window has closed (anyone).
    #[command(
        after_help = "Example:\n  vouch order settle 0x91ab… --keystore owner.json --password-file secret"
    )]
    Settle(OrderArgs),
    /// Freeze the payment of a finished order until its verdict was looked at again (anyone).
    Dispute(dispute::Dispute),
    /// Decide a dispute (its resolver).
    Resolve(dispute::Resolve),
    /// Free what an ended order has reserved of its policies' output and did not need (anyone).
    #[command(
        after_help = "Example:\n  vouch order release 0x91ab… --keystore owner.json --password-file secret"
    )]
    Release(OrderArgs),
    /// Collect what transfers could not deliver, and operators' fees.
    Withdraw(progress::Withdraw),
}

/// A command that changes one order.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Order id.
    order: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

/// `order show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch order show 0x91ab…")]
pub struct ShowArgs {
    /// Order id.
    order: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Place(args) => args.format.emit(place::run(&args).await),
            Self::Accept(args) => args.format.emit(progress::accept(&args).await),
            Self::Evidence(args) => args.format.emit(progress::evidence(&args).await),
            Self::Show(args) => args.format.emit(view::show(&args).await),
            Self::List(args) => args.format.emit(view::list(&args).await),
            Self::TopUp(args) => args.format.emit(progress::top_up(&args).await),
            Self::Release(args) => args.format.emit(progress::release(&args).await),
            Self::Refund(args) => args.format.emit(progress::refund(&args).await),
            Self::Settle(args) => args.format.emit(progress::settle(&args).await),
            Self::Dispute(args) => args.format.emit(dispute::open(&args).await),
            Self::Resolve(args) => args.format.emit(dispute::resolve(&args).await),
            Self::Withdraw(args) => args.format.emit(progress::withdraw(&args).await),
        }
    }
}

/// What a step of an order reports.
fn step_json(placed: &Placed, state: State, transaction: TxHash) -> Value {
    json!({ "order": placed.order, "state": state.name(), "transaction": transaction })
}
