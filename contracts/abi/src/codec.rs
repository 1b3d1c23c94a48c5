//! ABI encoding for contracts: small, and strict on what it reads.
//!
//! The generic coder of `alloy-sol-types` costs a contract tens of kilobytes, which every call pays
//! for. This one works on the same types in about a tenth. Which fields a type has, and in which
//! order, is listed in [`wire`](crate::wire); the tests compare every listed type with alloy's
//! coder.

use alloc::{string::String, vec::Vec};

use alloy_primitives::{Address, Bytes, FixedBytes, U256};
use alloy_sol_types::SolType;

/// A value with an ABI encoding.
pub trait Codec: Sized {
    /// Bytes the value takes in the head of what it is part of: its own, or those of an offset.
    const HEAD: usize = 32;

    /// Reads the value; where the bytes are not an encoding of one, any value, and the reader knows.
    /// Unlike Solidity's, the encoding may point anywhere; numbers must fit their type.
    fn read(from: &mut Reader<'_>) -> Self;

    /// Writes the value.
    fn write(&self, to: &mut Writer<'_>);
}

/// A list of named values: a struct, the arguments of a call or error, the data of an event.
pub trait Fields: Sized {
    /// Bytes of the head.
    const FIELDS_HEAD: usize;

    /// Reads the fields one after the other.
    fn read_fields(from: &mut Reader<'_>) -> Self;

    /// Writes the fields one after the other.
    fn write_fields(&self, to: &mut Writer<'_>);
}

/// Reads one list of values. Offsets count from its start. What fails is remembered until the end,
/// because a check after each field is most of the code that reads a struct.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    failed: bool,
}

impl<'a> Reader<'a> {
    const ZEROS: &'static [u8; 32] = &[0; 32];

    /// Reads from the start of `bytes`.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            failed: false,
        }
    }

    /// The bytes that offsets count from.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What was read, if nothing failed.
    pub(crate) fn value<T>(self, value: T) -> Option<T> {
        if self.failed { None } else { Some(value) }
    }

    /// Fails unless `right`.
    const fn check(&mut self, right: bool) {
        self.failed |= !right;
    }

    /// What `from` on is, or nothing.
    fn rest(&mut self, from: usize) -> &'a [u8] {
        let rest = self.bytes.get(from..);
        self.check(rest.is_some());
        rest.unwrap_or_default()
    }

    #[inline(never)]
    fn word(&mut self) -> &'a [u8; 32] {
        let word = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk());
        self.check(word.is_some());
        self.at += 32;
        word.unwrap_or(Self::ZEROS)
    }

    /// A number of at most `size` bytes.
    #[inline(never)]
    fn number(&mut self, size: usize) -> u64 {
        let (zeros, number) = self.word().split_at(32 - size);
        self.check(zeros.iter().all(|byte| *byte == 0));
        number
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn size(&mut self) -> usize {
        // Larger than any address fails wherever it is used.
        usize::try_from(self.number(8)).unwrap_or(usize::MAX)
    }

    /// What the offset at this place points to.
    #[inline(never)]
    pub(crate) fn tail(&mut self) -> Self {
        let offset = self.size();
        Self::new(self.rest(offset))
    }

    /// Takes over whether reading a tail failed.
    pub(crate) const fn join(&mut self, tail: &Self) {
        self.failed |= tail.failed;
    }

    /// Length and items of an array whose items take `head` bytes each. Lengths that the bytes cannot
    /// hold fail before memory is taken for them.
    #[inline(never)]
    fn list(&mut self, head: usize) -> (usize, Self) {
        let mut tail = self.tail();
        let length = tail.size();
        let items = tail.rest(32);
        self.join(&tail);
        let fits = length
            .checked_mul(head)
            .is_some_and(|size| size <= items.len());
        self.check(fits);
        (if fits { length } else { 0 }, Self::new(items))
    }

    /// The bytes of a `bytes` or `string`.
    #[inline(never)]
    fn tail_bytes(&mut self) -> &'a [u8] {
        let mut tail = self.tail();
        let size = tail.size();
        let bytes = tail.rest(32).get(..size);
        self.join(&tail);
        self.check(bytes.is_some());
        bytes.unwrap_or_default()
    }
}

/// Writes one list of values: a head of known size, then the tails.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    at: usize,
}

impl<'a> Writer<'a> {
    /// Writes at the end of `bytes` a list whose heads take `head` bytes together.
    #[inline(never)]
    pub fn new(bytes: &'a mut Vec<u8>, head: usize) -> Self {
        let start = bytes.len();
        bytes.resize(start + head, 0);
        Self {
            bytes,
            start,
            at: start,
        }
    }

    /// Writes the last bytes of a word whose first are zero.
    #[inline(never)]
    fn right(&mut self, value: &[u8]) {
        let end = self.at + 32;
        self.put(end - value.len(), value);
        self.at = end;
    }

    /// Writes the first bytes of a word whose last are zero.
    #[inline(never)]
    fn left(&mut self, value: &[u8]) {
        self.put(self.at, value);
        self.at += 32;
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        self.bytes
            .iter_mut()
            .skip(at)
            .zip(value)
            .for_each(|(to, from)| *to = *from);
    }

