//! The contract as Rust types and traits, generated from `plugin-sdk/wit`.

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "xapiary:plugin/objects.object": crate::objects::ObjectView,
        "xapiary:plugin/calls.task": crate::calls::TaskView,
    },
});
