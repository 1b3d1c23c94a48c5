//! Puts the contracts on a chain, through the Stylus deployer, and joins them.
//!
//! A deployment can be stopped at any point and taken up again: what the file names and the chain
//! confirms is kept. What was built from other sources is not mixed with: that is refused.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::TransactionRequest;
use alloy::rpc::types::state::{AccountOverride, StateOverride};
use alloy::sol;
use alloy::sol_types::{SolCall, SolConstructor, SolError};
use alloy::transports::TransportError;
use vouch_abi::IGovernance::IGovernanceInstance;
use vouch_abi::{IAttestation, IBonds, IEscrow, IGovernance, IOffers, IToken, IUsage};

use crate::deployment::{Contract, Deployment, Entry};
use crate::program::Program;
use crate::{Error, send};

/// The Stylus deployer, at the same address on every chain.
pub const STYLUS_DEPLOYER: Address = address!("0xcEcba2F1DC234f70Dd89F2041029807F8D03A990");
/// The precompile that activates programs.
pub const ARB_WASM: Address = address!("0x0000000000000000000000000000000000000071");

/// The contracts that obey the escrow.
const BOUND: [Contract; 4] = [
    Contract::Offers,
    Contract::Usage,
    Contract::Attestation,
    Contract::Bonds,
];

sol! {
    #[sol(rpc)]
    interface IStylusDeployer {
        event ContractDeployed(address deployedContract);

        function deploy(bytes bytecode, bytes initData, uint256 initValue, bytes32 salt) external payable returns (address);
    }

    interface IArbWasm {
        function activateProgram(address program) external payable returns (uint16 version, uint256 dataFee);

        error ProgramUpToDate();
    }
}

/// What the contracts are set up with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Signs the deployment, and owns the market until `owner` has accepted it.
    pub deployer: Address,
    /// Who is to own the market: may announce changes of operators, quorum and fee, and pause new
    /// orders.
    pub owner: Address,
    /// Seconds from announcing a change until it can be made.
    pub delay: u64,
    /// Seconds for which an operator's bond can still be lost once it is taken out.
    pub bond_delay: u64,
    /// Whose verdicts count.
    pub operators: Vec<Address>,
    /// How many of them must agree.
    pub quorum: u16,
    /// Smallest oracle fee of an order.
    pub fee: U256,
    /// Name of the test token.
    pub token_name: String,
    /// Symbol of the test token.
    pub token_symbol: String,
}

/// Where programs come from and the deployment goes to.
#[derive(Clone, Debug)]
pub struct Files {
    /// Directory of `<contract>.wasm`.
    pub wasm: PathBuf,
    /// Directory of compressed programs.
    pub cache: Option<PathBuf>,
    /// The deployment's file.
    pub deployment: PathBuf,
}

/// One step of a deployment, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The chain already has it.
    Kept(Contract, Address),
    /// It is there now: where, how many bytes of code, gas used.
    Deployed(Contract, Address, usize, u64),
    /// It now obeys the escrow.
    Bound(Contract),
    /// The market is offered to this account, which has to accept it.
    Proposed(Address),
}

/// Deploys what is missing, binds the escrow, offers the market to its owner, and writes the deployment
/// after every step.
///
/// `provider` signs as `setup.deployer`.
///
/// # Errors
/// [`Error::File`], [`Error::Program`], [`Error::ChainMismatch`], [`Error::MixedVersions`],
/// [`Error::Reverted`], [`Error::BoundElsewhere`], [`Error::SetUpOtherwise`].
pub async fn deploy(
    provider: &DynProvider,
    setup: &Setup,
    files: &Files,
    mut report: impl FnMut(&Step),
) -> Result<Deployment, Error> {
    let mut deployment = open(provider, &files.deployment).await?;
    let mut programs = Vec::with_capacity(Contract::ALL.len());
    for contract in Contract::ALL {
        let wasm = wasm_file(&files.wasm, contract);
        programs.push((contract, Program::from_file(&wasm, files.cache.as_deref())?));
    }
    keep_what_is_there(provider, &mut deployment).await?;
    refuse_other_versions(&mut deployment, &programs)?;
    deployment.governance_delay = setup.delay;
    for (contract, program) in programs {
        if let Some(entry) = deployment.contracts.get(&contract) {
            report(&Step::Kept(contract, entry.address));
            continue;
        }
        let init = constructor(contract, setup, &deployment)?;
        let (entry, gas) = create(provider, contract, &program, init, setup.deployer).await?;
        report(&Step::Deployed(
            contract,
            entry.address,
            program.code.len(),
            gas,
        ));
        deployment.contracts.insert(contract, entry);
        deployment.save(&files.deployment)?;
    }
    bind(provider, &deployment, &mut report).await?;
    hand_over(provider, setup, &deployment, &mut report).await?;
    verify_set_up(provider, setup, &deployment).await?;
    Ok(deployment)
}

