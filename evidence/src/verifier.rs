//! What evidence is verified with.

use crate::anchors::Anchors;
#[cfg(feature = "std")]
use crate::cache::Cache;
use crate::time::Time;

/// Trust anchors, a time, and where wanted a cache of what was verified before.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'a> {
    pub(crate) anchors: &'a Anchors,
    pub(crate) time: Time,
    #[cfg(feature = "std")]
    pub(crate) cache: Option<&'a Cache>,
}

impl<'a> Verifier<'a> {
    /// Trusts `anchors`, at `time`.
    pub const fn new(anchors: &'a Anchors, time: Time) -> Self {
        Self {
            anchors,
            time,
            #[cfg(feature = "std")]
            cache: None,
        }
    }

    /// Also keeps what it verified in `cache`, which must not be used with other anchors.
    #[cfg(feature = "std")]
    #[must_use]
    pub const fn with_cache(mut self, cache: &'a Cache) -> Self {
        self.cache = Some(cache);
        self
    }
}
