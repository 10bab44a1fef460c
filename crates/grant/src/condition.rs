//! Conditions in CEL over records: compiled once, checked against the schema, evaluated without I/O.
//!
//! A condition sees `self`, the record, as a map by field name; dates are RFC 3339. Only the fields that it names are
//! converted. A reference is a text as the caller words it, wherever it stands; where references are followed, one that a
//! dot comes after is the object that it points at: `self.VM.tags` of a VBD. Whatever goes wrong while evaluating means
//! that it does not hold.

mod paths;
mod patterns;
mod wording;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::objects::Value as Cel;
use cel::{Context, Env, ExecutionError, Program};
use xapi::model::{Class, Method, Record, Type, schema};

pub use self::paths::Paths;
use self::patterns::{Collecting, Patterns};
pub use self::wording::Wording;
use self::wording::{blank, map, of_record, to_cel};
use crate::Call;
use crate::nearest::hint;
use crate::target::{parameters, target_parameter};

/// Longest condition, in bytes: room for any that a person can read.
const SOURCE_MAX: usize = 4096;
/// Most operators, dots and brackets in one. The parser's recursion needs up to 32 KiB of stack for each.
const JOINTS_MAX: usize = 400;
/// Deepest tree. Evaluation recurses through it on an ordinary stack, 34 KiB a level in a debug build. Chains of `&&`
/// and `||` are balanced by the parser and hardly count.
const DEPTH_MAX: usize = 24;
/// Stack of the thread that parses: [`JOINTS_MAX`] times what one costs, with room to spare.
const PARSER_STACK: usize = 64 * 1024 * 1024;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition.
pub struct Condition {
    source: String,
    program: Program,
    /// What it reads, by the names that it may use: `self`, `args`, `value`.
    roots: BTreeMap<String, Paths>,
    patterns: Patterns,
}

/// Which fields of `self` a condition reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uses {
    /// These.
    Named(BTreeSet<String>),
    /// It cannot be told: `self` is used as a whole.
    Everything,
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expression `{expression}` is wrong at line {line}, column {column}: {what}")]
pub struct ConditionError {
    /// The text as given.
    pub expression: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong and what to write instead.
    pub what: String,
}

/// What a condition is compiled for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'s> {
    /// Classes that `self` can be of. A field must exist in one of them.
    pub classes: &'s [&'static Class],
    /// The methods whose arguments are `args`, by name. With any, references are followed; with none, there is no `args`.
    pub calls: &'s [&'static Method],
    /// The argument that is also `value`.
    pub argument: Option<&'s str>,
    /// How deeply `exists`, `all`, `map` and `filter` may be nested: each level multiplies the work.
    pub nesting: usize,
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Condition({:?})", self.source)
    }
}

