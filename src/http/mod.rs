//! The web's door: HTTP with the same certificates and limits as the others.

pub mod pages;
