//! Strict DER: definite, minimal lengths; single-byte tags; nothing after the end.
//!
//! Source: ITU-T X.690 (02/2021), section 10 and 11.

/// Tags that certificates use.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    #[cfg(feature = "std")]
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// Constructed, context-specific.
    pub(crate) const fn context(number: u8) -> u8 {
        0xa0 | number
    }

    /// Primitive, context-specific.
    pub(crate) const fn implicit(number: u8) -> u8 {
        0x80 | number
    }
}

/// What is wrong with an encoding, and where. `expected` names the thing that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DerError {
    pub(crate) offset: usize,
    pub(crate) expected: &'static str,
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// The contents, without tag and length.
    pub(crate) value: &'a [u8],
    /// The element with tag and length.
    pub(crate) whole: &'a [u8],
    /// Offset of the contents in the input.
    pub(crate) value_at: usize,
}

/// A position in DER input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Der<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            offset: 0,
        }
    }

    pub(crate) const fn within(element: &Element<'a>) -> Self {
        Self {
            rest: element.value,
            offset: element.value_at,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn error(&self, expected: &'static str) -> DerError {
        DerError {
            offset: self.offset,
            expected,
        }
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever its tag.
    pub(crate) fn any(&mut self, what: &'static str) -> Result<Element<'a>, DerError> {
        let error = self.error(what);
        let (tag, header, length) = self.header().ok_or(error)?;
        let end = header.checked_add(length).ok_or(error)?;
        let (whole, rest) = self.rest.split_at_checked(end).ok_or(error)?;
        let value = whole.get(header..).ok_or(error)?;
        let value_at = self.offset.saturating_add(header);
        self.rest = rest;
        self.offset = self.offset.saturating_add(end);
        Ok(Element {
            tag,
            value,
            whole,
            value_at,
        })
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>, DerError> {
        if self.peek() != Some(tag) {
            return Err(self.error(what));
        }
        self.any(what)
    }

    /// The next element, if it has this tag.
    pub(crate) fn optional(
        &mut self,
        tag: u8,
        what: &'static str,
    ) -> Result<Option<Element<'a>>, DerError> {
        if self.peek() == Some(tag) {
            self.any(what).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The contents of the next element, which must have this tag, as input.
    pub(crate) fn enter(&mut self, tag: u8, what: &'static str) -> Result<Self, DerError> {
        self.expect(tag, what).map(|element| Self::within(&element))
    }

    /// The contents of an object identifier.
    pub(crate) fn oid(&mut self, what: &'static str) -> Result<&'a [u8], DerError> {
        self.expect(tag::OID, what).map(|element| element.value)
    }

    /// A non-negative integer's bytes, without the sign byte.
    pub(crate) fn unsigned(&mut self, what: &'static str) -> Result<&'a [u8], DerError> {
        let error = self.error(what);
        let value = self.expect(tag::INTEGER, what)?.value;
        match value {
            [] => Err(error),
            [first, ..] if first & 0x80 != 0 => Err(error),
            [0, second, ..] if second & 0x80 == 0 => Err(error),
            [0, rest @ ..] if !rest.is_empty() => Ok(rest),
            _ => Ok(value),
        }
    }

    /// A non-negative integer of at most 64 bits.
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DerError> {
        let error = self.error(what);
        let bytes = self.unsigned(what)?;
        if bytes.len() > 8 {
            return Err(error);
        }
        Ok(bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    /// A bit string of whole bytes.
    pub(crate) fn bit_string(&mut self, what: &'static str) -> Result<&'a [u8], DerError> {
        let error = self.error(what);
        match self.expect(tag::BIT_STRING, what)?.value {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(error),
        }
    }

    /// Refuses anything that is left.
    pub(crate) const fn end(&self, what: &'static str) -> Result<(), DerError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(what))
        }
    }

    /// Tag, length of the header and length of the contents.
    fn header(&self) -> Option<(u8, usize, usize)> {
        let (&tag, rest) = self.rest.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        match rest {
            [length @ 0..=0x7f, ..] => Some((tag, 2, usize::from(*length))),
            [0x81, length, ..] if *length >= 0x80 => Some((tag, 3, usize::from(*length))),
            [0x82, high, low, ..] if *high != 0 => {
                Some((tag, 4, usize::from(u16::from_be_bytes([*high, *low]))))
            }
            [0x83, high, middle, low, ..] if *high != 0 => {
                let length = u32::from_be_bytes([0, *high, *middle, *low]);
                Some((tag, 5, usize::try_from(length).ok()?))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_must_be_minimal_and_definite() {
        for bytes in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 0x81, 0x7f],
            &[0x30, 0x81, 0x01, 0x00],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x84, 0, 0, 0, 1, 0],
            &[0x30, 0x01],
            &[0x30],
            &[],
            &[0x3f, 0x01, 0x00],
        ] {
            assert!(Der::new(bytes).any("element").is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn integers_must_be_minimal_and_positive() {
        for bytes in [
            &[2, 0][..],
            &[2, 1, 0x80],
            &[2, 2, 0, 1],
            &[2, 2, 0xff, 1],
            &[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(Der::new(bytes).u64("integer").is_err(), "{bytes:02x?}");
        }
        assert_eq!(Der::new(&[2, 2, 0, 0x80]).u64("integer"), Ok(128));
        assert_eq!(Der::new(&[2, 1, 0]).u64("integer"), Ok(0));
    }

    #[test]
    fn what_follows_is_seen() {
        let mut der = Der::new(&[5, 0, 0]);
        der.any("null").unwrap();
        assert_eq!(
            der.end("nothing more"),
            Err(DerError {
                offset: 2,
                expected: "nothing more"
            })
        );
    }
}
