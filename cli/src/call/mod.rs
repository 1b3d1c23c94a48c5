//! `vouch call`: asks a model behind an API, once it is certain who answers.
//!
//! The endpoint's key must be the signing key that the order's evidence binds to the hardware, and that
//! evidence must be what the order's start verdict was given for. Nothing is sent before.

mod tls;

use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::B256;
use alloy::signers::Signer;
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, anyhow, ensure};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use clap::Args;
use serde_json::json;
use vouch_client::call::{ANSWER_SIGNATURE, Ask, SEQUENCE, SIGNATURE, answered, message};
use vouch_client::{Market, State};
use vouch_evidence::Anchors;

use crate::chain::{ChainArgs, SignerArgs};
use crate::output::{Exit, Failure, Format, Report};
use crate::receipt::proof;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of the largest answer.
const MAX_ANSWER: usize = 64 << 20;

/// `call`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch call 0x91ab… --endpoint https://10.0.0.7:8443 --evidence http://127.0.0.1:8640 --input texts.txt
  vouch call 0x91ab… --endpoint https://10.0.0.7:8443 --evidence dir:evidence --end

Refused, and nothing sent, where the order does not run, its evidence does not verify, or the endpoint's key is
not the one that the hardware vouched for. An answer is shown only with the session's signature.
Exit status: 0 answered, 1 refused, 64 bad usage.")]
pub struct Call {
    /// The order whose session answers.
    order: B256,
    /// Where the session listens.
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// Where the order's evidence is: dir:PATH, or the base of an operator's server.
    #[arg(long, value_name = "SOURCE")]
    evidence: String,
    /// File with the request.
    #[arg(long, value_name = "FILE", required_unless_present = "end")]
    input: Option<PathBuf>,
    /// Ask for nothing more: the session goes on to its end.
    #[arg(long, conflicts_with = "input")]
    end: bool,
    /// Number of the call; each above the one before [default: milliseconds since 1970].
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// Also trust the simulator's roots. Its keys are public: this proves nothing.
    #[arg(long)]
    trust_simulator: bool,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

impl Call {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        self.format.emit(run(&self).await)
    }
}

async fn run(args: &Call) -> Result<Report, Failure> {
    let (ask, request) = match &args.input {
        Some(path) => {
            let read = std::fs::read(path);
            let read = read.with_context(|| format!("reading --input {}", path.display()));
            (Ask::Infer, read.map_err(Failure::Usage)?)
        }
        None => (Ask::End, Vec::new()),
    };
    let market = args.chain.market().await?;
    let signer = args.signer.signer(market.chain_id)?;
    let anchors = match args.trust_simulator {
        true => crate::verify::simulator_anchors().map_err(|rejection| anyhow!("{rejection}"))?,
        false => Anchors::vendor(),
    };
    let key = attested_key(&market, args.order, &args.evidence, &anchors).await?;
    let sequence = args.sequence.unwrap_or_else(milliseconds);
    let endpoint = Endpoint {
        url: args.endpoint.trim_end_matches('/'),
        key,
        order: args.order,
    };
    let answer = endpoint.ask(ask, &signer, sequence, request).await?;
    let mut json = json!({ "order": args.order, "session_signing_key": key, "sequence": sequence });
    if ask == Ask::End {
        json["ended"] = true.into();
        return Ok(Report::new(json, "the session goes on to its end\n"));
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    json["answer"] = text.clone().into();
    json["answer_hex"] = hex::encode(&answer.body).into();
    json["signature"] = hex::encode(&answer.signature).into();
    Ok(Report::new(json, text))
}

fn milliseconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The signing key of the session that an order runs in, from chain and evidence.
///
/// # Errors
/// Where the order does not run, or chain and evidence do not fit together.
pub(crate) async fn attested_key(
    market: &Market,
    order: B256,
    source: &str,
    anchors: &Anchors,
) -> Result<B256> {
    let state = market.record(order).await?.state;
    ensure!(
        state == State::Running,
        "order {order}: expected it to run, found it {state}"
    );
    let claims = proof::check_start(market, order, source, anchors).await?;
    Ok(claims.statement.signing_key)
}

/// A session behind an API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint<'a> {
    /// Its address, https.
    pub(crate) url: &'a str,
    /// Its attested signing key.
    pub(crate) key: B256,
    /// Its order.
    pub(crate) order: B256,
}

/// What a session said, under its signature.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    signature: Vec<u8>,
}

impl Endpoint<'_> {
    /// Asks the session that has the key, and no other.
    ///
    /// # Errors
    /// Where another key answers, the session refuses, or an answer lacks the session's signature.
    pub(crate) async fn ask(
        &self,
        ask: Ask,
        signer: &PrivateKeySigner,
        sequence: u64,
        request: Vec<u8>,
    ) -> Result<Answer> {
        let signature = signer
            .sign_message(&message(self.order, sequence, ask, &request))
            .await?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::pinned(self.key)?)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            // What stands in between could not answer with the key anyway.
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        let url = format!("{}{}", self.url, ask.path());
        let sent = http
            .post(&url)
            .header(SEQUENCE, sequence.to_string())
            .header(SIGNATURE, hex::encode(signature.as_bytes()))
            .body(request.clone())
            .send()
            .await;
        let mut answer = sent.with_context(|| format!("{url}: nothing was asked"))?;
        let status = answer.status();
        let told = answer.headers().get(ANSWER_SIGNATURE);
        let told = told.and_then(|value| hex::decode(value.as_bytes()).ok());
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.with_context(|| url.clone())? {
            ensure!(
                body.len() + part.len() <= MAX_ANSWER,
                "{url}: expected at most {MAX_ANSWER} bytes"
            );
            body.extend_from_slice(&part);
        }
        ensure!(
            status.is_success(),
            "{url}: {status}: {}",
            String::from_utf8_lossy(&body).trim()
        );
        if ask == Ask::End {
            let signature = Vec::new();
            return Ok(Answer { body, signature });
        }
        let signature = told.with_context(|| {
            format!("{url}: expected the header {ANSWER_SIGNATURE}, found none")
        })?;
        let signed = answered(self.order, sequence, &request, &body);
        UnparsedPublicKey::new(&ED25519, self.key.as_slice())
            .verify(&signed, &signature)
            .map_err(|_| anyhow!("{url}: the answer lacks the session's signature"))?;
        Ok(Answer { body, signature })
    }
}
