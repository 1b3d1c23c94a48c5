//! Usage policies as files: TOML or JSON, one key for each clause, each a requirement or `"any"`.
//!
//! Nothing is optional: a policy that leaves a clause out, or names one that does not exist, is
//! refused by the clause's name.

use alloy::primitives::utils::{format_units, parse_units};
use alloy::primitives::{Address, FixedBytes};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use vouch_abi::Policy;
use vouch_abi::terms::MAX_ROYALTIES;
use vouch_evidence::tdx::{Concern, TcbStatus};
use vouch_protocol::{Clause, Clauses};

use crate::when;

/// What a file says in place of a requirement.
const ANY: &str = "any";
/// The one key that is no clause: what something trained on the asset owes its owner.
const ROYALTY: &str = "royalty";
/// That it owes nothing.
const NONE: &str = "none";
/// Names of the bits of a policy's small sets.
pub const CPU_KINDS: [&str; 2] = ["sev_snp", "tdx"];
/// As above.
pub const ARCHITECTURES: [&str; 2] = ["hopper", "blackwell"];
/// As above.
pub const GPU_MODES: [&str; 3] = ["single_gpu", "multi_gpu", "protected_pcie"];
/// As above.
pub const PURPOSES: [&str; 4] = ["train", "fine_tune", "infer", "evaluate"];
/// Intel's TCB statuses, and what a policy can waive of a trust domain, by their bit.
pub const TDX_STATUSES: [&str; 13] = {
    let mut names = [""; 13];
    let mut i = 0;
    while i < names.len() {
        names[i] = match i.checked_sub(TcbStatus::ALL.len()) {
            None => TcbStatus::ALL[i].name(),
            Some(concern) => Concern::WAIVABLE[concern].waiver(),
        };
        i += 1;
    }
    names
};

/// Reads a policy file: JSON where it begins with a brace, TOML otherwise.
///
/// # Errors
/// The first clause that is missing, unknown or wrong, by name.
pub fn parse(text: &str) -> Result<Policy> {
    let mut fields: Map<String, Value> = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).context("not JSON")?
    } else {
        toml::from_str(text).context("not TOML")?
    };
    let mut policy = Policy::default();
    for clause in Clauses::POLICY.iter() {
        let name = clause.name();
        let value = fields
            .remove(name)
            .ok_or_else(|| anyhow!("{name}: missing; give a requirement, or \"{ANY}\""))?;
        if value == ANY {
            policy.any |= clause.bit().0;
        } else {
            require(&mut policy, clause, value).with_context(|| name.to_owned())?;
        }
    }
    policy.royalty = royalty(fields.remove(ROYALTY))?;
    if let Some(name) = fields.keys().next() {
        let known: Vec<&str> = Clauses::POLICY.iter().map(Clause::name).collect();
        bail!(
            "{name}: no clause of a policy; expected {}, {ROYALTY}",
            known.join(", ")
        );
    }
    Ok(policy)
}

/// The policy in the form of a file.
pub fn show(policy: &Policy) -> Value {
    let any = Clauses(policy.any);
    let fields = Clauses::POLICY.iter().map(|clause| {
        let value = if any.contains(clause) {
            json!(ANY)
        } else {
            requirement(policy, clause)
        };
        (clause.name().to_owned(), value)
    });
    let royalty = match policy.royalty {
        0 => json!(NONE),
        rate => json!(format!("{} %", percent(rate))),
    };
    Value::Object(fields.chain([(ROYALTY.to_owned(), royalty)]).collect())
}

/// The policy that asks for nothing.
pub fn anything() -> Policy {
    Policy {
        any: Clauses::POLICY.0,
        ..Policy::default()
    }
}

/// What the key [`ROYALTY`] says, in millionths.
fn royalty(value: Option<Value>) -> Result<u32> {
    let expected =
        || format!("{ROYALTY}: expected \"{NONE}\", or percent of the price such as \"2.5 %\"");
    let value =
        value.with_context(|| format!("{ROYALTY}: missing; give percent, or \"{NONE}\""))?;
    let text = value.as_str().with_context(expected)?;
    if text == NONE {
        return Ok(0);
    }
    let number = text.strip_suffix('%').with_context(expected)?;
    let rate = millionths(number.trim())
        .map_err(|error| anyhow!(error))
        .with_context(expected)?;
    ensure!(
        (1..=MAX_ROYALTIES).contains(&rate),
        "{ROYALTY}: expected more than 0 % and at most {} %, found {text}",
        percent(MAX_ROYALTIES)
    );
    Ok(rate)
}

