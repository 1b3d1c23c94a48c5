use crate::facts::Decided;
use crate::tls::Authorities;
use alloy::primitives::Bytes;
use vouch_protocol::Phase;
use vouch_tests::oracle::postgres::Server;

use super::model::{
    BlockRef, EvidenceMeta, Flight, Mined, OutboxEntry, Phase as StoredPhase, Share, Stage,
    StoredVerdict, Trouble,
};
use super::*;

fn market() -> MarketId {
    MarketId {
        chain_id: 31337,
        escrow: Address::with_last_byte(1),
    }
}

fn block(number: u64) -> BlockRef {
    BlockRef {
        number,
        hash: B256::with_last_byte(number as u8),
        timestamp: 1000 + number,
    }
}

fn id(order: u8, phase: Phase) -> JobId {
    JobId {
        order: B256::with_last_byte(order),
        phase: StoredPhase(phase),
        attempt: 0,
        evidence: B256::with_last_byte(7),
        outputs: B256::ZERO,
    }
}

fn announced(id: JobId, at: u64) -> Intake {
    let key = EventKey {
        order: id.order,
        block: at,
        index: 0,
    };
    let fact = Fact {
        block: block(at),
        index: 0,
        tx: B256::ZERO,
        topics: Vec::new(),
        data: Bytes::new(),
    };
    Intake {
        events: vec![(key, fact)],
        jobs: vec![Job::new(id, block(at), String::new(), 1)],
        closings: Vec::new(),
    }
}

fn decided(order: u8, jobs: Decided, at: u64) -> Intake {
    let closing = Closing {
        block: block(at),
        tx: B256::ZERO,
        event: "OrderStarted".into(),
        at_ms: 2,
    };
    let mut intake = announced(id(order, Phase::Start), at);
    intake.jobs.clear();
    intake.closings = vec![(B256::with_last_byte(order), jobs, closing)];
    intake
}

fn meta() -> EvidenceMeta {
    EvidenceMeta {
        size: 1,
        source: "test".into(),
        at_ms: 1,
    }
}

fn verdict(signatures: usize) -> StoredVerdict {
    StoredVerdict {
        verdict: Bytes::from_static(b"verdict"),
        digest: B256::with_last_byte(3),
        reason: 0,
        detail: String::new(),
        signatures: vec![Bytes::from_static(b"signature"); signatures],
    }
}

fn entry() -> OutboxEntry {
    OutboxEntry {
        input: Bytes::from_static(b"call"),
        at_ms: 5,
        flight: None,
        released: false,
    }
}

fn flight(nonce: u64) -> Flight {
    Flight {
        from: Address::with_last_byte(9),
        nonce,
        raw: Bytes::from_static(b"raw"),
        hashes: vec![B256::with_last_byte(8)],
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        gas: 1,
        at_ms: 1,
    }
}

fn trouble() -> Trouble {
    Trouble {
        reason: Some(404),
        detail: "not there".into(),
        at_ms: 9,
    }
}

/// A store of either kind, and what a crash leaves of it.
struct Disk {
    place: Place,
    store: Option<Store>,
    seat: Option<Seat>,
}

enum Place {
    Embedded(tempfile::TempDir),
    Server(String),
}

impl Disk {
    fn embedded() -> Self {
        let place = Place::Embedded(tempfile::tempdir().unwrap());
        let (store, seat) = (None, None);
        let mut disk = Self { place, store, seat };
        disk.crash();
        disk
    }

    fn on_server(url: String) -> Self {
        let place = Place::Server(url);
        let (store, seat) = (None, None);
        let mut disk = Self { place, store, seat };
        disk.crash();
        disk
    }

