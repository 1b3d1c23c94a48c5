//! The contracts in the lab, everyone who uses them, and what they sign.

use std::sync::OnceLock;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol;
use alloy::sol_types::{SolCall, SolConstructor};
use anyhow::{Context, Result};
use vouch_abi::call::CONSTRUCTOR;
use vouch_abi::{
    Fee, IAttestation, IBonds, IEscrow, IGovernance, IOffers, IToken, IUsage, LegRequest, Offer,
    OrderRequest, Policy, Terms, Verdict,
};
use vouch_client::deploy::STYLUS_DEPLOYER;
use vouch_client::order::{Schedule, Wish, leg};
use vouch_client::program::Program;
use vouch_client::verdict::{self, Signed};
use vouch_protocol::clause::LegClauses;
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Clause, Clauses, Phase, Reason};
use vouch_tests::{paths, solidity};

use crate::lab::{Done, Lab, Reverted};

sol! {
    /// A token that misbehaves on demand: `tests/solidity/Trouble.sol`.
    interface ITrouble {
        function mint(address to, uint256 value) external;
        function approve(address spender, uint256 value) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function misbehave(uint8 mode, address target, bytes data) external;
        function reentered() external view returns (bool);
    }

    interface IStylusDeployer {
        event ContractDeployed(address deployedContract);
        function deploy(bytes bytecode, bytes initData, uint256 initValue, bytes32 salt) external payable returns (address);
    }
}

/// May change operators, pause, and nothing else.
pub const GOVERNOR: Address = Address::repeat_byte(0xa0);
/// Sells the dataset, under a policy with limits and conditions.
pub const DATASET_OWNER: Address = Address::repeat_byte(0xa1);
/// Sells the model, under no conditions.
pub const MODEL_OWNER: Address = Address::repeat_byte(0xa2);
/// Sells compute, under no conditions.
pub const PROVIDER: Address = Address::repeat_byte(0xa3);
/// They pay.
pub const BUYERS: [Address; 2] = [Address::repeat_byte(0xb0), Address::repeat_byte(0xb1)];
/// Has no part in anything.
pub const STRANGER: Address = Address::repeat_byte(0xee);

/// Price of the dataset.
pub const DATASET_PRICE: u128 = 1_000;
/// Price of the model.
pub const MODEL_PRICE: u128 = 2_000;
/// Price of compute for a second.
pub const RATE: u128 = 3;
/// Longest attested time, in seconds.
pub const MAX_DURATION: u32 = 600;
/// What signers share.
pub const FEE: u128 = 50;
/// What the provider locks.
pub const BOND: u128 = 500;
/// What a buyer locks.
pub const LOCKED: u128 = DATASET_PRICE + MODEL_PRICE + RATE * MAX_DURATION as u128 + FEE;
/// What everyone who pays has at first, of each token.
pub const MINTED: u128 = 1_000_000;
/// Uses for sale of each offer.
pub const VOLUME: u64 = 14;
/// Uses the dataset's policy allows in total.
pub const MAX_USES: u64 = 12;
/// Uses the dataset's policy allows one buyer.
pub const MAX_USES_PER_BUYER: u64 = 8;
/// Seconds between one deadline of an order and the next.
pub const PACE: u64 = 1_000;
/// Operators at first, of [`Market::keys`]; the others are not.
pub const OPERATORS: usize = 3;
/// Seconds for which a bond can still be lost once it is taken out.
pub const BOND_DELAY: u64 = 100_000;
/// How many of them must agree.
pub const QUORUM: usize = 2;

const INFER: u8 = 1 << 2;

/// The market in the lab. Cloning it is a snapshot.
#[derive(Clone, Debug)]
pub struct Market {
    /// The chain.
    pub lab: Lab,
    /// What operators have at stake, in the first token.
    pub bonds: Address,
    /// What is for sale.
    pub offers: Address,
    /// Under which constraints.
    pub usage: Address,
    /// Who may say what the hardware showed.
    pub attestation: Address,
    /// Who has paid and who may be paid.
    pub escrow: Address,
    /// Two tokens that misbehave on demand.
    pub tokens: [Address; 2],
    /// Those who can sign: operators first, in ascending order of their addresses.
    pub keys: Vec<PrivateKeySigner>,
    /// For each token: dataset, model and compute.
    pub legs: [Vec<LegRequest>; 2],
}

/// The dataset's policy.
pub fn policy() -> Policy {
    let required = Clauses::NONE
        .with(Clause::DebugOff)
        .with(Clause::GpuCount)
        .with(Clause::Purposes)
        .with(Clause::MaxDuration)
        .with(Clause::MaxUses)
        .with(Clause::MaxUsesPerBuyer);
    Policy {
        any: Clauses::POLICY.without(required).0,
        minGpus: 1,
        purposes: INFER,
        maxDuration: 3600,
        maxUses: MAX_USES,
        maxUsesPerBuyer: MAX_USES_PER_BUYER,
        ..Default::default()
    }
}

