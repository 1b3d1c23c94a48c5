//! Programs in the EVM, from the outside: deployed, activated and called as transactions do it.

mod activation;
mod calls;
mod hostile;
mod hostios;
mod rules;
mod support;
