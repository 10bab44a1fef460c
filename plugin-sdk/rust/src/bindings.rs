//! What wit-bindgen makes of `plugin-sdk/wit`. Nothing of it is for authors: the other rooms wrap it, and only the
//! `plugin!` macro reaches in here.

wit_bindgen::generate!({
    path: "../wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_plugin",
    default_bindings_module: "xapiary_sdk::bindings",
});
