//! Reading fixed binary layouts forwards: every failure knows its field and its offset.

use alloc::format;

use crate::rejection::Rejection;

/// A position in an input. Reading never goes back and never past the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            offset: 0,
        }
    }

    /// A cursor over part of an input, that begins at `offset` of the whole.
    pub(crate) const fn within(input: &'a [u8], offset: usize) -> Self {
        Self {
            rest: input,
            offset,
        }
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<&'a [u8], Rejection> {
        let Some((head, tail)) = self.rest.split_at_checked(length) else {
            return Err(self.short(length, field));
        };
        self.rest = tail;
        self.offset = self.offset.saturating_add(length);
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'a [u8; N], Rejection> {
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.short(N, field));
        };
        self.rest = tail;
        self.offset = self.offset.saturating_add(N);
        Ok(head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Rejection> {
        self.array::<1>(field).map(|[byte]| *byte)
    }

    /// Little-endian.
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Rejection> {
        self.array(field).map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// Little-endian, three bytes.
    pub(crate) fn u24(&mut self, field: &'static str) -> Result<u32, Rejection> {
        self.array(field)
            .map(|[a, b, c]| u32::from_le_bytes([*a, *b, *c, 0]))
    }

    /// Little-endian.
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Rejection> {
        self.array(field).map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Little-endian.
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Rejection> {
        self.array(field).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Bytes that must be zero.
    pub(crate) fn zeros(&mut self, length: usize, field: &'static str) -> Result<(), Rejection> {
        let offset = self.offset;
        let bytes = self.bytes(length, field)?;
        match bytes.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => {
                let found = bytes.get(at).copied().unwrap_or_default();
                Err(Rejection::malformed(
                    field,
                    "reserved bytes to be zero",
                    format!("0x{found:02x}"),
                )
                .at(offset.saturating_add(at)))
            }
        }
    }

    fn short(&self, length: usize, field: &'static str) -> Rejection {
        Rejection::malformed(
            field,
            format!("{length} bytes"),
            format!("{} bytes", self.rest.len()),
        )
        .at(self.offset)
    }
}
