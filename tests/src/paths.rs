//! Where the repository and what was built from it are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("/"))
}

/// Cargo's target directory: the one this test was built into.
pub fn target() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(PathBuf::from(dir));
    }
    // <target>/debug/deps/it-<hash>
    let exe = std::env::current_exe().context("finding the test's own executable")?;
    exe.ancestors()
        .nth(3)
        .map(Path::to_path_buf)
        .context("the test runs outside a target directory")
}

/// A binary of this workspace: of the profile that the caller was built in, else of the development
/// profile.
pub fn binary(name: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the own executable")?;
    let beside = exe.with_file_name(name);
    if beside.is_file() {
        return Ok(beside);
    }
    let path = target()?.join("debug").join(name);
    ensure!(
        path.is_file(),
        "{} is not built: run ./scripts/test, or cargo build --bin {name}",
        path.display()
    );
    Ok(path)
}

/// The directory of the contracts' WebAssembly.
pub fn wasm_dir() -> Result<PathBuf> {
    let path = target()?.join("wasm32-unknown-unknown/release");
    ensure!(
        path.join("escrow.wasm").is_file(),
        "no contracts in {}: run ./scripts/test, or cargo build --release --lib --target wasm32-unknown-unknown -p escrow ...",
        path.display()
    );
    Ok(path)
}
