//! In place of the export, where it is not built in.

use super::Told;
use crate::config::Config;

/// There is none.
#[derive(Debug)]
pub(super) enum Exporter {}

impl Exporter {
    /// A configuration that asks for spans was refused when it was read.
    pub(super) fn start(_: &Config) -> anyhow::Result<Option<Self>> {
        Ok(None)
    }

    pub(super) fn layer(&self) -> Told {
        match *self {}
    }

    pub(super) async fn stop(self) {
        match self {}
    }
}
