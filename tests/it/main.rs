//! The whole system with the real tools, one module for each story.

mod differential;
mod docs;
mod imports;
mod solidity;
