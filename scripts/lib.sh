# What the scripts share: where things are, progress headings, errors. Sourced, never run.
# Written for bash 3.2, which is what macOS has.

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"

# Builds and tools are kept outside the clone, so that a second clone or run does not start from nothing.
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/vouch"
TOOLS="$CACHE/tools"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/target}"
BIN_DIR="$CARGO_TARGET_DIR/debug"
WASM_DIR="$CARGO_TARGET_DIR/wasm32-unknown-unknown/release"

# Cargo knows this repository's crates by their path inside of it, and their age by the time of their
# files: what another clone built later would pass for this one's. So after a change of clones all
# files count as new, and only what comes from the registry is taken over.
clone_changed() {
  [ "$(cat "$CARGO_TARGET_DIR/clone" 2>/dev/null)" != "$ROOT" ] || return 0
  mkdir -p "$CARGO_TARGET_DIR"
  find . \( -name .git -o -name node_modules -o -name js -o -name target \) -prune -o -type f -exec touch -c {} +
  printf '%s' "$ROOT" >"$CARGO_TARGET_DIR/clone"
}
clone_changed

# Where rustup and this repository's own tools put their binaries.
PATH="$TOOLS/bin:$PATH:$HOME/.cargo/bin"
export PATH

CONTRACTS="governance bonds offers usage annex desk escrow attestation token"
CARGO_STYLUS_VERSION="0.10.10"
SCHEMATHESIS_VERSION="4.32.5"
MOTO_VERSION="5.2.5"
# What vouch-oracle has only when it is asked for.
ORACLE_FEATURES="vouch-oracle/otel,vouch-oracle/kms"
NODE_MAJOR=20

# Where `scripts/setup` puts the embedded database's library, by the version of its crate, and cargo finds it.
OWN_ROCKSDB="$CACHE/rocksdb/$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p;}' Cargo.lock)"
export ROCKSDB_LIB_DIR="${ROCKSDB_LIB_DIR:-$OWN_ROCKSDB}" ROCKSDB_STATIC="${ROCKSDB_STATIC:-1}"

# Bash sets SECONDS to 0 when it starts; a script started by another goes on counting.
SECONDS="${VOUCH_ELAPSED:-0}"

say() { printf '%s\n' "$*" >&2; }

# A heading for what comes next, with the time since the start.
step() { printf '\n==> [%2dm%02ds] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; }

# die WHAT HINT...: what is wrong, then what to do about it, a line each.
die() {
  printf '\nerror: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '  %s\n' "$hint" >&2; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

setup() { VOUCH_ELAPSED=$SECONDS "$ROOT/scripts/setup" "$@"; }

# The contracts as WebAssembly. One at a time, as `cargo stylus` builds them: together, each would
# get the features that any of them asks of a shared crate.
build_contracts() {
  local contract
  for contract in $CONTRACTS; do
    cargo build --locked --release --lib --target wasm32-unknown-unknown -p "$contract"
  done
}

# The workload of the demo, for the agent's own WASI runtime.
build_workload() {
  cargo build --locked --release --bin language --target wasm32-wasip1 -p vouch-workload-language
}
