//! Formats of program code held by accounts.
//!
//! A classic program is one account: prefix, dictionary, brotli stream. A large program (`ArbOS`
//! 60 and later) is a root account naming fragment accounts whose slices, joined, are the stream.

use revm::primitives::Address;

/// First bytes of a classic program, before the dictionary byte.
pub const CLASSIC_PREFIX: [u8; 3] = [0xef, 0xf0, 0x00];
/// First bytes of a fragment of a large program.
pub const FRAGMENT_PREFIX: [u8; 3] = [0xef, 0xf0, 0x01];
/// First bytes of the root of a large program, before the dictionary byte.
pub const ROOT_PREFIX: [u8; 3] = [0xef, 0xf0, 0x02];

/// The version of `ArbOS` that introduced fragments.
pub const FRAGMENTS_SINCE: u64 = 60;

/// Dictionary byte, length and addresses of a root start here.
const ROOT_HEADER: usize = 8;

/// What an account's code says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code<'a> {
    /// A whole program.
    Classic {
        /// The brotli stream.
        compressed: &'a [u8],
    },
    /// A slice of a large program; not executable.
    Fragment {
        /// The slice of the brotli stream.
        slice: &'a [u8],
    },
    /// The head of a large program.
    Root {
        /// Exact length of the decompressed module, in bytes.
        length: u32,
        /// Accounts of the slices, in order.
        fragments: Vec<Address>,
    },
}

/// Why code is not a usable program.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodeError {
    /// No Stylus prefix, or one that this version of `ArbOS` does not know.
    #[error("code does not begin with a Stylus prefix followed by at least one byte")]
    NotStylus,
    /// Only the empty dictionary is supported.
    #[error("unsupported dictionary type {0}, expected 0")]
    Dictionary(u8),
    /// The root's header or address list is cut short.
    #[error("root code has {0} bytes, expected {ROOT_HEADER} and then 20 for each fragment")]
    RootLength(usize),
    /// More fragments than the chain allows.
    #[error("root code names {count} fragments, at most {limit} are allowed")]
    TooManyFragments {
        /// Fragments named.
        count: usize,
        /// Fragments allowed.
        limit: usize,
    },
    /// A fragment account holds something else.
    #[error("account {0} does not hold a fragment")]
    NotFragment(Address),
    /// The brotli stream is damaged.
    #[error("brotli stream is damaged or incomplete")]
    Brotli,
    /// The module would be larger than the chain allows.
    #[error("module is larger than {0} bytes")]
    TooLarge(usize),
    /// The module's size differs from what the root states.
    #[error("module has {actual} bytes, root states {stated}")]
    StatedLength {
        /// Bytes decompressed.
        actual: usize,
        /// Bytes the root names.
        stated: u32,
    },
}

/// Whether a contract account may hold `code` although it begins with `0xEF` (EIP-3541), and
/// whether its account counts as a Stylus account.
pub fn is_stylus(code: &[u8], arbos_version: u64) -> bool {
    match code.get(..3) {
        Some(prefix) if code.len() > 3 => {
            prefix == CLASSIC_PREFIX
                || (arbos_version >= FRAGMENTS_SINCE
                    && (prefix == FRAGMENT_PREFIX || prefix == ROOT_PREFIX))
        }
        _ => false,
    }
}

/// Whether running `code` means running a program rather than EVM opcodes.
pub fn is_program(code: &[u8], arbos_version: u64) -> bool {
    is_stylus(code, arbos_version) && code[..3] != FRAGMENT_PREFIX
}

/// Whether `code` is the head of a large program.
pub fn is_root(code: &[u8]) -> bool {
    code.starts_with(&ROOT_PREFIX)
}

impl<'a> Code<'a> {
    /// Reads the format of `code`.
    ///
    /// # Errors
    /// Unknown prefix, unsupported dictionary, or a root that is cut short.
    pub fn parse(code: &'a [u8], arbos_version: u64) -> Result<Self, CodeError> {
        if !is_stylus(code, arbos_version) {
            return Err(CodeError::NotStylus);
        }
        let (prefix, rest) = code.split_at(3);
        if prefix == FRAGMENT_PREFIX {
            return Ok(Self::Fragment { slice: rest });
        }
        let (dictionary, rest) = rest.split_first().ok_or(CodeError::NotStylus)?;
        if *dictionary != 0 {
            return Err(CodeError::Dictionary(*dictionary));
        }
        if prefix == CLASSIC_PREFIX {
            return Ok(Self::Classic { compressed: rest });
        }
        let (length, addresses) = rest
            .split_first_chunk::<4>()
            .ok_or(CodeError::RootLength(code.len()))?;
        if addresses.len() % 20 != 0 {
            return Err(CodeError::RootLength(code.len()));
        }
        Ok(Self::Root {
            length: u32::from_be_bytes(*length),
            fragments: addresses
                .chunks_exact(20)
                .map(Address::from_slice)
                .collect(),
        })
    }
}

