//! Conditions in CEL over records: compiled once, checked against the schema, evaluated without I/O.
//!
//! A condition sees `self`, the record, as a map by field name; references are texts as
//! the caller words them, wherever they stand, dates are RFC 3339. Only the
//! fields that it names are converted. Whatever goes wrong while evaluating means that it does not hold.

mod patterns;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::objects::{Key, Map, Value as Cel};
use cel::{Context, Env, ExecutionError, Program};
use xapi::Value;
use xapi::model::{Class, Record, Type, schema};

use self::patterns::{Collecting, Patterns};
use crate::nearest::hint;
use crate::time::to_rfc3339;
use crate::veil::replaced;

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
pub(crate) struct Condition {
    source: String,
    program: Program,
    fields: Uses,
    patterns: Patterns,
}

/// Which fields of `self` a condition reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Uses {
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
pub(crate) struct Scope<'s> {
    /// Names besides `self` that it may use.
    pub variables: &'s [&'s str],
    /// Classes that `self` can be of; empty when not known. A field must exist in one of them.
    pub classes: &'s [&'static Class],
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
    pub(crate) fn compile(source: &str, scope: &Scope<'_>) -> Result<Condition, ConditionError> {
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
            fields: BTreeSet::new(),
            whole: false,
            patterns: Collecting::default(),
            fault: None,
            depth: 0,
        };
        reading.expression(program.expression(), 0);
        if let Some((id, what)) = reading.fault {
            let at = program.source_info().offset_for(id).map_or(0, |(start, _)| start as usize);
            return Err(wrong(place(source, at), what));
        }
        let fields = if reading.whole { Uses::Everything } else { Uses::Named(reading.fields) };
        let condition =
            Condition { source: source.to_owned(), program, fields, patterns: reading.patterns.finish() };
        condition.try_out(scope).map_err(|what| wrong((1, 1), what))?;
        Ok(condition)
    }

    /// Which fields it reads.
    pub(crate) fn fields(&self) -> &Uses {
        &self.fields
    }

    /// The text as given.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds for a record. `visible` hides fields; `reference` words references; `others` binds the
    /// further variables. An error means that it does not hold, and is for a person to read.
    pub(crate) fn holds(
        &self,
        record: &Record,
        visible: &dyn Fn(&str) -> bool,
        reference: &dyn Fn(&str) -> String,
        others: Vec<(&str, Cel)>,
    ) -> Result<bool, String> {
        let class = schema::class(&record.class);
        let mut own = HashMap::new();
        for (name, value) in record.iter() {
            let wanted = match &self.fields {
                Uses::Named(names) => names.contains(name),
                Uses::Everything => true,
            };
            if wanted && visible(name) {
                let kind = class.and_then(|class| class.field(name)).map(|field| &field.kind);
                own.insert(Key::String(Arc::new(name.to_string())), to_cel(kind, value, reference));
            }
        }
        self.run(own, others).map_err(|error| error.to_string())
    }

    fn run(&self, own: HashMap<Key, Cel>, others: Vec<(&str, Cel)>) -> Result<bool, ExecutionError> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value("self", Cel::Map(Map { map: Arc::new(own) }));
        self.patterns
            .declare(&mut context)
            .map_err(|error| ExecutionError::function_error("matches", error))?;
        for (name, value) in others {
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

    /// Runs it once on an empty record of each class, to find what only evaluation can find: unknown functions,
    /// operators that do not fit the fields' types, results that are no truth value. Missing map keys and the like
    /// are no fault here.
    fn try_out(&self, scope: &Scope<'_>) -> Result<(), String> {
        let mut faults = Vec::new();
        for class in scope.classes {
            let own = class
                .fields
                .iter()
                .map(|field| (Key::String(Arc::new(field.name.to_owned())), blank(&field.kind)))
                .collect();
            let others =
                scope.variables.iter().map(|name| (*name, Cel::Map(Map { map: Arc::default() }))).collect();
            match self.run(own, others) {
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
                Err(error) => faults.push(error.to_string()),
            }
        }
        faults.into_iter().next().map_or(Ok(()), Err)
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

/// Walks an expression and notes which fields of `self` it reads and the first fault.
struct Reading<'s> {
    scope: &'s Scope<'s>,
    bound: Vec<String>,
    fields: BTreeSet<String>,
    whole: bool,
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
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == "self" && !self.bound.iter().any(|bound| bound == name) => {
                    self.field(node.id, &select.field);
                }
                _ => self.expression(&select.operand, nesting),
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
        if name == "self" {
            self.whole = true;
        } else if !self.scope.variables.contains(&name) {
            let hint = hint(name, self.scope.variables.iter().copied().chain(["self"]));
            let hint = if self.scope.classes.iter().any(|class| class.field(name).is_some()) {
                format!("; did you mean `self.{name}`?")
            } else {
                hint
            };
            self.fault(id, format!("nothing is named `{name}`{hint}"));
        }
    }

    fn field(&mut self, id: u64, field: &str) {
        let classes = self.scope.classes;
        if !classes.is_empty() && classes.iter().all(|class| class.field(field).is_none()) {
            let names = classes.iter().flat_map(|class| class.fields.iter().map(|field| field.name));
            let classes: Vec<&str> = classes.iter().map(|class| class.name).collect();
            self.fault(id, format!("{} has no field `{field}`{}", classes.join(", "), hint(field, names)));
        }
        self.fields.insert(field.to_owned());
    }
}

