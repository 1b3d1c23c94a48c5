//! The accounts a transaction touched, before it, or before and after.

use alloy::primitives::{Address, B256};
use revm::{
    database::DatabaseRef,
    state::{Account, AccountInfo, EvmState},
};
use serde_json::{Map, Value, json};

use crate::execute::Db;

/// The touched accounts in `before`; with `diff`, what changed in them, and how.
pub(crate) fn prestate(before: &Db<'_>, state: &EvmState, diff: bool) -> Value {
    let mut pre = Map::new();
    let mut post = Map::new();
    for (address, account) in state {
        let old = before
            .basic_ref(*address)
            .unwrap_or_default()
            .unwrap_or_default();
        let key = format!("{address:?}");
        if !diff {
            pre.insert(key, full(before, *address, &old, account));
            continue;
        }
        let changed = change(before, *address, &old, account);
        if let Some((was, is)) = changed {
            if old.exists() {
                pre.insert(key.clone(), was);
            }
            if let Some(is) = is {
                post.insert(key, is);
            }
        }
    }
    match diff {
        true => json!({ "pre": pre, "post": post }),
        false => pre.into(),
    }
}

/// Balance, and nonce and code unless zero and empty.
fn basics(before: &Db<'_>, info: &AccountInfo) -> Value {
    let mut fields = json!({ "balance": info.balance });
    if info.nonce > 0 {
        fields["nonce"] = json!(info.nonce);
    }
    if !info.is_empty_code_hash() {
        let code = before.code_by_hash_ref(info.code_hash).unwrap_or_default();
        fields["code"] = json!(code.original_bytes());
    }
    fields
}

fn full(before: &Db<'_>, address: Address, old: &AccountInfo, account: &Account) -> Value {
    let mut fields = basics(before, old);
    let slots: Map<String, Value> = account
        .storage
        .keys()
        .map(|key| {
            let value = before.storage_ref(address, *key).unwrap_or_default();
            (B256::from(*key).to_string(), json!(B256::from(value)))
        })
        .collect();
    if !slots.is_empty() {
        fields["storage"] = slots.into();
    }
    fields
}

/// The account before, and what is different after (nothing if it is gone); `None` if nothing is.
fn change(
    before: &Db<'_>,
    address: Address,
    old: &AccountInfo,
    account: &Account,
) -> Option<(Value, Option<Value>)> {
    let new = &account.info;
    let mut was = basics(before, old);
    let mut is = json!({});
    if new.balance != old.balance {
        is["balance"] = json!(new.balance);
    }
    if new.nonce != old.nonce {
        is["nonce"] = json!(new.nonce);
    }
    if new.code_hash != old.code_hash
        && !new.is_empty_code_hash()
        && let Some(code) = &new.code
    {
        is["code"] = json!(code.original_bytes());
    }
    let (mut slots_before, mut slots_after) = (Map::new(), Map::new());
    for (key, slot) in account.changed_storage_slots() {
        let name = B256::from(*key).to_string();
        let old = before.storage_ref(address, *key).unwrap_or_default();
        if !old.is_zero() {
            slots_before.insert(name.clone(), json!(B256::from(old)));
        }
        if !slot.present_value().is_zero() {
            slots_after.insert(name, json!(B256::from(slot.present_value())));
        }
    }
    let slots_changed = account.changed_storage_slots().next().is_some();
    if !slots_before.is_empty() {
        was["storage"] = slots_before.into();
    }
    if !slots_after.is_empty() {
        is["storage"] = slots_after.into();
    }
    if account.is_selfdestructed() {
        return Some((was, None));
    }
    let unchanged = is.as_object().is_some_and(Map::is_empty) && !slots_changed;
    (!unchanged).then_some((was, Some(is)))
}
