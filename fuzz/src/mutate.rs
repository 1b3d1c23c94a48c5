//! Small changes to bytes, the same ones each time.

/// Makes changed copies of seeds. Deterministic: what it finds once it finds again.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

/// Values that lengths, counts and versions are likely to be wrong at.
const EDGES: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0x81, 0x82, 0xfe, 0xff];
/// Changes made to one copy, at most.
const CHANGES: usize = 6;

impl Mutator {
    /// A mutator with a start of its own.
    pub const fn new(start: u64) -> Self {
        Self(start ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Xorshift: fast, and good enough to pick places.
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % below.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next(256)).unwrap_or_default()
    }

    /// A changed copy of one of the seeds.
    pub fn change(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = match seeds {
            [] => Vec::new(),
            _ => seeds[self.next(seeds.len())].clone(),
        };
        for _ in 0..=self.next(CHANGES) {
            let at = self.next(bytes.len());
            match self.next(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), self.byte()),
                2 => self.copy_within(&mut bytes, at),
                3 => self.splice(&mut bytes, at, seeds),
                4 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                5 if !bytes.is_empty() => bytes[at] = EDGES[self.next(EDGES.len())],
                6 if !bytes.is_empty() => bytes[at] = self.byte(),
                _ if !bytes.is_empty() => bytes[at] ^= 1 << self.next(8),
                _ => {}
            }
        }
        bytes
    }

    /// Repeats a piece somewhere else: a field twice.
    fn copy_within(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let end = at + self.next(64).min(bytes.len() - at);
        let piece = bytes[at..end].to_vec();
        let to = self.next(bytes.len());
        bytes.splice(to..to, piece);
    }

    /// Replaces the rest by that of another seed.
    fn splice(&mut self, bytes: &mut Vec<u8>, at: usize, seeds: &[Vec<u8>]) {
        let other = &seeds[self.next(seeds.len())];
        let from = self.next(other.len());
        bytes.truncate(at);
        bytes.extend_from_slice(&other[from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_the_same_each_time_and_not_all_alike() {
        let seeds = [b"one seed".to_vec(), Vec::new(), vec![7; 300]];
        let make = || {
            let mut mutator = Mutator::new(1);
            (0..500).map(|_| mutator.change(&seeds)).collect::<Vec<_>>()
        };
        assert_eq!(make(), make());
        let distinct: std::collections::BTreeSet<_> = make().into_iter().collect();
        assert!(distinct.len() > 300, "{}", distinct.len());
    }
}