/// Percent with up to four decimals, as millionths.
pub fn millionths(text: &str) -> Result<u32, String> {
    let units = parse_units(text, 4)
        .ok()
        .filter(|units| !units.is_negative());
    units
        .and_then(|units| u32::try_from(units.get_absolute()).ok())
        .filter(|found| *found <= 1_000_000)
        .ok_or_else(|| {
            format!("expected a number from 0 to 100 with at most four decimals, found {text:?}")
        })
}

/// Millionths as percent.
pub fn percent(rate: u32) -> String {
    let text = format_units(rate, 4).unwrap_or_else(|_| rate.to_string());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn require(policy: &mut Policy, clause: Clause, value: Value) -> Result<()> {
    match clause {
        Clause::CpuKind => policy.cpuKinds = bits(value, &CPU_KINDS)? as u8,
        Clause::CpuTcb => {
            let (tcb, statuses) = pair(value, "min_snp_tcb", "tdx_statuses")?;
            policy.minSnpTcb = tcb.map_or(Ok(FixedBytes::ZERO), read)?;
            policy.tdxStatuses = statuses.map_or(Ok(0), |v| bits(v, &TDX_STATUSES))? as u16;
            let asks = !policy.minSnpTcb.is_zero() || policy.tdxStatuses != 0;
            ensure!(asks, "min_snp_tcb: expected more than zero, or \"{ANY}\"");
        }
        Clause::DebugOff | Clause::RimMatch => {
            ensure!(value == true, "expected true or \"{ANY}\", found {value}");
        }
        Clause::Export => {
            ensure!(
                value == false,
                "expected false (nothing is exported) or \"{ANY}\", found {value}"
            );
        }
        Clause::GpuArchitecture => policy.gpuArchitectures = bits(value, &ARCHITECTURES)? as u8,
        Clause::GpuCount => policy.minGpus = at_least_one(value)?,
        Clause::GpuMode => policy.gpuModes = bits(value, &GPU_MODES)? as u8,
        Clause::Revocation => policy.revocationMaxAge = seconds(value)?,
        Clause::EvidenceAge => policy.evidenceMaxAge = seconds(value)?,
        Clause::Workload if value.is_array() => policy.workloads = some(read(value)?)?,
        Clause::Workload => match single(value, "root", "publisher")? {
            Either::First(root) => policy.workloadRoot = read(root)?,
            Either::Second(publisher) => policy.publisher = read(publisher)?,
        },
        Clause::Buyers => policy.buyers = some(read::<Vec<Address>>(value)?)?,
        Clause::Providers => policy.providers = some(read::<Vec<Address>>(value)?)?,
        Clause::Purposes => policy.purposes = bits(value, &PURPOSES)? as u8,
        Clause::MaxUses => policy.maxUses = at_least_one(value)?,
        Clause::MaxUsesPerBuyer => policy.maxUsesPerBuyer = at_least_one(value)?,
        Clause::Window => {
            let (from, to) = pair(value, "not_before", "not_after")?;
            let time = |value: Option<Value>, none| {
                value.map_or(Ok(none), |v| {
                    when::instant(&read::<String>(v)?).map_err(|e| anyhow!(e))
                })
            };
            policy.notBefore = time(from, 0)?;
            policy.notAfter = time(to, u64::MAX)?;
        }
        Clause::MaxDuration => policy.maxDuration = seconds(value)?,
        Clause::OutputBytes => policy.outputBytes = at_least_one(value)?,
        Clause::OutputRows => policy.outputRows = at_least_one(value)?,
        Clause::TotalOutputBytes => policy.total.outputBytes = at_least_one(value)?,
        Clause::TotalOutputRows => policy.total.outputRows = at_least_one(value)?,
        Clause::Requirements => bail!("comes from the order, not from a policy"),
    }
    Ok(())
}

fn requirement(policy: &Policy, clause: Clause) -> Value {
    match clause {
        Clause::CpuKind => names(policy.cpuKinds.into(), &CPU_KINDS),
        Clause::CpuTcb => {
            let mut tcb = Map::new();
            if !policy.minSnpTcb.is_zero() {
                tcb.insert("min_snp_tcb".into(), json!(policy.minSnpTcb));
            }
            if policy.tdxStatuses != 0 {
                let statuses = names(policy.tdxStatuses.into(), &TDX_STATUSES);
                tcb.insert("tdx_statuses".into(), statuses);
            }
            Value::Object(tcb)
        }
        Clause::DebugOff | Clause::RimMatch => json!(true),
        Clause::Export => json!(false),
        Clause::GpuArchitecture => names(policy.gpuArchitectures.into(), &ARCHITECTURES),
        Clause::GpuCount => json!(policy.minGpus),
        Clause::GpuMode => names(policy.gpuModes.into(), &GPU_MODES),
        Clause::Revocation => json!(when::show_duration(policy.revocationMaxAge.into())),
        Clause::EvidenceAge => json!(when::show_duration(policy.evidenceMaxAge.into())),
        Clause::Workload if !policy.publisher.is_zero() => json!({ "publisher": policy.publisher }),
        Clause::Workload if policy.workloads.is_empty() => json!({ "root": policy.workloadRoot }),
        Clause::Workload => json!(policy.workloads),
        Clause::Buyers => json!(policy.buyers),
        Clause::Providers => json!(policy.providers),
        Clause::Purposes => names(policy.purposes.into(), &PURPOSES),
        Clause::MaxUses => json!(policy.maxUses),
        Clause::MaxUsesPerBuyer => json!(policy.maxUsesPerBuyer),
        Clause::Window => {
            let mut window = Map::new();
            if policy.notBefore > 0 {
                window.insert(
                    "not_before".into(),
                    json!(vouch_client::revert::time(policy.notBefore)),
                );
            }
            if policy.notAfter < u64::MAX {
                window.insert(
                    "not_after".into(),
                    json!(vouch_client::revert::time(policy.notAfter)),
                );
            }
            Value::Object(window)
        }
        Clause::MaxDuration => json!(when::show_duration(policy.maxDuration.into())),
        Clause::OutputBytes => json!(policy.outputBytes),
        Clause::OutputRows => json!(policy.outputRows),
        Clause::TotalOutputBytes => json!(policy.total.outputBytes),
        Clause::TotalOutputRows => json!(policy.total.outputRows),
        Clause::Requirements => Value::Null,
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T> {
    let shown = value.to_string();
    serde_json::from_value(value).map_err(|error| anyhow!("found {shown}: {error}"))
}

/// A non-empty list: an empty one would allow nobody.
fn some<T>(list: Vec<T>) -> Result<Vec<T>> {
    ensure!(
        !list.is_empty(),
        "expected at least one entry, or \"{ANY}\""
    );
    Ok(list)
}

fn at_least_one<T: DeserializeOwned + PartialOrd + From<u8>>(value: Value) -> Result<T> {
    let shown = value.to_string();
    let number: T = read(value)?;
    ensure!(number >= T::from(1), "expected at least 1, found {shown}");
    Ok(number)
}

/// A duration, as a number of seconds or as text.
fn seconds(value: Value) -> Result<u32> {
    let seconds = match value {
        Value::String(text) => when::short_duration(&text).map_err(|error| anyhow!(error))?,
        other => read(other)?,
    };
    ensure!(seconds > 0, "expected more than 0 s");
    Ok(seconds)
}

/// A set of names as bits.
pub(crate) fn bits(value: Value, names: &[&str]) -> Result<u32> {
    let mut bits = 0;
    for name in some(read::<Vec<String>>(value)?)? {
        let bit = names.iter().position(|known| *known == name);
        bits |= 1
            << bit
                .ok_or_else(|| anyhow!("expected some of {}, found {name:?}", names.join(", ")))?;
    }
    Ok(bits)
}

/// The names of the bits that are set.
pub(crate) fn names(bits: u32, names: &[&str]) -> Value {
    names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect()
}

/// A table with one or both of two keys.
fn pair(value: Value, first: &str, second: &str) -> Result<(Option<Value>, Option<Value>)> {
    let Value::Object(mut table) = value else {
        bail!("expected a table with {first} or {second} or both, found {value}");
    };
    let found = (table.remove(first), table.remove(second));
    if let Some(key) = table.keys().next() {
        bail!("{key}: expected {first} or {second}");
    }
    ensure!(
        found.0.is_some() || found.1.is_some(),
        "expected {first} or {second} or both"
    );
    Ok(found)
}

/// What a table with one of two keys says.
enum Either {
    First(Value),
    Second(Value),
}

/// A table with one of two keys.
fn single(value: Value, first: &str, second: &str) -> Result<Either> {
    let expected = format!("expected a list of digests, or a table with {first} or {second}");
    let Value::Object(mut table) = value else {
        bail!("{expected}, found {value}");
    };
    match (table.remove(first), table.remove(second), table.is_empty()) {
        (Some(value), None, true) => Ok(Either::First(value)),
        (None, Some(value), true) => Ok(Either::Second(value)),
        _ => bail!("{expected} alone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        cpu_kind = ["sev_snp"]
        cpu_tcb = { min_snp_tcb = "0x0a00000000001754" }
        debug_off = true
        gpu_architecture = ["hopper", "blackwell"]
        gpu_count = 1
        gpu_mode = ["single_gpu"]
        rim_match = true
        revocation = "1d"
        evidence_age = 600
        workload = ["0x0101010101010101010101010101010101010101010101010101010101010101"]
        buyers = ["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"]
        providers = "any"
        purposes = ["train", "infer"]
        max_uses = 100
        max_uses_per_buyer = 3
        window = { not_after = "2027-01-01T00:00:00Z" }
        max_duration = "1h 30m"
        output_bytes = 1000000
        output_rows = "any"
        total_output_bytes = 5000000
        total_output_rows = "any"
        export = false
        royalty = "2.5 %"
    "#;

    fn with(key: &str, value: &str) -> String {
        FULL.lines()
            .map(|line| match line.trim().split_once(" = ") {
                Some((name, _)) if name == key => format!("{key} = {value}\n"),
                _ => format!("{line}\n"),
            })
            .collect()
    }

    #[test]
    fn a_file_says_what_the_policy_holds() {
        let policy = parse(FULL).unwrap();
        assert_eq!(
            Clauses(policy.any),
            Clauses::NONE
                .with(Clause::Providers)
                .with(Clause::OutputRows)
                .with(Clause::TotalOutputRows)
        );
        assert_eq!(policy.royalty, 25_000);
        assert_eq!(policy.total.outputBytes, 5_000_000);
        assert_eq!(policy.cpuKinds, 1);
        assert_eq!(policy.gpuArchitectures, 3);
        assert_eq!(policy.purposes, 0b101);
        assert_eq!(policy.maxDuration, 5_400);
        assert_eq!(policy.evidenceMaxAge, 600);
        assert_eq!(policy.notBefore, 0);
        assert_eq!(policy.notAfter, 1_798_761_600);
        assert_eq!(policy.minSnpTcb.0, [0x0a, 0, 0, 0, 0, 0, 0x17, 0x54]);
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same_policy() {
        let publisher = with(
            "workload",
            "{ publisher = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\" }",
        );
        let root = with(
            "workload",
            "{ root = \"0x0101010101010101010101010101010101010101010101010101010101010101\" }",
        );
        let free = with("royalty", "\"none\"");
        for text in [publisher, root, free] {
            let policy = parse(&text).unwrap();
            assert_eq!(parse(&show(&policy).to_string()).unwrap(), policy);
        }
        for policy in [parse(FULL).unwrap(), anything()] {
            assert_eq!(parse(&show(&policy).to_string()).unwrap(), policy);
        }
    }

    #[test]
    fn missing_and_unknown_clauses_are_refused_by_name() {
        for clause in Clauses::POLICY.iter() {
            let without: String = FULL
                .lines()
                .filter(|line| !line.trim().starts_with(&format!("{} =", clause.name())))
                .map(|line| format!("{line}\n"))
                .collect();
            let error = format!("{:#}", parse(&without).unwrap_err());
            assert!(error.starts_with(clause.name()), "{clause}: {error}");
        }
        let error = parse(&format!("{FULL}\nrequirements = true"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("requirements: no clause"), "{error}");
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (clause, value) in [
            ("cpu_kind", "[]"),
            ("cpu_kind", "[\"sgx\"]"),
            ("cpu_kind", "\"sev_snp\""),
            ("cpu_tcb", "{}"),
            ("cpu_tcb", "{ min_tdx = 1 }"),
            ("cpu_tcb", "{ min_snp_tcb = \"0x0a\" }"),
            ("cpu_tcb", "{ min_snp_tcb = \"0x0000000000000000\" }"),
            ("debug_off", "false"),
            ("gpu_count", "0"),
            ("gpu_count", "256"),
            ("gpu_mode", "[\"fast\"]"),
            ("rim_match", "\"yes\""),
            ("revocation", "0"),
            ("evidence_age", "\"soon\""),
            ("workload", "[]"),
            ("workload", "{ roots = 1 }"),
            ("buyers", "[\"0x12\"]"),
            ("purposes", "[\"play\"]"),
            ("max_uses", "-1"),
            ("window", "{ not_after = \"tomorrow\" }"),
            ("max_duration", "\"100000d\""),
            ("export", "true"),
            ("total_output_bytes", "0"),
            ("workload", "{ root = \"0x01\", publisher = \"0x01\" }"),
            ("workload", "{ publisher = \"0x01\" }"),
            ("royalty", "\"any\""),
            ("royalty", "0.1"),
            ("royalty", "\"0 %\""),
            ("royalty", "\"50.1 %\""),
            ("royalty", "\"-1 %\""),
        ] {
            let error = format!("{:#}", parse(&with(clause, value)).unwrap_err());
            assert!(error.starts_with(clause), "{clause} = {value}: {error}");
        }
    }

    #[test]
    fn neither_toml_nor_json_is_refused() {
        assert!(parse("{").unwrap_err().to_string().contains("JSON"));
        assert!(
            parse("cpu_kind: any")
                .unwrap_err()
                .to_string()
                .contains("TOML")
        );
    }
}
