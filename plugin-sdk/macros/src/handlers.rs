//! The handlers in an `impl` block: methods marked with `#[on("…")]`.

use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, ImplItem, ItemImpl, LitStr, Token, Type};

/// One handler.
pub(crate) struct Handler {
    pub(crate) name: Ident,
    /// The subscriptions that it answers.
    pub(crate) answers: Vec<LitStr>,
    pub(crate) takes_self: bool,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument besides `self`.
pub(crate) enum Argument {
    /// `&Event`.
    Event,
    /// What the event is about; by reference, where the handler wants that.
    Subject { kind: Box<Type>, by_reference: bool },
}

impl Handler {
    pub(crate) fn subject(&self) -> Option<&Type> {
        self.arguments.iter().find_map(|argument| match argument {
            Argument::Event => None,
            Argument::Subject { kind, .. } => Some(kind.as_ref()),
        })
    }
}

/// Takes the marks off and gives the handlers.
pub(crate) fn take(block: &mut ItemImpl) -> syn::Result<Vec<Handler>> {
    let mut handlers = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let (marks, others): (Vec<Attribute>, Vec<Attribute>) = std::mem::take(&mut method.attrs)
            .into_iter()
            .partition(|attribute| attribute.path().is_ident("on"));
        method.attrs = others;
        if marks.is_empty() {
            continue;
        }
        let mut answers = Vec::new();
        for mark in &marks {
            let names = mark
                .parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated)
                .map_err(|error| syn::Error::new(error.span(), "name the subscription: #[on(\"…\")]"))?;
            if names.is_empty() {
                return Err(syn::Error::new(mark.span(), "name the subscription: #[on(\"…\")]"));
            }
            answers.extend(names);
        }
        handlers.push(handler(method, answers)?);
    }
    Ok(handlers)
}

fn handler(method: &syn::ImplItemFn, answers: Vec<LitStr>) -> syn::Result<Handler> {
    let signature = &method.sig;
    if let Some(word) = &signature.asyncness {
        return Err(syn::Error::new(
            word.span(),
            "a handler is an ordinary function: the daemon waits for it",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(syn::Error::new(signature.generics.span(), "a handler has no generic parameters"));
    }
    let mut takes_self = false;
    let mut arguments = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) if receiver.reference.is_some() && receiver.mutability.is_none() => {
                takes_self = true;
            }
            FnArg::Receiver(receiver) => {
                return Err(syn::Error::new(
                    receiver.span(),
                    "a handler takes `&self`, the plugin's settings, or no self: what shall outlive the event goes into the store",
                ));
            }
            FnArg::Typed(typed) => arguments.push(argument(&typed.ty)),
        }
    }
    let events = arguments.iter().filter(|argument| matches!(argument, Argument::Event)).count();
    if events > 1 || arguments.len() - events > 1 {
        return Err(syn::Error::new(
            signature.inputs.span(),
            "a handler takes at most `&self`, `&Event`, and one subject such as `Modified<Vm>`",
        ));
    }
    Ok(Handler { name: signature.ident.clone(), answers, takes_self, arguments })
}

fn argument(kind: &Type) -> Argument {
    let Type::Reference(reference) = kind else {
        return Argument::Subject { kind: Box::new(kind.clone()), by_reference: false };
    };
    let event = matches!(&*reference.elem, Type::Path(path)
        if path.path.segments.last().is_some_and(|last| last.ident == "Event"));
    if event {
        Argument::Event
    } else {
        Argument::Subject { kind: reference.elem.clone(), by_reference: true }
    }
}