fn any() -> Policy {
    Policy {
        any: Clauses::POLICY.0,
        ..Default::default()
    }
}

impl Market {
    /// A fresh market; the first call in a process deploys it, the others copy that.
    pub fn new() -> Self {
        static FIRST: OnceLock<Market> = OnceLock::new();
        FIRST
            .get_or_init(|| {
                Self::deploy().unwrap_or_else(|error| panic!("deploying the market: {error:#}"))
            })
            .clone()
    }

    fn deploy() -> Result<Self> {
        let mut lab = Lab::new();
        lab.fund(GOVERNOR, U256::from(10).pow(U256::from(24)));
        let keys = keys();
        let governor = GOVERNOR;
        let operators = keys.iter().take(OPERATORS).map(PrivateKeySigner::address);
        let code = creation_code("Trouble.sol", "Trouble")?;
        let tokens = [
            lab.create(GOVERNOR, code.clone())?,
            lab.create(GOVERNOR, code)?,
        ];
        let bonds = program(
            &mut lab,
            "bonds",
            &IBonds::constructorCall {
                governor,
                token: tokens[0],
                delay: BOND_DELAY,
            },
        )?;
        let offers = program(&mut lab, "offers", &IOffers::constructorCall { governor })?;
        let usage = program(&mut lab, "usage", &IUsage::constructorCall { governor })?;
        let attestation = program(
            &mut lab,
            "attestation",
            &IAttestation::constructorCall {
                governor,
                operators: operators.collect(),
                quorum: u16::try_from(QUORUM)?,
                fee: U256::from(10),
                bonds,
            },
        )?;
        let annex = program_with(&mut lab, "annex", CONSTRUCTOR.into())?;
        let desk = program_with(&mut lab, "desk", CONSTRUCTOR.into())?;
        let escrow = program(
            &mut lab,
            "escrow",
            &IEscrow::constructorCall {
                governor,
                offers,
                usage,
                attestation,
                annex,
                desk,
            },
        )?;
        let mut market = Self {
            lab,
            bonds,
            offers,
            usage,
            attestation,
            escrow,
            tokens,
            keys,
            legs: Default::default(),
        };
        for contract in [offers, usage, attestation, bonds] {
            // All have the same function.
            market.must(GOVERNOR, contract, &IOffers::bindEscrowCall { escrow })?;
        }
        for token in tokens {
            for payer in [PROVIDER, BUYERS[0], BUYERS[1]] {
                let value = U256::from(MINTED);
                market.must(payer, token, &ITrouble::mintCall { to: payer, value })?;
                let value = U256::MAX;
                market.must(
                    payer,
                    token,
                    &ITrouble::approveCall {
                        spender: escrow,
                        value,
                    },
                )?;
            }
        }
        market.legs = [market.publish(tokens[0])?, market.publish(tokens[1])?];
        Ok(market)
    }

    fn publish(&mut self, token: Address) -> Result<Vec<LegRequest>> {
        let legs = wares(token);
        for leg in &legs {
            let publish = IOffers::publishCall {
                offer: leg.offer.clone(),
                uri: "ipfs://x".into(),
            };
            self.must(leg.offer.owner, self.offers, &publish)?;
        }
        Ok(legs)
    }

    /// Deploys the market's own test token.
    ///
    /// # Errors
    /// It could not be deployed.
    pub fn test_token(&mut self) -> Result<Address> {
        let constructor = IToken::constructorCall {
            name: "Test Dollar".into(),
            symbol: "TUSD".into(),
        };
        program(&mut self.lab, "token", &constructor)
    }

    /// Deploys a governor with this delay, owned by [`GOVERNOR`]. The contracts here have that account
    /// itself for theirs.
    ///
    /// # Errors
    /// It could not be deployed.
    pub fn governance(&mut self, delay: u64) -> Result<Address> {
        let owner = GOVERNOR;
        let constructor = IGovernance::constructorCall { owner, delay };
        program(&mut self.lab, "governance", &constructor)
    }

    /// A call that must succeed.
    ///
    /// # Errors
    /// It reverted.
    pub fn must(&mut self, from: Address, to: Address, call: &impl SolCall) -> Result<Done> {
        self.lab
            .tell(from, to, call)
            .map_err(|data| anyhow::anyhow!("reverted with {data}"))
    }

    /// A request for dataset, model and compute, paid in token `token`.
    pub fn request(&self, token: usize, window: u64, salt: u64) -> OrderRequest {
        request(&self.legs[token], self.lab.now(), window, salt)
    }

