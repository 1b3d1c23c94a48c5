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

    /// Reads the value; nothing where the bytes are not an encoding of one. Unlike Solidity's, the
    /// encoding may point anywhere; numbers must fit their type.
    fn read(from: &mut Reader<'_>) -> Option<Self>;

    /// Writes the value.
    fn write(&self, to: &mut Writer<'_>);
}

/// A list of named values: a struct, the arguments of a call or error, the data of an event.
pub trait Fields: Sized {
    /// Bytes of the head.
    const FIELDS_HEAD: usize;

    /// Reads the fields one after the other.
    fn read_fields(from: &mut Reader<'_>) -> Option<Self>;

    /// Writes the fields one after the other.
    fn write_fields(&self, to: &mut Writer<'_>);
}

/// Reads one list of values. Offsets count from its start.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn word(&mut self) -> Option<&'a [u8; 32]> {
        let word = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += 32;
        Some(word)
    }

    /// A number of at most `size` bytes.
    fn number(&mut self, size: usize) -> Option<u64> {
        let (zeros, number) = self.word()?.split_at(32 - size);
        if zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        Some(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.number(8)?).ok()
    }

    /// What the offset at this place points to.
    fn tail(&mut self) -> Option<Self> {
        let offset = self.size()?;
        Some(Self::new(self.bytes.get(offset..)?))
    }

    /// The bytes of a `bytes` or `string`.
    fn tail_bytes(&mut self) -> Option<&'a [u8]> {
        let mut tail = self.tail()?;
        let size = tail.size()?;
        tail.bytes.get(32..)?.get(..size)
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
    pub fn new(bytes: &'a mut Vec<u8>, head: usize) -> Self {
        let start = bytes.len();
        bytes.resize(start + head, 0);
        Self { bytes, start, at: start }
    }

    /// Writes the last bytes of a word whose first are zero.
    fn right(&mut self, value: &[u8]) {
        let end = self.at + 32;
        self.put(end - value.len(), value);
        self.at = end;
    }

    /// Writes the first bytes of a word whose last are zero.
    fn left(&mut self, value: &[u8]) {
        self.put(self.at, value);
        self.at += 32;
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        self.bytes.iter_mut().skip(at).zip(value).for_each(|(to, from)| *to = *from);
    }

    /// Writes an offset here, and at the end of the bytes the list it points to.
    fn tail(&mut self, head: usize) -> Writer<'_> {
        let offset = self.bytes.len() - self.start;
        self.right(&(offset as u64).to_be_bytes());
        Writer::new(self.bytes, head)
    }

    fn tail_bytes(&mut self, value: &[u8]) {
        let padded = value.len().next_multiple_of(32);
        let mut tail = self.tail(32 + padded);
        tail.right(&(value.len() as u64).to_be_bytes());
        tail.put(tail.at, value);
    }
}

/// Reads the fields of `T` from a whole encoding.
pub fn read<T: Fields>(bytes: &[u8]) -> Option<T> {
    T::read_fields(&mut Reader::new(bytes))
}

/// Appends the fields of `value` to `bytes`.
pub fn append<T: Fields>(value: &T, bytes: &mut Vec<u8>) {
    value.write_fields(&mut Writer::new(bytes, T::FIELDS_HEAD));
}

/// `abi.encode(value)`
pub fn encode<T: Codec>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.write(&mut Writer::new(&mut bytes, T::HEAD));
    bytes
}

/// `abi.decode(bytes, (T))`
pub fn decode<T: Codec>(bytes: &[u8]) -> Option<T> {
    T::read(&mut Reader::new(bytes))
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Codec for $number {
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                // Numbers of this many bytes fit.
                from.number(size_of::<Self>()).map(|number| number as Self)
            }

            fn write(&self, to: &mut Writer<'_>) {
                to.right(&self.to_be_bytes());
            }
        }
    )* };
}

numbers!(u8, u16, u32, u64);

impl Codec for bool {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        match from.number(1)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.right(&[u8::from(*self)]);
    }
}

impl Codec for U256 {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.word().map(|word| Self::from_be_bytes(*word))
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.right(&self.to_be_bytes::<32>());
    }
}

impl Codec for Address {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (zeros, address) = from.word()?.split_first_chunk::<12>()?;
        if *zeros != [0; 12] {
            return None;
        }
        address.first_chunk().map(|address| Self(FixedBytes(*address)))
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.right(self.as_slice());
    }
}

impl<const N: usize> Codec for FixedBytes<N> {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let word = from.word()?;
        let (bytes, zeros) = word.split_first_chunk()?;
        zeros.iter().all(|byte| *byte == 0).then_some(Self(*bytes))
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.left(&self.0);
    }
}

impl Codec for String {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Self::from_utf8(from.tail_bytes()?.to_vec()).ok()
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.tail_bytes(self.as_bytes());
    }
}

impl Codec for Bytes {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.tail_bytes().map(Self::copy_from_slice)
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.tail_bytes(self);
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut tail = from.tail()?;
        let length = tail.size()?;
        let mut items = Reader::new(tail.bytes.get(32..)?);
        // Refuses lengths that the bytes cannot hold, before memory is taken for them.
        if length.checked_mul(T::HEAD)? > items.bytes.len() {
            return None;
        }
        let mut values = Self::with_capacity(length);
        for _ in 0..length {
            values.push(T::read(&mut items)?);
        }
        Some(values)
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

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        if T::DYNAMIC { T::read_fields(&mut from.tail()?) } else { T::read_fields(from) }
    }

    fn write(&self, to: &mut Writer<'_>) {
        if T::DYNAMIC {
            self.write_fields(&mut to.tail(T::FIELDS_HEAD));
        } else {
            self.write_fields(to);
        }
    }
}