/// A value as CEL sees it.
pub(crate) fn to_cel(kind: Option<&Type>, value: &Value, reference: &dyn Fn(&str) -> String) -> Cel {
    match (kind, value) {
        (Some(Type::Option(inner)), value) => to_cel(Some(inner), value, reference),
        (Some(Type::Ref(_)), Value::String(text)) => reference(text).into(),
        (_, Value::String(text)) => replaced(text, reference).as_ref().into(),
        (_, Value::DateTime(text)) => to_rfc3339(text).into(),
        (_, Value::Int(number)) => Cel::Int(*number),
        (_, Value::Float(number)) => Cel::Float(*number),
        (_, Value::Bool(truth)) => Cel::Bool(*truth),
        (kind, Value::Array(elements)) => {
            let inner = if let Some(Type::Set(inner)) = kind { Some(*inner) } else { None };
            Cel::List(Arc::new(elements.iter().map(|element| to_cel(inner, element, reference)).collect()))
        }
        (kind, Value::Struct(members)) => {
            let record = if let Some(Type::Record(class)) = kind { schema::class(class) } else { None };
            let (keys, values) = if let Some(Type::Map(keys, values)) = kind {
                (Some(*keys), Some(*values))
            } else {
                (None, None)
            };
            let map = members
                .iter()
                .map(|(name, value)| {
                    let key = match keys {
                        Some(Type::Ref(_)) => reference(name),
                        _ => replaced(name, reference).into_owned(),
                    };
                    let inner = values
                        .or_else(|| record.and_then(|class| class.field(name)).map(|field| &field.kind));
                    (Key::String(Arc::new(key)), to_cel(inner, value, reference))
                })
                .collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

/// A value of a type, for trying a condition out.
fn blank(kind: &Type) -> Cel {
    match kind {
        Type::String | Type::DateTime | Type::Void | Type::Ref(_) | Type::Enum(_) => "".into(),
        Type::Int => Cel::Int(0),
        Type::Float => Cel::Float(0.0),
        Type::Bool => Cel::Bool(false),
        Type::Set(_) => Cel::List(Arc::default()),
        Type::Map(..) | Type::Record(_) => Cel::Map(Map { map: Arc::default() }),
        Type::Option(inner) => blank(inner),
    }
}

#[cfg(test)]
mod tests;
