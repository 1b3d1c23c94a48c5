//! Compressed calldata: `FastLZ`, level 1, as `LibZip` of Solady and its JavaScript write and read it.
//! Orders of one batch are much alike, and every byte of calldata is paid for.

use alloc::{vec, vec::Vec};

/// How far back a repetition may lie.
const WINDOW: usize = 1 << 13;
/// Bytes of the longest literal run.
const LITERALS: usize = 32;
/// Bytes of the shortest and the longest repetition.
const SHORTEST: usize = 3;
const LONGEST: usize = 264;
/// Bytes of an ABI word.
const WORD: usize = 32;

/// What `packed` stands for; none where it is cut off or repeats what was never there.
pub fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(packed.len() * 4);
    let mut rest = packed;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let low = usize::from(first & 31);
        let mut length = usize::from(first >> 5);
        if length == 0 {
            let (literals, tail) = rest.split_at_checked(low + 1)?;
            bytes.extend_from_slice(literals);
            rest = tail;
            continue;
        }
        if length == 7 {
            let (&more, tail) = rest.split_first()?;
            length += usize::from(more);
            rest = tail;
        }
        let (&near, tail) = rest.split_first()?;
        rest = tail;
        let distance = (low << 8 | usize::from(near)) + 1;
        let from = bytes.len().checked_sub(distance)?;
        let end = bytes.len() + length + 2;
        // What is repeated may reach into what the repetition writes: as much at a time as is there.
        while bytes.len() < end {
            let there = bytes.len().min(from + end - bytes.len());
            bytes.extend_from_within(from..there);
        }
    }
    Some(bytes)
}

/// Packs `bytes` so that [`unpack`] gives them back.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    // Where something was last seen, by its first bytes: few, and a word's.
    let (mut short, mut long) = (Seen::new(SHORTEST), Seen::new(WORD));
    let (mut at, mut written, mut noted) = (0, 0, 0);
    // Calls of a batch are as long as one another: what repeats lies as far back as the last that did.
    let mut distance = 0;
    while at < bytes.len() {
        while noted < at {
            short.note(bytes, noted);
            long.note(bytes, noted);
            noted += 1;
        }
        let candidates = [
            at.checked_sub(distance),
            long.last(bytes, at),
            short.last(bytes, at),
        ];
        let found = candidates
            .into_iter()
            .flatten()
            .filter(|from| *from < at && at - from <= WINDOW)
            .map(|from| (repeated(bytes, from, at), from))
            .max()
            .filter(|(length, _)| *length >= SHORTEST);
        let Some((length, from)) = found else {
            at += 1;
            continue;
        };
        literals(bytes.get(written..at).unwrap_or_default(), &mut packed);
        distance = at - from;
        let [.., far, near] = (distance - 1).to_be_bytes();
        match (length - 2).checked_sub(7) {
            Some(more) => packed.extend([7 << 5 | far, more as u8, near]),
            None => packed.extend([((length - 2) as u8) << 5 | far, near]),
        }
        at += length;
        written = at;
    }
    literals(bytes.get(written..).unwrap_or_default(), &mut packed);
    packed
}

/// Where sequences of some length were last seen, by their hashes. Of two with one hash the later is kept, so what is
/// found is a place to look, and may be another sequence's.
struct Seen {
    length: usize,
    places: Vec<Option<usize>>,
}

impl Seen {
    /// Bits of a hash.
    const BITS: u32 = 15;

    fn new(length: usize) -> Self {
        let places = vec![None; 1 << Self::BITS];
        Self { length, places }
    }

    /// Which of the places is the sequence's at `at`; none where so few bytes are left.
    fn slot(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let sequence = bytes.get(at..at + self.length)?;
        let hash = sequence.chunks(8).fold(0_u64, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // Fibonacci hashing: the odd number next to 2^64 over the golden ratio.
            (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        Some((hash >> (u64::BITS - Self::BITS)) as usize)
    }

    fn note(&mut self, bytes: &[u8], at: usize) {
        if let Some(slot) = self.slot(bytes, at) {
            self.places[slot] = Some(at);
        }
    }

    fn last(&self, bytes: &[u8], at: usize) -> Option<usize> {
        self.places[self.slot(bytes, at)?]
    }
}

/// How many bytes at `at` are those at `from`.
fn repeated(bytes: &[u8], from: usize, at: usize) -> usize {
    let earlier = bytes.iter().skip(from);
    let later = bytes.iter().skip(at).take(LONGEST);
    earlier.zip(later).take_while(|(a, b)| a == b).count()
}

fn literals(bytes: &[u8], packed: &mut Vec<u8>) {
    for run in bytes.chunks(LITERALS) {
        packed.push(run.len() as u8 - 1);
        packed.extend_from_slice(run);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    /// By hand, from the format's description.
    #[test]
    fn the_three_instructions_are_read() {
        let literal = [2, b'a', b'b', b'c'];
        assert_eq!(unpack(&literal).unwrap(), b"abc");
        let short = [2, b'a', b'b', b'c', 1 << 5, 2];
        assert_eq!(unpack(&short).unwrap(), b"abcabc");
        let long = [0, b'a', 7 << 5, 1, 0];
        assert_eq!(unpack(&long).unwrap(), b"aaaaaaaaaaa");
        assert_eq!(unpack(&[]).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_off_or_points_before_the_start_is_refused() {
        for packed in [
            &[2, b'a', b'b'][..],
            &[0, b'a', 1 << 5],
            &[0, b'a', 7 << 5, 1],
            &[0, b'a', 7 << 5],
            &[0, b'a', 1 << 5, 1],
            &[1 << 5, 0],
        ] {
            assert_eq!(unpack(packed), None, "{packed:?}");
        }
    }

    #[test]
    fn repetitions_take_little() {
        let call: Vec<u8> = (0..4_000_u32).map(|n| (n * n) as u8 | 1).collect();
        let mut batch = vec![];
        for n in 0..50_u8 {
            batch.extend([n; 32]);
            batch.extend_from_slice(&call);
        }
        assert!(pack(&batch).len() < call.len() + 50 * 120);
    }

    proptest! {
        #[test]
        fn packing_is_undone(
            runs in prop::collection::vec((any::<u8>(), 1..600_usize), 0..20),
            noise in prop::collection::vec(0..4_u8, 0..2_000),
        ) {
            let mut bytes = noise;
            for (byte, count) in runs {
                bytes.extend(vec![byte; count]);
                bytes.extend_from_slice(&bytes.clone()[..bytes.len() / 3]);
            }
            prop_assert_eq!(unpack(&pack(&bytes)), Some(bytes));
        }

        #[test]
        fn hostile_bytes_never_panic(packed in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = unpack(&packed);
        }
    }
}
