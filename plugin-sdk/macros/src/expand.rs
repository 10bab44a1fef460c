//! From the `impl` block to a plugin.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::parse::Parser as _;
use syn::spanned::Spanned as _;
use syn::{ItemImpl, LitStr, Type};

use crate::handlers::{self, Argument, Handler};
use crate::manifest::{self, Source, Subscription};

/// Names that are less alike than this are not taken for slips.
const ALIKE: f64 = 0.75;

pub(crate) fn plugin(arguments: TokenStream, block: TokenStream) -> TokenStream {
    let whole = block.clone();
    match expanded(arguments, block) {
        Ok(tokens) => tokens,
        Err(error) => {
            // The block as it is but for the marks, so that the compiler tells of this mistake alone.
            let block = syn::parse2::<ItemImpl>(whole.clone()).map_or(whole, |mut block| {
                _ = handlers::take(&mut block);
                block.into_token_stream()
            });
            let error = error.into_compile_error();
            quote! { #error #block }
        }
    }
}

fn expanded(arguments: TokenStream, block: TokenStream) -> syn::Result<TokenStream> {
    let source = source(arguments)?;
    let mut block: ItemImpl = syn::parse2(block).map_err(|error| {
        syn::Error::new(error.span(), "#[plugin] stands on an `impl` block with the handlers")
    })?;
    if block.trait_.is_some() || !block.generics.params.is_empty() {
        return Err(syn::Error::new(
            block.self_ty.span(),
            "#[plugin] stands on a plain `impl` block of a plain type",
        ));
    }
    let handlers = handlers::take(&mut block)?;
    let subscriptions =
        manifest::subscriptions(&source).map_err(|what| syn::Error::new(source.span(), what))?;
    let pairs = paired(&handlers, &subscriptions, &source)?;

    let plugin = &block.self_ty;
    let text = match &source {
        // Read by the compiler, too, so that a change of the file builds the plugin anew.
        Source::File(_) => {
            quote! { ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/plugin.toml")) }
        }
        Source::Inline(text) => quote! { #text },
    };
    let checks = pairs.iter().filter_map(|(handler, subscription)| check(handler, subscription, &source));
    let arms = pairs.iter().map(|(handler, subscription)| arm(plugin, handler, subscription));
    Ok(quote! {
        #block

        #(#checks)*

        impl ::xapiary_sdk::Plugin for #plugin {
            const MANIFEST: &'static str = #text;

            fn handle(event: &::xapiary_sdk::Event, subject: ::xapiary_sdk::Subject) -> ::xapiary_sdk::Outcome {
                match event.subscription.as_str() {
                    #(#arms)*
                    _ => ::xapiary_sdk::export::unanswered(event),
                }
            }
        }

        ::xapiary_sdk::__component!(#plugin);
    })
}

/// Where the manifest is: `#[plugin]`, or `#[plugin(manifest = "…")]`.
fn source(arguments: TokenStream) -> syn::Result<Source> {
    let mut inline = None;
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("manifest") {
            inline = Some(meta.value()?.parse::<LitStr>()?);
            return Ok(());
        }
        Err(meta.error("there is only `manifest = \"…\"`, for a manifest that is no file of its own"))
    });
    parser.parse2(arguments)?;
    if let Some(text) = inline {
        return Ok(Source::Inline(text));
    }
    let folder = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or_else(|| syn::Error::new(proc_macro2::Span::call_site(), "plugins are built by cargo"))?;
    Ok(Source::File(std::path::Path::new(&folder).join("plugin.toml")))
}

/// Each subscription with its handler. Neither may be without the other.
fn paired<'a>(
    handlers: &'a [Handler],
    subscriptions: &'a [Subscription],
    source: &Source,
) -> syn::Result<Vec<(&'a Handler, &'a Subscription)>> {
    let mut wrong: Option<syn::Error> = None;
    let mut note = |error: syn::Error| match &mut wrong {
        Some(first) => first.combine(error),
        None => wrong = Some(error),
    };
    let mut pairs: Vec<(&Handler, &Subscription)> = Vec::new();
    for handler in handlers {
        for name in &handler.answers {
            let answered = name.value();
            let Some(subscription) = subscriptions.iter().find(|subscription| subscription.name == answered)
            else {
                let hint = near(&answered, subscriptions);
                note(syn::Error::new(
                    name.span(),
                    format!("{} has no subscription `{answered}`{hint}", source.name()),
                ));
                continue;
            };
            if pairs.iter().any(|(_, taken)| taken.name == subscription.name) {
                note(syn::Error::new(
                    name.span(),
                    format!("two handlers answer the subscription `{answered}`"),
                ));
            }
            pairs.push((handler, subscription));
        }
    }
    for subscription in subscriptions {
        if !pairs.iter().any(|(_, taken)| taken.name == subscription.name) {
            note(syn::Error::new(
                proc_macro2::Span::call_site(),
                format!(
                    "no handler answers the subscription `{}` ({}, line {}): add\n    {}",
                    subscription.name,
                    source.name(),
                    subscription.line,
                    example(subscription)
                ),
            ));
        }
    }
    wrong.map_or(Ok(pairs), Err)
}

