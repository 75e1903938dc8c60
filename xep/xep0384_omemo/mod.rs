//! XEP-0384 OMEMO Encryption 0.9.1: guards the keys that clients publish for each other, of this version and of 0.3.

mod bundle;
mod devices;
mod flaw;
mod nodes;
mod signature;
#[cfg(test)]
mod tests;
