//! Processor generations and their TCB versions.

use core::fmt;

/// A generation of EPYC with its own root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generation {
    /// Zen 3.
    Milan,
    /// Zen 4: Genoa, Bergamo, Siena.
    Genoa,
    /// Zen 5.
    Turin,
}

impl Generation {
    /// AMD's product name, as in certificates and KDS addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// From the CPUID family and model of a report. Source: AMD 57230, table of products.
    pub const fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// From a certificate's product name: `Milan-B0`, `Genoa`. A stepping may follow.
    pub fn from_product_name(name: &str) -> Option<Self> {
        let product = name.split_once('-').map_or(name, |(product, _)| product);
        [Self::Milan, Self::Genoa, Self::Turin]
            .into_iter()
            .find(|generation| generation.name() == product)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A TCB version, as the report holds it. What its bytes mean depends on the generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tcb(pub [u8; 8]);

impl Tcb {
    /// The components by the last arc of their certificate extension (1.3.6.1.4.1.3704.1.3.x).
    /// Source: AMD 56860, `TCB_VERSION`; AMD 57230, VCEK extensions.
    pub const fn components(self, generation: Generation) -> [(u8, &'static str, u8); 8] {
        let [a, b, c, d, e, f, g, h] = self.0;
        match generation {
            Generation::Milan | Generation::Genoa => [
                (1, "blSPL", a),
                (2, "teeSPL", b),
                (4, "spl4", c),
                (5, "spl5", d),
                (6, "spl6", e),
                (7, "spl7", f),
                (3, "snpSPL", g),
                (8, "ucodeSPL", h),
            ],
            Generation::Turin => [
                (9, "fmcSPL", a),
                (1, "blSPL", b),
                (2, "teeSPL", c),
                (3, "snpSPL", d),
                (5, "spl5", e),
                (6, "spl6", f),
                (7, "spl7", g),
                (8, "ucodeSPL", h),
            ],
        }
    }

    /// Whether every byte is at least that of `minimum`.
    pub fn covers(self, minimum: Self) -> bool {
        self.0
            .iter()
            .zip(minimum.0)
            .all(|(found, minimum)| *found >= minimum)
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
