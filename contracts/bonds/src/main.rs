//! Prints the interface for `cargo stylus`: `constructor` its constructor, anything else all of it.

fn main() {
    print!(
        "{}",
        vouch_abi::export::answer(&vouch_abi::IBonds::abi::contract(), "IBonds")
    );
}
