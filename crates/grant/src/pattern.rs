//! Method names with `*`, as grants and manifests write them.

use xapi::model::{Class, Method, schema};

use crate::nearest::hint;

/// `VM.start`, `VM.get_*`, `*.get_record`: `*` stands for any letters, dots excepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern and checks that it names something.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("Async.") {
            return Err(format!("`{text}`: leave `Async.` out, `{rest}` covers both forms"));
        }
        let Some((class, method)) = text.split_once('.') else {
            return Err(format!("`{text}` is no method: write CLASS.METHOD, such as `VM.start`"));
        };
        if class.is_empty() || method.is_empty() || method.contains('.') {
            return Err(format!("`{text}` is no method: write CLASS.METHOD, such as `VM.start`"));
        }
        let pattern = Pattern(text.to_owned());
        if pattern.methods().next().is_some() {
            return Ok(pattern);
        }
        if text.contains('*') {
            return Err(format!("`{text}` matches no method of XAPI"));
        }
        let Some(known) = schema::classes().iter().find(|known| known.name == class) else {
            let hint = hint(class, schema::classes().iter().map(|class| class.name));
            return Err(format!("XAPI has no class `{class}`{hint}"));
        };
        let names: Vec<String> =
            known.methods.iter().map(|method| format!("{}.{}", known.name, method.name)).collect();
        let hint = hint(text, names.iter().map(String::as_str));
        Err(format!("XAPI has no method `{text}`{hint}"))
    }

    /// Whether it stands for this method, `CLASS.METHOD`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match (self.0.split_once('.'), name.split_once('.')) {
            (Some((class, method)), Some((of, named))) => glob(class, of) && glob(method, named),
            _ => false,
        }
    }

    /// Whether it is this method's name, letter by letter.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.0 == name
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The methods that it stands for, each with its whole name.
    pub fn methods(&self) -> impl Iterator<Item = (String, &'static Class, &'static Method)> {
        schema::classes()
            .iter()
            .flat_map(|class| class.methods.iter().map(move |method| (class, method)))
            .map(|(class, method)| (format!("{}.{}", class.name, method.name), class, method))
            .filter(|(name, _, _)| self.matches(name))
    }
}

/// Whether `pattern`, in which `*` stands for any letters, covers all of `text`. Linear in both: on a mismatch only
/// the last star is widened.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}