impl Condition {
    /// Compiles a condition. Safe on any text: what could overflow a stack is refused, and the parser, which is
    /// not ours and recurses, gets a thread with a large stack for itself.
    ///
    /// # Errors
    ///
    /// [`ConditionError`] says where it is wrong, and what to write instead.
    pub fn compile(source: &str, scope: &Scope<'_>) -> Result<Condition, ConditionError> {
        let wrong = |what: &str| ConditionError {
            expression: source.chars().take(80).collect(),
            line: 1,
            column: 1,
            what: what.to_owned(),
        };
        if source.len() > SOURCE_MAX {
            return Err(wrong(&format!("it is longer than {SOURCE_MAX} bytes")));
        }
        if joints(source) > JOINTS_MAX {
            return Err(wrong(&format!("it has more than {JOINTS_MAX} operators, dots and brackets")));
        }
        std::thread::scope(|threads| {
            let parser = std::thread::Builder::new().name("condition-parser".into()).stack_size(PARSER_STACK);
            let thread = parser
                .spawn_scoped(threads, || Self::parse(source, scope))
                .map_err(|error| wrong(&format!("there is no thread to parse it: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(wrong("the parser cannot make sense of it")))
        })
    }

    fn parse(source: &str, scope: &Scope<'_>) -> Result<Condition, ConditionError> {
        let wrong = |(line, column): (usize, usize), what: String| ConditionError {
            expression: source.to_owned(),
            line,
            column,
            what,
        };
        let program = ENVIRONMENT.compile(source).map_err(|errors| {
            let first = errors.errors.first();
            let (line, column) = first.map_or((1, 1), |error| error.pos);
            // Errors of the parser's own machinery carry no words for people.
            let what = match first {
                Some(error) if error.msg.contains("OtherError") => "it is nested too deeply".to_owned(),
                Some(error) => error.msg.clone(),
                None => errors.to_string(),
            };
            let positive = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
            wrong((positive(line), positive(column)), what)
        })?;
        let mut reading = Reading {
            scope,
            bound: Vec::new(),
            roots: BTreeMap::new(),
            patterns: Collecting::default(),
            fault: None,
            depth: 0,
        };
        reading.expression(program.expression(), 0);
        if let Some((id, what)) = reading.fault {
            let at = program.source_info().offset_for(id).map_or(0, |(start, _)| start as usize);
            return Err(wrong(place(source, at), what));
        }
        let Reading { roots, patterns, .. } = reading;
        let condition = Condition { source: source.to_owned(), program, roots, patterns: patterns.finish() };
        condition.try_out(scope).map_err(|what| wrong((1, 1), what))?;
        Ok(condition)
    }

    /// Which fields of `self` it reads.
    #[must_use]
    pub fn fields(&self) -> Uses {
        let own = self.paths("self");
        if own.all() { Uses::Everything } else { Uses::Named(own.names()) }
    }

    /// Whether it says anything about an object, so that it needs one.
    #[must_use]
    pub fn reads_object(&self) -> bool {
        self.roots.contains_key("self")
    }

    /// What it reads below `self`, `args` or `value`.
    #[must_use]
    pub fn paths(&self, root: &str) -> &Paths {
        self.roots.get(root).unwrap_or(Paths::none())
    }

    /// The text as given.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds for a record. `visible` hides fields.
    ///
    /// # Errors
    ///
    /// It could not be evaluated, so it does not hold; the text is for a person.
    pub fn holds(
        &self,
        record: &Record,
        visible: &dyn Fn(&str) -> bool,
        wording: &Wording<'_>,
    ) -> Result<bool, String> {
        let own = of_record(record, self.paths("self"), visible, wording);
        self.run(vec![("self", own)]).map_err(|error| error.to_string())
    }

    /// Whether it holds for a call that acts on `record`, where the call acts on one; `argument` is the one that `value`
    /// stands for.
    ///
    /// # Errors
    ///
    /// As [`holds`](Self::holds).
    pub fn holds_for_call(
        &self,
        call: &Call<'_>,
        record: Option<&Record>,
        argument: Option<(&Type, &xapi::Value)>,
        wording: &Wording<'_>,
    ) -> Result<bool, String> {
        let own = self.paths("self");
        let own = record.map_or_else(|| map([]), |record| of_record(record, own, &|_| true, wording));
        let mut variables = vec![("self", own)];
        if self.roots.contains_key("args") {
            let args = self.paths("args");
            let named = call.arguments().filter(|(parameter, _)| args.wants(parameter.name));
            let named = named.map(|(parameter, value)| {
                (parameter.name, to_cel(Some(&parameter.kind), value, args.below(parameter.name), wording))
            });
            variables.push(("args", map(named)));
        }
        if let Some((kind, value)) = argument {
            variables.push(("value", to_cel(Some(kind), value, self.paths("value"), wording)));
        }
        self.run(variables).map_err(|error| error.to_string())
    }

    fn run(&self, variables: Vec<(&str, Cel)>) -> Result<bool, ExecutionError> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        self.patterns
            .declare(&mut context)
            .map_err(|error| ExecutionError::function_error("matches", error))?;
        for (name, value) in variables {
            context.add_variable_from_value(name, value);
        }
        match self.program.execute(&context)? {
            Cel::Bool(truth) => Ok(truth),
            other => Err(ExecutionError::UnexpectedType {
                got: format!("{:?}", other.type_of()).to_lowercase(),
                want: "bool".into(),
            }),
        }
    }

    /// Runs it once on an empty record of each class, or with blank arguments of each method, to find what only
    /// evaluation can find: unknown functions, operators that do not fit the types, results that are no truth value.
    /// One that it fits is enough. Missing map keys and the like are no fault here.
    fn try_out(&self, scope: &Scope<'_>) -> Result<(), String> {
        let blank_of = |class: Option<&Class>| {
            let fields = class.map_or(&[][..], |class| class.fields);
            let paths = self.paths("self");
            map(fields.iter().map(|field| (field.name, blank(&field.kind, paths.below(field.name)))))
        };
        let args = self.paths("args");
        let with_class = |class: &&'static Class| vec![("self", blank_of(Some(class)))];
        let with_method = |method: &&'static Method| {
            let class = target_parameter(method).and_then(|(_, class)| schema::class(class));
            let given = parameters(method)
                .map(|parameter| (parameter.name, blank(&parameter.kind, args.below(parameter.name))));
            let mut variables = vec![("self", blank_of(class)), ("args", map(given))];
            if let Some(argument) = scope.argument {
                let parameter = parameters(method).find(|parameter| parameter.name == argument)?;
                variables.push(("value", blank(&parameter.kind, self.paths("value"))));
            }
            Some(variables)
        };
        let classes = scope.classes.iter().filter(|_| scope.calls.is_empty()).map(with_class);
        let trials = classes.chain(scope.calls.iter().filter_map(with_method));
        let mut first = None;
        for variables in trials {
            match self.run(variables) {
                // What an empty record lacks, a real one may have.
                Err(
                    ExecutionError::NoSuchKey(_)
                    | ExecutionError::IndexOutOfBounds(_)
                    | ExecutionError::DivisionByZero(_)
                    | ExecutionError::RemainderByZero(_)
                    | ExecutionError::Overflow(..)
                    | ExecutionError::FunctionError { .. },
                )
                | Ok(_) => return Ok(()),
                Err(error) => first = first.or_else(|| Some(error.to_string())),
            }
        }
        first.map_or(Ok(()), Err)
    }
}

/// How many operators, dots and brackets a text has, those in strings included: telling them apart would take the
/// lexer, and a text that seems to hide them is the one to fear.
fn joints(source: &str) -> usize {
    let signs = source.bytes().filter(|byte| b"+-*/%?!=<>&|([{.".contains(byte)).count();
    let words = source.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    signs + words.filter(|word| *word == "in").count()
}

/// Line and column of a character of the text, from 1.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before: String = source.chars().take(at).collect();
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count();
    (1 + before.matches('\n').count(), 1 + column)
}