/// Offers the market to its owner, where that is another account than the deployer's.
async fn hand_over(
    provider: &DynProvider,
    setup: &Setup,
    deployment: &Deployment,
    report: &mut impl FnMut(&Step),
) -> Result<(), Error> {
    let governance = governance(provider, deployment)?;
    if setup.owner == governance.owner().call().await?
        || setup.owner == governance.proposedOwner().call().await?
    {
        return Ok(());
    }
    send(governance.proposeOwner(setup.owner)).await?;
    report(&Step::Proposed(setup.owner));
    Ok(())
}

fn governance(
    provider: &DynProvider,
    deployment: &Deployment,
) -> Result<IGovernanceInstance<DynProvider>, Error> {
    let address = deployment.get(Contract::Governance)?.address;
    Ok(IGovernance::new(address, provider.clone()))
}

/// The wasm file of a contract.
pub fn wasm_file(dir: &Path, contract: Contract) -> PathBuf {
    dir.join(format!("{contract}.wasm"))
}

async fn open(provider: &DynProvider, path: &Path) -> Result<Deployment, Error> {
    let found = provider.get_chain_id().await?;
    if !path.exists() {
        return Ok(Deployment::new(found));
    }
    let kept = Deployment::load(path)?;
    if kept.chain_id != found {
        return Err(Error::ChainMismatch {
            expected: kept.chain_id,
            found,
        });
    }
    Ok(kept)
}

/// Refuses to go on with contracts that the chain has and that were built from other sources, against
/// another interface or with other tools. Where the chain has none of them (a development chain that
/// was started anew), there is nothing to mix with.
fn refuse_other_versions(
    deployment: &mut Deployment,
    programs: &[(Contract, Program)],
) -> Result<(), Error> {
    let now = Deployment::new(deployment.chain_id);
    if !deployment.contracts.is_empty() {
        let refuse = |what: String, expected: String, found: String| {
            Err(Error::MixedVersions {
                chain_id: now.chain_id,
                what,
                expected,
                found,
            })
        };
        if deployment.abi_sha256 != now.abi_sha256 {
            let (expected, found) = (now.abi_sha256, deployment.abi_sha256);
            return refuse(
                "the interface's SHA-256".into(),
                expected.to_string(),
                found.to_string(),
            );
        }
        for (tool, expected) in &now.tools {
            let found = deployment.tools.get(tool).cloned().unwrap_or_default();
            if found != *expected {
                return refuse(format!("the version of {tool}"), expected.clone(), found);
            }
        }
        for (contract, program) in programs {
            if let Some(entry) = deployment.contracts.get(contract)
                && entry.wasm_sha256 != program.wasm_sha256
            {
                let (expected, found) = (program.wasm_sha256, entry.wasm_sha256);
                let what = format!("the SHA-256 of {contract}'s WebAssembly");
                return refuse(what, expected.to_string(), found.to_string());
            }
        }
    }
    deployment.abi_sha256 = now.abi_sha256;
    deployment.tools = now.tools;
    Ok(())
}

/// Checks that the contracts on chain name one another and their governor, and that it waits as long as
/// it should.
async fn verify_set_up(
    provider: &DynProvider,
    setup: &Setup,
    deployment: &Deployment,
) -> Result<(), Error> {
    let at = |contract| deployment.get(contract).map(|entry| entry.address);
    let differs = |contract, what, expected: String, found: String| {
        let address = at(contract)?;
        Err(Error::SetUpOtherwise {
            contract,
            address,
            what,
            expected,
            found,
        })
    };
    let escrow = IEscrow::new(at(Contract::Escrow)?, provider.clone());
    for (what, expected, found) in [
        (
            "offers",
            at(Contract::Offers)?,
            escrow.offers().call().await?,
        ),
        ("usage", at(Contract::Usage)?, escrow.usage().call().await?),
        (
            "attestation",
            at(Contract::Attestation)?,
            escrow.attestation().call().await?,
        ),
        ("annex", at(Contract::Annex)?, escrow.annex().call().await?),
        ("desk", at(Contract::Desk)?, escrow.desk().call().await?),
    ] {
        if expected != found {
            let (expected, found) = (expected.to_string(), found.to_string());
            return differs(Contract::Escrow, what, expected, found);
        }
    }
    let governor = at(Contract::Governance)?;
    for contract in BOUND.into_iter().chain([Contract::Escrow]) {
        // All of them have this function.
        let governed = IEscrow::new(at(contract)?, provider.clone());
        let found = governed.governor().call().await?;
        if found != governor {
            let (expected, found) = (governor.to_string(), found.to_string());
            return differs(contract, "governor", expected, found);
        }
    }
    let attestation = IAttestation::new(at(Contract::Attestation)?, provider.clone());
    let (expected, found) = (at(Contract::Bonds)?, attestation.bonds().call().await?);
    if expected != found {
        let (expected, found) = (expected.to_string(), found.to_string());
        return differs(Contract::Attestation, "bonds", expected, found);
    }
    let bonds = IBonds::new(expected, provider.clone());
    let (expected, found) = (setup.bond_delay, bonds.delay().call().await?);
    if expected != found {
        let (expected, found) = (format!("{expected} s"), format!("{found} s"));
        return differs(Contract::Bonds, "delay", expected, found);
    }
    let delay = governance(provider, deployment)?.delay().call().await?;
    if delay != setup.delay {
        let (expected, found) = (format!("{} s", setup.delay), format!("{delay} s"));
        return differs(Contract::Governance, "delay", expected, found);
    }
    Ok(())
}

