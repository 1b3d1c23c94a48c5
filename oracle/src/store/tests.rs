use alloy::primitives::Bytes;
use vouch_protocol::Phase;

use super::model::Phase as StoredPhase;
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

fn decided(order: u8, phase: Option<Phase>, at: u64) -> Intake {
    let closing = Closing {
        block: block(at),
        tx: B256::ZERO,
        event: "OrderStarted".into(),
        at_ms: 2,
    };
    let mut intake = announced(id(order, Phase::Start), at);
    intake.jobs.clear();
    intake.closings = vec![(B256::with_last_byte(order), phase, closing)];
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
        nonce,
        raw: Bytes::from_static(b"raw"),
        hashes: vec![B256::with_last_byte(8)],
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        gas: 1,
        at_ms: 1,
    }
}

struct Disk {
    dir: tempfile::TempDir,
    store: Option<Store>,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Some(Store::open(dir.path(), market()).unwrap());
        Self { dir, store }
    }

    /// What a crash leaves: the disk.
    fn crash(&mut self) {
        self.store = None;
        self.store = Some(Store::open(self.dir.path(), market()).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn stage(&self, id: &JobId) -> Stage {
        self.store().job(id).unwrap().unwrap().stage
    }
}

/// Every transition, with a crash before and after each: the job is always at the last one written,
/// and the same step is refused a second time.
#[test]
fn a_job_carries_on_after_a_crash_between_any_two_steps() {
    let mut disk = Disk::new();
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
            |s, j| s.submitted(j, entry()),
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
    disk.store().in_flight(&job, Some(flight(4))).unwrap();
    disk.crash();
    let outbox = disk.store().outbox().unwrap();
    assert_eq!(outbox[0].1.flight, Some(flight(4)));
    disk.store()
        .take_in(6, block(6), decided(1, Some(Phase::Start), 6))
        .unwrap();
    disk.crash();
    assert!(matches!(disk.stage(&job), Stage::Final(_)));
    assert!(
        disk.store().outbox().unwrap()[0].1.released,
        "its nonce is still waited for"
    );
    disk.store().in_flight(&job, None).unwrap();
    assert!(disk.store().outbox().unwrap().is_empty());
}

#[test]
fn steps_cannot_be_skipped_or_taken_back() {
    let disk = Disk::new();
    let job = id(1, Phase::Start);
    disk.store()
        .take_in(5, block(5), announced(job, 5))
        .unwrap();
    assert!(disk.store().verified(&job, &verdict(0)).is_err());
    assert!(disk.store().signed(&job, &verdict(1)).is_err());
    assert!(disk.store().submitted(&job, entry()).is_err());
    assert!(disk.store().fetched(&id(2, Phase::Start), &meta()).is_err());
    disk.store().abandoned(&job, "late".into()).unwrap();
    assert!(disk.store().fetched(&job, &meta()).is_err());
    assert!(disk.store().abandoned(&job, "later".into()).is_err());
    assert_eq!(disk.stage(&job), Stage::Abandoned { why: "late".into() });
}

#[test]
fn a_decision_of_the_chain_overtakes_a_step() {
    let disk = Disk::new();
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
        .take_in(8, block(8), decided(1, Some(Phase::Start), 8))
        .unwrap();
    assert!(disk.store().fetched(&start, &meta()).is_err());
    assert_eq!(disk.stage(&finish), Stage::Seen);
    disk.store()
        .take_in(9, block(9), decided(1, None, 9))
        .unwrap();
    assert!(matches!(disk.stage(&finish), Stage::Final(_)));
    assert_eq!(disk.stage(&other), Stage::Seen);
}

#[test]
fn an_announcement_counts_once() {
    let disk = Disk::new();
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

#[test]
fn ranges_follow_the_cursor() {
    let disk = Disk::new();
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

#[test]
fn rolling_back_forgets_announcements_and_undoes_decisions() {
    let disk = Disk::new();
    let (kept, gone) = (id(1, Phase::Start), id(2, Phase::Start));
    let store = disk.store();
    store.take_in(5, block(5), announced(kept, 5)).unwrap();
    store.fetched(&kept, &meta()).unwrap();
    store.verified(&kept, &verdict(0)).unwrap();
    store.signed(&kept, &verdict(1)).unwrap();
    store.submitted(&kept, entry()).unwrap();
    store.in_flight(&kept, Some(flight(1))).unwrap();
    store.take_in(6, block(6), announced(gone, 6)).unwrap();
    store.take_in(7, block(7), decided(1, None, 7)).unwrap();
    assert!(matches!(disk.stage(&kept), Stage::Final(_)));

    let reopened = store.roll_back(Some(block(5))).unwrap();
    assert_eq!(reopened, [kept]);
    assert_eq!(store.cursor().unwrap(), Some(block(5)));
    assert_eq!(disk.stage(&kept), Stage::Signed);
    assert_eq!(store.job(&gone).unwrap(), None);
    assert_eq!(store.facts(kept.order).unwrap().len(), 1);

    // Submitted again, it takes over the nonce that may already be used.
    store.submitted(&kept, entry()).unwrap();
    let outbox = store.outbox().unwrap();
    assert_eq!(outbox.len(), 1);
    assert_eq!(outbox[0].1.flight, Some(flight(1)));
    assert!(!outbox[0].1.released);

    store.roll_back(None).unwrap();
    assert_eq!(store.cursor().unwrap(), None);
    assert_eq!(store.jobs().unwrap().count(), 0);
    assert_eq!(
        store.outbox().unwrap().len(),
        1,
        "a nonce in flight is not forgotten"
    );
}

#[test]
fn an_entry_that_was_never_sent_goes_with_its_job() {
    let disk = Disk::new();
    let job = id(1, Phase::Start);
    let store = disk.store();
    store.take_in(5, block(5), announced(job, 5)).unwrap();
    store.fetched(&job, &meta()).unwrap();
    store.verified(&job, &verdict(0)).unwrap();
    store.signed(&job, &verdict(1)).unwrap();
    store.submitted(&job, entry()).unwrap();
    store.abandoned(&job, "late".into()).unwrap();
    assert!(store.outbox().unwrap().is_empty());
}

#[test]
fn trouble_is_counted_and_forgotten_with_progress() {
    let disk = Disk::new();
    let job = id(1, Phase::Start);
    let store = disk.store();
    store.take_in(5, block(5), announced(job, 5)).unwrap();
    let trouble = Trouble {
        reason: Some(404),
        detail: "not there".into(),
        at_ms: 9,
    };
    assert_eq!(
        store.troubled(&job, &Stage::Seen, trouble.clone()).unwrap(),
        1
    );
    assert_eq!(
        store.troubled(&job, &Stage::Seen, trouble.clone()).unwrap(),
        2
    );
    assert!(
        store
            .troubled(&job, &Stage::Fetched, trouble.clone())
            .is_err()
    );
    assert_eq!(trouble.reason_name(), "evidence_missing");
    store.fetched(&job, &meta()).unwrap();
    let job = store.job(&job).unwrap().unwrap();
    assert_eq!((job.tries, job.trouble), (0, None));
}

#[test]
fn a_store_belongs_to_one_market_and_one_process() {
    let disk = Disk::new();
    let second = Store::open(disk.dir.path(), market());
    assert!(matches!(second, Err(StoreError::Database(_))), "locked");
    let path = disk.dir.path().to_owned();
    let Disk { dir, store } = disk;
    drop(store);
    let other = MarketId {
        chain_id: 1,
        ..market()
    };
    let error = Store::open(&path, other).unwrap_err();
    assert!(matches!(error, StoreError::OtherMarket { .. }), "{error}");
    drop(dir);
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
