//! A statement with its values, and the rows that come back: the same for both databases, no driver type shows.

use super::error::DbError;
use crate::jid::{BareJid, Jid};
use bytes::Bytes;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Row as _};

/// A bound value. Only the three column types that both databases agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// BIGINT
    I64(Option<i64>),
    /// TEXT
    Text(Option<String>),
    /// BYTEA
    Bytes(Option<Bytes>),
}

macro_rules! value_from {
    ($($source:ty => $variant:ident, $value:ident, $make:expr;)*) => {$(
        impl From<$source> for Value {
            fn from($value: $source) -> Value { Value::$variant(Some($make)) }
        }
        impl From<Option<$source>> for Value {
            fn from(value: Option<$source>) -> Value { Value::$variant(value.map(|$value| $make)) }
        }
    )*};
}

value_from! {
    i64 => I64, v, v;
    i32 => I64, v, i64::from(v);
    u32 => I64, v, i64::from(v);
    bool => I64, v, i64::from(v);
    &str => Text, v, v.to_owned();
    String => Text, v, v;
    &String => Text, v, v.clone();
    &BareJid => Text, v, v.as_str().to_owned();
    &Jid => Text, v, v.as_str().to_owned();
    &[u8] => Bytes, v, Bytes::copy_from_slice(v);
    Vec<u8> => Bytes, v, Bytes::from(v);
    &Vec<u8> => Bytes, v, Bytes::copy_from_slice(v);
    Bytes => Bytes, v, v;
    &Bytes => Bytes, v, v.clone();
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Value {
        Value::Bytes(Some(Bytes::copy_from_slice(&value)))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Value {
        Value::Bytes(Some(Bytes::copy_from_slice(value)))
    }
}

/// One statement with `$1 …` placeholders and the values for them.
///
/// The text is `'static`, so a value can never become part of it.
#[derive(Debug, Clone)]
#[must_use = "a query does nothing until it is given to a Db or a Tx"]
pub struct Query {
    sql: &'static str,
    values: Vec<Value>,
}

impl Query {
    /// A statement without values so far.
    pub fn new(sql: &'static str) -> Query {
        Query {
            sql,
            values: Vec::new(),
        }
    }

    /// Adds the value of the next placeholder: the first call binds `$1`.
    pub fn bind(mut self, value: impl Into<Value>) -> Query {
        self.values.push(value.into());
        self
    }

    /// The text as it goes to either database.
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    pub(super) fn into_parts(self) -> (&'static str, Vec<Value>) {
        (self.sql, self.values)
    }
}

/// The values in the form of the SQLite driver.
pub(super) fn lite_arguments(values: Vec<Value>) -> Result<SqliteArguments, DbError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::I64(v) => Arguments::add(&mut arguments, v),
            Value::Text(v) => Arguments::add(&mut arguments, v),
            Value::Bytes(v) => Arguments::add(&mut arguments, v.map(Vec::from)),
        };
        added.map_err(|e| DbError::Statement(e.to_string().into()))?;
    }
    Ok(arguments)
}

/// The values in the form of the PostgreSQL driver.
pub(super) fn pg_arguments(values: Vec<Value>) -> Result<PgArguments, DbError> {
    let mut arguments = PgArguments::default();
    let bytes: usize = values.iter().map(value_bytes).sum();
    arguments.reserve(values.len(), bytes);
    for value in values {
        let added = match value {
            Value::I64(v) => Arguments::add(&mut arguments, v),
            Value::Text(v) => Arguments::add(&mut arguments, v),
            Value::Bytes(v) => Arguments::add(&mut arguments, v.as_deref()),
        };
        added.map_err(|e| DbError::Statement(e.to_string().into()))?;
    }
    Ok(arguments)
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::I64(_) => 8,
        Value::Text(v) => v.as_ref().map_or(0, String::len),
        Value::Bytes(v) => v.as_ref().map_or(0, Bytes::len),
    }
}

/// Names a column of a row: by its place (from 0) or by its name.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// The place in the SELECT list, from 0.
    Index(usize),
    /// The name in the SELECT list.
    Name(&'a str),
}

impl From<usize> for Column<'static> {
    fn from(index: usize) -> Self {
        Column::Index(index)
    }
}

impl<'a> From<&'a str> for Column<'a> {
    fn from(name: &'a str) -> Self {
        Column::Name(name)
    }
}

/// One row of a result. Reading a column never panics: a wrong type, name or NULL is an error.
pub struct Row(pub(super) RowOf);

pub(super) enum RowOf {
    Lite(SqliteRow),
    Pg(PgRow),
}

/// Reads one column as an optional value of the given type, whichever database the row came from.
macro_rules! get {
    ($row:expr, $column:expr, $type:ty) => {
        match (&$row.0, $column) {
            (RowOf::Lite(row), Column::Index(at)) => row.try_get::<Option<$type>, _>(at),
            (RowOf::Lite(row), Column::Name(name)) => row.try_get::<Option<$type>, _>(name),
            (RowOf::Pg(row), Column::Index(at)) => row.try_get::<Option<$type>, _>(at),
            (RowOf::Pg(row), Column::Name(name)) => row.try_get::<Option<$type>, _>(name),
        }
    };
}

impl Row {
    /// A BIGINT that may be NULL. PostgreSQL's INTEGER literals (`SELECT 1`) and BOOLEAN (`SELECT EXISTS …`)
    /// are read as numbers too, as SQLite has them.
    pub fn opt_i64<'a>(&self, column: impl Into<Column<'a>>) -> Result<Option<i64>, DbError> {
        let column = column.into();
        let error = match get!(self, column, i64) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if let RowOf::Pg(_) = self.0 {
            if let Ok(value) = get!(self, column, i32) {
                return Ok(value.map(i64::from));
            }
            if let Ok(value) = get!(self, column, bool) {
                return Ok(value.map(i64::from));
            }
        }
        Err(error.into())
    }

    /// A TEXT that may be NULL.
    pub fn opt_text<'a>(&self, column: impl Into<Column<'a>>) -> Result<Option<String>, DbError> {
        Ok(get!(self, column.into(), String)?)
    }

    /// A BYTEA that may be NULL.
    pub fn opt_bytes<'a>(&self, column: impl Into<Column<'a>>) -> Result<Option<Vec<u8>>, DbError> {
        Ok(get!(self, column.into(), Vec<u8>)?)
    }

    /// A BIGINT.
    pub fn i64<'a>(&self, column: impl Into<Column<'a>>) -> Result<i64, DbError> {
        let column = column.into();
        self.opt_i64(column)?.ok_or_else(|| null(column))
    }

    /// A TEXT.
    pub fn text<'a>(&self, column: impl Into<Column<'a>>) -> Result<String, DbError> {
        let column = column.into();
        self.opt_text(column)?.ok_or_else(|| null(column))
    }

    /// A BYTEA.
    pub fn bytes<'a>(&self, column: impl Into<Column<'a>>) -> Result<Vec<u8>, DbError> {
        let column = column.into();
        self.opt_bytes(column)?.ok_or_else(|| null(column))
    }
}

fn null(column: Column<'_>) -> DbError {
    match column {
        Column::Index(at) => DbError::column(format!("column {at} is NULL")),
        Column::Name(name) => DbError::column(format!("column {name} is NULL")),
    }
}
