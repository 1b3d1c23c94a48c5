//! The fetcher against services that behave, misbehave and disappear.

mod cached;
mod captures;
mod service;
mod troubled;
