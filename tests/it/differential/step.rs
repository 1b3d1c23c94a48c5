//! One call of the script, and how a script is written down.

use serde_json::{Value, json};

/// How the answers to a step are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// Value by value.
    Exactly,
    /// The result is a handle of the node's own making: it must stand for the same thing.
    Handle,
    /// The result depends on the wall clock: it may be a little apart.
    Clock,
}

/// A JSON-RPC call. Strings `$name` in the parameters stand for what an earlier step saved.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Unique name, by which differences and exceptions refer to the step.
    pub(crate) name: String,
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    /// Variable to save under, and the JSON pointer into the result.
    pub(crate) save: Vec<(&'static str, &'static str)>,
    /// How the answers are compared.
    pub(crate) compare: Compare,
    /// JSON pointer into the result; ask again for a moment while there is null or nothing there.
    /// Anvil mines, and clears its pool, behind the caller's back.
    pub(crate) wait: Option<&'static str>,
}

/// A table of steps under construction.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
}

impl Script {
    /// Adds a call. `name` must not have been used before.
    pub(crate) fn call(&mut self, name: &str, method: &'static str, params: Value) -> &mut Step {
        assert!(
            self.steps.iter().all(|step| step.name != name),
            "two steps are named '{name}'"
        );
        let step = Step {
            name: name.to_owned(),
            method,
            params,
            save: Vec::new(),
            compare: Compare::Exactly,
            wait: None,
        };
        self.steps.push(step);
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// Adds a transaction sent by an unlocked account, its hash saved as `hash`, and its receipt.
    pub(crate) fn send(&mut self, name: &str, transaction: Value) {
        self.call(name, "eth_sendTransaction", json!([transaction]))
            .save("hash");
        self.call(
            &format!("{name}: receipt"),
            "eth_getTransactionReceipt",
            json!(["$hash"]),
        )
        .wait();
    }
}

impl Step {
    /// Saves the whole result.
    pub(crate) fn save(&mut self, variable: &'static str) -> &mut Self {
        self.save_at(variable, "")
    }

    /// Saves what stands at `pointer` in the result.
    pub(crate) fn save_at(&mut self, variable: &'static str, pointer: &'static str) -> &mut Self {
        self.save.push((variable, pointer));
        self
    }

    /// Marks the result as a handle.
    pub(crate) fn handle(&mut self) -> &mut Self {
        self.compare = Compare::Handle;
        self
    }

    /// Marks the result as a time.
    pub(crate) fn clock(&mut self) -> &mut Self {
        self.compare = Compare::Clock;
        self
    }

    /// Waits for a result.
    pub(crate) fn wait(&mut self) -> &mut Self {
        self.wait_for("")
    }

    /// Waits for a result with a value at `pointer`.
    pub(crate) fn wait_for(&mut self, pointer: &'static str) -> &mut Self {
        self.wait = Some(pointer);
        self
    }
}
