//! Rooms, in memory.
