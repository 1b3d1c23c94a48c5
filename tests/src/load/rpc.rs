//! JSON-RPC over HTTP in front of the chain in memory, on a thread of its own, whose time is known.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::{SolCall, SolValue};
use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use vouch_abi::IAttestation;

use super::chain::{Block, Chain, placed};
use super::process;

/// What every contract's code is on this chain.
pub(super) const CODE: &[u8] = b"vouch/load";
/// Wei per gas.
const BASE_FEE: u64 = 100_000_000;

/// What the server answers from.
#[derive(Debug)]
pub(super) struct Shown {
    /// The chain.
    pub(super) chain: Arc<Mutex<Chain>>,
    /// Its escrow.
    pub(super) escrow: Address,
    /// How many operators must sign. Everybody is one.
    pub(super) quorum: u16,
    /// What placed every order.
    pub(super) place: Bytes,
}

/// A running server. It ends with the process.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    thread: u32,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: &'a serde_json::value::RawValue,
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(default)]
    params: Value,
}

impl Server {
    /// Starts it.
    pub(super) fn start(shown: Shown) -> Result<Self> {
        let (ready, listening) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let served = runtime.map(|runtime| {
                runtime.block_on(async {
                    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                    let listener = tokio::net::TcpListener::bind(address).await?;
                    let _ = ready.send((listener.local_addr()?, process::own_thread()));
                    let app = Router::new()
                        .route("/{sender}", post(answer))
                        .with_state(Arc::new(shown));
                    axum::serve(listener, app).await
                })
            });
            if let Ok(Err(error)) = served {
                eprintln!("the stubbed chain stopped: {error}");
            }
        });
        let (address, thread) = listening.recv().context("the stubbed chain")?;
        Ok(Self {
            address,
            thread: thread?,
        })
    }

    /// The endpoint of an account, which sends its transactions there.
    pub(super) fn url(&self, sender: Address) -> String {
        format!("http://{}/{sender}", self.address)
    }

    /// Seconds of a core that it has used.
    pub(super) fn cpu(&self) -> Result<f64> {
        process::cpu(&format!("/proc/self/task/{}/stat", self.thread))
    }
}

async fn answer(
    State(shown): State<Arc<Shown>>,
    Path(sender): Path<Address>,
    body: String,
) -> String {
    if let Ok(requests) = serde_json::from_str::<Vec<Request>>(&body) {
        let answers = requests.iter().map(|request| shown.answer(sender, request));
        return format!("[{}]", answers.collect::<Vec<_>>().join(","));
    }
    match serde_json::from_str::<Request>(&body) {
        Ok(request) => shown.answer(sender, &request),
        Err(_) => r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"malformed"}}"#
            .to_owned(),
    }
}

