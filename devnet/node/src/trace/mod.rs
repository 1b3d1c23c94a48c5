//! Tracers: what happened inside a transaction, in the forms that geth made common.

mod calls;
mod hostios;
mod prestate;
mod steps;

pub(crate) use calls::{CallTracer, selectors};
pub(crate) use hostios::hostio_steps;
pub(crate) use prestate::prestate;
pub use steps::StepOptions;
pub(crate) use steps::StepTracer;