/// Decompresses a module of at most `limit` bytes.
///
/// # Errors
/// The stream is damaged, followed by other bytes, or longer than `limit` when decompressed.
pub fn decompress(compressed: &[u8], limit: usize) -> Result<Vec<u8>, CodeError> {
    let mut out = Bounded {
        bytes: Vec::new(),
        limit,
        full: false,
    };
    let mut input = compressed;
    let result = brotli::BrotliDecompress(&mut input, &mut out);
    if out.full {
        return Err(CodeError::TooLarge(limit));
    }
    result.map_err(|_| CodeError::Brotli)?;
    Ok(out.bytes)
}

/// Compresses a module the way `cargo stylus` does and adds the classic prefix.
pub fn compress(wasm: &[u8]) -> Vec<u8> {
    let mut out = CLASSIC_PREFIX.to_vec();
    out.push(0);
    let params = brotli::enc::BrotliEncoderParams {
        quality: 11,
        ..Default::default()
    };
    let mut input = wasm;
    // Writing to memory cannot fail.
    let _ = brotli::BrotliCompress(&mut input, &mut out, &params);
    out
}

/// The deployment code that returns `code`: 43 bytes of prelude, then `code`.
pub fn init_code(code: &[u8]) -> Vec<u8> {
    let mut out = vec![0x7f];
    out.extend([0; 28]);
    out.extend((code.len() as u32).to_be_bytes());
    // DUP1 PUSH1 43 PUSH1 0 CODECOPY PUSH1 0 RETURN STOP
    out.extend([0x80, 0x60, 0x2b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3, 0x00]);
    out.extend_from_slice(code);
    out
}

/// A buffer that refuses to grow past its limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        if data.len() > self.limit - self.bytes.len() {
            self.full = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let wasm = vec![7; 1000];
        let code = compress(&wasm);
        let Code::Classic { compressed } = Code::parse(&code, 60).unwrap() else {
            panic!()
        };
        assert_eq!(decompress(compressed, 1000), Ok(wasm));
        assert_eq!(decompress(compressed, 999), Err(CodeError::TooLarge(999)));
    }

    #[test]
    fn damaged_stream_is_refused() {
        let code = compress(b"some module bytes that do not repeat: 0123456789abcdef");
        assert_eq!(
            decompress(&code[4..code.len() - 1], 1000),
            Err(CodeError::Brotli)
        );
        assert_eq!(decompress(&[], 1000), Err(CodeError::Brotli));
    }

    #[test]
    fn prefixes_depend_on_the_version() {
        assert!(is_stylus(&[0xef, 0xf0, 0, 0], 51));
        assert!(!is_stylus(&[0xef, 0xf0, 1, 0], 51));
        assert!(is_stylus(&[0xef, 0xf0, 1, 0], 60));
        assert!(is_stylus(&[0xef, 0xf0, 2, 0], 60));
        assert!(!is_stylus(&[0xef, 0xf0, 3, 0], 60));
        assert!(
            !is_stylus(&[0xef, 0xf0, 0], 60),
            "a bare prefix is not a program"
        );
        assert!(
            !is_program(&[0xef, 0xf0, 1, 0], 60),
            "a fragment does not run"
        );
    }

    #[test]
    fn malformed_codes_are_named() {
        assert_eq!(
            Code::parse(&[0xef, 0xf0, 0, 1, 9], 60),
            Err(CodeError::Dictionary(1))
        );
        assert_eq!(
            Code::parse(&[0xef, 0xf0, 2, 0, 0, 0], 60),
            Err(CodeError::RootLength(6))
        );
        let mut root = vec![0xef, 0xf0, 2, 0, 0, 0, 0, 5];
        root.extend([1; 19]);
        assert_eq!(Code::parse(&root, 60), Err(CodeError::RootLength(27)));
        root.push(1);
        assert_eq!(
            Code::parse(&root, 60),
            Ok(Code::Root {
                length: 5,
                fragments: vec![Address::repeat_byte(1)]
            })
        );
    }
}
