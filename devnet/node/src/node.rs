//! A running node: the chain's thread, the clock of interval mining, and the server.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};

use tokio::{
    net::TcpListener,
    sync::{broadcast, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    accounts::Accounts,
    chain::{Chain, Event},
    config::{Config, Mining},
    rpc,
};

/// News kept for a subscriber that is slow to take them.
const EVENT_BACKLOG: usize = 4096;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The mnemonic or the derivation path is not valid.
    #[error("cannot derive accounts from mnemonic and derivation path `{path}`: {source}")]
    Accounts {
        /// The path.
        path: String,
        /// What is wrong.
        source: alloy::signers::local::LocalSignerError,
    },
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The state to start from cannot be read.
    #[error("cannot load state from {path}: {reason}")]
    State {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no thread.
    #[error("cannot start the chain's thread: {0}")]
    Thread(std::io::Error),
}

/// The chain has stopped, or failed at this request.
#[derive(Debug, thiserror::Error)]
#[error("the chain failed at this request")]
pub struct ChainFailed;

type Job = Box<dyn FnOnce(&mut Chain) + Send>;

/// Access to the chain, which lives on a thread of its own: execution takes long, and must not
/// hold up the connections.
#[derive(Clone, Debug)]
pub struct ChainHandle {
    jobs: mpsc::Sender<Job>,
    events: broadcast::Sender<Event>,
}

impl ChainHandle {
    fn start(chain: Chain) -> Result<Self, StartError> {
        let events = chain.events().clone();
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || {
            let mut chain = chain;
            for job in queue {
                // A bug met by one request must not end the node for all.
                if catch_unwind(AssertUnwindSafe(|| job(&mut chain))).is_err() {
                    tracing::error!("a request made the chain's thread panic");
                }
            }
        };
        thread::Builder::new()
            .name("chain".into())
            .spawn(run)
            .map_err(StartError::Thread)?;
        Ok(Self { jobs, events })
    }

    /// Runs `job` on the chain's thread, after those that came before.
    ///
    /// # Errors
    /// The job panicked, or the thread is gone.
    pub async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Chain) -> R + Send + 'static,
    ) -> Result<R, ChainFailed> {
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(move |chain| {
            // The client may have left meanwhile.
            let _ = answer.send(job(chain));
        });
        self.jobs.send(job).map_err(|_| ChainFailed)?;
        wait.await.map_err(|_| ChainFailed)
    }

    /// News from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// Starts nodes.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node and returns when it answers requests. It stops when the handle is dropped.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn spawn(config: Config) -> Result<NodeHandle, StartError> {
        let accounts = Accounts::derive(&config.mnemonic, &config.derivation_path, config.accounts)
            .map_err(|source| StartError::Accounts {
                path: config.derivation_path.clone(),
                source,
            })?;
        let address = SocketAddr::new(config.host, config.port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| StartError::Listen { address, source })?;

        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let (mining, mining_changes) = watch::channel(config.mining);
        let mut chain = Chain::new(&config, accounts.clone(), events, mining);
        if let Some(path) = &config.load_state {
            let shown = path.display().to_string();
            let document = std::fs::read(path).map_err(|error| StartError::State {
                path: shown.clone(),
                reason: error.to_string(),
            })?;
            chain.load(&document).map_err(|error| StartError::State {
                path: shown,
                reason: error.to_string(),
            })?;
        }
        let chain = ChainHandle::start(chain)?;
        let ticker = tokio::spawn(tick(chain.clone(), mining_changes));
        let server = tokio::spawn(rpc::serve(listener, chain.clone()));
        Ok(NodeHandle {
            address,
            accounts,
            chain,
            tasks: vec![ticker, server],
        })
    }
}

/// Makes a block per interval for as long as that is the way of mining.
async fn tick(chain: ChainHandle, mut mining: watch::Receiver<Mining>) {
    loop {
        let now = *mining.borrow_and_update();
        let changed = match now {
            Mining::Interval(interval) => tokio::select! {
                changed = mining.changed() => changed,
                () = tokio::time::sleep(interval) => {
                    if chain.run(|chain| chain.mine()).await.is_err() {
                        tracing::error!("a block could not be made");
                    }
                    Ok(())
                }
            },
            Mining::Auto | Mining::Manual => mining.changed().await,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// A running node. Dropping it stops the node.
#[derive(Debug)]
pub struct NodeHandle {
    address: SocketAddr,
    accounts: Accounts,
    chain: ChainHandle,
    tasks: Vec<JoinHandle<()>>,
}

impl NodeHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where HTTP clients connect.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where WebSocket clients connect.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The accounts it holds keys of.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The chain.
    pub fn chain(&self) -> &ChainHandle {
        &self.chain
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
