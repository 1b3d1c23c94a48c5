//! The whole system with the real tools, one module for each story.

mod alloy_client;
mod demo;
mod differential;
mod docs;
mod foundry;
mod imports;
mod market;
mod solidity;
mod stylus;
mod viem;
