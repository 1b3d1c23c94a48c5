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
    pub const fn new(bytes: &'a [u8]) -> Self {
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
    pub fn value<T>(self, value: T) -> Option<T> {
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

    /// A number of at most `size` bytes, 8 at most.
    #[inline(never)]
    fn number(&mut self, size: usize) -> u64 {
        let [a, b, c, number] = limbs(self.word());
        let fits = size >= 8 || number >> (8 * size) == 0;
        self.check(a | b | c == 0 && fits);
        number
    }

    /// Passes over a word.
    pub(crate) const fn skip(&mut self) {
        self.at += 32;
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
        // Word by word: `resize` would go byte by byte.
        for _ in 0..head / 32 {
            bytes.extend_from_slice(Reader::ZEROS);
        }
        Self {
            bytes,
            start,
            at: start,
        }
    }

    /// Writes a word.
    #[inline(never)]
    fn word(&mut self, word: &[u8; 32]) {
        let place = self.bytes.get_mut(self.at..);
        if let Some(place) = place.and_then(|rest| rest.first_chunk_mut()) {
            *place = *word;
        }
        self.at += 32;
    }

    /// Writes the word of a number.
    #[inline(never)]
    fn number(&mut self, number: u64) {
        self.word(&word_of([0, 0, 0, number]));
    }

    /// Writes an offset here, and at the end of the bytes the list it points to.
    #[inline(never)]
    pub(crate) fn tail(&mut self, head: usize) -> Writer<'_> {
        let offset = self.bytes.len() - self.start;
        self.number(offset as u64);
        Writer::new(self.bytes, head)
    }

    #[inline(never)]
    fn tail_bytes(&mut self, value: &[u8]) {
        let mut tail = self.tail(32);
        tail.number(value.len() as u64);
        let padding = value.len().next_multiple_of(32) - value.len();
        tail.bytes.extend_from_slice(value);
        let zeros = Reader::ZEROS.iter().take(padding);
        tail.bytes.extend(zeros);
    }
}

/// The four limbs of a word, most significant first.
fn limbs(word: &[u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(word.as_chunks::<8>().0) {
        *limb = u64::from_be_bytes(*bytes);
    }
    limbs
}

/// The word of four limbs, most significant first.
fn word_of(limbs: [u64; 4]) -> [u8; 32] {
    let mut word = [0; 32];
    for (bytes, limb) in word.as_chunks_mut::<8>().0.iter_mut().zip(limbs) {
        *bytes = limb.to_be_bytes();
    }
    word
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
                to.number(u64::from(*self));
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
        to.number(u64::from(*self));
    }
}

impl Codec for U256 {
    #[inline(never)]
    fn read(from: &mut Reader<'_>) -> Self {
        let [a, b, c, d] = limbs(from.word());
        Self::from_limbs([d, c, b, a])
    }

    fn write(&self, to: &mut Writer<'_>) {
        let [d, c, b, a] = *self.as_limbs();
        to.word(&word_of([a, b, c, d]));
    }
}

impl Codec for Address {
    #[inline(never)]
    fn read(from: &mut Reader<'_>) -> Self {
        let word = from.word();
        let [a, b, ..] = limbs(word);
        from.check(a == 0 && b >> 32 == 0);
        word.last_chunk::<20>()
            .map_or(Self::ZERO, |bytes| Self::new(*bytes))
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.word(&self.into_word().0);
    }
}

impl<const N: usize> Codec for FixedBytes<N> {
    fn read(from: &mut Reader<'_>) -> Self {
        let word = from.word();
        if N < 32 {
            from.check(word.iter().skip(N).all(|byte| *byte == 0));
        }
        word.first_chunk::<N>()
            .map_or(Self::ZERO, |bytes| Self(*bytes))
    }

    fn write(&self, to: &mut Writer<'_>) {
        let mut word = [0; 32];
        if let Some(place) = word.first_chunk_mut::<N>() {
            *place = self.0;
        }
        to.word(&word);
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
        tail.number(self.len() as u64);
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
