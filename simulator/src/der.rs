//! The little DER that certificates need, written out: `rcgen` can make neither RSASSA-PSS with
//! SHA-384 nor AMD's and NVIDIA's names and extensions as they are.

/// Tags used here (X.690, section 8).
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// One value: tag, definite length, content.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | significant.len() as u8);
        out.extend(significant);
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    value(0x31, &parts.concat())
}

/// `[number]`, constructed.
pub(crate) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    value(0xa0 | number, content)
}

/// A non-negative integer given by its big-endian bytes.
pub(crate) fn integer(magnitude: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = magnitude.iter().copied().skip_while(|b| *b == 0).collect();
    if content.first().is_none_or(|b| b & 0x80 != 0) {
        content.insert(0, 0);
    }
    value(INTEGER, &content)
}

pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes].concat())
}

pub(crate) fn null() -> Vec<u8> {
    value(0x05, &[])
}

pub(crate) fn boolean(set: bool) -> Vec<u8> {
    value(BOOLEAN, &[if set { 0xff } else { 0 }])
}

/// An object identifier with at least two components.
pub(crate) fn oid(components: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    let first = components[0] * 40 + components[1];
    for component in std::iter::once(first).chain(components[2..].iter().copied()) {
        let groups = (u64::BITS - component.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let bits = (component >> (7 * group)) as u8 & 0x7f;
            content.push(if group == 0 { bits } else { bits | 0x80 });
        }
    }
    value(0x06, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_are_packed_in_groups_of_seven_bits() {
        assert_eq!(
            oid(&[1, 2, 840, 10045, 4, 3, 3]),
            [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]
        );
        assert_eq!(
            oid(&[2, 23, 133, 5, 4, 1]),
            [0x06, 0x06, 0x67, 0x81, 0x05, 0x05, 0x04, 0x01],
            "the first two components share one"
        );
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0, 5]), [2, 1, 5]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
    }

    #[test]
    fn long_lengths_take_more_bytes() {
        assert_eq!(value(4, &[0; 0x7f])[..2], [4, 0x7f]);
        assert_eq!(value(4, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(value(4, &[0; 0x1234])[..4], [4, 0x82, 0x12, 0x34]);
    }
}
