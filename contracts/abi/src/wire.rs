//! The fields of every type that contracts read or write, in order, for [`codec`](crate::codec).
//!
//! A listing cannot leave out a field or give it another type: the literals below would not
//! compile. That the order is right, and what is indexed, the tests show: they compare each listed
//! type with what alloy makes of the declarations.

use alloc::{string::String, vec::Vec};

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256};
use alloy_sol_types::{SolCall, SolEvent};

use crate::{
    Counters, DatasetMeasure, Deadlines, Dispute, Fee, IArbSys, IAttestation, IBonds, IContract,
    IEscrow, IGovernance, IOffers, ISigner, IToken, IUsage, Leg, LegRequest, Offer, OrderRecord,
    OrderRequest, Policy, Receipt, Requirements, Royalty, Terms, Verdict, VerdictShare,
    codec::{Codec, Fields, Reader, Writer},
};

/// An order request as contract `offers` reads it. Of a policy it needs to know only what is waived; the
/// rest is for contract `usage`, which gets the request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(non_snake_case, reason = "the names are those of `OrderRequest`")]
pub struct Request {
    pub legs: Vec<RequestedLeg>,
    pub requirements: Requirements,
    pub resultKey: B256,
    pub purpose: u8,
    pub maxDuration: u32,
    pub deadlines: Deadlines,
    pub challengeWindow: u64,
    pub bond: U256,
    pub oracleFee: U256,
    pub maxProtocolFee: u32,
    pub marketplaceFee: Fee,
    pub salt: B256,
}

/// A leg of a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestedLeg {
    pub offer: Offer,
    /// The clauses that the policy waives.
    pub any: u32,
    /// The owner's, where the offer was not published.
    pub signature: Bytes,
    /// What is paid out of the price.
    pub royalties: Vec<Royalty>,
}

impl Codec for RequestedLeg {
    fn read(from: &mut Reader<'_>) -> Self {
        let mut leg = from.tail();
        let offer = Offer::read(&mut leg);
        let mut policy = leg.tail();
        let any = u32::read(&mut policy);
        leg.join(&policy);
        leg.skip();
        let signature = Bytes::read(&mut leg);
        let royalties = Vec::read(&mut leg);
        from.join(&leg);
        Self {
            offer,
            any,
            signature,
            royalties,
        }
    }

    /// Not written by anyone: an encoding of it alone would be no encoding of a request.
    fn write(&self, _: &mut Writer<'_>) {}
}

/// The bytes of the request in the arguments of `place`. They may reach further than the request;
/// all its offsets count from their start.
pub fn request_bytes(arguments: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(arguments);
    let tail = reader.tail();
    reader.join(&tail);
    reader.value(tail.bytes())
}

/// The encoding of the terms that stand first in `arguments`, as long as it is for their number of
/// legs where it is `abi.encode`'s. Any other encoding of the same terms is cut elsewhere or has other
/// offsets, hashes to another id, and so names no order.
pub fn terms_bytes(arguments: &[u8]) -> Option<&[u8]> {
    const HEAD: usize = <Terms as Fields>::FIELDS_HEAD;
    let mut reader = Reader::new(arguments);
    let tail = reader.tail();
    let mut legs = Reader::new(tail.bytes().get(HEAD..)?);
    let count = u8::read(&mut legs);
    reader.join(&tail);
    reader.join(&legs);
    let length = HEAD + 32 + usize::from(count) * <Leg as Codec>::HEAD;
    reader.value(tail.bytes().get(..length)?)
}

/// Gives terms, as `IOffers::sell` answers them, another salt.
pub fn set_salt(terms: &mut [u8], salt: &B256) {
    // The salt is the last word of the head, which begins after an offset.
    const AT: usize = <Terms as Fields>::FIELDS_HEAD;
    if let Some(place) = terms.get_mut(AT..).and_then(|rest| rest.first_chunk_mut()) {
        *place = salt.0;
    }
}

/// The event `OrderPlaced`, as [`Event::log`] makes it, of terms as `IOffers::sell` answers them.
pub fn order_placed(order: B256, buyer: Address, provider: Address, terms: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128 + terms.len());
    let topics = [
        IEscrow::OrderPlaced::SIGNATURE_HASH,
        order,
        buyer.into_word(),
        provider.into_word(),
    ];
    for topic in &topics {
        bytes.extend_from_slice(topic.as_slice());
    }
    bytes.extend_from_slice(terms);
    bytes
}

/// Calldata of `IOffers::sell` with the bytes of [`request_bytes`].
pub fn forward_sale(buyer: Address, request: &[u8], count: u64) -> Vec<u8> {
    let mut call = IOffers::sellCall::SELECTOR.to_vec();
    let mut head = Writer::new(&mut call, 96);
    buyer.write(&mut head);
    head.tail(0);
    count.write(&mut head);
    call.extend_from_slice(request);
    call
}

/// Reads the arguments of `IOffers::sell`.
pub fn read_sale(arguments: &[u8]) -> Option<(Address, Request, u64)> {
    let mut reader = Reader::new(arguments);
    let buyer = Address::read(&mut reader);
    let mut tail = reader.tail();
    let request = Request::read_fields(&mut tail);
    reader.join(&tail);
    let count = u64::read(&mut reader);
    reader.value((buyer, request, count))
}

/// Calldata of `IUsage::reserve` with the bytes of [`request_bytes`].
pub fn forward_request(wanted: &IUsage::Use, request: &[u8], count: u64) -> Vec<u8> {
    let mut call = IUsage::reserveCall::SELECTOR.to_vec();
    let mut head = Writer::new(&mut call, <IUsage::Use as Codec>::HEAD + 64);
    wanted.write(&mut head);
    head.tail(0);
    count.write(&mut head);
    call.extend_from_slice(request);
    call
}

