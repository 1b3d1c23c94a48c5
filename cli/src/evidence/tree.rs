//! Names and values, nested.

use serde_json::{Map, Value};

/// A value, or named ones.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(String),
    Branch(Vec<(String, Self)>),
}

impl Node {
    pub(super) fn branch<N: Into<String>>(nodes: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Branch(
            nodes
                .into_iter()
                .map(|(name, node)| (name.into(), node))
                .collect(),
        )
    }

    /// Nodes by their numbers.
    pub(super) fn list(nodes: impl IntoIterator<Item = Self>) -> Self {
        let numbered = nodes.into_iter().enumerate();
        Self::branch(numbered.map(|(index, node)| (format!("[{index}]"), node)))
    }

    /// Adds a node at the end.
    pub(super) fn with(mut self, name: impl Into<String>, node: Self) -> Self {
        if let Self::Branch(nodes) = &mut self {
            nodes.push((name.into(), node));
        }
        self
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Leaf(text) => Value::String(text.clone()),
            Self::Branch(nodes) => {
                let members = nodes
                    .iter()
                    .map(|(name, node)| (name.clone(), node.to_json()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(1, &mut out);
        out
    }

    fn write(&self, depth: usize, out: &mut String) {
        let Self::Branch(nodes) = self else { return };
        let leaves = nodes
            .iter()
            .filter(|(_, node)| matches!(node, Self::Leaf(_)));
        let width = leaves
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        for (name, node) in nodes {
            let indent = "  ".repeat(depth);
            match node {
                Self::Leaf(text) => out.push_str(&format!("{indent}{name:width$}  {text}\n")),
                Self::Branch(_) => {
                    out.push_str(&format!("{indent}{name}\n"));
                    node.write(depth + 1, out);
                }
            }
        }
    }
}

/// A leaf.
pub(super) fn text(value: impl ToString) -> Node {
    Node::Leaf(value.to_string())
}

/// Bytes, as a leaf.
pub(super) fn bytes(value: impl AsRef<[u8]>) -> Node {
    Node::Leaf(hex::encode(value))
}

/// What is there, or a dash.
pub(super) fn maybe(value: Option<impl ToString>) -> Node {
    value.map_or_else(|| text("-"), text)
}