    /// Places an order; gives its id and terms.
    ///
    /// # Errors
    /// The revert's data.
    pub fn place(
        &mut self,
        buyer: Address,
        request: OrderRequest,
    ) -> Result<(B256, Terms), Reverted> {
        let done = self
            .lab
            .tell(buyer, self.escrow, &IEscrow::placeCall { request })?;
        let event: IEscrow::OrderPlaced = done
            .event()
            .unwrap_or_else(|| panic!("an order was placed without its event"));
        Ok((event.order, event.terms))
    }

    /// A verdict about an order under which everything holds, observed now.
    pub fn verdict(&self, order: B256, terms: &Terms, phase: Phase, device: u8) -> Verdict {
        verdict(self.lab.now(), order, terms, phase, device)
    }

    /// Signatures of some of [`Self::keys`], as the contract takes them.
    pub fn sign(&self, verdict: &Verdict, signers: &[usize]) -> Bytes {
        self.sign_for(verdict, signers, self.lab.chain_id(), self.attestation)
    }

    /// Signatures in the domain of any chain and contract.
    pub fn sign_for(
        &self,
        verdict: &Verdict,
        signers: &[usize],
        chain_id: u64,
        contract: Address,
    ) -> Bytes {
        signatures(&self.keys, verdict, signers, chain_id, contract)
    }

    /// Submits a verdict; anyone may.
    ///
    /// # Errors
    /// The revert's data.
    pub fn submit(
        &mut self,
        terms: &Terms,
        verdict: &Verdict,
        signatures: Bytes,
    ) -> Result<Done, Reverted> {
        let call = IEscrow::submitVerdictCall {
            terms: terms.clone(),
            verdict: verdict.clone(),
            signatures,
        };
        self.lab.tell(STRANGER, self.escrow, &call)
    }

    /// Units of a token that an account holds, read from the token's storage.
    pub fn balance(&self, token: usize, account: Address) -> u128 {
        // `balanceOf` is the second variable of the token.
        let key = [account.into_word(), B256::with_last_byte(1)].concat();
        self.lab
            .slot(self.tokens[token], keccak256(key).into())
            .saturating_to()
    }

    /// What the escrow says it owes of a token.
    ///
    /// # Errors
    /// The call failed.
    pub fn owed(&mut self, token: usize) -> Result<u128> {
        let token = self.tokens[token];
        let owed = self.lab.ask(self.escrow, &IEscrow::owedCall { token })?;
        Ok(owed.saturating_to())
    }

    /// What the escrow owes an account of a token.
    ///
    /// # Errors
    /// The call failed.
    pub fn credit(&mut self, token: usize, account: Address) -> Result<u128> {
        let token = self.tokens[token];
        let credit = self
            .lab
            .ask(self.escrow, &IEscrow::creditOfCall { account, token })?;
        Ok(credit.saturating_to())
    }

    /// The number of an order's state.
    ///
    /// # Errors
    /// The call failed.
    pub fn state(&mut self, order: B256) -> Result<u8> {
        let record = self.lab.ask(self.escrow, &IEscrow::orderOfCall { order })?;
        Ok(record.state)
    }

    /// Has a token misbehave from now on; `data` is what mode 6 sends to `target`.
    ///
    /// # Errors
    /// The call failed.
    pub fn misbehave(
        &mut self,
        token: usize,
        mode: u8,
        target: Address,
        data: Bytes,
    ) -> Result<()> {
        let token = self.tokens[token];
        let call = ITrouble::misbehaveCall { mode, target, data };
        self.must(GOVERNOR, token, &call)?;
        Ok(())
    }
}

/// Those who can sign, in ascending order of their addresses.
pub fn keys() -> Vec<PrivateKeySigner> {
    let key = |n| PrivateKeySigner::from_bytes(&B256::with_last_byte(n));
    let mut keys: Vec<_> = (1..=5).filter_map(|n| key(n).ok()).collect();
    keys.sort_by_key(PrivateKeySigner::address);
    keys
}

/// Signatures of some of `keys`, in the domain of any chain and contract.
pub fn signatures(
    keys: &[PrivateKeySigner],
    verdict: &Verdict,
    signers: &[usize],
    chain_id: u64,
    contract: Address,
) -> Bytes {
    let digest = verdict::digest(verdict, &verdict::domain(chain_id, contract));
    let signed = signers.iter().map(|index| {
        Signed::new(digest, &keys[*index]).unwrap_or_else(|error| panic!("signing: {error}"))
    });
    verdict::concatenate(signed.collect())
}