    /// What a crash leaves: the disk, or the server.
    fn crash(&mut self) {
        self.seat = None;
        self.store = None;
        let store = match &self.place {
            Place::Embedded(dir) => Store::open(dir.path(), market()).unwrap(),
            Place::Server(url) => Store::connect(url, &Authorities::default(), market()).unwrap(),
        };
        // The server takes a moment to see that the last leader's connection is closed.
        while store.is_shared() && self.seat.is_none() {
            self.seat = store.try_lead().unwrap();
        }
        self.store = Some(store);
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn stage(&self, id: &JobId) -> Stage {
        self.store().job(id).unwrap().unwrap().stage
    }
}

/// The same cases on both stores.
macro_rules! on_both {
    ($($case:ident)*) => {
        mod embedded {
            $(#[test] fn $case() { super::$case(super::Disk::embedded()); })*
        }

        #[test]
        fn every_case_holds_on_postgresql() {
            let Some(server) = Server::start().unwrap() else { return };
            $(
                eprintln!("{}", stringify!($case));
                $case(Disk::on_server(server.database(stringify!($case)).unwrap()));
            )*
        }
    };
}

on_both! {
    a_job_carries_on_after_a_crash_between_any_two_steps
    steps_cannot_be_skipped_or_taken_back
    a_decision_of_the_chain_overtakes_a_step
    an_announcement_counts_once
    ranges_follow_the_cursor
    rolling_back_forgets_announcements_and_undoes_decisions
    an_entry_that_was_never_sent_goes_with_its_job
    one_transaction_carries_several_entries
    what_its_own_transaction_decided_needs_no_nonce
    trouble_is_counted_and_forgotten_with_progress
    only_open_jobs_are_open
    jobs_are_listed_newest_first
    an_operator_counts_once_and_leaves_proof_when_it_says_two_things
    what_a_reorganisation_moved_is_signed_anew
    signatures_that_the_contract_refuses_are_collected_anew
    closed_orders_are_forgotten_whole
    bytes_of_any_kind_are_kept
    writers_come_one_after_the_other
}

/// Every transition, with a crash before and after each: the job is always at the last one written,
/// and the same step is refused a second time.
fn a_job_carries_on_after_a_crash_between_any_two_steps(mut disk: Disk) {
    let job = id(1, Phase::Start);
    disk.store()
        .take_in(5, block(5), announced(job, 5))
        .unwrap();
    type Step = fn(&Store, &JobId) -> Result<(), StoreError>;
    let steps: [(Stage, Step, Stage); 4] = [
        (Stage::Seen, |s, j| s.fetched(j, &meta()), Stage::Fetched),
        (
            Stage::Fetched,
            |s, j| s.verified(j, &verdict(0)),
            Stage::Verified,
        ),
        (
            Stage::Verified,
            |s, j| s.signed(j, &verdict(1)),
            Stage::Signed,
        ),
        (
            Stage::Signed,
            |s, j| s.submitted(j, &entry()),
            Stage::Submitted,
        ),
    ];
    for (before, step, after) in steps {
        disk.crash();
        assert_eq!(disk.stage(&job), before);
        step(disk.store(), &job).unwrap();
        disk.crash();
        assert_eq!(disk.stage(&job), after);
        let again = step(disk.store(), &job).unwrap_err();
        assert!(matches!(again, StoreError::Overtaken { .. }), "{again}");
    }
    assert!(disk.store().launched(&[job], &flight(4)).unwrap());
    assert!(!disk.store().launched(&[job], &flight(5)).unwrap());
    disk.crash();
    assert_eq!(sent(disk.store(), &job).flight, Some(flight(4)));
    disk.store()
        .take_in(6, block(6), decided(1, Decided::Start, 6))
        .unwrap();
    disk.crash();
    assert!(matches!(disk.stage(&job), Stage::Final(_)));
    assert!(
        sent(disk.store(), &job).released,
        "its nonce is still waited for"
    );
    disk.store().grounded(&job).unwrap();
    assert!(disk.store().outbox().unwrap().is_empty());
}

fn steps_cannot_be_skipped_or_taken_back(disk: Disk) {
    let job = id(1, Phase::Start);
    disk.store()
        .take_in(5, block(5), announced(job, 5))
        .unwrap();
    assert!(disk.store().verified(&job, &verdict(0)).is_err());
    assert!(disk.store().signed(&job, &verdict(1)).is_err());
    assert!(disk.store().submitted(&job, &entry()).is_err());
    assert!(disk.store().fetched(&id(2, Phase::Start), &meta()).is_err());
    disk.store().abandoned(&job, "late".into()).unwrap();
    assert!(disk.store().fetched(&job, &meta()).is_err());
    assert!(disk.store().abandoned(&job, "later".into()).is_err());
    assert_eq!(disk.stage(&job), Stage::Abandoned { why: "late".into() });
}

fn a_decision_of_the_chain_overtakes_a_step(disk: Disk) {
    let (start, finish) = (id(1, Phase::Start), id(1, Phase::Finish));
    let other = id(2, Phase::Start);
    disk.store()
        .take_in(5, block(5), announced(start, 5))
        .unwrap();
    disk.store()
        .take_in(6, block(6), announced(finish, 6))
        .unwrap();
    disk.store()
        .take_in(7, block(7), announced(other, 7))
        .unwrap();
    disk.store()
        .take_in(8, block(8), decided(1, Decided::Start, 8))
        .unwrap();
    assert!(disk.store().fetched(&start, &meta()).is_err());
    assert_eq!(disk.stage(&finish), Stage::Seen);
    disk.store()
        .take_in(9, block(9), decided(1, Decided::All, 9))
        .unwrap();
    assert!(matches!(disk.stage(&finish), Stage::Final(_)));
    assert_eq!(disk.stage(&other), Stage::Seen);
}

fn an_announcement_counts_once(disk: Disk) {
    let job = id(1, Phase::Start);
    disk.store()
        .take_in(5, block(5), announced(job, 5))
        .unwrap();
    disk.store().fetched(&job, &meta()).unwrap();
    disk.store()
        .take_in(6, block(6), announced(job, 6))
        .unwrap();
    assert_eq!(disk.stage(&job), Stage::Fetched);
    assert_eq!(disk.store().job(&job).unwrap().unwrap().block, block(5));
}

fn ranges_follow_the_cursor(disk: Disk) {
    disk.store()
        .take_in(5, block(9), Intake::default())
        .unwrap();
    assert_eq!(disk.store().cursor().unwrap(), Some(block(9)));
    for start in [8, 9, 11] {
        let error = disk
            .store()
            .take_in(start, block(12), Intake::default())
            .unwrap_err();
        assert!(
            matches!(error, StoreError::Gap { expected: 10, .. }),
            "{error}"
        );
    }
    disk.store()
        .take_in(10, block(12), Intake::default())
        .unwrap();
}

fn rolling_back_forgets_announcements_and_undoes_decisions(disk: Disk) {
    let (kept, gone) = (id(1, Phase::Start), id(2, Phase::Start));
    let store = disk.store();
    store.take_in(5, block(5), announced(kept, 5)).unwrap();
    store.fetched(&kept, &meta()).unwrap();
    store.verified(&kept, &verdict(0)).unwrap();
    store.signed(&kept, &verdict(1)).unwrap();
    store.submitted(&kept, &entry()).unwrap();
    assert!(store.launched(&[kept], &flight(1)).unwrap());
    store.take_in(6, block(6), announced(gone, 6)).unwrap();
    store
        .take_in(7, block(7), decided(1, Decided::All, 7))
        .unwrap();
    assert!(matches!(disk.stage(&kept), Stage::Final(_)));

    let reopened = store.roll_back(Some(block(5))).unwrap();
    assert_eq!(reopened, [kept]);
    assert_eq!(store.cursor().unwrap(), Some(block(5)));
    assert_eq!(disk.stage(&kept), Stage::Signed);
    assert_eq!(store.job(&gone).unwrap(), None);
    assert_eq!(store.facts(kept.order).unwrap().len(), 1);

    // Submitted again, it takes over the nonce that may already be used.
    store.submitted(&kept, &entry()).unwrap();
    assert_eq!(store.outbox().unwrap(), [kept]);
    assert_eq!(sent(store, &kept).flight, Some(flight(1)));
    assert!(!sent(store, &kept).released);

    store.roll_back(None).unwrap();
    assert_eq!(store.cursor().unwrap(), None);
    assert_eq!(store.jobs().unwrap().count(), 0);
    assert_eq!(
        store.outbox().unwrap().len(),
        1,
        "a nonce in flight is not forgotten"
    );
}

/// What is in the outbox for a job.
fn sent(store: &Store, id: &JobId) -> OutboxEntry {
    store.outbox_entry(id).unwrap().unwrap()
}

/// A job that is in the outbox.
fn submitted(store: &Store, id: JobId, block_number: u64) {
    store
        .take_in(
            block_number,
            block(block_number),
            announced(id, block_number),
        )
        .unwrap();
    store.fetched(&id, &meta()).unwrap();
    store.verified(&id, &verdict(0)).unwrap();
    store.signed(&id, &verdict(1)).unwrap();
    store.submitted(&id, &entry()).unwrap();
}

fn one_transaction_carries_several_entries(mut disk: Disk) {
    let [a, b, c] = [1, 2, 3].map(|order| id(order, Phase::Start));
    for (job, number) in [(a, 5), (b, 6), (c, 7)] {
        submitted(disk.store(), job, number);
    }
    disk.store().abandoned(&c, "late".into()).unwrap();
    let together = disk.store().launched(&[a, b, c], &flight(1)).unwrap();
    assert!(!together, "one of them is gone");
    assert_eq!(sent(disk.store(), &a).flight, None);
    assert!(disk.store().launched(&[a, b], &flight(1)).unwrap());
    let mut dearer = flight(1);
    dearer.max_fee_per_gas += 1;
    disk.store().replaced(&[a, b], &dearer).unwrap();
    disk.crash();
    assert_eq!(sent(disk.store(), &a).flight, Some(dearer.clone()));
    dearer.raw = Default::default();
    assert_eq!(sent(disk.store(), &b).flight, Some(dearer));
}

fn what_its_own_transaction_decided_needs_no_nonce(disk: Disk) {
    let (own, other) = (id(1, Phase::Start), id(2, Phase::Start));
    for (job, number) in [(own, 5), (other, 6)] {
        submitted(disk.store(), job, number);
        let launched = disk.store().launched(&[job], &flight(number));
        assert!(launched.unwrap());
    }
    let mined = Mined {
        tx: flight(5).hashes[0],
        block: 7,
        gas_used: 1,
        at_ms: 0,
        latency_ms: 0,
    };
    disk.store().mined(&[(own, mined)]).unwrap();
    for (order, number) in [(1, 7), (2, 8)] {
        let decision = decided(order, Decided::Start, number);
        disk.store()
            .take_in(number, block(number), decision)
            .unwrap();
    }
    assert_eq!(disk.store().outbox().unwrap(), [other]);
}

fn an_entry_that_was_never_sent_goes_with_its_job(disk: Disk) {
    let job = id(1, Phase::Start);
    let store = disk.store();
    store.take_in(5, block(5), announced(job, 5)).unwrap();
    store.fetched(&job, &meta()).unwrap();
    store.verified(&job, &verdict(0)).unwrap();
    store.signed(&job, &verdict(1)).unwrap();
    store.submitted(&job, &entry()).unwrap();
    store.abandoned(&job, "late".into()).unwrap();
    assert!(store.outbox().unwrap().is_empty());
}

fn trouble_is_counted_and_forgotten_with_progress(disk: Disk) {
    let job = id(1, Phase::Start);
    let store = disk.store();
    store.take_in(5, block(5), announced(job, 5)).unwrap();
    let note = |stage| store.troubled(&job, stage, &trouble());
    assert_eq!(note(&Stage::Seen).unwrap(), 1);
    assert_eq!(note(&Stage::Seen).unwrap(), 2);
    assert!(note(&Stage::Fetched).is_err());
    assert_eq!(trouble().reason_name(), "evidence_missing");
    store.fetched(&job, &meta()).unwrap();
    let job = store.job(&job).unwrap().unwrap();
    assert_eq!((job.tries, job.trouble), (0, None));
}

fn share(signer: u8, digest: u8, block: u64) -> Share {
    Share {
        signer: Address::with_last_byte(signer),
        block: self::block(block).hash,
        verdict: Bytes::from_static(b"verdict"),
        digest: B256::with_last_byte(digest),
        signature: Bytes::from_static(b"signature"),
        statement: Bytes::from_static(b"statement"),
        at_ms: 1,
    }
}

fn only_open_jobs_are_open(disk: Disk) {
    let (first, second) = (id(1, Phase::Start), id(2, Phase::Start));
    let store = disk.store();
    store.take_in(5, block(5), announced(first, 5)).unwrap();
    store.take_in(6, block(6), announced(second, 6)).unwrap();
    assert_eq!(store.open_jobs().unwrap(), [first, second]);
    store.abandoned(&first, "late".into()).unwrap();
    assert_eq!(store.open_jobs().unwrap(), [second]);
    store
        .take_in(7, block(7), decided(2, Decided::All, 7))
        .unwrap();
    assert_eq!(store.open_jobs().unwrap(), []);
    store.roll_back(Some(block(6))).unwrap();
    assert_eq!(store.open_jobs().unwrap(), [second]);
    store.retry(&first).unwrap();
    assert_eq!(disk.stage(&first), Stage::Seen);
    assert_eq!(store.open_jobs().unwrap(), [first, second]);
    assert!(store.retry(&first).is_err(), "only what was given up");
}

fn jobs_are_listed_newest_first(disk: Disk) {
    let store = disk.store();
    for n in 1..=5 {
        let at = 4 + u64::from(n);
        let job = id(6 - n, Phase::Start);
        store.take_in(at, block(at), announced(job, at)).unwrap();
    }
    let orders = |jobs: Vec<Job>| -> Vec<u64> { jobs.iter().map(|j| j.block.number).collect() };
    assert_eq!(orders(store.newest(None, 10).unwrap()), [9, 8, 7, 6, 5]);
    let page = store.newest(None, 2).unwrap();
    let last = model::BlockJob {
        block: page[1].block.number,
        job: page[1].id,
    };
    assert_eq!(orders(store.newest(Some(last), 2).unwrap()), [7, 6]);
}

fn an_operator_counts_once_and_leaves_proof_when_it_says_two_things(mut disk: Disk) {
    let job = id(1, Phase::Start);
    let nobody = disk.store().share(&job, &share(1, 7, 5)).unwrap();
    assert_eq!(nobody, Shared::NoJob);
    disk.store()
        .take_in(5, block(5), announced(job, 5))
        .unwrap();
    let tell = |disk: &Disk, said| disk.store().share(&job, &said).unwrap();
    assert_eq!(tell(&disk, share(1, 7, 5)), Shared::New);
    disk.crash();
    assert_eq!(tell(&disk, share(1, 7, 5)), Shared::Known);
    assert_eq!(tell(&disk, share(2, 7, 4)), Shared::OtherBlock);
    assert_eq!(tell(&disk, share(2, 8, 5)), Shared::New);
    assert_eq!(disk.store().equivocations().count(), 0);
    assert_eq!(tell(&disk, share(1, 9, 5)), Shared::Equivocated);
    disk.crash();
    let kept = disk.store().shares(&job).unwrap();
    assert_eq!(kept, [share(1, 7, 5), share(2, 8, 5)], "the first counts");
    let proofs: Vec<_> = disk.store().equivocations().map(Result::unwrap).collect();
    assert_eq!(proofs.len(), 1);
    assert_eq!(
        (&proofs[0].first, &proofs[0].second),
        (&share(1, 7, 5), &share(1, 9, 5))
    );
    // `vouch operator slash` reads these.
    let shown = serde_json::to_value(&proofs[0]).unwrap();
    assert_eq!(shown["job"]["phase"], "start");
    for name in ["order", "attempt", "evidence", "outputs"] {
        assert!(!shown["job"][name].is_null(), "{name}: {shown}");
    }
    for (side, name) in ["first", "second"]
        .iter()
        .flat_map(|side| ["signer", "block", "digest", "statement"].map(|name| (side, name)))
    {
        assert!(shown[side][name].is_string(), "{side}.{name}: {shown}");
    }
}

fn what_a_reorganisation_moved_is_signed_anew(disk: Disk) {
    let job = id(1, Phase::Start);
    let store = disk.store();
    store.take_in(4, block(4), Intake::default()).unwrap();
    store.take_in(5, block(5), announced(job, 5)).unwrap();
    assert_eq!(store.share(&job, &share(1, 7, 5)).unwrap(), Shared::New);
    store.roll_back(Some(block(4))).unwrap();
    assert_eq!(store.shares(&job).unwrap(), []);
    store.take_in(5, block(6), announced(job, 6)).unwrap();
    assert_eq!(store.share(&job, &share(1, 9, 6)).unwrap(), Shared::New);
    assert_eq!(store.equivocations().count(), 0, "no fault of the operator");
}

fn signatures_that_the_contract_refuses_are_collected_anew(disk: Disk) {
    let job = id(1, Phase::Start);
    let store = disk.store();
    store.take_in(5, block(5), announced(job, 5)).unwrap();
    store.fetched(&job, &meta()).unwrap();
    store.verified(&job, &verdict(0)).unwrap();
    assert!(store.unsigned(&job).is_err(), "not signed yet");
    store.signed(&job, &verdict(1)).unwrap();
    store.submitted(&job, &entry()).unwrap();
    store.unsigned(&job).unwrap();
    assert_eq!(disk.stage(&job), Stage::Verified);
    assert!(store.outbox().unwrap().is_empty());
    let kept = store.verdict(&job).unwrap().unwrap();
    assert!(kept.signatures.is_empty());
    assert_eq!(store.job_of_verdict(kept.digest).unwrap(), Some(job));
}

fn closed_orders_are_forgotten_whole(disk: Disk) {
    let store = disk.store();
    let (start, finish) = (id(1, Phase::Start), id(1, Phase::Finish));
    let open = id(2, Phase::Start);
    store.take_in(5, block(5), announced(start, 5)).unwrap();
    store.fetched(&start, &meta()).unwrap();
    store.verified(&start, &verdict(0)).unwrap();
    store.take_in(6, block(6), announced(open, 6)).unwrap();
    let half = decided(1, Decided::Start, 7);
    store.take_in(7, block(7), half).unwrap();
    store.take_in(8, block(8), announced(finish, 8)).unwrap();
    let forget = |limit| store.forget_closed(None, limit, |_, _| true).unwrap();
    assert!(forget(10).0.is_empty(), "its finish is open");
    store
        .take_in(9, block(9), decided(1, Decided::All, 9))
        .unwrap();
    let not_yet = store.forget_closed(None, 10, |_, _| false).unwrap();
    assert!(not_yet.0.is_empty(), "the caller has the last word");
    let (evidence, next) = forget(2);
    assert_eq!(evidence, [start.evidence, finish.evidence]);
    let (evidence, end) = store.forget_closed(next, 2, |_, _| true).unwrap();
    assert_eq!((evidence, end), (vec![], None));
    assert_eq!(store.job(&start).unwrap(), None);
    assert_eq!(store.verdict(&start).unwrap(), None);
    assert_eq!(store.facts(start.order).unwrap(), []);
    assert_eq!(disk.stage(&open), Stage::Seen);
}

/// What providers write must not stop the pipeline, whatever the database thinks of it.
fn bytes_of_any_kind_are_kept(mut disk: Disk) {
    let job = id(1, Phase::Start);
    let mut intake = announced(job, 5);
    let uri = "\0\u{1}\u{7f}\u{fffd}\"'; DROP TABLE vouch_jobs; --".to_owned();
    intake.jobs[0].uri = uri.clone();
    intake.events[0].1.data = (0..=255).collect::<Vec<u8>>().into();
    disk.store().take_in(5, block(5), intake.clone()).unwrap();
    disk.crash();
    assert_eq!(disk.store().job(&job).unwrap().unwrap().uri, uri);
    let facts = disk.store().facts(job.order).unwrap();
    assert_eq!(facts[0].data, intake.events[0].1.data);
    let mut dear = flight(1);
    dear.max_fee_per_gas = u128::MAX;
    disk.store().fetched(&job, &meta()).unwrap();
    disk.store().verified(&job, &verdict(0)).unwrap();
    disk.store().signed(&job, &verdict(1)).unwrap();
    disk.store().submitted(&job, &entry()).unwrap();
    assert!(disk.store().launched(&[job], &dear).unwrap());
    disk.crash();
    assert_eq!(sent(disk.store(), &job).flight, Some(dear));
}

/// Each sees what the last one left, about one order and beside others: no change is lost.
fn writers_come_one_after_the_other(disk: Disk) {
    const EACH: u32 = 25;
    let store = disk.store();
    let jobs = [id(1, Phase::Start), id(2, Phase::Start)];
    for (at, job) in (5..).zip(jobs) {
        store.take_in(at, block(at), announced(job, at)).unwrap();
    }
    std::thread::scope(|scope| {
        for job in jobs.iter().cycle().take(6) {
            scope.spawn(move || {
                for _ in 0..EACH {
                    store.troubled(job, &Stage::Seen, &trouble()).unwrap();
                }
            });
        }
    });
    for job in jobs {
        assert_eq!(store.job(&job).unwrap().unwrap().tries, 3 * EACH);
    }
}

#[test]
fn a_store_belongs_to_one_market_and_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), market()).unwrap();
    let second = Store::open(dir.path(), market());
    assert!(matches!(second, Err(StoreError::Database(_))), "locked");
    drop(store);
    let other = MarketId {
        chain_id: 1,
        ..market()
    };
    let error = Store::open(dir.path(), other).unwrap_err();
    assert!(matches!(error, StoreError::OtherMarket { .. }), "{error}");
}

