//! Small plugins for tests and benchmarks. Each file in `examples/` is one behaviour; there is no code here.
//!
//! Built for wasm they are the guests that the plugin host must contain, or whose host calls it must answer. See this
//! folder's README for how they are built, where they lie and what each of them expects.