/// Offers of dataset, model and compute in a token.
pub fn wares(token: Address) -> Vec<LegRequest> {
    let wares = [
        (DATASET_OWNER, 1, DATASET_PRICE, policy()),
        (MODEL_OWNER, 2, MODEL_PRICE, any()),
        (PROVIDER, 4, RATE, any()),
    ];
    let wares = wares.into_iter().map(|(owner, kind, price, policy)| {
        let offer = Offer {
            owner,
            kind,
            digest: match kind {
                4 => B256::ZERO,
                _ => B256::repeat_byte(kind),
            },
            metadata: B256::repeat_byte(0xaa),
            token,
            price: U256::from(price),
            policy: vouch_abi::id::policy_id(&policy),
            volume: VOLUME,
            openUntil: u64::MAX,
            shared: false,
            lineage: B256::ZERO,
            salt: B256::ZERO,
        };
        leg(offer, policy)
    });
    wares.collect()
}

/// A request for some offers at `now`.
pub fn request(legs: &[LegRequest], now: u64, window: u64, salt: u64) -> OrderRequest {
    let pace = std::time::Duration::from_secs(PACE);
    let wish = Wish {
        purpose: INFER,
        max_duration: MAX_DURATION,
        result_key: B256::repeat_byte(7),
        requirements: Default::default(),
        schedule: Schedule {
            accept: pace,
            start: pace,
            finish: pace,
            settle: pace,
        },
        challenge_window: window,
        bond: U256::from(BOND),
        oracle_fee: U256::from(FEE),
        max_protocol_fee: 0,
        marketplace_fee: Fee::default(),
        salt: crate::lab::word(salt),
    };
    wish.request(legs.to_vec(), now)
}

/// A verdict about an order under which everything holds, observed at `now`.
pub fn verdict(now: u64, order: B256, terms: &Terms, phase: Phase, device: u8) -> Verdict {
    let mut holds = [0u32; 8];
    for (word, leg) in holds.iter_mut().zip(&terms.legs) {
        *word = Clauses(leg.clauses).intersection(Clauses::ATTESTED).0;
    }
    let assets: Vec<B256> = terms
        .legs
        .iter()
        .filter(|leg| leg.kind <= 2)
        .map(|leg| leg.digest)
        .collect();
    Verdict {
        order,
        phase: phase as u8,
        evidence: B256::repeat_byte(0xee),
        clauses: U256::from_be_bytes(LegClauses(holds).to_be_bytes()),
        reason: Reason::Accepted.code(),
        devices: vec![B256::repeat_byte(device)],
        sessionKey: B256::repeat_byte(5),
        measurement: B256::repeat_byte(6),
        inputs: inputs_digest(&assets),
        outputs: B256::repeat_byte(phase as u8),
        observedAt: now,
        ..Default::default()
    }
}

impl Default for Market {
    fn default() -> Self {
        Self::new()
    }
}

/// Deploys, activates and constructs one of the programs.
fn program(lab: &mut Lab, name: &str, constructor: &impl SolConstructor) -> Result<Address> {
    program_with(lab, name, construction(constructor))
}

fn program_with(lab: &mut Lab, name: &str, construction: Bytes) -> Result<Address> {
    let wasm = paths::wasm_dir()?.join(format!("{name}.wasm"));
    let cache = paths::target()?.join("programs");
    let program = Program::from_file(&wasm, Some(&cache))?;
    let deploy = IStylusDeployer::deployCall {
        bytecode: program.creation_code(),
        initData: construction,
        initValue: U256::ZERO,
        salt: B256::ZERO,
    };
    let value = U256::from(10).pow(U256::from(18));
    let done = lab
        .send_with(
            GOVERNOR,
            STYLUS_DEPLOYER,
            deploy.abi_encode(),
            value,
            1 << 40,
        )
        .map_err(|data| anyhow::anyhow!("deploying {name} reverted with {data}"))?;
    let event: IStylusDeployer::ContractDeployed = done
        .event()
        .with_context(|| format!("{name} was deployed without an event"))?;
    Ok(event.deployedContract)
}

fn construction(constructor: &impl SolConstructor) -> Bytes {
    [&vouch_abi::call::CONSTRUCTOR[..], &constructor.abi_encode()]
        .concat()
        .into()
}

/// Creation code of a contract written in Solidity.
///
/// # Errors
/// Node is missing, or the source does not compile.
pub fn creation_code(file: &str, contract: &str) -> Result<Vec<u8>> {
    // Tests with a runtime of their own ask from outside it.
    let (file, contract) = (file.to_owned(), contract.to_owned());
    let compile = move || -> Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let compiled = runtime
            .block_on(solidity::compiled(&file, &contract))?
            .with_context(|| {
                format!("Node is needed to compile {file}: run scripts/setup --tests")
            })?;
        let code = compiled["evm"]["bytecode"]["object"]
            .as_str()
            .context("the compiler gave no bytecode")?;
        hex::decode(code).context("reading the bytecode")
    };
    std::thread::spawn(compile)
        .join()
        .unwrap_or_else(|_| anyhow::bail!("compiling panicked"))
}
