//! The node as its clients see it: over HTTP and WebSocket.

mod bad_input;
mod blocks;
mod calls;
mod control;
mod harness;
mod logs;
mod sockets;
mod stylus;
mod traces;
mod transactions;