fn near(name: &str, subscriptions: &[Subscription]) -> String {
    let best = subscriptions
        .iter()
        .map(|subscription| (strsim::jaro_winkler(name, &subscription.name), &subscription.name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match best {
        Some((_, meant)) => format!("; did you mean `{meant}`?"),
        None => {
            let names: Vec<_> = subscriptions.iter().map(|known| format!("`{}`", known.name)).collect();
            format!("; it has {}", names.join(", "))
        }
    }
}

/// A handler that would do.
fn example(subscription: &Subscription) -> String {
    let name = &subscription.name;
    let function = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_").to_ascii_lowercase();
    format!("#[on({name:?})] fn {function}(&self, {}) -> Outcome {{ … }}", suited(subscription))
}

/// The argument that suits a subscription.
fn suited(subscription: &Subscription) -> String {
    let of = |operations: &str| {
        // The SDK's types are named as XAPI's classes, in Rust's spelling; `VM_metrics` is `VmMetrics`.
        let part = |part: &str| {
            let rest = part.get(1..).unwrap_or_default();
            let capitals = !part.contains(|letter: char| letter.is_ascii_lowercase());
            let rest = if capitals { rest.to_ascii_lowercase() } else { rest.to_owned() };
            part.get(..1).unwrap_or_default().to_ascii_uppercase() + &rest
        };
        let class: String = subscription.class.split('_').map(part).collect();
        format!("change: {operations}<{class}>")
    };
    match (subscription.kind, &subscription.on[..]) {
        ("class", ["added"]) => of("Added"),
        ("class", ["modified"]) => of("Modified"),
        ("class", ["deleted"]) => of("Deleted"),
        ("class", _) => of("Change"),
        ("task", _) => "task: TaskOutcome".to_owned(),
        ("alert", _) => "alert: Alert".to_owned(),
        ("cron", _) => "tick: Tick".to_owned(),
        _ => "connection: Connection".to_owned(),
    }
}

/// Proves at compile time that a handler's subject can come of its subscription.
fn check(handler: &Handler, subscription: &Subscription, source: &Source) -> Option<TokenStream> {
    let subject = handler.subject()?;
    let Subscription { name, line, kind, class, on } = subscription;
    let hears = match *kind {
        "class" => format!("{} of {class}", on.join(", ")),
        other => other.to_owned(),
    };
    let message = format!(
        "the subscription `{name}` ({}, line {line}) hears {hears}, and `{}` takes something else: take `{}`",
        source.name(),
        handler.name,
        suited(subscription)
    );
    let on = on.iter().map(|word| format_ident!("{}", capital(word)));
    Some(quote_spanned! { subject.span() =>
        const _: () = ::core::assert!(
            ::xapiary_sdk::export::fits(
                &<#subject as ::xapiary_sdk::export::Hears>::WANTS,
                #kind,
                #class,
                &[#(::xapiary_sdk::export::Operation::#on),*],
            ),
            #message
        );
    })
}

fn capital(word: &str) -> String {
    word.get(..1).unwrap_or_default().to_ascii_uppercase() + word.get(1..).unwrap_or_default()
}

/// Calls one handler.
fn arm(plugin: &Type, handler: &Handler, subscription: &Subscription) -> TokenStream {
    let (name, subscribed) = (&handler.name, &subscription.name);
    let itself = handler.takes_self.then(|| quote! { &::xapiary_sdk::export::instance::<#plugin>()?, });
    let arguments = handler.arguments.iter().map(|argument| match argument {
        Argument::Event => quote! { event },
        Argument::Subject { kind, by_reference } => {
            let given =
                quote_spanned! { kind.span() => ::xapiary_sdk::export::subject::<#kind>(event, subject)? };
            if *by_reference {
                quote! { &#given }
            } else {
                given
            }
        }
    });
    quote! {
        #subscribed => ::xapiary_sdk::export::IntoOutcome::into_outcome(
            <#plugin>::#name(#itself #(#arguments),*)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [[subscribe]]
        name = "power"
        class = "VM"
        on = ["modified"]

        [[subscribe]]
        name = "nightly"
        cron = "0 3 * * *"
    "#;

    fn expanded(handlers: &TokenStream) -> String {
        plugin(quote! { manifest = #MANIFEST }, quote! { impl Test { #handlers } }).to_string()
    }

    #[test]
    fn what_fits_becomes_a_plugin() {
        let text = expanded(&quote! {
            #[on("power")]
            fn power(&self, event: &Event, vm: &Modified<Vm>) -> Outcome { Ok(()) }
            #[on("nightly")]
            fn nightly() {}
        });
        assert!(!text.contains("compile_error"), "{text}");
        for wanted in ["\"power\" =>", "\"nightly\" =>", "Operation :: Modified", "instance :: < Test >"] {
            assert!(text.contains(wanted), "{wanted} is not in {text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_was_meant() {
        let power = quote! { #[on("power")] fn power(vm: Modified<Vm>) {} };
        for (handlers, wanted) in [
            (power.clone(), "no handler answers the subscription `nightly` (the manifest, line 7): add"),
            (quote! { #power }, "#[on(\\\"nightly\\\")] fn nightly(&self, tick: Tick) -> Outcome"),
            (
                quote! { #power #[on("nigthly")] fn n() {} },
                "no subscription `nigthly`; did you mean `nightly`?",
            ),
            (quote! { #power #[on("x")] fn n() {} }, "no subscription `x`; it has `power`, `nightly`"),
            (
                quote! { #power #[on("nightly", "power")] fn n() {} },
                "two handlers answer the subscription `power`",
            ),
            (quote! { #power #[on] fn n() {} }, "name the subscription"),
            (quote! { #[on("power")] async fn n() {} }, "a handler is an ordinary function"),
            (quote! { #[on("power")] fn n(&mut self) {} }, "a handler takes `&self`"),
            (quote! { #[on("power")] fn n(one: Tick, two: Tick) {} }, "at most"),
        ] {
            let text = expanded(&handlers);
            assert!(text.contains("compile_error") && text.contains(wanted), "{wanted} is not in {text}");
        }
    }

    #[test]
    fn a_broken_manifest_is_told_with_its_line() {
        for (manifest, wanted) in [
            ("name = \"x\"", "subscribes to nothing"),
            ("\n[[subscribe]\n", "the manifest, line 2"),
            (
                "[[subscribe]]\nname = \"a\"\ntask = true\nalert = true",
                "line 1: the subscription `a` needs exactly one of",
            ),
            ("[subscribe]\nname = \"a\"", "with two brackets"),
        ] {
            let text = plugin(quote! { manifest = #manifest }, quote! { impl Test {} }).to_string();
            assert!(text.contains(wanted), "{wanted} is not in {text}");
        }
    }
}
