//! Capabilities: the verification string by the examples of the text, what clients announce in good and bad faith, and
//! the server's own.

mod announced;
mod strings;
