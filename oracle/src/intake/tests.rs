use std::sync::{Arc, Mutex};

use alloy::primitives::{Address, Bytes, keccak256};
use alloy::sol_types::{SolEvent, SolValue};
use vouch_abi::{IEscrow, Terms};
use vouch_protocol::Phase;

use super::*;
use crate::store::MarketId;
use crate::store::model::Stage;

/// A chain that tests write. Block `n` hashes its number, its branch and its parent.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

type Change = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Default)]
struct State {
    blocks: Vec<(Header, Vec<RawLog>)>,
    /// The newest block is not told.
    silent: bool,
    /// Endpoints refuse wider ranges.
    max_range: u64,
    /// What happens right after logs were asked for, once.
    after_logs: Option<Change>,
}

impl State {
    fn mine(&mut self, branch: u8, logs: Vec<(Vec<B256>, Bytes)>) {
        let number = self.blocks.len() as u64;
        let parent = self.blocks.last().map_or(B256::ZERO, |(h, _)| h.block.hash);
        let hash = keccak256((number, branch.to_string(), parent).abi_encode());
        let block = BlockRef {
            number,
            hash,
            timestamp: 1_000 + number,
        };
        let logs = logs
            .into_iter()
            .enumerate()
            .map(|(index, (topics, data))| RawLog {
                number,
                hash,
                index: index as u64,
                tx: keccak256(hash),
                topics,
                data,
            });
        self.blocks.push((Header { block, parent }, logs.collect()));
    }

    fn drop_to(&mut self, length: usize) {
        self.blocks.truncate(length);
    }
}

