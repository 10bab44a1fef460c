//! The attribute `plugin` of `xapiary-sdk`: makes a plugin of an `impl` block with one handler for each subscription.
//!
//! - `manifest`: what the attribute needs of `plugin.toml`: the subscriptions, each with its line.
//! - `handlers`: the methods of the block that are marked with `#[on("…")]`.
//! - `expand`: holds the two against each other, and writes the code.

mod expand;
mod handlers;
mod manifest;

use proc_macro::TokenStream;

/// Makes a plugin of an `impl` block. Documented where it is used from: `xapiary_sdk::plugin`.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, block: TokenStream) -> TokenStream {
    expand::plugin(arguments.into(), block.into()).into()
}
