//! What wit-bindgen makes of the contract. Nothing of it is for authors: `host` wraps it, and only the `plugin` attribute
//! reaches in here.

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_plugin",
    default_bindings_module: "xapiary_sdk::bindings",
});
