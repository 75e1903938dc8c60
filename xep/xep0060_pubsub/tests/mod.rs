//! The engine at its service and in its limits.
