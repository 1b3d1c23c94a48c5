//! Endpoints that lag or lie are found out by the others, and left.

use std::time::Duration;

use alloy::primitives::B256;
use alloy::providers::Provider;
use anyhow::{Context, Result};
use vouch_client::State;
use vouch_protocol::Phase;
use vouch_simulator::Session;
use vouch_tests::oracle::audit;
use vouch_tests::oracle::daemon::{Daemon, Plan, tail};
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::oracle::lane::{Done, Lane, inputs};
use vouch_tests::oracle::mirror::{Mirror, Shows};

/// How long a daemon may take to find something out.
const LIMIT: Duration = Duration::from_secs(60);

struct Rig {
    fair: Fair,
    lane: Lane,
    mirror: Mirror,
    plan: Plan,
    daemon: Daemon,
    orders: Vec<Done>,
}

impl Rig {
    /// A daemon that asks a mirror first, then `others` honest endpoints, and has decided an order.
    async fn new(others: usize) -> Result<Self> {
        let size = Size {
            operators: 1,
            quorum: 1,
            lanes: 1,
        };
        let (fair, mut lanes) = Fair::open(size).await?;
        let mirror = Mirror::start(fair.node.url()).await?;
        let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
        plan.endpoints = vec![mirror.url()];
        plan.endpoints.resize(1 + others, fair.node.url());
        let mut daemon = plan.start().await?;
        daemon.ready().await?;
        let mut rig = Self {
            fair,
            lane: lanes.pop().context("a lane")?,
            mirror,
            plan,
            daemon,
            orders: Vec::new(),
        };
        rig.order().await?;
        Ok(rig)
    }

    async fn order(&mut self) -> Result<()> {
        let done = self.lane.order().await;
        self.orders
            .push(done.with_context(|| tail(&self.plan.log()))?);
        Ok(())
    }

    async fn head(&self) -> Result<u64> {
        Ok(self.fair.market.provider.get_block_number().await?)
    }

    /// Waits until the daemon's log has the text.
    async fn says(&self, text: &str) -> Result<()> {
        let said = async {
            while !std::fs::read_to_string(self.plan.log()).is_ok_and(|log| log.contains(text)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, said).await;
        waited.with_context(|| format!("{text:?} is not in\n{}", tail(&self.plan.log())))
    }

    async fn audit(&self) -> Result<()> {
        let sender = self.fair.operators[0].address();
        let report = audit::chain(&self.fair, &self.orders, &[sender]).await?;
        audit::books(&self.daemon, report.verdicts).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_stands_still_is_left_until_it_moves() -> Result<()> {
    let mut rig = Rig::new(1).await?;
    rig.mirror.show(Shows::Until(rig.head().await?));
    rig.order().await?;
    rig.says("endpoint_left").await?;
    rig.mirror.show(Shows::Truth);
    rig.says("endpoint is used again").await?;
    rig.order().await?;
    rig.audit().await
}

/// The liar is asked first, and hides what happens.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_on_a_chain_of_its_own_is_outvoted() -> Result<()> {
    let mut rig = Rig::new(2).await?;
    rig.mirror.show(Shows::Fork(rig.head().await?));
    rig.order().await?;
    rig.order().await?;
    rig.says("endpoint_left").await?;
    rig.mirror.show(Shows::Truth);
    rig.says("endpoint is used again").await?;
    rig.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_two_endpoints_disagree_nothing_is_decided() -> Result<()> {
    let mut rig = Rig::new(1).await?;
    rig.mirror.show(Shows::Fork(rig.head().await?));
    let placed = rig.lane.placed().await?;
    rig.says("endpoints_disagree").await?;
    let challenge = rig
        .fair
        .market
        .challenge(placed.order, Phase::Start, 0)
        .await?;
    let statement = Session::generate().start(challenge, inputs(&placed));
    rig.lane
        .announce(&placed, Phase::Start, &statement, None, B256::ZERO)
        .await?;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let state = rig.fair.market.record(placed.order).await?.state;
        assert_eq!(state, State::Accepted);
    }
    rig.mirror.show(Shows::Truth);
    let state = rig.lane.decided(&placed, Phase::Start).await?;
    assert_eq!(state, State::Running);
    rig.says("endpoints agree again").await
}