/// An event as a contract emits it.
pub trait Event: SolEvent {
    /// Topics and data in one, as the virtual machine takes them, and the number of topics.
    fn log(&self) -> (Vec<u8>, usize);
}

macro_rules! fields {
    ($($list:ty { $($field:ident: $type:ty),* $(,)? })*) => { $(
        impl Fields for $list {
            const FIELDS_HEAD: usize = 0 $(+ <$type as Codec>::HEAD)*;

            #[allow(unused_variables, reason = "lists may be empty")]
            fn read_fields(from: &mut Reader<'_>) -> Self {
                Self { $($field: <$type>::read(from)),* }
            }

            #[allow(unused_variables, reason = "lists may be empty")]
            fn write_fields(&self, to: &mut Writer<'_>) {
                let Self { $($field),* } = self;
                $($field.write(to);)*
            }
        }

        #[cfg(test)]
        impl tests::Sample for $list {
            #[allow(unused_variables, reason = "lists may be empty")]
            fn sample(seed: &mut u8) -> Self {
                Self { $($field: <$type>::sample(seed)),* }
            }
        }
    )* };
}

macro_rules! structs {
    ($($list:ty { $($fields:tt)* })*) => {
        $(fields! { $list { $($fields)* } })*

        #[cfg(test)]
        const STRUCTS: &[fn()] = &[$(tests::agrees_on_struct::<$list>),*];
    };
}

macro_rules! calls {
    ($($list:ty { $($fields:tt)* })*) => {
        $(fields! { $list { $($fields)* } })*

        #[cfg(test)]
        const CALLS: &[fn()] = &[$(tests::agrees_on_call::<$list>),*];
    };
}

macro_rules! returns {
    ($($list:ty { $($fields:tt)* })*) => { $(fields! { $list { $($fields)* } })* };
}

macro_rules! errors {
    ($($list:ty { $($fields:tt)* })*) => {
        $(fields! { $list { $($fields)* } })*

        #[cfg(test)]
        const ERRORS: &[fn()] = &[$(tests::agrees_on_error::<$list>),*];
    };
}

macro_rules! events {
    ($($event:ty [$($topic:ident: $topic_type:ty),*] { $($field:ident: $type:ty),* $(,)? })*) => {
        $(impl Event for $event {
            fn log(&self) -> (Vec<u8>, usize) {
                let Self { $($topic,)* $($field),* } = self;
                let topics = 1 $(+ <$topic_type as Codec>::HEAD / 32)*;
                let mut bytes = Self::SIGNATURE_HASH.to_vec();
                #[allow(unused_mut, unused_variables, reason = "events may have no topics")]
                let mut to = Writer::new(&mut bytes, (topics - 1) * 32);
                $($topic.write(&mut to);)*
                #[allow(unused_mut, unused_variables, reason = "events may have no data")]
                let mut to = Writer::new(&mut bytes, 0 $(+ <$type as Codec>::HEAD)*);
                $($field.write(&mut to);)*
                (bytes, topics)
            }
        }

        #[cfg(test)]
        impl tests::Sample for $event {
            fn sample(seed: &mut u8) -> Self {
                Self { $($topic: <$topic_type>::sample(seed),)* $($field: <$type>::sample(seed)),* }
            }
        })*

        #[cfg(test)]
        const EVENTS: &[fn()] = &[$(tests::agrees_on_event::<$event>),*];
    };
}

structs! {
    Offer {
        owner: Address, kind: u8, digest: B256, metadata: B256, token: Address, price:
        U256, policy: B256, volume: u64, openUntil: u64, shared: bool, lineage: B256, salt: B256,
    }
    Royalty { payee: Address, digest: B256, rate: u32 }
    Policy {
        any: u32, cpuKinds: u8, minSnpTcb: FixedBytes<8>, tdxStatuses: u16,
        gpuArchitectures: u8, minGpus: u8, gpuModes: u8, revocationMaxAge: u32,
        evidenceMaxAge: u32, workloads: Vec<B256>, workloadRoot: B256, publisher: Address, buyers:
        Vec<Address>, providers: Vec<Address>, purposes: u8, maxUses: u64,
        maxUsesPerBuyer: u64, notBefore: u64, notAfter: u64, maxDuration: u32,
        outputBytes: u64, outputRows: u64, total: Counters, royalty: u32,
    }
    Requirements { minRecords: u64, minBytes: u64, schema: B256, minQuality: u32 }
    Deadlines { accept: u64, start: u64, finish: u64, settle: u64 }
    Fee { recipient: Address, rate: u32 }
    Leg {
        offer: B256, policy: B256, kind: u8, digest: B256, payee: Address, amount: U256,
        rate: U256, clauses: u32,
    }
    Terms {
        buyer: Address, provider: Address, token: Address, legs: Vec<Leg>, requirements:
        Requirements, resultKey: B256, purpose: u8, maxDuration: u32, deadlines:
        Deadlines, challengeWindow: u64, bond: U256, oracleFee: U256, shared: bool, salt:
        B256,
    }
    LegRequest {
        offer: Offer, policy: Policy, workloadProof: Vec<B256>, signature: Bytes, royalties: Vec<Royalty>,
    }
    OrderRequest {
        legs: Vec<LegRequest>, requirements: Requirements, resultKey: B256, purpose: u8,
        maxDuration: u32, deadlines: Deadlines, challengeWindow: u64, bond: U256,
        oracleFee: U256, maxProtocolFee: u32, marketplaceFee: Fee, salt: B256,
    }
    Counters { outputBytes: u64, outputRows: u64 }
    DatasetMeasure { records: u64, size: u64, schema: B256, quality: u32 }
    Verdict {
        order: B256, phase: u8, attempt: u8, evidence: B256, clauses: U256, reason: u16,
        devices: Vec<B256>, sessionKey: B256, measurement: B256, inputs: B256, outputs:
        B256, counters: Counters, datasets: Vec<DatasetMeasure>, observedAt: u64,
    }
    Receipt {
        order: B256, buyer: Address, assets: Vec<B256>, paid: Vec<U256>, measurement:
        B256, devices: Vec<B256>, evidence: B256, outputs: B256, verdict: B256, settledAt:
        u64,
    }
    OrderRecord {
        state: u8, sinceBlock: u64, startedAt: u64, finishedAt: u64, beatAt: u64, toppedUp: u32,
        commitment: B256,
    }
    Dispute { challenger: Address, deadline: u64, resolver: Address }
    VerdictShare {
        verdict: B256, order: B256, phase: u8, attempt: u8, evidence: B256, outputs: B256,
        announcedIn: B256,
    }
    IUsage::Use {
        buyer: Address, provider: Address, purpose: u8, maxDuration: u32, workload: B256,
        publisher: Address,
    }
    IAttestation::Weight { operator: Address, weight: u16 }
}