impl Shown {
    fn answer(&self, sender: Address, request: &Request<'_>) -> String {
        let id = request.id;
        match self.result(sender, &request.method, &request.params) {
            Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
            Err(error) => {
                let message = serde_json::json!(format!("{error:#}"));
                format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":{message}}}}}"#
                )
            }
        }
    }

    fn result(&self, sender: Address, method: &str, params: &Value) -> Result<String> {
        let text = |index: usize| params[index].as_str().context("a parameter");
        let chain = || self.chain.lock();
        Ok(match method {
            "eth_chainId" => "\"0x7a69\"".to_owned(),
            "eth_blockNumber" => format!("\"{:#x}\"", chain().head()),
            "eth_getCode" => format!("\"{}\"", Bytes::from_static(CODE)),
            "eth_getBalance" => "\"0xde0b6b3a7640000\"".to_owned(),
            "eth_gasPrice" => format!("\"{BASE_FEE:#x}\""),
            "eth_maxPriorityFeePerGas" => "\"0x0\"".to_owned(),
            "eth_feeHistory" => {
                let fees = vec![format!("\"{BASE_FEE:#x}\""); 11].join(",");
                format!(
                    r#"{{"oldestBlock":"0x0","baseFeePerGas":[{fees}],"gasUsedRatio":[0,0,0,0,0,0,0,0,0,0],"reward":[["0x0"],["0x0"],["0x0"],["0x0"],["0x0"],["0x0"],["0x0"],["0x0"],["0x0"],["0x0"]]}}"#
                )
            }
            "eth_estimateGas" => {
                chain().check(&calldata(&params[0])?)?;
                "\"0x30d40\"".to_owned()
            }
            "eth_getBlockByNumber" => {
                let chain = chain();
                let number = match text(0)? {
                    "latest" | "pending" => chain.head(),
                    "earliest" => 0,
                    hex => quantity(hex)?,
                };
                chain
                    .block(number)
                    .map_or("null".to_owned(), |block| header(number, block))
            }
            "eth_getLogs" => {
                let filter = &params[0];
                let bound = |key: &str| quantity(filter[key].as_str().context("a range")?);
                let (from, to) = (bound("fromBlock")?, bound("toBlock")?);
                // Other contracts are silent here.
                match filter["address"].as_str() {
                    Some(address) if address.parse::<Address>()? == self.escrow => {
                        chain().logs(from, to)
                    }
                    _ => "[]".to_owned(),
                }
            }
            "eth_call" => {
                format!("\"{}\"", self.call(&calldata(&params[0])?)?)
            }
            "eth_getTransactionByHash" => {
                let hash: B256 = text(0)?.parse()?;
                match chain().state(&hash) {
                    0 => "null".to_owned(),
                    _ => placed(hash, self.escrow, &self.place),
                }
            }
            "eth_getTransactionCount" => {
                let account: Address = text(0)?.parse()?;
                format!("\"{:#x}\"", chain().nonce(account))
            }
            "eth_sendRawTransaction" => {
                let raw: Bytes = text(0)?.parse()?;
                format!("\"{}\"", chain().send(sender, &raw)?)
            }
            "eth_getTransactionReceipt" => {
                let hash: B256 = text(0)?.parse()?;
                let chain = chain();
                match chain.receipt(&hash) {
                    None => "null".to_owned(),
                    Some((number, succeeded, sender)) => {
                        let block = chain.block(number).context("its block")?.hash;
                        format!(
                            r#"{{"type":"0x2","status":"{:#x}","transactionHash":"{hash}","transactionIndex":"0x0","blockHash":"{block}","blockNumber":"{number:#x}","from":"{sender:#x}","to":"{:#x}","cumulativeGasUsed":"0x1","gasUsed":"0x1","effectiveGasPrice":"0x1","contractAddress":null,"logs":[],"logsBloom":"{}"}}"#,
                            u8::from(succeeded),
                            self.escrow,
                            alloy::primitives::Bloom::ZERO,
                        )
                    }
                }
            }
            other => bail!("{other} is not stubbed"),
        })
    }

    fn call(&self, input: &[u8]) -> Result<Bytes> {
        let selector = input.first_chunk::<4>().context("no selector")?;
        Ok(match *selector {
            IAttestation::quorumCall::SELECTOR => U256::from(self.quorum).abi_encode().into(),
            IAttestation::weightOfCall::SELECTOR => U256::from(1).abi_encode().into(),
            IAttestation::isOperatorCall::SELECTOR => true.abi_encode().into(),
            other => bail!("call {} is not stubbed", Bytes::from(other.to_vec())),
        })
    }
}

fn calldata(call: &Value) -> Result<Bytes> {
    let input = call.get("input").or_else(|| call.get("data"));
    Ok(input.and_then(Value::as_str).context("calldata")?.parse()?)
}

fn quantity(hex: &str) -> Result<u64> {
    let digits = hex.strip_prefix("0x").context("a quantity")?;
    u64::from_str_radix(digits, 16).context("a quantity")
}

fn header(number: u64, block: &Block) -> String {
    let Block {
        hash,
        parent,
        timestamp,
        ..
    } = block;
    let zero = B256::ZERO;
    format!(
        r#"{{"number":"{number:#x}","hash":"{hash}","parentHash":"{parent}","timestamp":"{timestamp:#x}","sha3Uncles":"{zero}","miner":"{:#x}","stateRoot":"{zero}","transactionsRoot":"{zero}","receiptsRoot":"{zero}","logsBloom":"{}","difficulty":"0x0","gasLimit":"0x1c9c380","gasUsed":"0x0","extraData":"0x","mixHash":"{zero}","nonce":"0x0000000000000000","baseFeePerGas":"{BASE_FEE:#x}","size":"0x1","uncles":[],"transactions":[]}}"#,
        Address::ZERO,
        alloy::primitives::Bloom::ZERO,
    )
}