    /// Writes an offset here, and at the end of the bytes the list it points to.
    #[inline(never)]
    pub(crate) fn tail(&mut self, head: usize) -> Writer<'_> {
        let offset = self.bytes.len() - self.start;
        self.right(&(offset as u64).to_be_bytes());
        Writer::new(self.bytes, head)
    }

    #[inline(never)]
    fn tail_bytes(&mut self, value: &[u8]) {
        let padded = value.len().next_multiple_of(32);
        let mut tail = self.tail(32 + padded);
        tail.right(&(value.len() as u64).to_be_bytes());
        tail.put(tail.at, value);
    }
}

/// Reads the fields of `T` from a whole encoding.
pub fn read<T: Fields>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = T::read_fields(&mut reader);
    reader.value(value)
}

/// Appends the fields of `value` to `bytes`.
pub fn append<T: Fields>(value: &T, bytes: &mut Vec<u8>) {
    value.write_fields(&mut Writer::new(bytes, T::FIELDS_HEAD));
}

/// A selector, then the fields of `value`: a call, or an error.
pub fn select<T: Fields>(selector: [u8; 4], value: &T) -> Vec<u8> {
    let mut bytes = selector.to_vec();
    append(value, &mut bytes);
    bytes
}

/// `abi.encode(value)`
pub fn encode<T: Codec>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.write(&mut Writer::new(&mut bytes, T::HEAD));
    bytes
}

/// `abi.decode(bytes, (T))`
pub fn decode<T: Codec>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = T::read(&mut reader);
    reader.value(value)
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Codec for $number {
            fn read(from: &mut Reader<'_>) -> Self {
                // Numbers of this many bytes fit.
                from.number(size_of::<Self>()) as Self
            }

            fn write(&self, to: &mut Writer<'_>) {
                to.right(&self.to_be_bytes());
            }
        }
    )* };
}

numbers!(u8, u16, u32, u64);

impl Codec for bool {
    fn read(from: &mut Reader<'_>) -> Self {
        let number = from.number(1);
        from.check(number <= 1);
        number != 0
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.right(&[u8::from(*self)]);
    }
}

impl Codec for U256 {
    #[inline(never)]
    fn read(from: &mut Reader<'_>) -> Self {
        Self::from_be_bytes(*from.word())
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.right(&self.to_be_bytes::<32>());
    }
}

impl Codec for Address {
    #[inline(never)]
    fn read(from: &mut Reader<'_>) -> Self {
        let word = from.word();
        from.check(word.iter().take(12).all(|byte| *byte == 0));
        let mut address = Self::ZERO;
        address
            .0
            .0
            .iter_mut()
            .zip(word.iter().skip(12))
            .for_each(|(to, from)| *to = *from);
        address
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.right(self.as_slice());
    }
}

impl<const N: usize> Codec for FixedBytes<N> {
    fn read(from: &mut Reader<'_>) -> Self {
        let word = from.word();
        from.check(word.iter().skip(N).all(|byte| *byte == 0));
        let mut value = Self::ZERO;
        value
            .0
            .iter_mut()
            .zip(word)
            .for_each(|(to, from)| *to = *from);
        value
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.left(&self.0);
    }
}

impl Codec for String {
    fn read(from: &mut Reader<'_>) -> Self {
        let string = Self::from_utf8(from.tail_bytes().to_vec());
        from.check(string.is_ok());
        string.unwrap_or_default()
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.tail_bytes(self.as_bytes());
    }
}

impl Codec for Bytes {
    fn read(from: &mut Reader<'_>) -> Self {
        Self::copy_from_slice(from.tail_bytes())
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.tail_bytes(self);
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn read(from: &mut Reader<'_>) -> Self {
        let (length, mut items) = from.list(T::HEAD);
        let mut values = Self::with_capacity(length);
        for _ in 0..length {
            values.push(T::read(&mut items));
        }
        from.join(&items);
        values
    }

    fn write(&self, to: &mut Writer<'_>) {
        let mut tail = to.tail(32);
        tail.right(&(self.len() as u64).to_be_bytes());
        let mut items = Writer::new(tail.bytes, self.len() * T::HEAD);
        for value in self {
            value.write(&mut items);
        }
    }
}

/// Structs: in place where all their fields are, else behind an offset.
impl<T: Fields + SolType> Codec for T {
    const HEAD: usize = match T::ENCODED_SIZE {
        Some(size) => size,
        None => 32,
    };

    fn read(from: &mut Reader<'_>) -> Self {
        if !T::DYNAMIC {
            return T::read_fields(from);
        }
        let mut tail = from.tail();
        let value = T::read_fields(&mut tail);
        from.join(&tail);
        value
    }

    fn write(&self, to: &mut Writer<'_>) {
        if T::DYNAMIC {
            self.write_fields(&mut to.tail(T::FIELDS_HEAD));
        } else {
            self.write_fields(to);
        }
    }
}
