//! The daemon, as the other rooms of the SDK reach it: the functions of the contract in the SDK's own types.
//!
//! In a component they are the contract's imports. Built for any other target they are answered by the world of
//! [`testing`](crate::testing) that the running test has made, so that a plugin's code runs natively unchanged.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(not(target_family = "wasm"))]
mod native;

#[cfg(target_family = "wasm")]
pub(crate) use component::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
