//! Set-up, demo, tests, code generation and benchmarks: `cargo xtask COMMAND`.

mod codegen;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        _ => bail!("usage: cargo xtask codegen [--check]"),
    }
}