calls! {
    IOffers::publishCall { offer: Offer, uri: String }
    IOffers::publishDerivedCall { offer: Offer, uri: String, terms: Terms, policies: Vec<Policy> }
    IOffers::cancelCall { offer: B256 }
    IOffers::revokeCall { offer: Offer }
    IOffers::raiseNonceCall { nonce: U256 }
    IOffers::nonceOfCall { owner: Address }
    IOffers::sellCall { buyer: Address, request: OrderRequest, count: u64 }
    IOffers::restoreCall { offers: Vec<B256> }
    IOffers::availableCall { offer: B256 }
    IOffers::idOfCall { offer: Offer }
    IOffers::bindEscrowCall { escrow: Address }
    IOffers::setProtocolFeeCall { fee: Fee }
    IOffers::protocolFeeCall {}
    IOffers::governorCall {}
    IOffers::escrowCall {}
    IUsage::publishCall { policy: Policy }
    IUsage::reserveCall { r#use: IUsage::Use, request: OrderRequest, count: u64 }
    IUsage::releaseCall { ids: Vec<B256>, clauses: Vec<u32>, buyer: Address }
    IUsage::releaseOutputCall { policy: B256, outputBytes: u64, outputRows: u64 }
    IUsage::outputOfCall { policy: B256 }
    IUsage::requiredClausesCall { policy: Policy }
    IUsage::usesCall { policy: B256 }
    IUsage::usesByCall { policy: B256, buyer: Address }
    IUsage::idOfCall { policy: Policy }
    IUsage::bindEscrowCall { escrow: Address }
    IUsage::governorCall {}
    IUsage::escrowCall {}
    IAttestation::admitCall { verdict: Verdict, signatures: Bytes, busyUntil: u64 }
    IAttestation::digestOfCall { verdict: Verdict }
    IAttestation::signersOfCall { digest: B256, signatures: Bytes }
    IAttestation::setOperatorsCall { added: Vec<Address>, removed: Vec<Address>, quorum: u16 }
    IAttestation::setWeightsCall { weights: Vec<IAttestation::Weight>, quorum: u16 }
    IAttestation::abstainCall { order: B256, phase: u8, attempt: u8, reason: u16 }
    IAttestation::weightOfCall { account: Address }
    IAttestation::totalWeightCall {}
    IAttestation::setFeeCall { fee: U256 }
    IAttestation::isOperatorCall { account: Address }
    IAttestation::operatorCountCall {}
    IAttestation::quorumCall {}
    IAttestation::feeCall {}
    IAttestation::holderOfCall { device: B256 }
    IAttestation::bindEscrowCall { escrow: Address }
    IAttestation::governorCall {}
    IAttestation::escrowCall {}
    IEscrow::placeCall { request: OrderRequest }
    IEscrow::placeManyCall { request: OrderRequest, salts: Vec<B256> }
    IEscrow::permitCall {
        token: Address, value: U256, deadline: U256, v: u8, r: B256, s: B256,
    }
    IEscrow::acceptCall { terms: Terms }
    IEscrow::submitEvidenceCall {
        terms: Terms, phase: u8, attempt: u8, evidence: B256, outputs: B256, uri: String,
    }
    IEscrow::submitVerdictCall { terms: Terms, verdict: Verdict, signatures: Bytes }
    IEscrow::topUpCall { terms: Terms, duration: u32 }
    IEscrow::settleCall { terms: Terms, verdict: Verdict }
    IEscrow::disputeCall { terms: Terms, evidence: B256, reason: u16 }
    IEscrow::resolveCall { terms: Terms, verdict: Verdict, reason: u16 }
    IEscrow::disputeBondOfCall { terms: Terms }
    IEscrow::disputeOfCall { order: B256 }
    IEscrow::setResolverCall { resolver: Address }
    IEscrow::resolverCall {}
    IEscrow::refundCall { terms: Terms }
    IEscrow::restoreCall { terms: Terms }
    IEscrow::releaseOutputCall {
        terms: Terms, policies: Vec<Policy>, receipt: Receipt, verdict: Verdict,
    }
    IEscrow::multicallCall { calls: Vec<Bytes> }
    IEscrow::multicallPackedCall { packed: Bytes }
    IEscrow::withdrawCall { token: Address }
    IEscrow::creditOfCall { account: Address, token: Address }
    IEscrow::owedCall { token: Address }
    IEscrow::orderOfCall { order: B256 }
    IEscrow::idOfCall { terms: Terms }
    IEscrow::challengeOfCall { order: B256, phase: u8, attempt: u8 }
    IEscrow::setPausedCall { paused: bool }
    IEscrow::pausedCall {}
    IEscrow::offersCall {}
    IEscrow::usageCall {}
    IEscrow::attestationCall {}
    IEscrow::annexCall {}
    IEscrow::deskCall {}
    IEscrow::governorCall {}
    IAttestation::expelCall { operator: Address }
    IAttestation::bondsCall {}
    IBonds::bondCall { operator: Address, amount: U256 }
    IBonds::unbondCall { amount: U256 }
    IBonds::withdrawCall {}
    IBonds::slashCall {
        first: VerdictShare, firstSignature: Bytes, second: VerdictShare, secondSignature: Bytes,
    }
    IBonds::evictCall { operator: Address }
    IBonds::setMinimumCall { minimum: U256 }
    IBonds::minimumCall {}
    IBonds::isBondedCall { operator: Address }
    IBonds::bondOfCall { operator: Address }
    IBonds::rewardOfCall { account: Address }
    IBonds::tokenCall {}
    IBonds::delayCall {}
    IBonds::bindEscrowCall { escrow: Address }
    IBonds::governorCall {}
    IBonds::escrowCall {}
    IGovernance::scheduleCall { target: Address, data: Bytes }
    IGovernance::cancelCall { operation: B256 }
    IGovernance::executeCall { target: Address, data: Bytes }
    IGovernance::pauseCall { escrow: Address }
    IGovernance::bindCall { target: Address, escrow: Address }
    IGovernance::proposeOwnerCall { account: Address }
    IGovernance::acceptOwnershipCall {}
    IGovernance::ownerCall {}
    IGovernance::proposedOwnerCall {}
    IGovernance::delayCall {}
    IGovernance::scheduledCall { operation: B256 }
    IGovernance::operationOfCall { target: Address, data: Bytes }
    ISigner::isValidSignatureCall { hash: B256, signature: Bytes }
    IArbSys::arbBlockNumberCall {}
    IArbSys::arbBlockHashCall { number: U256 }
    IToken::nameCall {}
    IToken::symbolCall {}
    IToken::decimalsCall {}
    IToken::totalSupplyCall {}
    IToken::balanceOfCall { account: Address }
    IToken::allowanceCall { owner: Address, spender: Address }
    IToken::transferCall { to: Address, value: U256 }
    IToken::transferFromCall { from: Address, to: Address, value: U256 }
    IToken::approveCall { spender: Address, value: U256 }
    IToken::permitCall {
        owner: Address, spender: Address, value: U256, deadline: U256, v: u8, r: B256, s:
        B256,
    }
    IToken::noncesCall { owner: Address }
    IToken::DOMAIN_SEPARATORCall {}
    IToken::mintCall { to: Address, value: U256 }
}

errors! {
    IContract::UnknownFunction { selector: FixedBytes<4> }
    IContract::MalformedCalldata { selector: FixedBytes<4> }
    IContract::ValueRefused { value: U256 }
    IContract::AlreadyConstructed {}
    IContract::ZeroAddress {}
    IContract::UnexpectedAnswer { from: Address }
    IOffers::NotOwner { caller: Address, owner: Address }
    IOffers::NotGovernor { caller: Address }
    IOffers::NotEscrow { caller: Address, escrow: Address }
    IOffers::EscrowAlreadyBound { escrow: Address }
    IOffers::AlreadyPublished { offer: B256 }
    IOffers::NotPublished { offer: B256 }
    IOffers::OfferClosed { offer: B256, openUntil: u64, time: u64 }
    IOffers::VolumeExhausted { offer: B256 }
    IOffers::InvalidOffer { field: String }
    IOffers::InvalidSignature { offer: B256, owner: Address }
    IOffers::OfferVoid { offer: B256, salt: U256, nonce: U256 }
    IOffers::NonceNotAbove { nonce: U256, found: U256 }
    IOffers::InvalidFee { found: Fee, limit: u32 }
    IOffers::NotSettled { order: B256, state: u8 }
    IOffers::LineageMismatch { expected: B256, found: B256 }
    IUsage::NotGovernor { caller: Address }
    IUsage::NotEscrow { caller: Address, escrow: Address }
    IUsage::EscrowAlreadyBound { escrow: Address }
    IUsage::LengthsDiffer { expected: U256, found: U256 }
    IUsage::InvalidClause { clause: u8 }
    IUsage::PolicyMismatch { expected: B256, found: B256 }
    IUsage::BuyerRefused { policy: B256, buyer: Address }
    IUsage::ProviderRefused { policy: B256, provider: Address }
    IUsage::PurposeRefused { policy: B256, purpose: u8, allowed: u8 }
    IUsage::WorkloadRefused { policy: B256, workload: B256 }
    IUsage::DurationRefused { policy: B256, requested: u32, allowed: u32 }
    IUsage::OutsideWindow { policy: B256, time: u64, notBefore: u64, notAfter: u64 }
    IUsage::UsesExhausted { policy: B256, limit: u64 }
    IUsage::BuyerUsesExhausted { policy: B256, buyer: Address, limit: u64 }
    IUsage::OutputExhausted { policy: B256, clause: u8, limit: u64, reserved: u64 }
    IUsage::RoyaltyTooHigh { limit: u32, found: u32 }
    IAttestation::NotGovernor { caller: Address }
    IAttestation::NotEscrow { caller: Address, escrow: Address }
    IAttestation::EscrowAlreadyBound { escrow: Address }
    IAttestation::TooManyOperators { limit: U256 }
    IAttestation::ProofTruncated { expected: U256, found: U256 }
    IAttestation::InvalidQuorum { quorum: u16, weight: u16 }
    IAttestation::InvalidWeight { operator: Address, weight: u16 }
    IAttestation::Conclusive { reason: u16 }
    IAttestation::NotOperator { signer: Address }
    IAttestation::AlreadyOperator { account: Address }
    IAttestation::SignersNotAscending { previous: Address, next: Address }
    IAttestation::InvalidSignature { index: U256 }
    IAttestation::QuorumNotReached { expected: u16, found: u16 }
    IAttestation::DeviceBusy { device: B256, order: FixedBytes<24>, until: u64 }
    IEscrow::NotGovernor { caller: Address }
    IEscrow::Paused {}
    IEscrow::Reentered {}
    IEscrow::BatchFailed { index: U256, reason: Bytes }
    IEscrow::AlreadyRestored { order: B256 }
    IEscrow::AlreadyReleased { order: B256 }
    IEscrow::ReceiptMismatch { expected: B256, found: B256 }
    IEscrow::WrongState { order: B256, expected: u8, found: u8 }
    IEscrow::NotProvider { caller: Address, provider: Address }
    IEscrow::InvalidOrder { field: String }
    IEscrow::InvalidLeg { leg: u8, field: String }
    IEscrow::MixedTokens { leg: u8, expected: Address, found: Address }
    IEscrow::DeadlinesNotAscending { earlier: u64, later: u64 }
    IEscrow::DeadlinePassed { deadline: u64, time: u64 }
    IEscrow::DeadlineNotPassed { deadline: u64, time: u64 }
    IEscrow::WindowOpen { closes: u64, time: u64 }
    IEscrow::WindowClosed { closes: u64, time: u64 }
    IEscrow::NoResolver {}
    IEscrow::NotResolver { caller: Address, resolver: Address }
    IEscrow::NoRejection { reason: u16 }
    IEscrow::FeeTooLow { expected: U256, found: U256 }
    IEscrow::VerdictMismatch { expected: B256, found: B256 }
    IEscrow::WrongPhase { expected: u8, found: u8 }
    IEscrow::Inconclusive { reason: u16 }
    IEscrow::InputsMismatch { expected: B256, found: B256 }
    IEscrow::ObservedInFuture { observedAt: u64, time: u64 }
    IEscrow::BeatNotLater { observedAt: u64, beatAt: u64 }
    IEscrow::ObservedBeforeStart { observedAt: u64, startedAt: u64 }
    IEscrow::TokenRefused { token: Address, expected: U256, received: U256 }
    IEscrow::NothingToWithdraw { account: Address, token: Address }
    IEscrow::GasTooLow { expected: u64, found: u64 }
    IAttestation::NotBonded { account: Address }
    IAttestation::NotBonds { caller: Address, bonds: Address }
    IBonds::NotGovernor { caller: Address }
    IBonds::EscrowAlreadyBound { escrow: Address }
    IBonds::Reentered {}
    IBonds::ZeroAmount {}
    IBonds::DelayOutOfRange { delay: u64, least: u64, most: u64 }
    IBonds::BondTooLow { operator: Address, bond: U256, needed: U256 }
    IBonds::Sufficient { operator: Address, bond: U256, minimum: U256 }
    IBonds::StillBonded { until: u64, time: u64 }
    IBonds::NothingToWithdraw { account: Address }
    IBonds::TokenRefused { token: Address, expected: U256, received: U256 }
    IBonds::InvalidSignature { index: U256 }
    IBonds::TwoSigners { first: Address, second: Address }
    IBonds::NoContradiction {}
    IBonds::AlreadySlashed { operator: Address }
    IBonds::NothingToSlash { operator: Address }
    IGovernance::NotOwner { caller: Address, owner: Address }
    IGovernance::NotProposed { caller: Address, proposed: Address }
    IGovernance::DelayOutOfRange { delay: u64, least: u64, most: u64 }
    IGovernance::NoContract { target: Address }
    IGovernance::AlreadyScheduled { operation: B256, from: u64 }
    IGovernance::NotScheduled { operation: B256 }
    IGovernance::TooEarly { operation: B256, from: u64, time: u64 }
    IGovernance::TooLate { operation: B256, until: u64, time: u64 }
    IGovernance::CallFailed { target: Address, reason: Bytes }
    IToken::InsufficientBalance { account: Address, balance: U256, needed: U256 }
    IToken::InsufficientAllowance { spender: Address, allowance: U256, needed: U256 }
    IToken::PermitExpired { deadline: U256, time: U256 }
    IToken::InvalidSigner { signer: Address, owner: Address }
    IToken::InvalidName { expected: U256, found: U256 }
    IToken::SupplyOverflow { supply: U256, minted: U256 }
}

fields! {
    Request {
        legs: Vec<RequestedLeg>, requirements: Requirements, resultKey: B256, purpose: u8,
        maxDuration: u32, deadlines: Deadlines, challengeWindow: u64, bond: U256, oracleFee: U256,
        maxProtocolFee: u32, marketplaceFee: Fee, salt: B256,
    }
}

returns! {
    IOffers::constructorCall { governor: Address }
    IUsage::constructorCall { governor: Address }
    IAttestation::constructorCall {
        governor: Address, operators: Vec<Address>, quorum: u16, fee: U256, bonds: Address,
    }
    IEscrow::constructorCall {
        governor: Address, offers: Address, usage: Address, attestation: Address,
        annex: Address, desk: Address,
    }
    IBonds::constructorCall { governor: Address, token: Address, delay: u64 }
    IBonds::bondOfReturn { bonded: U256, leaving: U256, until: u64 }
    IGovernance::constructorCall { owner: Address, delay: u64 }
    IGovernance::scheduledReturn { from: u64, until: u64 }
    IToken::constructorCall { name: String, symbol: String }
    IUsage::outputOfReturn { outputBytes: u64, outputRows: u64 }
    IOffers::availableReturn { volume: u64, open: bool }
    IAttestation::admitReturn { digest: B256, signers: Vec<Address> }
    IAttestation::holderOfReturn { order: FixedBytes<24>, until: u64 }
}

events! {
    IOffers::OfferPublished [offer: B256, owner: Address, kind: u8] { terms: Offer, uri: String }
    IOffers::NonceRaised [owner: Address] { nonce: U256 }
    IOffers::OfferCancelled [offer: B256, owner: Address] {}
    IOffers::EscrowBound [] { escrow: Address }
    IOffers::ProtocolFeeSet [] { fee: Fee }
    IOffers::OfferDerived [offer: B256, order: B256] { royalties: Vec<Royalty> }
    IUsage::PolicyPublished [policy: B256, publisher: Address] { terms: Policy }
    IBonds::Bonded [operator: Address, payer: Address] { amount: U256 }
    IBonds::Unbonding [operator: Address] { amount: U256, until: u64 }
    IBonds::Withdrawn [operator: Address] { amount: U256 }
    IBonds::MinimumChanged [] { minimum: U256 }
    IBonds::EscrowBound [] { escrow: Address }
    IBonds::Slashed [operator: Address, reporter: Address] {
        amount: U256, reward: U256, first: B256, second: B256,
    }
    IGovernance::OwnerProposed [owner: Address, proposed: Address] {}
    IGovernance::OwnerChanged [previous: Address, owner: Address] {}
    IGovernance::OperationScheduled [operation: B256, target: Address] {
        data: Bytes, from: u64, until: u64,
    }
    IGovernance::OperationCancelled [operation: B256] {}
    IGovernance::OperationExecuted [operation: B256, target: Address] { result: Bytes }
    IGovernance::EscrowPaused [escrow: Address] {}
    IUsage::EscrowBound [] { escrow: Address }
    IAttestation::OperatorsChanged [] { added: Vec<Address>, removed: Vec<Address>, quorum: u16 }
    IAttestation::WeightsSet [] { weights: Vec<IAttestation::Weight>, quorum: u16 }
    IAttestation::Abstained [order: B256, operator: Address] { phase: u8, attempt: u8, reason: u16 }
    IAttestation::FeeChanged [] { fee: U256 }
    IAttestation::EscrowBound [] { escrow: Address }
    IAttestation::VerdictAdmitted [order: B256, phase: u8, digest: B256] { reason: u16, signers: Vec<Address> }
    IAttestation::BatchAdmitted [root: B256] { signers: Vec<Address> }
    IEscrow::OrderPlaced [order: B256, buyer: Address, provider: Address] { terms: Terms }
    IEscrow::OrderAccepted [order: B256, provider: Address] {}
    IEscrow::EvidenceSubmitted [order: B256, phase: u8] {
        attempt: u8, evidence: B256, outputs: B256, uri: String,
    }
    IEscrow::OrderStarted [order: B256, verdict: B256] { sessionKey: B256, devices: Vec<B256> }
    IEscrow::OrderBeat [order: B256, verdict: B256] { attempt: u8, attestedUntil: u64 }
    IEscrow::OrderFinished [order: B256, verdict: B256] { windowCloses: u64 }
    IEscrow::LegPaid [order: B256, payee: Address] { leg: u8, amount: U256 }
    IEscrow::OrderSettled [order: B256] { receipt: Receipt }
    IEscrow::OrderRefunded [order: B256] { reason: u16, refund: U256, bondToBuyer: U256 }
    IEscrow::OrderDisputed [order: B256, challenger: Address] {
        resolver: Address, evidence: B256, reason: u16, bond: U256, deadline: u64,
    }
    IEscrow::DisputeResolved [order: B256, challenger: Address] { reason: u16, reward: U256 }
    IEscrow::ResolverSet [] { resolver: Address }
    IEscrow::OrderToppedUp [order: B256, payer: Address] { duration: u32, amount: U256 }
    IEscrow::OutputReleased [order: B256] {}
    IEscrow::UsesRestored [order: B256] {}
    IEscrow::FeeShared [order: B256, token: Address] { amount: U256, operators: Vec<Address> }
    IEscrow::Credited [account: Address, token: Address] { amount: U256 }
    IEscrow::Withdrawn [account: Address, token: Address] { amount: U256 }
    IEscrow::PausedSet [] { paused: bool }
    IToken::Transfer [from: Address, to: Address] { value: U256 }
    IToken::Approval [owner: Address, spender: Address] { value: U256 }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::fmt::Debug;

    use alloy_sol_types::{SolError, SolValue};

    use super::*;
    use crate::codec;

    /// Values in which no two fields are alike.
    pub(super) trait Sample {
        fn sample(seed: &mut u8) -> Self;
    }

    fn next(seed: &mut u8) -> u8 {
        *seed = seed.wrapping_add(1).max(1);
        *seed
    }

    macro_rules! samples {
        ($($type:ty: $seed:ident => $value:expr;)*) => { $(
            impl Sample for $type {
                fn sample(seed: &mut u8) -> Self {
                    let $seed = next(seed);
                    $value
                }
            }
        )* };
    }

    samples! {
        u8: n => n;
        u16: n => u16::from_be_bytes([n; 2]);
        u32: n => u32::from_be_bytes([n; 4]);
        u64: n => u64::from_be_bytes([n; 8]);
        bool: n => n.is_multiple_of(2);
        U256: n => U256::from_be_bytes([n; 32]);
        Address: n => Address::repeat_byte(n);
        Bytes: n => Bytes::from(vec![n; usize::from(n) % 67]);
        String: n => "é".repeat(usize::from(n) % 35);
    }

    impl Sample for RequestedLeg {
        fn sample(seed: &mut u8) -> Self {
            Self {
                offer: Offer::sample(seed),
                any: u32::sample(seed),
                signature: Bytes::sample(seed),
                royalties: Vec::sample(seed),
            }
        }
    }

    impl<const N: usize> Sample for FixedBytes<N> {
        fn sample(seed: &mut u8) -> Self {
            Self::repeat_byte(next(seed))
        }
    }

    impl<T: Sample> Sample for Vec<T> {
        fn sample(seed: &mut u8) -> Self {
            (0..next(seed) % 3).map(|_| T::sample(seed)).collect()
        }
    }

    fn samples<T: Sample>() -> impl Iterator<Item = T> {
        (0..=u8::MAX).map(|mut seed| T::sample(&mut seed))
    }

    /// What is read back from every shortened encoding is nothing, or (where the last bytes are
    /// padding that nothing points to) the value itself.
    fn survives_truncation<T: Fields + PartialEq + Debug>(value: &T, encoding: &[u8]) {
        for length in 0..encoding.len() {
            if let Some(read) = codec::read::<T>(&encoding[..length]) {
                assert_eq!(read, *value, "{length} of {} bytes", encoding.len());
            }
        }
    }

    pub(super) fn agrees_on_struct<T>()
    where
        T: Codec + Sample + SolValue + PartialEq + Debug,
        for<'a> <T::SolType as alloy_sol_types::SolType>::Token<'a>:
            alloy_sol_types::abi::TokenSeq<'a>,
        T: From<<T::SolType as alloy_sol_types::SolType>::RustType>,
    {
        for value in samples::<T>() {
            let encoding = value.abi_encode();
            assert_eq!(codec::encode(&value), encoding, "{value:?}");
            assert_eq!(codec::decode(&encoding), Some(value));
        }
    }

    pub(super) fn agrees_on_call<T: Fields + Sample + SolCall + PartialEq + Debug>() {
        for (i, value) in samples::<T>().enumerate() {
            let encoding = value.abi_encode();
            let mut ours = T::SELECTOR.to_vec();
            codec::append(&value, &mut ours);
            assert_eq!(ours, encoding, "{}", T::SIGNATURE);
            assert_eq!(
                codec::read(&encoding[4..]),
                Some(T::abi_decode(&encoding).unwrap())
            );
            if i % 64 == 0 {
                survives_truncation(&value, &encoding[4..]);
            }
        }
    }

    pub(super) fn agrees_on_error<T: Fields + Sample + SolError>() {
        for value in samples::<T>() {
            let mut ours = T::SELECTOR.to_vec();
            codec::append(&value, &mut ours);
            assert_eq!(ours, value.abi_encode(), "{}", T::SIGNATURE);
        }
    }

    pub(super) fn agrees_on_event<T: Event + Sample>() {
        for value in samples::<T>() {
            let (bytes, topics) = value.log();
            let expected = value.encode_log_data();
            let expected_topics = expected.topics().concat();
            assert_eq!(topics, expected.topics().len(), "{}", T::SIGNATURE);
            assert_eq!(
                bytes,
                [&expected_topics, &expected.data[..]].concat(),
                "{}",
                T::SIGNATURE
            );
        }
    }

    #[test]
    fn every_listed_type_is_coded_as_alloy_codes_it() {
        for agrees in [STRUCTS, CALLS, ERRORS, EVENTS].into_iter().flatten() {
            agrees();
        }
    }

    #[test]
    fn several_returned_values_are_coded_as_alloy_codes_them() {
        let mut seed = 0;
        let value = IAttestation::admitReturn::sample(&mut seed);
        let mut bytes = vec![];
        codec::append(&value, &mut bytes);
        assert_eq!(bytes, IAttestation::admitCall::abi_encode_returns(&value));
        let value = IAttestation::holderOfReturn::sample(&mut seed);
        let mut bytes = vec![];
        codec::append(&value, &mut bytes);
        assert_eq!(
            bytes,
            IAttestation::holderOfCall::abi_encode_returns(&value)
        );
        let value = IOffers::availableReturn::sample(&mut seed);
        let mut bytes = vec![];
        codec::append(&value, &mut bytes);
        assert_eq!(bytes, IOffers::availableCall::abi_encode_returns(&value));
    }

    #[test]
    fn a_forwarded_sale_reads_as_what_stands_in_the_request() {
        for (i, request) in samples::<OrderRequest>().enumerate() {
            let buyer = Address::sample(&mut (i as u8));
            let call = IEscrow::placeCall {
                request: request.clone(),
            }
            .abi_encode();
            let bytes = request_bytes(&call[4..]).unwrap();
            assert_eq!(bytes, &call[36..]);
            let count = i as u64;
            let sale = forward_sale(buyer, bytes, count);
            let expected = IOffers::sellCall {
                buyer,
                request: request.clone(),
                count,
            };
            assert_eq!(sale, expected.abi_encode());
            let (from, read, counted) = read_sale(&sale[4..]).unwrap();
            assert_eq!((from, counted), (buyer, count));
            let legs = request.legs.iter().map(|leg| RequestedLeg {
                offer: leg.offer.clone(),
                any: leg.policy.any,
                signature: leg.signature.clone(),
                royalties: leg.royalties.clone(),
            });
            assert_eq!(
                read,
                Request {
                    legs: legs.collect(),
                    requirements: request.requirements,
                    resultKey: request.resultKey,
                    purpose: request.purpose,
                    maxDuration: request.maxDuration,
                    deadlines: request.deadlines,
                    challengeWindow: request.challengeWindow,
                    bond: request.bond,
                    oracleFee: request.oracleFee,
                    maxProtocolFee: request.maxProtocolFee,
                    marketplaceFee: request.marketplaceFee,
                    salt: request.salt,
                }
            );
        }
        assert_eq!(read_sale(&[0xff; 64]), None);
        assert_eq!(request_bytes(&[0xff; 64]), None);
    }

    #[test]
    fn terms_are_cut_out_of_calldata_as_they_are_encoded() {
        for terms in samples::<Terms>() {
            let mut expected = vec![];
            codec::append(&terms, &mut expected);
            let accept = IEscrow::acceptCall {
                terms: terms.clone(),
            };
            assert_eq!(terms_bytes(&accept.abi_encode()[4..]), Some(&expected[..]));
            let settle = IEscrow::settleCall {
                terms,
                verdict: Verdict::default(),
            };
            assert_eq!(terms_bytes(&settle.abi_encode()[4..]), Some(&expected[..]));
        }
        for length in [0, 31, 32, 64, 671] {
            assert_eq!(terms_bytes(&vec![0; length]), None);
            assert_eq!(terms_bytes(&vec![0xff; length]), None);
        }
    }

    #[test]
    fn an_order_is_announced_with_the_terms_as_they_came() {
        for terms in samples::<Terms>() {
            let event = IEscrow::OrderPlaced {
                order: B256::repeat_byte(1),
                buyer: Address::repeat_byte(2),
                provider: Address::repeat_byte(3),
                terms,
            };
            let answer = codec::encode(&event.terms);
            let bytes = order_placed(event.order, event.buyer, event.provider, &answer);
            assert_eq!((bytes, 4), event.log());
        }
    }

    #[test]
    fn a_set_salt_is_the_salt() {
        for mut terms in samples::<Terms>() {
            let mut bytes = codec::encode(&terms);
            terms.salt = B256::repeat_byte(0x5a);
            set_salt(&mut bytes, &terms.salt);
            assert_eq!(codec::decode(&bytes), Some(terms));
        }
    }

    #[test]
    fn a_forwarded_request_reads_as_the_request() {
        for (i, request) in samples::<OrderRequest>().enumerate() {
            let wanted = IUsage::Use::sample(&mut (i as u8));
            let call = IEscrow::placeCall {
                request: request.clone(),
            }
            .abi_encode();
            let forwarded = forward_request(&wanted, &call[36..], 7);
            let expected = IUsage::reserveCall {
                r#use: wanted,
                request,
                count: 7,
            };
            assert_eq!(forwarded, expected.abi_encode());
        }
    }

    #[test]
    fn numbers_that_do_not_fit_their_type_are_refused() {
        let word = |at: usize| {
            let mut word = [0; 32];
            word[at] = 2;
            word
        };
        assert_eq!(codec::decode::<u64>(&word(23)), None);
        assert_eq!(codec::decode::<u32>(&word(27)), None);
        assert_eq!(codec::decode::<u16>(&word(29)), None);
        assert_eq!(codec::decode::<u8>(&word(30)), None);
        assert_eq!(codec::decode::<bool>(&word(31)), None);
        assert_eq!(codec::decode::<Address>(&word(11)), None);
        assert_eq!(codec::decode::<FixedBytes<8>>(&word(8)), None);
        assert_eq!(codec::decode::<u64>(&word(31)), Some(2));
    }

    #[test]
    fn hostile_lengths_and_offsets_are_refused() {
        let words = |numbers: &[U256]| -> Vec<u8> {
            numbers.iter().flat_map(|n| n.to_be_bytes::<32>()).collect()
        };
        let [thirty_two, one, large] = [U256::from(32), U256::from(1), U256::from(u64::MAX)];
        for bytes in [
            words(&[large]),
            words(&[U256::MAX]),
            words(&[thirty_two, large]),
            words(&[thirty_two, U256::MAX]),
            words(&[thirty_two, one]),
            words(&[U256::from(64), one]),
        ] {
            assert_eq!(codec::decode::<Vec<U256>>(&bytes), None);
            assert_eq!(codec::decode::<Bytes>(&bytes), None);
            assert_eq!(codec::decode::<Vec<Vec<U256>>>(&bytes), None);
        }
        assert_eq!(
            codec::decode::<String>(&{
                let mut bytes = words(&[thirty_two, one]);
                bytes.extend([0xff; 32]);
                bytes
            }),
            None,
            "not UTF-8"
        );
    }
}
