//! kIM, the server: the doors to the house that kim-core and kim-xep are.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod c2s;
pub mod tls;
