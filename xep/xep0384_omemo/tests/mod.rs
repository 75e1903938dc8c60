//! What is refused and why; then the room's stories, in memory.

mod bundles;
