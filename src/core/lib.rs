//! kIM's core: no sockets, no XEP numbers.

#![forbid(unsafe_code)]

pub mod db;