impl Fake {
    fn edit(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Chain for Fake {
    async fn head(&self) -> Result<Header, ChainError> {
        let state = self.0.lock().unwrap();
        let newest = state.blocks.last().filter(|_| !state.silent);
        let newest = newest.map(|(header, _)| *header);
        newest.ok_or(ChainError::Incomplete("newest block"))
    }

    async fn block(&self, number: u64) -> Result<Option<Header>, ChainError> {
        let state = self.0.lock().unwrap();
        Ok(state.blocks.get(number as usize).map(|(header, _)| *header))
    }

    async fn logs(&self, from: u64, to: u64) -> Result<Vec<RawLog>, ChainError> {
        let mut state = self.0.lock().unwrap();
        if state.max_range > 0 && to - from >= state.max_range {
            return Err(ChainError::Incomplete("patience for such a range"));
        }
        let logs = state
            .blocks
            .iter()
            .filter(|(header, _)| (from..=to).contains(&header.block.number))
            .flat_map(|(_, logs)| logs.clone())
            .collect();
        if let Some(change) = state.after_logs.take() {
            change(&mut state);
        }
        Ok(logs)
    }
}

fn order(n: u8) -> B256 {
    B256::with_last_byte(n)
}

fn log(event: &impl SolEvent) -> (Vec<B256>, Bytes) {
    let log = event.encode_log_data();
    (log.topics().to_vec(), log.data.clone())
}

fn placed(n: u8) -> (Vec<B256>, Bytes) {
    log(&IEscrow::OrderPlaced {
        order: order(n),
        buyer: Address::ZERO,
        provider: Address::ZERO,
        terms: Terms::default(),
    })
}

fn accepted(n: u8) -> (Vec<B256>, Bytes) {
    log(&IEscrow::OrderAccepted {
        order: order(n),
        provider: Address::ZERO,
    })
}

fn evidence(n: u8, phase: u8) -> (Vec<B256>, Bytes) {
    log(&IEscrow::EvidenceSubmitted {
        order: order(n),
        phase,
        attempt: 0,
        evidence: B256::with_last_byte(9),
        outputs: B256::ZERO,
        uri: "somewhere".into(),
    })
}

fn started(n: u8) -> (Vec<B256>, Bytes) {
    log(&IEscrow::OrderStarted {
        order: order(n),
        verdict: B256::ZERO,
        sessionKey: B256::ZERO,
        devices: vec![],
    })
}

struct Bench {
    dir: tempfile::TempDir,
    chain: Fake,
    store: Arc<Store>,
    intake: Intake<Fake>,
}

impl Bench {
    fn new(confirmations: u64, finality: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chain = Fake::default();
        chain.edit(|state| state.mine(0, vec![]));
        let (store, intake) = Self::open(dir.path(), &chain, confirmations, finality);
        Self {
            dir,
            chain,
            store,
            intake,
        }
    }

    fn open(
        dir: &std::path::Path,
        chain: &Fake,
        confirmations: u64,
        finality: u64,
    ) -> (Arc<Store>, Intake<Fake>) {
        let market = MarketId {
            chain_id: 31337,
            escrow: Address::ZERO,
        };
        let store = Arc::new(Store::open(dir, market).unwrap());
        let intake = Intake::new(
            chain.clone(),
            Arc::clone(&store),
            1,
            confirmations,
            finality,
        );
        (store, intake)
    }

    fn mine(&self, branch: u8, logs: Vec<(Vec<B256>, Bytes)>) {
        self.chain.edit(|state| state.mine(branch, logs));
    }

    fn stages(&self, n: u8) -> Vec<(Phase, &'static str)> {
        let jobs = self.store.jobs_of(order(n)).unwrap();
        jobs.iter()
            .map(|job| (job.id.phase.0, job.stage.name()))
            .collect()
    }
}

#[tokio::test]
async fn what_was_taken_in_before_a_failure_is_told_after_it() {
    let mut bench = Bench::new(0, 8);
    bench.chain.edit(|state| {
        state.mine(0, vec![placed(1), accepted(1), evidence(1, 1)]);
        state.after_logs = Some(Box::new(|state| state.silent = true));
    });
    bench.intake.catch_up().await.unwrap_err();
    let open = bench.store.open_jobs().unwrap();
    assert_eq!(open.len(), 1, "the block was taken in");
    bench.chain.edit(|state| state.silent = false);
    assert_eq!(bench.intake.catch_up().await.unwrap().touched, open);
    assert!(bench.intake.catch_up().await.unwrap().touched.is_empty());
}

#[tokio::test]
async fn events_become_an_order_and_jobs() {
    let mut bench = Bench::new(0, 64);
    bench.mine(0, vec![placed(1), placed(2)]);
    bench.mine(0, vec![accepted(1), accepted(2)]);
    bench.mine(0, vec![evidence(1, 1)]);
    let progress = bench.intake.catch_up().await.unwrap();
    assert_eq!(progress.touched.len(), 1);
    assert_eq!(progress.head.unwrap().number, 3);
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
    let job = bench.store.jobs_of(order(1)).unwrap().remove(0);
    assert_eq!(
        job.block.timestamp, 1_003,
        "the announcement's block gives the time"
    );
    bench.mine(0, vec![started(1), evidence(1, 2)]);
    bench.intake.catch_up().await.unwrap();
    assert_eq!(
        bench.stages(1),
        [(Phase::Start, "final"), (Phase::Finish, "seen")]
    );
    let facts = bench.store.facts(order(1)).unwrap();
    let order = facts::Order::from_facts(order(1), &facts).unwrap();
    assert_eq!(order.challenge_block(Phase::Start).unwrap().number, 2);
    assert_eq!(order.challenge_block(Phase::Finish).unwrap().number, 4);
    assert!(bench.intake.catch_up().await.unwrap().touched.is_empty());
}

#[tokio::test]
async fn malformed_events_are_counted_and_passed_over() {
    let mut bench = Bench::new(0, 64);
    let (topics, _) = evidence(1, 1);
    let cut = (topics.clone(), Bytes::from_static(&[1, 2, 3]));
    let unknown = (vec![B256::repeat_byte(5)], Bytes::new());
    let bare = (vec![], Bytes::new());
    bench.mine(
        0,
        vec![
            cut,
            unknown,
            bare,
            evidence(1, 4),
            placed(1),
            accepted(1),
            evidence(1, 1),
        ],
    );
    let progress = bench.intake.catch_up().await.unwrap();
    assert_eq!(progress.malformed, 4);
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
}

#[tokio::test]
async fn a_reorganisation_takes_jobs_away_and_brings_others() {
    let mut bench = Bench::new(0, 64);
    bench.mine(0, vec![placed(1)]);
    bench.intake.catch_up().await.unwrap();
    bench.mine(0, vec![accepted(1), evidence(1, 1)]);
    bench.intake.catch_up().await.unwrap();
    bench.mine(0, vec![started(1)]);
    bench.intake.catch_up().await.unwrap();
    assert_eq!(bench.stages(1), [(Phase::Start, "final")]);
    let before = bench.store.facts(order(1)).unwrap();

    // The same announcement a block later, on another branch.
    bench.chain.edit(|state| {
        state.drop_to(2);
        state.mine(1, vec![accepted(1)]);
        state.mine(1, vec![evidence(1, 1)]);
        state.mine(1, vec![]);
    });
    let progress = bench.intake.catch_up().await.unwrap();
    assert_eq!(progress.reorganisations, 1);
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
    let job = bench.store.jobs_of(order(1)).unwrap().remove(0);
    assert_eq!(job.block.number, 3);
    let after = bench.store.facts(order(1)).unwrap();
    assert_eq!(after.len(), 3);
    assert_ne!(
        before[1].block.hash, after[1].block.hash,
        "another challenge"
    );
}

#[tokio::test]
async fn a_decision_that_is_reorganised_away_opens_the_job_again() {
    let mut bench = Bench::new(0, 64);
    bench.mine(0, vec![placed(1), accepted(1), evidence(1, 1)]);
    bench.intake.catch_up().await.unwrap();
    bench.mine(0, vec![started(1)]);
    bench.intake.catch_up().await.unwrap();
    bench.chain.edit(|state| {
        state.drop_to(2);
        state.mine(1, vec![]);
    });
    let progress = bench.intake.catch_up().await.unwrap();
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
    assert!(!progress.touched.is_empty(), "it is driven again");
}

#[tokio::test]
async fn a_reorganisation_while_reading_is_read_again() {
    let mut bench = Bench::new(0, 64);
    bench.mine(0, vec![placed(1), accepted(1), evidence(1, 1)]);
    bench.chain.edit(|state| {
        state.after_logs = Some(Box::new(|state: &mut State| {
            state.drop_to(1);
            state.mine(1, vec![placed(2), accepted(2), evidence(2, 1)]);
        }));
    });
    bench.intake.catch_up().await.unwrap();
    assert!(bench.stages(1).is_empty());
    assert_eq!(bench.stages(2), [(Phase::Start, "seen")]);
}

#[tokio::test]
async fn a_restart_goes_on_from_the_cursor() {
    let mut bench = Bench::new(0, 64);
    bench.mine(0, vec![placed(1), accepted(1)]);
    bench.intake.catch_up().await.unwrap();
    let Bench {
        dir,
        chain,
        store,
        intake,
    } = bench;
    drop((store, intake));
    chain.edit(|state| state.mine(0, vec![evidence(1, 1)]));
    let (store, mut intake) = Bench::open(dir.path(), &chain, 0, 64);
    let progress = intake.catch_up().await.unwrap();
    assert_eq!(progress.touched.len(), 1);
    assert_eq!(store.facts(order(1)).unwrap().len(), 3);
}

#[tokio::test]
async fn ranges_shrink_to_what_the_endpoint_allows() {
    let mut bench = Bench::new(0, 64);
    bench.mine(0, vec![placed(1), accepted(1)]);
    for _ in 0..50 {
        bench.mine(0, vec![]);
    }
    bench.mine(0, vec![evidence(1, 1)]);
    bench.chain.edit(|state| state.max_range = 3);
    bench.intake.catch_up().await.unwrap();
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
    assert_eq!(bench.store.cursor().unwrap().unwrap().number, 52);
}

#[tokio::test]
async fn blocks_wait_for_their_confirmations() {
    let mut bench = Bench::new(2, 64);
    bench.mine(0, vec![placed(1), accepted(1), evidence(1, 1)]);
    bench.mine(0, vec![]);
    bench.intake.catch_up().await.unwrap();
    assert!(bench.stages(1).is_empty());
    bench.mine(0, vec![]);
    bench.intake.catch_up().await.unwrap();
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
}

#[tokio::test]
async fn a_reorganisation_deeper_than_finality_stops_intake() {
    let mut bench = Bench::new(0, 3);
    for _ in 0..10 {
        bench.mine(0, vec![]);
        bench.intake.catch_up().await.unwrap();
    }
    bench.chain.edit(|state| {
        state.drop_to(2);
        (0..10).for_each(|_| state.mine(1, vec![]));
    });
    let error = bench.intake.catch_up().await.unwrap_err();
    assert!(
        matches!(error, IntakeError::TooDeep { finality: 3 }),
        "{error}"
    );
    assert!(error.to_string().contains("chain.finality"));
}

#[tokio::test]
async fn an_endpoint_that_lags_is_not_a_reorganisation() {
    let mut bench = Bench::new(0, 64);
    bench.mine(0, vec![placed(1), accepted(1), evidence(1, 1)]);
    bench.mine(0, vec![]);
    bench.intake.catch_up().await.unwrap();
    let cut = bench.chain.0.lock().unwrap().blocks.pop().unwrap();
    // The store's newest checkpoint the endpoint could know is the genesis range's end.
    let error = bench.intake.catch_up().await.unwrap_err();
    assert!(matches!(error, IntakeError::Behind { .. }), "{error}");
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
    bench.chain.edit(|state| state.blocks.push(cut));
    bench.intake.catch_up().await.unwrap();
    assert_eq!(bench.stages(1), [(Phase::Start, "seen")]);
    let stage = bench.store.jobs_of(order(1)).unwrap().remove(0).stage;
    assert_eq!(stage, Stage::Seen);
}
