//! The whole system with the real tools, one module for each story.

mod alloy_client;
mod cache;
mod demo;
mod deploy;
mod differential;
mod docs;
mod foundry;
mod govern;
mod imports;
mod interop;
mod market;
mod operator;
mod session;
mod stylus;
mod tutorial;
mod viem;