/// Drops the entries that the chain does not confirm. The escrow holds the
/// addresses of the others, and some of them obey one escrow for good: unless all of them stay,
/// the escrow goes, and with it whoever is bound. Without their governor all of them go, and who was made with the address of another goes with that.
async fn keep_what_is_there(
    provider: &DynProvider,
    deployment: &mut Deployment,
) -> Result<(), Error> {
    for contract in Contract::ALL {
        let Some(entry) = deployment.contracts.get(&contract) else {
            continue;
        };
        let there = match entry.verify(contract, provider).await {
            Ok(()) => true,
            Err(Error::CodeMismatch { .. }) => false,
            Err(other) => return Err(other),
        };
        if !there {
            deployment.contracts.remove(&contract);
        }
    }
    if !deployment.contracts.contains_key(&Contract::Governance) {
        for contract in BOUND {
            deployment.contracts.remove(&contract);
        }
    }
    for (gone, with) in [
        (Contract::Token, Contract::Bonds),
        (Contract::Bonds, Contract::Attestation),
    ] {
        if !deployment.contracts.contains_key(&gone) {
            deployment.contracts.remove(&with);
        }
    }
    let whole = BOUND
        .iter()
        .chain(&[Contract::Annex, Contract::Desk, Contract::Escrow])
        .all(|c| deployment.contracts.contains_key(c));
    if whole {
        return Ok(());
    }
    deployment.contracts.remove(&Contract::Escrow);
    for contract in BOUND {
        let Some(entry) = deployment.contracts.get(&contract) else {
            continue;
        };
        if !escrow_of(provider, entry.address).await?.is_zero() {
            deployment.contracts.remove(&contract);
        }
    }
    Ok(())
}

async fn escrow_of(provider: &DynProvider, contract: Address) -> Result<Address, Error> {
    // All of `BOUND` have this function.
    Ok(IOffers::new(contract, provider.clone())
        .escrow()
        .call()
        .await?)
}

/// The constructor call of a contract.
fn constructor(contract: Contract, setup: &Setup, deployment: &Deployment) -> Result<Bytes, Error> {
    let at = |contract| deployment.get(contract).map(|entry| entry.address);
    let governor = match contract {
        // The one has an owner instead, the other nobody.
        Contract::Governance | Contract::Token => setup.deployer,
        _ => at(Contract::Governance)?,
    };
    let params = match contract {
        Contract::Governance => IGovernance::constructorCall {
            owner: setup.deployer,
            delay: setup.delay,
        }
        .abi_encode(),
        Contract::Bonds => IBonds::constructorCall {
            governor,
            token: at(Contract::Token)?,
            delay: setup.bond_delay,
        }
        .abi_encode(),
        Contract::Offers => IOffers::constructorCall { governor }.abi_encode(),
        Contract::Usage => IUsage::constructorCall { governor }.abi_encode(),
        Contract::Attestation => IAttestation::constructorCall {
            governor,
            operators: setup.operators.clone(),
            quorum: setup.quorum,
            fee: setup.fee,
            bonds: at(Contract::Bonds)?,
        }
        .abi_encode(),
        // Nothing to construct.
        Contract::Annex | Contract::Desk => Vec::new(),
        Contract::Escrow => IEscrow::constructorCall {
            governor,
            offers: at(Contract::Offers)?,
            usage: at(Contract::Usage)?,
            attestation: at(Contract::Attestation)?,
            annex: at(Contract::Annex)?,
            desk: at(Contract::Desk)?,
        }
        .abi_encode(),
        Contract::Token => IToken::constructorCall {
            name: setup.token_name.clone(),
            symbol: setup.token_symbol.clone(),
        }
        .abi_encode(),
    };
    Ok([&vouch_abi::call::CONSTRUCTOR[..], &params].concat().into())
}

