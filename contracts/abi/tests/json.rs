//! The committed JSON ABIs are those of the declarations.
//! `UPDATE_ABI=1 cargo test -p vouch-abi --features json` writes them.

use std::{fs, path::PathBuf};

use alloy_sol_types::private::alloy_json_abi::JsonAbi;
use vouch_abi::{IAttestation, IBonds, IContract, IEscrow, IGovernance, IOffers, IToken, IUsage};

#[test]
fn committed_abis_are_up_to_date() {
    for (name, mut abi) in [
        ("Offers", IOffers::abi::contract()),
        ("Usage", IUsage::abi::contract()),
        ("Escrow", IEscrow::abi::contract()),
        ("Attestation", IAttestation::abi::contract()),
        ("Bonds", IBonds::abi::contract()),
        ("Governance", IGovernance::abi::contract()),
        ("Token", IToken::abi::contract()),
    ] {
        abi.errors.extend(IContract::abi::contract().errors);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("json/{name}.json"));
        let expected = serde_json::to_string_pretty(&abi).unwrap() + "\n";
        if std::env::var_os("UPDATE_ABI").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "{} differs from the declarations: run UPDATE_ABI=1 cargo test -p vouch-abi --features json",
            path.display()
        );
        let parsed: JsonAbi = serde_json::from_str(&found).unwrap();
        assert_eq!(parsed.functions, abi.functions, "{name} reads back");
    }
}
