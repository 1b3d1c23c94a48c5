//! A Stylus program as it stands on chain: a prefix and the compressed WebAssembly.

use anyhow::{Context, Result};

/// What the code of an account may have at most (EIP-170).
pub const MAX_CODE_BYTES: usize = 24_576;
/// First bytes of a Stylus program without a compression dictionary.
pub const PREFIX: [u8; 4] = [0xef, 0xf0, 0x00, 0x00];

/// The code that deploying `wasm` puts on chain: brotli at its highest quality, as `cargo stylus` does.
pub fn encode(wasm: &[u8]) -> Result<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 22,
        ..Default::default()
    };
    let mut code = PREFIX.to_vec();
    brotli::BrotliCompress(&mut &wasm[..], &mut code, &params)
        .context("compressing the program")?;
    Ok(code)
}

/// Init code that returns `code`: the 43 bytes every Stylus deployment begins with, then the code.
pub fn deployment(code: &[u8]) -> Vec<u8> {
    let mut init = vec![0x7f]; // PUSH32 length
    init.extend_from_slice(&[0; 24]);
    init.extend_from_slice(&(code.len() as u64).to_be_bytes());
    // DUP1, PUSH1 43, PUSH1 0, CODECOPY, PUSH1 0, RETURN; the zero is the version of the prelude.
    init.extend_from_slice(&[0x80, 0x60, 0x2b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3, 0x00]);
    init.extend_from_slice(code);
    init
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_its_prefix_and_a_deployment_its_prelude() {
        let code = encode(b"\0asm\x01\0\0\0").unwrap();
        assert_eq!(code[..4], PREFIX);
        let init = deployment(&code);
        assert_eq!(init.len(), 43 + code.len());
        assert_eq!(init[43..], code[..]);
        assert_eq!(usize::from(init[32]), code.len());
    }
}