/// Two daemons on one server: one leads, and one who was deposed writes nothing; each job is one
/// worker's, until its lease ends.
#[test]
fn daemons_share_a_server() {
    let Some(server) = Server::start().unwrap() else {
        return;
    };
    let disk = Disk::on_server(server.database("shared").unwrap());
    let Place::Server(url) = &disk.place else {
        unreachable!("made on a server")
    };
    let other = Store::connect(url, &Authorities::default(), market()).unwrap();
    assert!(other.try_lead().unwrap().is_none(), "the seat is taken");
    let write = |store: &Store, at| store.take_in(at, block(at), Intake::default());
    write(disk.store(), 5).unwrap();
    let error = write(&other, 6).unwrap_err();
    assert!(matches!(error, StoreError::Deposed { .. }), "{error}");

    let ids: Vec<JobId> = (1..=6).map(|n| id(n, Phase::Start)).collect();
    for (at, job) in (6..).zip(&ids) {
        disk.store()
            .take_in(at, block(at), announced(*job, at))
            .unwrap();
    }
    let lease = std::time::Duration::from_secs(60);
    let first = disk.store().claim("first", [], lease, 4).unwrap();
    let second = other.claim("second", [], lease, 4).unwrap();
    assert_eq!((first.len(), second.len()), (4, 2));
    assert!(first.iter().all(|job| !second.contains(job)));
    assert!(other.claim("third", [], lease, 4).unwrap().is_empty());
    let zero = std::time::Duration::ZERO;
    other.park("second", &second[0], zero).unwrap();
    other.park("second", &first[0], zero).unwrap();
    assert_eq!(
        disk.store().claim("third", [], lease, 4).unwrap(),
        [second[0]]
    );
    // A parked job can be woken; a held one stays held.
    other.park("second", &second[1], lease).unwrap();
    other.wake(&second[1]).unwrap();
    other.wake(&first[0]).unwrap();
    assert_eq!(other.claim("third", [], lease, 4).unwrap(), [second[1]]);
    let renew = |working: &[JobId], lease| {
        let claimed = disk.store().claim("first", working.to_vec(), lease, 0);
        assert_eq!(claimed.unwrap(), []);
    };
    renew(&first, zero);
    renew(&first[..1], lease);
    let left = other.claim("third", [], lease, 9).unwrap();
    assert_eq!(
        left.len(),
        3,
        "what is not worked on is not held by who works on something else"
    );
    assert!(!left.contains(&first[0]));

    // Who writes about one order waits while the leader writes about many.
    let (entered, inside) = std::sync::mpsc::channel();
    let written = std::sync::atomic::AtomicBool::new(false);
    let leader = disk.store();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            leader.lead(|_| {
                entered.send(()).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(200));
                written.store(true, std::sync::atomic::Ordering::SeqCst);
                Ok(())
            })
        });
        inside.recv().unwrap();
        other.troubled(&first[0], &Stage::Seen, &trouble()).unwrap();
        assert!(written.load(std::sync::atomic::Ordering::SeqCst));
    });

    // The server goes away and comes back: the leader has lost its seat, and another takes it.
    let Disk { store, seat, .. } = disk;
    let (store, mut seat) = (store.unwrap(), seat.unwrap());
    assert!(store.leads(&mut seat));
    server.crash().unwrap();
    assert!(!store.leads(&mut seat));
    assert!(write(&store, 12).is_err(), "no seat, no writing");
    // Connections of before the crash fail once each.
    while other.cursor().is_err() {}
    let seat = other.try_lead().unwrap();
    assert!(seat.is_some());
    write(&other, 12).unwrap();
    while store.cursor().is_err() {}
    let error = write(&store, 13).unwrap_err();
    assert!(
        matches!(error, StoreError::Deposed { held: 0, .. }),
        "{error}"
    );
}

#[test]
fn keys_sort_and_survive() {
    use super::columns::Key;
    let job = JobId {
        attempt: 3,
        outputs: B256::with_last_byte(9),
        ..id(1, Phase::Finish)
    };
    assert_eq!(JobId::from_bytes(&job.to_bytes()), Some(job));
    assert!(JobId::from_bytes(&job.to_bytes()[1..]).is_none());
    let early = EventKey {
        order: B256::ZERO,
        block: 255,
        index: 9,
    };
    let late = EventKey {
        block: 256,
        index: 0,
        ..early
    };
    assert!(early.to_bytes() < late.to_bytes());
    assert_eq!(EventKey::from_bytes(&late.to_bytes()), Some(late));
}