async fn create(
    provider: &DynProvider,
    contract: Contract,
    program: &Program,
    init: Bytes,
    from: Address,
) -> Result<(Entry, u64), Error> {
    let fee = activation_fee(provider, program, from).await?;
    let deployer = IStylusDeployer::new(STYLUS_DEPLOYER, provider.clone());
    let call = deployer
        .deploy_call(program.creation_code(), init, U256::ZERO, B256::ZERO)
        // What is not used of it comes back.
        .value(fee.saturating_mul(U256::from(2)));
    let receipt = send(call).await?;
    let address = receipt
        .decoded_log::<IStylusDeployer::ContractDeployed>()
        .ok_or(Error::EventMissing {
            tx: receipt.transaction_hash,
            event: "ContractDeployed",
        })?
        .deployedContract;
    let code = provider.get_code_at(address).await?;
    let (expected, found) = (keccak256(&program.code), keccak256(&code));
    if expected != found {
        return Err(Error::CodeMismatch {
            contract,
            address,
            expected,
            found,
        });
    }
    let entry = Entry {
        address,
        tx: receipt.transaction_hash,
        block: receipt.block_number.unwrap_or_default(),
        code_hash: found,
        wasm_sha256: program.wasm_sha256,
    };
    Ok((entry, receipt.gas_used))
}

/// What activating the program costs, found by activating it in a call.
async fn activation_fee(
    provider: &DynProvider,
    program: &Program,
    from: Address,
) -> Result<U256, Error> {
    let target = Address::from_word(keccak256(&program.code));
    let overrides: StateOverride = [
        (
            target,
            AccountOverride {
                code: Some(program.code.clone()),
                ..Default::default()
            },
        ),
        (
            from,
            AccountOverride {
                balance: Some(U256::MAX / U256::from(2)),
                ..Default::default()
            },
        ),
    ]
    .into_iter()
    .collect();
    let call = IArbWasm::activateProgramCall { program: target };
    let request = TransactionRequest::default()
        .from(from)
        .to(ARB_WASM)
        .value(U256::from(10).pow(U256::from(18)))
        .input(Bytes::from(call.abi_encode()).into());
    let answer = match provider.call(request).overrides(overrides).await {
        Ok(answer) => answer,
        // Somebody has deployed and activated the same code before.
        Err(error) if is_up_to_date(&error) => return Ok(U256::ZERO),
        Err(error) => return Err(error.into()),
    };
    IArbWasm::activateProgramCall::abi_decode_returns(&answer)
        .map(|answer| answer.dataFee)
        .map_err(|e| Error::Decode {
            what: "answer of activateProgram",
            detail: e.to_string(),
        })
}

fn is_up_to_date(error: &TransportError) -> bool {
    let data = error
        .as_error_resp()
        .and_then(|response| response.as_revert_data());
    data.is_some_and(|data| data.starts_with(&IArbWasm::ProgramUpToDate::SELECTOR))
}

async fn bind(
    provider: &DynProvider,
    deployment: &Deployment,
    report: &mut impl FnMut(&Step),
) -> Result<(), Error> {
    let escrow = deployment.get(Contract::Escrow)?.address;
    for contract in BOUND {
        let address = deployment.get(contract)?.address;
        let found = escrow_of(provider, address).await?;
        if found == escrow {
            continue;
        }
        if !found.is_zero() {
            return Err(Error::BoundElsewhere {
                contract,
                expected: escrow,
                found,
            });
        }
        send(governance(provider, deployment)?.bind(address, escrow)).await?;
        report(&Step::Bound(contract));
    }
    Ok(())
}

const _: () = {
    // The contracts of `BOUND` are called through the first's binding.
    let offers = IOffers::bindEscrowCall::SELECTOR;
    let others = [
        IUsage::bindEscrowCall::SELECTOR,
        IAttestation::bindEscrowCall::SELECTOR,
        IBonds::bindEscrowCall::SELECTOR,
    ];
    let mut i = 0;
    while i < 4 {
        assert!(
            offers[i] == others[0][i] && offers[i] == others[1][i] && offers[i] == others[2][i]
        );
        i += 1;
    }
};
