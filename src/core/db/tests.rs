//! Stories of the database layer.