/// Walks an expression and notes what it reads and the first fault.
struct Reading<'s> {
    scope: &'s Scope<'s>,
    bound: Vec<String>,
    roots: BTreeMap<String, Paths>,
    patterns: Collecting,
    fault: Option<(u64, String)>,
    depth: usize,
}

impl Reading<'_> {
    fn fault(&mut self, id: u64, what: String) {
        if self.fault.is_none() {
            self.fault = Some((id, what));
        }
    }

    fn expression(&mut self, node: &IdedExpr, nesting: usize) {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.fault(node.id, "it is nested too deeply".to_owned());
        } else {
            self.inner(node, nesting);
        }
        self.depth -= 1;
    }

    fn inner(&mut self, node: &IdedExpr, nesting: usize) {
        match &node.expr {
            Expr::Ident(name) => self.name(node.id, name),
            Expr::Select(select) => match self.path(node) {
                Some((root, path)) => self.reads(node.id, root, &path),
                None => self.expression(&select.operand, nesting),
            },
            Expr::Call(call) => {
                for inner in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
                    self.expression(inner, nesting);
                }
                if patterns::takes_pattern(&call.func_name) {
                    self.pattern(node.id, call.args.last());
                }
            }
            Expr::Comprehension(loops) => {
                if nesting >= self.scope.nesting {
                    self.fault(node.id, format!("loops are nested more than {} deep", self.scope.nesting));
                    return;
                }
                self.expression(&loops.iter_range, nesting);
                let outer = self.bound.len();
                self.bound.push(loops.iter_var.clone());
                self.bound.extend(loops.iter_var2.clone());
                self.bound.push(loops.accu_var.clone());
                for inner in [&loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result] {
                    self.expression(inner, nesting + 1);
                }
                self.bound.truncate(outer);
            }
            Expr::List(list) => list.elements.iter().for_each(|inner| self.expression(inner, nesting)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr, nesting)),
            Expr::Struct(made) => made.entries.iter().for_each(|entry| self.entry(&entry.expr, nesting)),
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entry(&mut self, entry: &EntryExpr, nesting: usize) {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value, nesting),
            EntryExpr::MapEntry(pair) => {
                self.expression(&pair.key, nesting);
                self.expression(&pair.value, nesting);
            }
        }
    }

    fn pattern(&mut self, id: u64, argument: Option<&IdedExpr>) {
        // The first fault is the one that is told; compiling further patterns would be for nothing.
        if self.fault.is_some() {
            return;
        }
        let compiled = match argument.map(|argument| &argument.expr) {
            Some(Expr::Literal(LiteralValue::String(pattern))) => self.patterns.add(pattern.inner()),
            _ => Err(patterns::not_written_out()),
        };
        if let Err(what) = compiled {
            self.fault(id, what);
        }
    }

    fn name(&mut self, id: u64, name: &str) {
        // Type names, and what macros bind for themselves, are values too.
        const TYPES: [&str; 10] =
            ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
        if self.bound.iter().any(|bound| bound == name) || name.starts_with('@') || TYPES.contains(&name) {
            return;
        }
        if self.is_root(name) {
            self.roots.entry(name.to_owned()).or_default().take_all();
        } else {
            let roots = ["self", "args", "value"].into_iter().filter(|root| self.is_root(root));
            let hint = if self.scope.classes.iter().any(|class| class.field(name).is_some()) {
                format!("; did you mean `self.{name}`?")
            } else {
                hint(name, roots)
            };
            self.fault(id, format!("nothing is named `{name}`{hint}"));
        }
    }

    fn is_root(&self, name: &str) -> bool {
        match name {
            "self" => true,
            "args" => !self.scope.calls.is_empty(),
            "value" => self.scope.argument.is_some(),
            _ => false,
        }
    }

    /// The names behind a root, when a chain of dots begins at one.
    fn path<'n>(&self, node: &'n IdedExpr) -> Option<(&'n str, Vec<&'n str>)> {
        let mut path = Vec::new();
        let mut at = node;
        while let Expr::Select(select) = &at.expr {
            path.push(select.field.as_str());
            at = &select.operand;
        }
        path.reverse();
        match &at.expr {
            Expr::Ident(name) if self.is_root(name) && !self.bound.contains(name) => Some((name, path)),
            _ => None,
        }
    }

    fn reads(&mut self, id: u64, root: &str, path: &[&str]) {
        if path.len() > DEPTH_MAX {
            self.fault(id, "it is nested too deeply".to_owned());
            return;
        }
        if let Err(what) = self.exists(root, path) {
            self.fault(id, what);
        }
        self.roots.entry(root.to_owned()).or_default().add(path);
    }

    /// Whether one of the classes or methods has what is read.
    fn exists(&self, root: &str, path: &[&str]) -> Result<(), String> {
        let follows = !self.scope.calls.is_empty();
        let arguments = || self.scope.calls.iter().flat_map(|method| parameters(method));
        let tried: Vec<Result<(), String>> = match (root, path) {
            ("args", [argument, rest @ ..]) => {
                let named = arguments().filter(|parameter| parameter.name == *argument);
                let tried: Vec<_> =
                    named.map(|parameter| paths::exists(&parameter.kind, rest, follows)).collect();
                if tried.is_empty() {
                    let hint = hint(argument, arguments().map(|parameter| parameter.name));
                    return Err(format!("no method here has an argument `{argument}`{hint}"));
                }
                tried
            }
            ("value", path) => {
                let named = arguments().filter(|parameter| Some(parameter.name) == self.scope.argument);
                named.map(|parameter| paths::exists(&parameter.kind, path, follows)).collect()
            }
            (_, path) => {
                let classes = self.scope.classes;
                if let Some(field) = path.first()
                    && !classes.is_empty()
                    && classes.iter().all(|class| class.field(field).is_none())
                {
                    let names = classes.iter().flat_map(|class| class.fields.iter().map(|field| field.name));
                    let classes: Vec<&str> = classes.iter().map(|class| class.name).collect();
                    let hint = hint(field, names);
                    return Err(format!("{} has no field `{field}`{hint}", classes.join(", ")));
                }
                classes.iter().map(|class| paths::exists_in(class, path, follows)).collect()
            }
        };
        if tried.iter().any(Result::is_ok) { Ok(()) } else { tried.into_iter().next().unwrap_or(Ok(())) }
    }
}

#[cfg(test)]
mod tests;
