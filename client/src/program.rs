//! From a wasm file to the code of a Stylus contract.
//!
//! The code is `EF F0 00 00 || brotli(wasm)`: a classic program without dictionary, quality 11 and
//! window 22 as `cargo stylus` makes it. Custom sections (names, producers) do not reach the chain.

use std::io::Write;
use std::path::Path;

use alloy::primitives::{B256, Bytes};
use sha2::{Digest, Sha256};

use crate::Error;

/// What marks code as a Stylus program without dictionary.
pub const PREFIX: [u8; 4] = [0xef, 0xf0, 0x00, 0x00];
/// Most bytes of code an account may have (EIP-170).
pub const MAX_CODE: usize = 24_576;
/// Most bytes of wasm a program may have, decompressed.
pub const MAX_WASM: usize = 131_072;

const QUALITY: u32 = 11;
const WINDOW: u32 = 22;

/// A program ready for deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The account's code.
    pub code: Bytes,
    /// SHA-256 of the wasm file.
    pub wasm_sha256: B256,
}

impl Program {
    /// Makes a program from a wasm file. Compression takes about a second for 100 KB, so results
    /// are kept in `cache` by the file's SHA-256.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Program`] for bytes that are not wasm or too many.
    pub fn from_file(wasm: &Path, cache: Option<&Path>) -> Result<Self, Error> {
        let bytes = std::fs::read(wasm).map_err(|source| Error::File {
            path: wasm.to_owned(),
            source,
        })?;
        let name = wasm
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let wasm_sha256 = B256::new(Sha256::digest(&bytes).into());
        let kept = cache.map(|dir| dir.join(format!("{}.br", hex::encode(wasm_sha256))));
        if let Some(code) = kept.as_deref().and_then(|path| std::fs::read(path).ok())
            && code.starts_with(&PREFIX)
        {
            return Ok(Self {
                code: code.into(),
                wasm_sha256,
            });
        }
        let program = Self::from_wasm(&name, &bytes)?;
        if let Some(path) = kept {
            let store = || {
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
                // Another process may be compressing the same program.
                let draft = path.with_extension(format!("{}.tmp", std::process::id()));
                std::fs::write(&draft, &program.code)?;
                std::fs::rename(&draft, &path)
            };
            store().map_err(|source| Error::File {
                path: path.clone(),
                source,
            })?;
        }
        Ok(program)
    }

    /// Makes a program called `name` from wasm.
    ///
    /// # Errors
    /// [`Error::Program`] for bytes that are not wasm or too many.
    pub fn from_wasm(name: &str, wasm: &[u8]) -> Result<Self, Error> {
        let refuse = |detail: String| Error::Program {
            name: name.to_owned(),
            detail,
        };
        let stripped = without_custom_sections(wasm).map_err(|e| refuse(e.to_string()))?;
        if stripped.len() > MAX_WASM {
            let found = stripped.len();
            return Err(refuse(format!(
                "expected at most {MAX_WASM} bytes of wasm, found {found}"
            )));
        }
        let code = compress(&stripped).map_err(|e| refuse(e.to_string()))?;
        if code.len() > MAX_CODE {
            let found = code.len();
            return Err(refuse(format!(
                "expected at most {MAX_CODE} bytes of code once compressed, found {found}"
            )));
        }
        Ok(Self {
            code: code.into(),
            wasm_sha256: B256::new(Sha256::digest(wasm).into()),
        })
    }

    /// Creation code: 43 bytes of EVM that return the rest.
    pub fn creation_code(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.code.len() + 43);
        out.push(0x7f); // PUSH32 length
        out.extend_from_slice(&[0; 24]);
        out.extend_from_slice(&(self.code.len() as u64).to_be_bytes());
        // DUP1, PUSH1 43, PUSH1 0, CODECOPY, PUSH1 0, RETURN
        out.extend_from_slice(&[0x80, 0x60, 0x2b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3, 0x00]);
        out.extend_from_slice(&self.code);
        out.into()
    }
}

fn compress(wasm: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = PREFIX.to_vec();
    let mut writer = brotli::CompressorWriter::new(&mut out, 4096, QUALITY, WINDOW);
    writer.write_all(wasm)?;
    writer.flush()?;
    drop(writer);
    Ok(out)
}

fn without_custom_sections(wasm: &[u8]) -> Result<Vec<u8>, wasmparser::BinaryReaderError> {
    let mut module = wasm_encoder::Module::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let wasmparser::Payload::CustomSection(_) = payload {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            let data = wasm.get(range).unwrap_or_default();
            module.section(&wasm_encoder::RawSection { id, data });
        }
    }
    Ok(module.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const SMALL: &str = r#"(module $named (memory (export "memory") 1 1)
        (func (export "user_entrypoint") (param i32) (result i32) i32.const 0)
        (@custom "producers" "someone"))"#;

    #[test]
    fn code_decompresses_to_the_module_without_custom_sections() {
        let wasm = wat::parse_str(SMALL).unwrap();
        let program = Program::from_wasm("small", &wasm).unwrap();
        assert_eq!(program.code[..4], PREFIX);
        let mut out = Vec::new();
        brotli::Decompressor::new(&program.code[4..], 4096)
            .read_to_end(&mut out)
            .unwrap();
        assert!(out.starts_with(b"\0asm"));
        assert!(out.len() < wasm.len());
        assert!(!out.windows(9).any(|w| w == b"producers"));
        wasmparser::validate(&out).unwrap();
    }

    #[test]
    fn creation_code_names_its_length_and_ends_with_the_code() {
        let program = Program::from_wasm("small", &wat::parse_str(SMALL).unwrap()).unwrap();
        let creation = program.creation_code();
        assert_eq!(creation.len(), 43 + program.code.len());
        assert_eq!(usize::from(creation[32]), program.code.len() & 0xff);
        assert_eq!(creation[43..], program.code);
    }

    #[test]
    fn what_is_not_wasm_or_too_large_is_refused() {
        for bytes in [&b""[..], b"wasm", b"\0asm\x01\0\0\0\x01\xff"] {
            let error = Program::from_wasm("bad", bytes).unwrap_err();
            assert!(matches!(error, Error::Program { .. }), "{bytes:?}: {error}");
        }
        let large = format!(
            r#"(module (memory 3 3) (data (i32.const 0) "{}"))"#,
            "x".repeat(MAX_WASM)
        );
        let error = Program::from_wasm("large", &wat::parse_str(large).unwrap()).unwrap_err();
        assert!(error.to_string().contains("131072"), "{error}");
    }

    #[test]
    fn the_cache_is_used_and_foreign_content_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let wasm = dir.path().join("small.wasm");
        std::fs::write(&wasm, wat::parse_str(SMALL).unwrap()).unwrap();
        let cache = dir.path().join("cache");
        let first = Program::from_file(&wasm, Some(&cache)).unwrap();
        let kept = std::fs::read_dir(&cache)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        std::fs::write(&kept, b"garbage").unwrap();
        assert_eq!(Program::from_file(&wasm, Some(&cache)).unwrap(), first);
        assert_eq!(std::fs::read(&kept).unwrap(), first.code);
    }
}
