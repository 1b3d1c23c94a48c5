//! Hostile bytes for every parser of evidence and of content.
//!
//! Each of [`TARGETS`] is a function of bytes that must not panic, must not accept what it should
//! not, and must say of everything that it refuses what was expected and what came. The tests of
//! this crate run each on its seeds and on a fixed number of changed seeds; `scripts/fuzz` runs them
//! with libFuzzer, guided by coverage, for as long as one likes.

mod mutate;
mod seeds;
mod targets;

pub use mutate::Mutator;
pub use seeds::seeds;

/// A parser and what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of its program.
    pub name: &'static str,
    /// Panics where the parser is wrong.
    pub run: fn(&[u8]),
}

/// Every target, by name.
pub const TARGETS: &[Target] = targets::ALL;

/// Runs one target.
///
/// # Panics
/// Where the parser is wrong, and where there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    match target {
        Some(target) => (target.run)(bytes),
        None => panic!("no target {name}"),
    }
}
